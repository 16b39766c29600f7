"""What the page shows of a frame: who was found in it, and which part the model will see."""

import cv2
import numpy as np

from model.demo.studio import Content
from model.faces.crop import FaceCrop

LONGEST_SIDE = 900
"""Larger frames are shown reduced to this many pixels."""

DIMMED = 0.4
"""Brightness of what lies outside the crop."""

CHOSEN, OTHER = (255, 140, 0), (190, 190, 190)
"""Colours RGB of the chosen person's marks and of the others'."""

BOX_MARGIN = 0.12
"""The box around a face is wider than its landmarks by this part of its size."""


def shown_scale(content: Content) -> float:
    """Size of the shown picture relative to the frame, at most 1."""
    return min(1.0, LONGEST_SIDE / max(content.shown.rgb.shape[:2]))


def crop_view(content: Content, crop: FaceCrop, face: int) -> np.ndarray:
    """The frame RGB uint8 with all faces marked and all but the crop dimmed; `face` is the number of the chosen one."""
    scale = shown_scale(content)
    frame = content.shown.rgb
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    view = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    edges = np.array([crop.left, crop.top, crop.right, crop.bottom]) / crop.scale * scale
    left, top, right, bottom = np.clip(np.round(edges), 0, (width, height, width, height)).astype(int).tolist()
    dimmed = (view * DIMMED).astype(np.uint8)
    dimmed[top:bottom, left:right] = view[top:bottom, left:right]
    line = max(2, round(max(height, width) / 300))
    cv2.rectangle(dimmed, (left, top), (right - 1, bottom - 1), CHOSEN, line)
    for number, landmarks in enumerate(content.faces):
        _mark(dimmed, landmarks * scale, CHOSEN if number == face else OTHER, line)
        if len(content.faces) > 1:
            _label(dimmed, landmarks * scale, str(number + 1), line)
    return dimmed


def nearest_face(content: Content, x: float, y: float) -> int:
    """Number of the face nearest to a point of the shown picture, in its pixels."""
    place = np.array([x, y]) / shown_scale(content)
    middles = np.stack([landmarks.mean(axis=0) for landmarks in content.faces])
    return int(np.linalg.norm(middles - place, axis=1).argmin())


def face_box(landmarks: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a box around a face."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    margin = BOX_MARGIN * (high - low).max()
    left, top = np.round(low - margin).astype(int).tolist()
    right, bottom = np.round(high + margin).astype(int).tolist()
    return left, top, right, bottom


def _mark(view: np.ndarray, landmarks: np.ndarray, colour: tuple[int, int, int], line: int) -> None:
    left, top, right, bottom = face_box(landmarks)
    cv2.rectangle(view, (left, top), (right, bottom), colour, max(1, line // 2))
    radius = max(1, round((right - left) / 90))
    for x, y in np.round(landmarks).astype(int).tolist():
        cv2.circle(view, (x, y), radius, colour, -1, cv2.LINE_AA)


def _label(view: np.ndarray, landmarks: np.ndarray, text: str, line: int) -> None:
    left, top, _, _ = face_box(landmarks)
    place, size = (left + line, top - 2 * line), 0.4 * line
    for colour, thickness in (((0, 0, 0), 2 * line + 1), ((255, 255, 255), line)):  # white on black, on any ground
        cv2.putText(view, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness, cv2.LINE_AA)
