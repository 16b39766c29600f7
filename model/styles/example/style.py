"""A picture as a style: crops of faces, painted as in it."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from model.common.devices import pick_device
from model.common.errors import InputError
from model.styles.base import Crop, Degree, Style, constant_or_curve
from model.styles.example.exemplar import Exemplar, resized_by
from model.styles.example.finish import is_colourful
from model.styles.example.transfer import Transfer
from model.styles.names import resolve_style
from model.styles.painted import PaintedRenderer


class ExampleStyle(Style):
    """One or several exemplars as the looks to choose from. Nothing of them is computed until one is rendered."""

    letter, scale = "e", 1
    uses = frozenset(("degree", "strokes", "picture"))
    needs_code = needs_landmarks = True

    def __init__(self, exemplars: dict[str, Exemplar], name: str, licence: str, device: str = "auto"):
        self._exemplars, self.name, self.licence = exemplars, name, licence
        self.device = pick_device(device)
        self.exemplar_names = list(exemplars)
        if len(exemplars) > 1:
            self.uses |= {"exemplars"}
        first = next(iter(exemplars.values()))
        self.eye_distance, self.padding = first.eye_distance, first.padding

    def exemplar(self, name: int | str | None = None) -> Exemplar:
        """One of them, by number or name; None: the first."""
        return self._exemplars[self.exemplar_name(name)]

    def exemplar_name(self, exemplar: int | str | None = None) -> str | None:
        return self.exemplar_names[0] if exemplar is None else resolve_style(self.exemplar_names, exemplar)

    def degree(self, degree: float | None = None) -> float | None:
        return full_unless(degree)

    def renderer(
        self, code: Any, *, exemplar: int | str | None = None, degree: Degree = None, batch_size: int | None = None,
        boil: float = 0.0, style_size: float = 1.0, example_area: str = "picture", keep_tone: str = "auto",
    ) -> "ExampleRenderer":  # fmt: skip
        """As `Style.renderer`; the effects are options of `Look`."""
        chosen = self.exemplar(exemplar)
        keeps = not is_colourful(chosen) if keep_tone == "auto" else keep_tone == "on"
        transfer = Transfer(resized_by(chosen, style_size), self.device, style_size, boil, keeps)
        return ExampleRenderer(transfer, constant_or_curve(self, degree), example_area == "head")


def full_unless(degree: float | None) -> float:
    """The degree of painted styles: full unless told otherwise. InputError outside [0, 1]."""
    if degree is not None and not 0 <= degree <= 1:
        raise InputError(f"The style degree is {degree}: give a number from 0 (photo) to 1 (full style).")
    return 1.0 if degree is None else degree


class ExampleRenderer(PaintedRenderer):
    """Renders crops of one person as an exemplar."""

    def __init__(self, transfer: Transfer, degree_at: Callable[[Fraction | None], float], head_alone: bool):
        super().__init__(degree_at, head_alone)
        self._transfer = transfer

    def paint(self, crop: Crop, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = self.steady_parts(crop, landmarks)
        return self._transfer(crop.rgb, landmarks, parts, None if crop.time is None else float(crop.time)), parts[
            ..., 0
        ]
