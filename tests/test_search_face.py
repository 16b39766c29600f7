"""Where in a clip a face is looked for."""

from pathlib import Path

import numpy as np
import pytest

from model.common.errors import InputError
from model.faces import search as portrait
from model.faces.search import THOROUGH_FRAMES, search_face
from model.media.files import Frame, FrameSource


class LongSource(FrameSource):
    """Two hours of one grey frame."""

    def __init__(self, length: int = 2 * 3600 * 30):
        super().__init__(Path("long.mp4"))
        self.first, self.length = Frame(np.full((48, 64, 3), 128, np.uint8)), length

    def _read(self):
        for _ in range(self.length):
            yield self.first


def test_a_long_video_without_a_face_is_given_up_after_a_bounded_search(monkeypatch):
    quick, thorough = [], []
    monkeypatch.setattr(portrait, "find_landmarks_quickly", lambda rgb: quick.append(rgb))
    monkeypatch.setattr(portrait, "find_landmarks", lambda rgb: thorough.append(rgb))
    with pytest.raises(InputError, match=r"long\.mp4"):
        search_face(LongSource())
    assert 50 < len(quick) < 600 and 1 <= len(thorough) <= THOROUGH_FRAMES


def test_a_hard_face_in_a_video_is_found_by_the_slow_search(monkeypatch):
    found = np.zeros((68, 2), np.float32)
    monkeypatch.setattr(portrait, "find_landmarks_quickly", lambda rgb: None)
    monkeypatch.setattr(portrait, "find_landmarks", lambda rgb: found)
    assert search_face(LongSource(20))[1] is found
