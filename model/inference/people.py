"""Who is stylised how, where several people are in one clip."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from model.common.errors import InputError
from model.inference.look import Look, parse_degree
from model.inference.stylizer import Portrait, Stylizer
from model.media.frames import Frame
from model.styles.presets import BY_NAME


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
        if not (equals and number.isdigit() and int(number) > 0 and wanted):
            wanted = "write PERSON=STYLE@DEGREE, as in 1=film@0.5,2=ink"
            raise InputError(f"--styles has the part {part.strip()!r}: {wanted}.")
        if int(number) in choices:
            raise InputError(f"--styles names person {number} twice: give each one style.")
        name, _, degree = wanted.partition("@")
        preset, _, style = name.rpartition(":")
        if not preset and style in BY_NAME:
            preset, style = style, ""
        chosen = parse_degree(degree, f"The degree of person {number} in --styles") if degree else None
        choices[int(number)] = Choice(preset or None, style or None, chosen)
    return choices


@dataclass(frozen=True)
class Person:
    """One person in a clip: the model, where the face is and how large, and the look (style, degree, colours)."""

    stylizer: Stylizer
    portrait: Portrait
    look: Look


class People:
    """Gives each numbered person of a clip a model and a look.

    Args:
        stylizer, look: for everybody without a choice.
        choices: what is asked for some, by number from 1. InputError for a style that their model lacks.
        load: gives the models of other presets, which are loaded at once.
    """

    def __init__(
        self, stylizer: Stylizer, look: Look, choices: dict[int, Choice] | None = None,
        load: Callable[[str], Stylizer] = Stylizer.from_preset,
    ):  # fmt: skip
        self._usual = stylizer, look
        self._chosen: dict[int, tuple[Stylizer, Look]] = {}
        self.count = 0  # the highest number that was asked for
        models: dict[str | None, Stylizer] = {None: stylizer}
        for number, choice in (choices or {}).items():
            if choice.preset not in models:
                models[choice.preset] = load(choice.preset)
            model = models[choice.preset]
            style = choice.style or (look.style_id if model is stylizer else None)
            model.style.exemplar_name(style)
            degree = look.style_degree if choice.degree is None else choice.degree
            self._chosen[number] = model, replace(look, style_id=style, style_degree=degree)

    def person(self, number: int, frame: Frame, landmarks: np.ndarray | None) -> Person:
        """Person `number`, whose face has the landmarks `[68, 2]` in `frame`; None where no face is needed."""
        self.count = max(self.count, number)
        stylizer, look = self._chosen.get(number, self._usual)
        return Person(stylizer, stylizer.fit(frame, look.padding, not look.no_scale_image, landmarks), look)

    def newcomer(self, number: int, frame: Frame, landmarks: np.ndarray) -> Person:
        """As `person`, for somebody who comes in: the window is not cut off by the edge at which they are."""
        person = self.person(number, frame, landmarks)
        size = frame.rgb.shape[:2]
        centred = landmarks + np.float32((size[1] / 2, size[0] / 2)) - landmarks[27:48].mean(0)
        crop = person.stylizer.crop_around(centred, size, person.look.padding)
        return replace(person, portrait=replace(person.portrait, crop=crop, landmarks=centred))
