"""Those who sit for the painters in tests: the sample portrait, small, and a plain grey wall."""

import cv2
import numpy as np

from model.media.sample import sample_portrait
from model.parsing.matting import person_matte
from model.styles.painters.subject import Subject
from tests.portrait import LANDMARKS

LEFT, TOP, WIDTH, HEIGHT = 90, 10, 260, 280  # head and shoulders in the sample portrait


def sitter(height: int = 190, known: bool = True) -> Subject:
    """Head and shoulders of the sample portrait; the face can be unknown."""
    scale = height / HEIGHT
    size = (round(WIDTH * scale), height)
    rgb = cv2.resize(sample_portrait()[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH], size, interpolation=cv2.INTER_AREA)
    landmarks = ((LANDMARKS - (LEFT, TOP)) * scale).astype(np.float32) if known else None
    return Subject(rgb, landmarks, person_matte(rgb))


def wall(level: int = 128, size: tuple[int, int] = (160, 128)) -> Subject:
    """A grey wall with nobody before it."""
    return Subject(np.full((*size, 3), level, np.uint8), None, np.zeros(size, np.float32))


def grey_of(picture: np.ndarray) -> np.ndarray:
    """Lightness float32 `[H, W]` in 0..255 of RGB uint8."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)


def is_picture_of(picture: np.ndarray, subject: Subject) -> bool:
    """Whether it has the type and size that the subject's painting has."""
    return picture.dtype == np.uint8 and picture.shape == subject.rgb.shape


def with_values(path, text: str):
    """The path of a file of values of one's own."""
    path.write_text(text, encoding="utf-8")
    return path
