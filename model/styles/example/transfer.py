"""Frames of one person, painted as an exemplar: guides → chunks → finish. What it keeps from frame to frame is the
order of strokes."""

import cv2
import numpy as np
import torch

from model.effects import light_gain
from model.faces.landmarks import face_size
from model.styles.example import engine
from model.styles.example.exemplar import Exemplar, resized_by
from model.styles.example.finish import Finish, soft_skin
from model.styles.example.guides import GRID, Guides, guides_of, levels_between, positions, with_levels
from model.styles.example.patchwork import Patchwork
from model.styles.example.seeds import Seeds
from model.styles.painted import mixed

FITTING = 0.8, 1.25  # eye distance of a face by that of the exemplar, for which this one is taken as it is


class Transfer:
    """Paints frames as `exemplar`, whose strokes were made `strokes` times as large. boil, keep_tone: as the options;
    by_patches: whether patch synthesis goes over what the engine of chunks has made.
    State is of one person."""

    def __init__(
        self, exemplar: Exemplar, device: torch.device, strokes: float = 1.0, boil: float = 0.0,
        keep_tone: bool = False, by_patches: bool = False,
    ):  # fmt: skip
        self._whole, self._device, self._strokes = exemplar, device, strokes
        self._boil, self._keep_tone = boil, keep_tone
        self._exemplar: Exemplar | None = None
        self._by_patches, self._patchwork = by_patches, None

    def forget(self) -> None:
        """The frames before: photos have nothing to do with each other, nor have shots of a clip."""
        if self._exemplar is None:
            return
        self._levels: np.ndarray | None = None
        self._gain: float | None = None
        self._backdrop: np.ndarray | None = None  # places of the background, those of the first frame
        self._before: tuple[np.ndarray, np.ndarray] | None = None  # seeds of the frame before, and its places
        self._seeds = Seeds(self._exemplar.guides.size, self._boil)
        self._finish.forget()
        if self._patchwork is not None:
            self._patchwork.forget()

    def __call__(
        self, rgb: np.ndarray, landmarks: np.ndarray, parts: np.ndarray, time: float | None = None
    ) -> np.ndarray:  # fmt: skip
        """A frame RGB uint8 `[h, w, 3]` at `time` in seconds, None for a photo, painted. parts: as
        `labels.parts_of`."""
        from model.styles.example import pixels  # Numba takes a second to import

        self._fit(face_size(landmarks))
        if time is None:
            self.forget()
        source = self._exemplar.guides
        plain = guides_of(rgb, landmarks, parts)
        self._levels = mixed(self._levels, levels_between(plain, source))
        guides = with_levels(plain, self._levels)
        places = positions(guides.size, landmarks, self._exemplar.landmarks)
        if self._backdrop is None or self._backdrop.shape != places.shape:
            self._backdrop = places.copy()
        back = positions(source.size, self._exemplar.landmarks, landmarks, 2 * GRID)
        if time is not None:
            self._seeds.draw(time)
        held = self._held(places, guides)
        pixels.settle(places, guides.labels, self._backdrop, *source.size[::-1])
        painted, field, chosen = engine.paint(self._exemplar, guides, places, back, held, self._seeds, self._device)
        if self._patchwork is not None:
            painted, field = self._patchwork(rgb, landmarks, guides, places, field)
        self._before = (chosen, back) if time is not None else None
        copied = cv2.remap(source.appearance, field, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self._gain = mixed(self._gain, light_gain(rgb, landmarks))
        return self._finish(painted, rgb, landmarks, guides, soft_skin(parts, guides.size), copied, self._gain)

    def _held(self, places: np.ndarray, guides: Guides) -> np.ndarray:
        """The seeds that were chosen in the frame before at what is now at each pixel: int32 `[h, w]`, -1 for none."""
        from model.styles.example import pixels

        if self._before is None or self._before[0].shape != guides.size:
            return np.full(guides.size, -1, np.int32)
        return pixels.held(*self._before, places, guides.labels)

    def _fit(self, eye_distance: float) -> None:
        """Take the exemplar at a size that fits to the face, and forget all that was of another size."""
        wanted = self._strokes * eye_distance
        if self._exemplar is not None and FITTING[0] < wanted / self._exemplar.eye_distance < FITTING[1]:
            return
        ratio = wanted / self._whole.eye_distance
        self._exemplar = self._whole if FITTING[0] < ratio < FITTING[1] else resized_by(self._whole, ratio)
        engine.warm_up(self._exemplar)
        self._finish = Finish(self._exemplar, self._keep_tone)
        if self._by_patches:
            self._patchwork = Patchwork(self._exemplar, self._boil)
        self.forget()
