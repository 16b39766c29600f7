"""The sample portrait: what is stylised when nothing else is given."""

import numpy as np

SAMPLE_NAME = "astronaut"


def sample_portrait() -> np.ndarray:
    """Portrait of the astronaut Eileen Collins by NASA, public domain: RGB uint8 `[512, 512, 3]`.

    scikit-image ships it inside its package, so that nothing is downloaded.
    """
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut())
