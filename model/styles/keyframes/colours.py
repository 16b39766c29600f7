"""What nobody has painted, since it was out of sight: photographed colours, changed as the painting changes them."""

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

STEPS = 16  # of each colour channel in the table
FEW = 8  # pixels that a colour is known from
SOFT = 0.004  # blur of the border, in longer sides of the frame


class Colours:
    """Painted colours by photographed ones: the mean of what was painted over such a colour, or over the nearest one.

    photo, picture: a frame and its painting, RGB uint8 `[H, W, 3]`.
    """

    def __init__(self, photo: np.ndarray, picture: np.ndarray):
        cells = _cells(cv2.GaussianBlur(photo, (0, 0), 1)).ravel()
        counts = np.bincount(cells, minlength=STEPS**3)
        sums = [np.bincount(cells, picture[..., k].ravel(), minlength=STEPS**3) for k in range(3)]
        table = np.stack(sums, axis=-1) / np.maximum(counts, 1)[:, None]
        cube = (counts >= min(FEW, counts.max())).reshape((STEPS,) * 3)
        nearest = distance_transform_edt(~cube, return_distances=False, return_indices=True)
        self._table = table.reshape(*cube.shape, 3)[tuple(nearest)].reshape(-1, 3).astype(np.float32)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """A photo in painted colours, float32 `[h, w, 3]`."""
        return self._table[_cells(rgb)]


def beyond(field: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """How much of each pixel of a frame is from beyond a picture `(H, W)`: float32 `[h, w]`; None: nothing is."""
    x, y = cv2.split(field)
    outside = ((x < 0) | (y < 0) | (x > size[1] - 1) | (y > size[0] - 1)).astype(np.float32)
    if not outside.any():
        return None
    return cv2.GaussianBlur(outside, (0, 0), SOFT * max(size))


def _cells(rgb: np.ndarray) -> np.ndarray:
    r, g, b = (rgb[..., k].astype(np.int32) * STEPS // 256 for k in range(3))
    return (r * STEPS + g) * STEPS + b
