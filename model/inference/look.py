"""How a result is to look: the options that command line, page and programs share, and what a style degree may be."""

import re
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np

from model.common.cli import check_ranges, option
from model.common.errors import InputError
from model.common.sizes import DEFAULT_PADDING
from model.styles.catalog import BY_NAME, preset_with

STEP = 0.01  # degrees on a curve are multiples of this, so that frames of one degree are rendered together
_POINT = re.compile(r"([^@]+)@([^@]+?)s?")


@dataclass
class Look:
    """How a result is to look, for command line, page and `--resume`; `needs` names entries of `Style.uses`."""

    style_id: str | None = option(
        None,
        "a style by name (oil, ink: see --list_styles), or by its number in a D model; nothing: the preset's own",
        needs="exemplars",
    )
    style_degree: str | float | None = option(
        None, "from 0 (the photo, nearly) to 1 (the full style); or a curve as 0@0s,1@3s; nothing: the preset's own",
        least=0, most=1, needs="degree",
    )  # fmt: skip
    # Without the photo's code, all colours are the style's anyway.
    color_transfer: bool = option(False, "take the colours of the style, too (D models)", needs="exemplars code")
    no_scale_image: bool = option(False, "take the whole frame at its own size instead of a crop around the face")
    boil: float = option(
        0.0, "how much brush strokes change from drawing to drawing in videos, as in films drawn by hand; 0: they stay",
        least=0, most=1, needs="boil",
    )  # fmt: skip
    style_size: float = option(1.0, "how many times as large strokes are", least=0.5, most=2, needs="strokes")
    example_area: str = option(
        "picture", "what is painted: the whole picture, or the head alone in the frame as it is",
        choices=["picture", "head"], needs="strokes",
    )  # fmt: skip
    keep_tone: str = option(
        "auto", "skin as light or dark as it is, where a picture is the style; auto: for those without strong colours",
        choices=["auto", "on", "off"], needs="picture",
    )  # fmt: skip
    synthesis: str = option(
        "blit", "how it is painted from pictures and painted frames: blit, fast; patch, better and 20 times slower",
        choices=["blit", "patch"], needs="patches",
    )  # fmt: skip
    keep_colors: bool = option(False, "the photo's colours, where a picture is the style of AdaIN", needs="recolour")
    padding: list[int] | None = option(
        None, "room left, right, above and below the eyes, in pixels at 64 pixels between the eyes; nothing: what the "
        f"style has, {' '.join(map(str, DEFAULT_PADDING))} for models", nargs=4,
        metavar=("LEFT", "RIGHT", "TOP", "BOTTOM"), least=0,
    )  # fmt: skip
    crop: str = option(
        "auto", "in videos: follow the face as it moves, or fixed, as published; auto: follow, but fixed with "
        "--no_scale_image and --parsing_map_path", choices=["auto", "follow", "fixed"],
    )  # fmt: skip
    lost: str | None = option(
        None, "where the crop follows and no face is seen: keep the last crop, or pass the frame on unstylised; "
        "nothing: keep, with --faces pass", choices=["keep", "pass"],
    )  # fmt: skip
    full_frame: int = option(
        0, "put the crop back into the whole frame, enlarged so many times; 0: the crop alone", choices=[0, 1, 2, 4]
    )
    compare: bool = option(False, "input and result side by side; the file is NAME_compare_X")
    steady: str = option(
        "auto", "take noise out of videos first, so that they flicker less; auto: not for published models",
        choices=["auto", "on", "off"],
    )  # fmt: skip
    batch_size: int = option(
        0, "frames at a time; 0: as many as fit on CUDA, 1 elsewhere", least=0, most=1000, free=True
    )

    @property
    def degree(self) -> "float | DegreeCurve | None":
        """The style degree, or what it is over time; None for the style's own. Raises InputError for anything else."""
        return parse_degree(self.style_degree) if isinstance(self.style_degree, str) else self.style_degree

    @property
    def follows(self) -> bool:
        """Whether the crop moves with the face of a video."""
        return self.crop == "follow" or (self.crop == "auto" and not self.no_scale_image)

    def effects(self, uses: frozenset[str]) -> dict[str, Any]:
        """The options that only some styles have, for one that `uses` these: arguments of `Style.renderer`."""
        needs = {field.name: set((field.metadata["needs"] or "").split()) for field in fields(Look)}
        return {
            name: getattr(self, name) for name, needed in needs.items()
            if needed and needed <= uses and name not in ("style_id", "style_degree")
        }  # fmt: skip

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        self.degree  # noqa: B018 - read for its errors
        check_ranges(self)
        if self.full_frame and self.no_scale_image:
            raise InputError("--full_frame and --no_scale_image exclude each other: that is the whole frame.")
        if self.crop == "follow" and self.no_scale_image:
            raise InputError("--crop follow and --no_scale_image exclude each other: there is no crop to move.")


@dataclass(frozen=True)
class DegreeCurve:
    """Straight lines between `(seconds, degree)` points in order of time; level before the first and after the last."""

    points: tuple[tuple[float, float], ...]

    def __call__(self, time: float | Fraction) -> float:
        """The degree at `time`, in seconds of the video."""
        degree = float(np.interp(float(time), *zip(*self.points, strict=True)))
        return round(degree / STEP) * STEP


def parse_degree(text: str, option: str = "--style_degree") -> float | DegreeCurve:
    """`0.7`, or a curve as `0@0s,1@3s`: degree 0 at the start, 1 after three seconds.

    Raises InputError for anything else, with `option` as the name of what was given.
    """
    if "@" not in text:
        return _degree(text, option)
    points: list[tuple[float, float]] = []
    for part in text.split(","):
        match = _POINT.fullmatch(part.strip())
        if match is None:
            raise InputError(f"{option} has the point {part.strip()!r}: write DEGREE@SECONDS, as in 0@0s,1@3s.")
        degree, time = _degree(match[1], option), _number(match[2], option)
        if points and time <= points[-1][0]:
            raise InputError(f"{option} goes back in time at {part.strip()}: give later points later.")
        points.append((time, degree))
    return DegreeCurve(tuple(points))


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{option}: {text!r} is not a number; --help lists the options") from error


def _degree(text: str, option: str) -> float:
    degree = _number(text, option)
    if not 0 <= degree <= 1:
        raise InputError(f"{option} is {degree:g}: give a number from 0 to 1.")
    return degree


@dataclass(frozen=True)
class Choice:
    """What `--styles` says of one person: `[PRESET:]STYLE[@DEGREE]` or `PRESET[@DEGREE]`. None: as for the others."""

    preset: str | None
    style: str | None
    degree: float | None


def parse_styles(text: str) -> dict[int, Choice]:
    """`1=film@0.5,2=cartoon:26` → what person 1 and person 2 are to look like. InputError for anything else."""
    choices: dict[int, Choice] = {}
    for part in text.split(","):
        number, equals, wanted = part.strip().partition("=")
        if not (equals and number.isdecimal() and int(number) > 0 and wanted):
            wanted = "write PERSON=STYLE@DEGREE, as in 1=film@0.5,2=ink"
            raise InputError(f"--styles has the part {part.strip()!r}: {wanted}.")
        if int(number) in choices:
            raise InputError(f"--styles names person {number} twice: give each one style.")
        name, _, degree = wanted.partition("@")
        preset, _, style = name.rpartition(":")
        if not preset and style in BY_NAME and preset_with(style) is None:  # looks go before models of the same name
            preset, style = style, ""
        chosen = parse_degree(degree, f"The degree of person {number} in --styles") if degree else None
        choices[int(number)] = Choice(preset or None, style or None, chosen)
    return choices
