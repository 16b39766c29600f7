"""Dense optical flow between two pictures, without a network (DIS; Kroeger et al., ECCV 2016).

Pictures are RGB uint8 `[H, W, 3]`; a flow is float32 `[H, W, 2]`, displacements (x, y) in pixels.
"""

import cv2
import numpy as np

from model.common.tensors import pixel_grid

CONSISTENT = 1.0  # pixels between a point and where the flow there and back leads, up to which it is believed


def dense_flow(first: np.ndarray, second: np.ndarray, fast: bool = False) -> np.ndarray:
    """Where `second` shows what each pixel of `first` shows. `fast`: three times as fast, a little less exact."""
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (first, second)]
    preset = cv2.DISOPTICAL_FLOW_PRESET_FAST if fast else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    return cv2.DISOpticalFlow_create(preset).calc(*grey, None)


def warp(picture: np.ndarray, flow: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Sample `[H, W]` or `[H, W, C]` where `flow` points; beyond the edge, the edge is repeated."""
    place = pixel_grid(*flow.shape[:2]) + flow
    return cv2.remap(picture, place, None, interpolation, borderMode=cv2.BORDER_REPLICATE)


def checked_flow(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The flow from `first` to `second`, and where it is believed, bool `[H, W]`.

    Believed are pixels that stay in the picture and come back when the flow of `second` leads on from there.
    """
    there, back = dense_flow(first, second), dense_flow(second, first)
    height, width = first.shape[:2]
    target = pixel_grid(height, width) + there
    inside = ((target >= 0) & (target <= (width - 1, height - 1))).all(-1)
    astray = np.linalg.norm(there + warp(back, there), axis=-1)
    return there, inside & (astray < CONSISTENT)
