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
from model.styles.painters.style import CarriedRenderer

LIVE_PIXELS = 0.4e6  # of a picture that is painted from before a camera


class ExampleStyle(PaintedStyle):
    """One or several exemplars as the looks. Nothing of them is computed until one is rendered."""

    letter, needs_code, denoises = "e", True, True
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
        style = ExampleStyle(small, self.name, self.licence, str(self.device))
        style.denoises = False
        return style

    def exemplar(self, name: int | str | None = None) -> Exemplar:
        """One of them, by number or name; None: the first."""
        return self._looks[self.exemplar_name(name)]

    def renderer(
        self, code: Any, *, exemplar: int | str | None = None, degree: Degree = None, batch_size: int | None = None,
        boil: float = 0.0, style_size: float = 1.0, example_area: str = "picture", keep_tone: str = "auto",
        synthesis: str = "blit",
    ) -> PaintedRenderer:  # fmt: skip
        """As `Style.renderer`; the effects are options of `Look`."""
        chosen = self.exemplar(exemplar)
        keeps = not is_colourful(chosen) if keep_tone == "auto" else keep_tone == "on"
        by_patches = synthesis == "patch"
        transfer = Transfer(resized_by(chosen, style_size), self.device, style_size, boil, keeps, by_patches)
        renderer = EachFrameRenderer if boil or by_patches else ExampleRenderer
        return renderer(transfer, constant_or_curve(self, degree), example_area == "head")


class ExampleRenderer(CarriedRenderer):
    """Renders crops of one person as an exemplar: photos, and clips in which strokes stay."""

    def __init__(self, transfer: Transfer, degree_at: Callable[[Fraction | None], float], head_alone: bool):
        super().__init__(0.0, degree_at, head_alone)
        self._transfer = transfer

    def picture(self, rgb: np.ndarray, landmarks: np.ndarray, parts: np.ndarray, matte: np.ndarray) -> np.ndarray:
        return self._transfer(rgb, landmarks, parts)


class EachFrameRenderer(PaintedRenderer):
    """Renders crops of one person as an exemplar: clips in which each frame is painted, since strokes boil, or since
    patches follow those of the frame before."""

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
