"""What the page shows of a frame: who was found in it, and which part the style will see."""

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


def reduced(rgb: np.ndarray, side: int) -> np.ndarray:
    """A picture whose longer side is `side` pixels at most."""
    scale = min(1.0, side / max(rgb.shape[:2]))
    return cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def shown_scale(content: Content) -> float:
    """Size of the shown picture relative to the frame, at most 1."""
    return min(1.0, LONGEST_SIDE / max(content.shown.rgb.shape[:2]))


def crop_view(content: Content, face: int, crop: FaceCrop) -> np.ndarray:
    """The frame RGB uint8 with all faces marked, number `face` as the chosen one, and all but the crop dimmed."""
    scale = shown_scale(content)
    view = reduced(content.shown.rgb, LONGEST_SIDE)
    height, width = view.shape[:2]
    edges = np.array([crop.left, crop.top, crop.right, crop.bottom]) / crop.scale * scale
    left, top, right, bottom = np.clip(np.round(edges), 0, (width, height, width, height)).astype(int).tolist()
    dimmed = (view * DIMMED).astype(np.uint8)
    dimmed[top:bottom, left:right] = view[top:bottom, left:right]
    line = max(2, round(max(height, width) / 300))
    cv2.rectangle(dimmed, (left, top), (right - 1, bottom - 1), CHOSEN, line)
    for number, landmarks in enumerate(content.faces):
        label = str(number + 1) if len(content.faces) > 1 else ""
        _mark(dimmed, landmarks * scale, CHOSEN if number == face else OTHER, line, label)
    return dimmed


def nearest_face(content: Content, x: float, y: float) -> int:
    """Number of the face nearest to a point of the shown picture, in its pixels."""
    middles = np.stack([landmarks.mean(axis=0) for landmarks in content.faces])
    return int(np.linalg.norm(middles * shown_scale(content) - (x, y), axis=1).argmin())


def _mark(view: np.ndarray, landmarks: np.ndarray, colour: tuple[int, int, int], line: int, label: str) -> None:
    corners = np.stack([landmarks.min(axis=0), landmarks.max(axis=0)])
    margin = BOX_MARGIN * np.ptp(corners, axis=0).max()
    (left, top), (right, bottom) = np.round(corners + [[-margin], [margin]]).astype(int).tolist()
    cv2.rectangle(view, (left, top), (right, bottom), colour, max(1, line // 2))
    radius = max(1, round((right - left) / 90))
    for point in np.round(landmarks).astype(int).tolist():
        cv2.circle(view, point, radius, colour, -1, cv2.LINE_AA)
    place, size = (left + line, top - 2 * line), 0.4 * line
    for ink, thickness in (((0, 0, 0), 2 * line + 1), ((255, 255, 255), line)):  # white on black, on any ground
        cv2.putText(view, label, place, cv2.FONT_HERSHEY_SIMPLEX, size, ink, thickness, cv2.LINE_AA)
