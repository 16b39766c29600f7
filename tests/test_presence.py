"""Cartoons that fade out where a face is lost and in where it is back."""

from fractions import Fraction

import numpy as np
import pytest

from model.faces.window import FADE, GRACE, Presence, Visibility
from model.inference.look import Look
from model.media.frames import Frame
from model.styles.network import VToonifyRenderer
from tests.small_models import cartoon, dual, levels_apart
from tests.test_scene import CLOSE
from tests.test_track import empty, middle, view

RATE = 20


@pytest.fixture(scope="module")
def stylizer():
    return dual()


def shares(seen: list[bool], visibility: Visibility | None = None, start: int = 0) -> list[float]:
    visibility = visibility or Visibility()
    return [visibility.update(is_seen, (start + i) / RATE) for i, is_seen in enumerate(seen)]


def test_a_face_that_stays_away_fades_out_and_fades_in_when_it_is_back_and_a_hand_before_it_changes_nothing():
    assert set(shares([True] * 3 + [False] * (round(GRACE * RATE) - 1) + [True] * 3)) == {1.0}
    found = shares([True] + [False] * 30 + [True] * 10)
    steps = np.diff(found)
    assert found[0] == 1 and found[round(GRACE * RATE)] == 1 and found[30] == 0 and found[-1] == 1
    assert np.abs(steps).max() <= 1 / (FADE * RATE) + 1e-9, "nothing pops"
    newcomer = shares([True] * 10, Visibility(is_new=True), start=140)
    assert newcomer[0] == 0 and 0 < newcomer[1] < 0.5 and newcomer[-1] == 1


def test_the_first_frame_and_cuts_decide_at_once():
    assert shares([True])[0] == 1 and shares([False])[0] == 0
    visibility = Visibility()
    shares([True] * 5, visibility)
    assert visibility.update(False, 5 / RATE, is_cut=True) == 0
    assert visibility.update(True, 6 / RATE, is_cut=True) == 1


def test_a_window_that_nobody_saw_does_not_glide(stylizer):
    frame = view(110, 110)
    portrait = stylizer.fit(frame, CLOSE)
    lands = [Presence(portrait.crop, portrait.landmarks, fades=fades) for fades in (False, True)]
    far = portrait.landmarks + np.float32((90, 0))
    for presence in lands:
        presence.update(portrait.landmarks, 0.0)
        for i in range(1, 60):
            presence.update(None, i / RATE)
    windows = [presence.update(far, 3.0)[0] for presence in lands]
    stays, jumps = (window.x - portrait.crop.left / portrait.crop.scale for window in windows)
    assert stays < 15 and jumps > 60


@pytest.mark.parametrize(("x", "share"), [(110, 1.0), (3, 0.0)])
def test_a_face_that_was_lost_at_the_edge_has_left(stylizer, x, share):
    portrait = stylizer.fit(view(110, 110), CLOSE)
    presence = Presence(portrait.crop, portrait.landmarks, fades=True)
    presence.update(portrait.landmarks + np.float32((x - 110, 0)), 0.0)
    for i in range(1, 9):
        _, found = presence.update(None, i / RATE)
    assert found == pytest.approx(share, abs=1e-6)


def hiding() -> list[Frame]:
    """A face, none for two seconds, and the face again elsewhere."""
    pictures = [view(110, 110)] * 3 + [empty()] * 20 + [view(190, 110)] * 12
    return [Frame(rgb, Fraction(i, 10)) for i, rgb in enumerate(pictures)]


def looked(stylizer, **settings) -> tuple[list[Frame], list[Frame]]:
    frames = hiding()
    look = Look(style_id="1", style_degree=1.0, crop="follow", **settings)
    return frames, list(cartoon(stylizer, frames, stylizer.fit(frames[0], CLOSE), look))


def test_frames_without_a_face_come_through_as_they_are_and_are_not_rendered(stylizer, monkeypatch):
    rendered, start = [], VToonifyRenderer.start
    monkeypatch.setattr(VToonifyRenderer, "start", lambda self, crops: rendered.extend(crops) or start(self, crops))
    frames, results = looked(stylizer, full_frame=1, lost="pass", batch_size=4)
    assert len(rendered) < len(frames) - 8
    assert [frame.time for frame in results] == [frame.time for frame in frames]
    changes = [levels_apart(result.rgb, frame.rgb).mean() for result, frame in zip(results, frames, strict=True)]
    assert min(changes[0], changes[2], changes[-1]) > 0.3
    assert not any(changes[15:23]), "nothing is drawn"
    around = middle(stylizer.fit(frames[-1]).landmarks).astype(int)
    patch = np.s_[around[1] - 15 : around[1] + 15, around[0] - 15 : around[0] + 15]
    assert levels_apart(results[-1].rgb[patch], frames[-1].rgb[patch]).mean() > 8, "it is where the face is"


def test_without_the_whole_frame_the_crop_comes_through_enlarged(stylizer):
    _, kept = looked(stylizer)
    _, passed = looked(stylizer, lost="pass")
    assert len({frame.rgb.shape for frame in passed}) == 1 and passed[0].rgb.shape == kept[0].rgb.shape
    assert np.array_equal(passed[2].rgb, kept[2].rgb)
    assert np.abs(passed[18].rgb.astype(int) - 120).max() == 0 < levels_apart(kept[18].rgb, passed[18].rgb).mean()
