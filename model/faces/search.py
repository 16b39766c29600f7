"""Where in a clip to look for faces."""

from itertools import islice

import numpy as np

from model.common.errors import InputError
from model.faces.detect import find_all_landmarks, find_landmarks, find_landmarks_quickly
from model.media.frames import Frame, FrameSource

SEARCH_DENSITY = 50  # frames that are all searched, then every second, third … of as many: some hundred in an hour
THOROUGH_FRAMES = 6  # of a video without an easy face, on which the slow search is tried before giving up


def search_face(source: FrameSource) -> tuple[Frame, np.ndarray]:
    """First frame of `source` with a face, and its landmarks `[68, 2]`.

    Frames at the start and then fewer and fewer get the quick search; if none succeeds, a few get the slow one.
    Raises InputError when there is no face.
    """
    count, due = 0, 1
    for count, frame in enumerate(source, start=1):
        if count >= due:
            due = count + max(1, count // SEARCH_DENSITY)
            if (landmarks := find_landmarks_quickly(frame.rgb)) is not None:
                return frame, landmarks
    for frame in islice(source, 0, None, max(1, -(-count // THOROUGH_FRAMES))):
        if (landmarks := find_landmarks(frame.rgb)) is not None:
            return frame, landmarks
    raise InputError(f"No face was found in {source.path}: choose a file in which a face is visible.")


def find_people(source: FrameSource, most: int | None = None) -> tuple[Frame, list[np.ndarray]]:
    """The first frame of `source` with a face, and the landmarks `[68, 2]` of its `most` prominent faces (None: all).

    Raises InputError when there is no face.
    """
    frame, main = search_face(source)
    return frame, (find_all_landmarks(frame.rgb) or [main])[:most]
