"""A visitor's own picture as the style, and the editor for the 68 points of its face.

The points lie in a file beside the picture, as the command line reads them, so that both paint the same.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

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
        write_whole(found._shown, bytes_of(shown.save, "JPEG", quality=SHOWN_QUALITY))
        found.write_points()
        return found

    @property
    def is_found(self) -> bool:
        """Whether the points are somewhere for a reason."""
        return self.advice != NOT_FOUND

    @property
    def _shown(self) -> Path:  # what browsers can show of it
        return self.path.with_name(self.path.stem + SHOWN_SUFFIX)

    @property
    def points_file(self) -> Path:
        return self.path.with_name(self.path.stem + LANDMARKS_SUFFIX)

    def write_points(self) -> None:
        """Put the points beside the picture, where `PicturePreset` finds them."""
        lines = (f"{x:.2f} {y:.2f}\n" for x, y in self.points.tolist())
        write_whole(self.points_file, "".join(lines).encode())

    @property
    def editor(self) -> str:
        """What the editor shows, as JSON."""
        shown = {"picture": str(self._shown), "size": self.size[::-1]}
        return json.dumps(shown | {"points": self.points.round(2).tolist()})

    def edited(self, answer: str) -> Self:
        """The picture with the points that the editor has now. Raises InputError where they can be no face's, or belong
        to another picture."""
        try:
            told = json.loads(answer)
            points, picture = np.array(told["points"], np.float32), told["picture"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError("The points cannot be read: reload the page.") from error
        if picture != str(self._shown):
            raise InputError("These points are of another picture: drag those of the one that is shown.")
        check_landmarks(points, self.size, self.points_file.name)
        placed = replace(self, points=points, advice="")
        placed.write_points()
        return placed


def mean_face(size: tuple[int, int]) -> np.ndarray:
    """Points float32 `[68, 2]` of a usual face in the middle of a picture `(h, w)`."""
    middle = (MEAN_FACE.min(axis=0) + MEAN_FACE.max(axis=0)) / 2
    return (MEAN_FACE - middle) * np.float32(PLACED_SIZE * min(size)) + np.float32(size[::-1]) / 2


# What `gr.HTML` shows, and how it behaves (own_picture.js); its value is `OwnPicture.editor`.
EDITOR = """
<svg role="group" aria-label="The picture with the points of its face"></svg>
<div class="tools">
  <button type="button" class="magnify" aria-pressed="false">Magnify the face</button>
  <button type="button" class="restore">Put the points back</button>
</div>
<p>Drag a point, or the box to move them all, or its corners to scale and turn them. By keyboard: Tab to the box or a
point; arrows move it (Shift: further), Page Up and Page Down choose the next point; + − [ ] scale and turn the box.</p>
"""
EDITOR_CSS = """
svg { display: block; width: 100%; height: auto; max-height: min(70vh, 560px); border-radius: 8px; overflow: hidden;
  background: var(--background-fill-secondary); user-select: none; -webkit-user-select: none; }
svg * { vector-effect: non-scaling-stroke; }
.lines { fill: none; stroke: #fff; stroke-width: 1.2px; opacity: .75; pointer-events: none; }
.box { fill: transparent; stroke: #fff; stroke-width: 1.5px; stroke-dasharray: 6 4; cursor: move; touch-action: none; }
.dot { fill: #ff8c00; stroke: #000; stroke-width: 1px; cursor: pointer; touch-action: none; }
.corner { fill: #fff; stroke: #000; stroke-width: 1px; cursor: nwse-resize; touch-action: none; }
svg :focus { outline: none; }
svg :focus-visible, .held { stroke: #00c8ff; stroke-width: 3px; }
.tools { display: flex; gap: 8px; margin: 8px 0; }
.tools button { flex: 1; margin: 0; padding: var(--button-small-padding); border: 0; cursor: pointer;
  border-radius: var(--button-small-radius); font-size: var(--button-small-text-size); font-weight: normal;
  background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color); }
.tools button[aria-pressed=true] { outline: 2px solid var(--color-accent); }
p { margin: 0; font-size: var(--text-sm); color: var(--body-text-color-subdued); }
"""
EDITOR_JS = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
