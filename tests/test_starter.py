"""The starter that comes with the project, on the sample portrait."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from model import hub
from model.inference.face import eye_centres, find_landmarks
from model.inference.sample import sample_portrait
from model.inference.stylizer import Stylizer

LIMIT = 30e6
"""Bytes that all shipped weights may take together."""


@pytest.fixture(scope="module")
def results() -> dict[float, np.ndarray]:
    """The sample portrait's crop, enlarged to the result's size (key -1), and the results by degree."""
    stylizer = Stylizer.from_preset("starter", device="cpu")
    frame = sample_portrait()
    portrait = stylizer.fit(frame)
    pictures = {degree: next(stylizer.render([frame], portrait, degree=degree)) for degree in (0.0, 0.5, 1.0)}
    crop = portrait.crop.apply(frame)
    assert pictures[1.0].shape == (4 * crop.shape[0], 4 * crop.shape[1], 3)
    pictures[-1.0] = cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    return pictures


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def eye_opening(landmarks: np.ndarray) -> float:
    """Mean height of the eyes over their distance."""
    heights = [landmarks[[a, b]].mean(0)[1] - landmarks[[c, d]].mean(0)[1]
               for a, b, c, d in ((40, 41, 37, 38), (46, 47, 43, 44))]  # fmt: skip
    return float(np.mean(heights) / np.linalg.norm(np.subtract(*eye_centres(landmarks))))


def test_the_degree_leads_away_from_the_photo(results):
    away = [distance(results[degree], results[-1.0]) for degree in (0.0, 0.5, 1.0)]
    assert away[0] < away[1] < away[2]
    assert away[0] < 8  # levels of 255: degree 0 is nearly the photo
    assert away[2] > 8


def test_the_cartoon_has_larger_eyes_and_is_still_a_face(results):
    photo, cartoon = find_landmarks(results[-1.0]), find_landmarks(results[1.0])
    assert photo is not None and cartoon is not None
    assert eye_opening(cartoon) > 1.15 * eye_opening(photo)
    assert np.linalg.norm(sum(eye_centres(cartoon)) - sum(eye_centres(photo))) < 0.1 * len(results[1.0])


def test_shipped_weights_are_small_and_have_a_card():
    folder = hub.CHECKPOINTS / "starter"
    assert sum(file.stat().st_size for file in folder.iterdir()) < LIMIT
    card = (folder / "README.md").read_text()
    for words in ("CC BY-NC-SA 4.0", "generate_data.py", "train_vtoonify_d.py", "## Limits"):
        assert words in card


def test_readme_and_ci_give_the_same_test_command():
    root = Path(__file__).resolve().parent.parent
    command = next(line for line in (root / ".ci" / "run").read_text().splitlines() if "pytest" in line)
    assert command in (root / "README.md").read_text().splitlines()
