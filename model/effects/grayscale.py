"""Black-and-white photos become black-and-white cartoons, in models whose styles have no colours of their own."""

import cv2
import numpy as np

# Chroma (CIE Lab) that nearly all of a well exposed photo stays below: black and white, and surely in colour. Sepia is
# in colour.
GREY = (3.0, 8.0)
DARKEST = 32  # level of the light parts below which a photo is not lightened in full to judge its colour


def keep_grey(picture: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """The cartoon `[H, W, 3]` of a photo `[h, w, 3]`, both RGB uint8, without colour where the photo has none.

    In between its colours fade gradually, so that a video does not switch from one to the other. A dark photo has
    little chroma, but may be in colour: it is measured after lightening.
    """
    photo = photo[::2, ::2].astype(np.float32)
    white = max(np.percentile(photo, 98), DARKEST)
    lab = cv2.cvtColor(np.minimum(photo / white, 1), cv2.COLOR_RGB2LAB)
    chroma = np.percentile(np.hypot(lab[..., 1], lab[..., 2]), 98)
    share = float(np.clip((chroma - GREY[0]) / (GREY[1] - GREY[0]), 0, 1))
    if share == 1:
        return picture
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(picture, share, grey, 1 - share, 0)
