"""Black-and-white photos become black-and-white cartoons, in models whose styles have no colours of their own."""

import cv2
import numpy as np

GREY = (3.0, 8.0)
"""Chroma (CIE Lab) that all but the most colourful 2 % of a photo stay below: black and white, and surely in colour.
Sepia is in colour."""


def keep_grey(picture: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """The cartoon `[H, W, 3]` of a photo `[h, w, 3]`, both RGB uint8, without colour where the photo has none.

    In between its colours fade gradually, so that a video does not switch from one to the other.
    """
    lab = cv2.cvtColor(photo[::2, ::2].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    chroma = np.percentile(np.hypot(lab[..., 1], lab[..., 2]), 98)
    share = float(np.clip((chroma - GREY[0]) / (GREY[1] - GREY[0]), 0, 1))
    if share == 1:
        return picture
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(picture, share, grey, 1 - share, 0)
