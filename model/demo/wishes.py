"""What a visitor wishes to see: all of it in one frozen object, read from what the page or a program sends."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Self

from model.common.cli import check_ranges
from model.common.errors import InputError
from model.inference.look import Choice, Look, parse_styles
from model.styles.catalog import BY_NAME

FIELDS = {field.name: field for field in fields(Look)}
OPTIONS = (  # of `Look`, as they are; `degree` is its style_degree
    "color_transfer", "boil", "style_size", "example_area", "keep_tone", "keep_colors", "synthesis", "crop",
    "full_frame", "compare",
)  # fmt: skip
OWN = "own"  # the style's key when it is the visitor's own picture
LARGEST_PADDING = 400  # at an eye distance of 64 pixels: a crop that shows the upper half of a person
LONGEST_TEXT = 400  # letters
KINDS = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}


@dataclass(frozen=True)
class Wish:
    """A style and how a face of a content is to look in it. Wishes of a visit are numbered: the highest one counts."""

    number: int = 0
    style: str = ""  # key of a gallery's entry, or OWN
    exemplar: str | None = None  # where the style has several
    face: int = 0  # number in `Content.faces`
    degree: str | float | None = None  # None: the style's own; or a curve over time
    padding: tuple[int, int, int, int] | None = None  # None: the style's own
    people: str = ""  # `--styles`: others than the chosen face, by number; "all": everybody in this style
    start: float = 0.0  # seconds of a video, from which it is rendered
    end: float | None = None  # up to where; None: its end
    quick: bool = False  # while a slider is dragged: a draft will do
    options: tuple[tuple[str, Any], ...] = ()  # of OPTIONS, where they are not as usual

    @classmethod
    def read(cls, told: Any) -> Self:
        """The wish in what was sent as JSON. Raises InputError for a name that there is not, or a value that cannot
        be."""
        if not isinstance(told, dict):
            raise InputError("A wish is an object with a style: reload the page.")
        told, options = dict(told), {}
        for name in OPTIONS:
            value = told.pop(name, None)
            if value is not None and (value := _of_kind(name, value, FIELDS[name].type)) != FIELDS[name].default:
                options[name] = value
        kinds = {
            "number": int, "style": str, "exemplar": str, "face": int, "people": str, "start": float, "end": float,
            "quick": bool,
        }  # fmt: skip
        own = {}
        for name in [name for name in told if told[name] is not None]:
            value = told[name]
            if name == "padding":
                value = _padding(value)
            elif name == "degree":
                value = value if isinstance(value, str) else _of_kind(name, value, float)
            elif name in kinds:
                value = _of_kind(name, value, kinds[name])
            else:
                raise InputError(f"There is no option {name[:40]!r}: leave it out.")
            if isinstance(value, str) and len(value) > LONGEST_TEXT:
                raise InputError(f"{name} has {len(value)} letters: give at most {LONGEST_TEXT}.")
            own[name] = value
        wish = cls(**own, options=tuple(sorted(options.items())))
        wish.look()
        _ = wish.choices
        if wish.start < 0 or (wish.end is not None and wish.end <= wish.start):
            raise InputError("The part of the video is empty: let it end after its start.")
        return wish

    def look(self, style_id: str | None = None) -> Look:
        """The options for rendering. Raises InputError for values that cannot work."""
        padding = None if self.padding is None else list(self.padding)
        look = Look(style_id=style_id, style_degree=self.degree, padding=padding, **dict(self.options))
        for name, value in self.options:
            choices = FIELDS[name].metadata.get("choices")
            if choices and value not in choices:
                raise InputError(f"{name} is {value!r}: give one of {', '.join(map(str, choices))}.")
        check_ranges(look)
        look.check()
        return look

    @property
    def choices(self) -> dict[int, Choice]:
        """What is wished for some people, by number. Raises InputError for what is none."""
        if self.people in ("", "all"):
            return {}
        choices = parse_styles(self.people)
        for number, choice in choices.items():  # a visitor must not name files of the server
            if choice.preset is not None and choice.preset not in BY_NAME:
                raise InputError(f"Person {number} has the model {choice.preset!r}, which there is not.")
        return choices

    def unused(self, uses: Iterable[str]) -> list[str]:
        """The options that were set and that a style which `uses` these has no use for."""
        needed = {name: set((FIELDS[name].metadata["needs"] or "").split()) for name, _ in self.options}
        names = [name for name, needs in needed.items() if not needs <= set(uses)]
        return [*names, "degree"] if self.degree is not None and "degree" not in set(uses) else names


def _of_kind(name: str, value: Any, kind: type) -> Any:
    is_right = isinstance(value, KINDS[kind]) and (kind is bool or not isinstance(value, bool))
    if kind is int and isinstance(value, float) and value.is_integer():  # JSON of some programs knows no integers
        return int(value)
    if not is_right or value != value or value in (float("inf"), -float("inf")):
        wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]
        raise InputError(f"{name} is {str(value)[:40]!r}: give {wanted}.")
    return float(value) if kind is float else value


def _padding(value: Any) -> tuple[int, int, int, int]:
    numbers = list(value) if isinstance(value, list | tuple) else []
    if len(numbers) != 4 or not all(isinstance(n, int | float) and 0 <= n <= 100 * LARGEST_PADDING for n in numbers):
        raise InputError("The padding is four numbers from 0 up: room left, right, above and below the eyes.")
    return tuple(int(number) for number in numbers)
