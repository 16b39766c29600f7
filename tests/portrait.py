"""The public-domain portrait that scikit-image ships, with its landmarks, and pairs drawn from it."""

from pathlib import Path

import numpy as np
import skimage.data

from model.training.data.shards import write_shard
from model.training.drawn.styles import load_style
from model.training.generate.drawn import draw_pairs

LANDMARKS = np.float32([
    179, 104, 180, 116, 181, 127, 182, 139, 185, 150, 191, 160, 200, 168, 209, 176, 220, 178, 232, 177,
    243, 171, 253, 163, 260, 154, 265, 143, 268, 131, 270, 120, 272, 108, 186, 94, 192, 88, 200, 87,
    208, 89, 216, 92, 236, 93, 244, 91, 252, 91, 260, 92, 265, 99, 226, 102, 225, 111, 225, 119,
    225, 127, 214, 131, 219, 133, 224, 134, 229, 133, 234, 132, 195, 101, 200, 98, 207, 98, 212, 104,
    206, 104, 199, 104, 237, 106, 243, 100, 250, 100, 255, 105, 250, 107, 244, 107, 201, 139, 209, 139,
    218, 139, 224, 141, 230, 140, 238, 140, 246, 141, 238, 151, 229, 155, 222, 156, 216, 155, 208, 150,
    204, 141, 218, 143, 223, 144, 230, 143, 243, 142, 229, 150, 223, 151, 217, 150,
]).reshape(68, 2)  # fmt: skip

PORTRAIT_SIZE = 256  # side of the aligned portrait that tests of the drawn teacher share


def pair_facts(degree: float, landmarks: np.ndarray, landmarks_full: np.ndarray) -> dict:
    """What KEY.json says, in the style that exists."""
    points = {"landmarks": landmarks.tolist(), "landmarks_full": landmarks_full.tolist()}
    return {"style": "film", "degree": degree, **points}


def write_drawn_pairs(folder: Path, size: int = 192) -> None:
    """One shard of three pairs: the portrait as it is, mirrored, and darker in another framing."""
    rng, photo, film = np.random.default_rng(0), skimage.data.astronaut()[:300, :400], [load_style("film")]
    photos = {"a": (photo, False), "b": (photo, True), "c": (photo // 2 + 20, False)}
    pairs = {key: draw_pairs(rgb, LANDMARKS, film, size, rng, flip, {}) for key, (rgb, flip) in photos.items()}
    write_shard(folder / "pairs-00000.tar", ((key, next(parts)) for key, parts in pairs.items()))
