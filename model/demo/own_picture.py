"""A visitor's own picture as the style, and the editor for the 68 points of its face.

The points lie in a file beside the picture, as the command line reads them, so that both paint the same.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.faces.detect import find_landmarks
from model.faces.landmarks import MEAN_FACE
from model.styles.example.exemplar import check_landmarks, only_face
from model.styles.example.presets import LANDMARKS_SUFFIX

PLACED_SIZE = 0.2  # eye distance of the mean face where none is found, by the picture's shorter side
SHOWN_SUFFIX, SHOWN_SIDE, SHOWN_QUALITY = ".shown.jpg", 1600, 90  # of the picture in the editor
UNSURE = "The face was hard to find: drag what is wrong; the result follows."
NOT_FOUND = "No face was found: drag the points onto it (the box moves them all), then the result follows."


@dataclass(frozen=True, eq=False)
class OwnPicture:
    """A picture in a folder of its own, with the points of its face."""

    path: Path
    size: tuple[int, int]  # (h, w)
    points: np.ndarray  # float32 [68, 2], inside of the picture
    advice: str = ""  # what the visitor should know of the points, in a sentence
    edits: int = 0  # how often the points were moved

    @classmethod
    def find(cls, path: Path, rgb: np.ndarray) -> Self:
        """The picture `rgb` in a file, with points where its face is, or in its middle where none is found.

        Raises InputError if there are several.
        """
        points, advice, size = only_face(path, rgb), "", rgb.shape[:2]
        if points is None:
            points, advice = find_landmarks(rgb), UNSURE
        if points is None:
            points, advice = mean_face(size), NOT_FOUND
        shown = Image.fromarray(rgb)
        shown.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
        found = cls(path, size, np.clip(points, 0, np.array(size[::-1]) - 1), advice)
        write_whole(found.shown, bytes_of(shown.save, "JPEG", quality=SHOWN_QUALITY))
        found.write_points()
        return found

    @property
    def is_found(self) -> bool:
        """Whether the points are somewhere for a reason."""
        return self.advice != NOT_FOUND

    @property
    def state(self) -> str:
        """Which picture this is, and with which points: another one paints otherwise."""
        return f"{self.path.parent.name}/{self.edits}"

    @property
    def shown(self) -> Path:  # what browsers can show of it
        return self.path.with_name(self.path.stem + SHOWN_SUFFIX)

    @property
    def points_file(self) -> Path:
        return self.path.with_name(self.path.stem + LANDMARKS_SUFFIX)

    def write_points(self) -> None:
        """Put the points beside the picture, where `PicturePreset` finds them."""
        lines = (f"{x:.2f} {y:.2f}\n" for x, y in self.points.tolist())
        write_whole(self.points_file, "".join(lines).encode())

    @property
    def editor(self) -> dict[str, Any]:
        """What the editor has to know, for JSON; `key` tells this picture from others."""
        return {"key": self.path.parent.name, "size": self.size[::-1], "points": self.points.round(2).tolist()}

    def edited(self, told: Any) -> Self:
        """The picture with the points that the editor has now. Raises InputError where they can be no face's, or belong
        to another picture."""
        try:
            points, key = np.array(told["points"], np.float32), told["key"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError("The points cannot be read: reload the page.") from error
        if key != self.path.parent.name:
            raise InputError("These points are of another picture: drag those of the one that is shown.")
        check_landmarks(points, self.size, self.points_file.name)
        placed = replace(self, points=points, advice="", edits=self.edits + 1)
        placed.write_points()
        return placed


def mean_face(size: tuple[int, int]) -> np.ndarray:
    """Points float32 `[68, 2]` of a usual face in the middle of a picture `(h, w)`."""
    middle = (MEAN_FACE.min(axis=0) + MEAN_FACE.max(axis=0)) / 2
    return (MEAN_FACE - middle) * np.float32(PLACED_SIZE * min(size)) + np.float32(size[::-1]) / 2
