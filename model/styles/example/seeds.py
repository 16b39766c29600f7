"""Seeds of chunks and where these are copied from, through a clip.

Seeds lie in the exemplar, so that they move with the face. What a seed was once matched with it keeps as long as that
fits: strokes neither swim nor flicker.
"""

import numpy as np

from model.styles.example.guides import Guides
from model.styles.example.styleblit import CELL, COARSEST, FINEST

NONE = -(2**14)  # offset of a seed that is not in T
DRAWINGS = 8.0  # a second that boiling strokes are drawn anew, as in films drawn by hand
HELD = 24  # levels of appearance by which a match may be off and is kept
INVERSIONS = 2  # steps of the search for where in T a seed lies


class Seeds:
    """Seeds in an exemplar of `size` (H, W). boil: the part of them that changes from drawing to drawing, from 0 to 1.

    levels: int32 `[L, 4]` and places: float32 `[N, 2]`, as `styleblit.blit` takes them.
    """

    def __init__(self, size: tuple[int, int], boil: float = 0.0):
        self._boil, self._drawing, self._matches = boil, None, None
        self._size = np.array(size[::-1])
        levels, cells, start = [], [], 0
        for side in (2**level for level in range(COARSEST, FINEST - 1, -1)):
            rows, columns = -(-size[0] // side), -(-size[1] // side)
            levels.append((start, rows, columns, side))
            start += rows * columns
            row, column = np.mgrid[:rows, :columns]
            cells.append(np.stack([column, row, np.full_like(row, side)], axis=-1).reshape(-1, 3))
        self.levels, self._cells = np.array(levels, np.int32), np.concatenate(cells)
        self._shares = np.random.default_rng(0).random((start, 2))
        self.places = self._placed(self._shares)

    def _placed(self, shares: np.ndarray) -> np.ndarray:
        """Seeds at these shares of their cells, on whole pixels: float32 `[N, 2]`."""
        places = (self._cells[:, :2] + shares) * self._cells[:, 2:]
        return np.minimum(places, self._size - 1).astype(int).astype(np.float32)

    def draw(self, time: float) -> None:
        """Begin the drawing of that time, in seconds: a part of the seeds, `boil`, lies elsewhere and is matched
        anew."""
        drawing, before = int(time * DRAWINGS), self._drawing
        self._drawing = drawing
        if self._boil > 0 and drawing != before:
            random = np.random.default_rng(drawing)
            is_new = random.random(len(self._shares)) < self._boil
            self._shares = np.where(is_new[:, None], random.random(self._shares.shape), self._shares)
            self.places = self._placed(self._shares)
            if self._matches is not None:
                self._matches[is_new] = NONE

    def offsets(
        self, guides: Guides, places: np.ndarray, back: np.ndarray, source: Guides, table: np.ndarray
    ) -> np.ndarray:  # fmt: skip
        """Offsets (x, y) float32 `[N, 2]` from T to S of the chunks of all seeds: whole pixels in a photo, and exact
        ones in a clip, where strokes move with the face.

        places: of T in S, and back: of S in T, float32 (x, y) for each pixel; source: the guides of S.
        """
        from model.styles.example import kernels  # Numba takes a second to import

        before = np.full((len(self.places), 2), NONE, np.int32) if self._matches is None else self._matches
        offsets, self._matches = kernels.offsets(
            self.places, before, self._drawing is not None, places, back, guides.labels, guides.appearance,
            source.labels, source.appearance, table, CELL, INVERSIONS, HELD, NONE,
        )  # fmt: skip
        return offsets
