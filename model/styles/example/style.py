"""A picture as a style: crops of faces, painted as in it."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from model.styles.base import Crop, Degree, constant_or_curve
from model.styles.example.exemplar import Exemplar, resized_by
from model.styles.example.finish import is_colourful
from model.styles.example.transfer import Transfer
from model.styles.painted import PaintedRenderer, PaintedStyle

LIVE_PIXELS = 0.4e6  # of a picture that is painted from before a camera


class ExampleStyle(PaintedStyle):
    """One or several exemplars as the looks. Nothing of them is computed until one is rendered."""

    letter, needs_code = "e", True
    uses = PaintedStyle.uses | {"picture"}

    def __init__(self, exemplars: dict[str, Exemplar], name: str, licence: str, device: str = "auto"):
        super().__init__(exemplars, name, licence, device)
        first = next(iter(exemplars.values()))
        self.eye_distance, self.padding = first.eye_distance, first.padding

    def live(self) -> "ExampleStyle":
        """The same pictures, small enough for a camera."""
        small = {}
        for name, exemplar in self._looks.items():
            height, width = exemplar.picture.shape[:2]
            small[name] = resized_by(exemplar, min((LIVE_PIXELS / (height * width)) ** 0.5, 1))
        return ExampleStyle(small, self.name, self.licence, str(self.device))

    def exemplar(self, name: int | str | None = None) -> Exemplar:
        """One of them, by number or name; None: the first."""
        return self._looks[self.exemplar_name(name)]

    def renderer(
        self, code: Any, *, exemplar: int | str | None = None, degree: Degree = None, batch_size: int | None = None,
        boil: float = 0.0, style_size: float = 1.0, example_area: str = "picture", keep_tone: str = "auto",
        synthesis: str = "blit",
    ) -> "ExampleRenderer":  # fmt: skip
        """As `Style.renderer`; the effects are options of `Look`."""
        chosen = self.exemplar(exemplar)
        keeps = not is_colourful(chosen) if keep_tone == "auto" else keep_tone == "on"
        transfer = Transfer(resized_by(chosen, style_size), self.device, style_size, boil, keeps, synthesis == "patch")
        return ExampleRenderer(transfer, constant_or_curve(self, degree), example_area == "head")


class ExampleRenderer(PaintedRenderer):
    """Renders crops of one person as an exemplar."""

    def __init__(self, transfer: Transfer, degree_at: Callable[[Fraction | None], float], head_alone: bool):
        self._transfer = transfer
        super().__init__(degree_at, head_alone)

    def forget(self) -> None:
        super().forget()
        self._transfer.forget()

    def paint(self, crop: Crop, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = self.steady_parts(crop, landmarks)
        time = None if crop.time is None else float(crop.time)
        return self._transfer(crop.rgb, landmarks, parts, time), parts[..., 0]
