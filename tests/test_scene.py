from fractions import Fraction

import numpy as np
import pytest

from model.inference.look import Look
from model.inference.scene import Person, Scene
from model.media.frames import Frame
from tests.small_models import cartoon, dual, levels_apart
from tests.test_track import SIZE, view

CLOSE = (64, 64, 64, 64)


@pytest.fixture(scope="module")
def stylizer():
    return dual()


def clip(count: int) -> list[Frame]:
    return [Frame(view(120 + 8 * i, 110), Fraction(i, 10)) for i in range(count)]


def test_the_fixed_crop_is_what_the_stylizer_renders(stylizer):
    frames = clip(3)
    portrait = stylizer.fit(frames[0], CLOSE)
    found = list(cartoon(stylizer, frames, portrait, Look(style_degree=0.7, style_id=1, crop="fixed")))
    wanted = list(stylizer.render(frames, portrait, degree=0.7, style=1))
    assert [frame.time for frame in found] == [frame.time for frame in wanted]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(found, wanted, strict=True))


def test_the_crop_that_follows_shows_the_face_where_it_was(stylizer):
    frames = clip(12)
    portrait = stylizer.fit(frames[0], CLOSE)
    fixed, following = (list(cartoon(stylizer, frames, portrait, Look(crop=crop))) for crop in ("fixed", "auto"))
    assert {frame.rgb.shape for frame in fixed} == {frame.rgb.shape for frame in following}
    first = following[0].rgb
    assert levels_apart(following[-1].rgb, first).mean() < 0.6 * levels_apart(fixed[-1].rgb, first).mean()


@pytest.mark.parametrize("crop", ["fixed", "follow"])
def test_the_whole_frame_comes_back_with_its_face_cartoon(stylizer, crop):
    frames = clip(4)
    portrait = stylizer.fit(frames[0], CLOSE)
    for frame, result in zip(frames, cartoon(stylizer, frames, portrait, Look(full_frame=2, crop=crop)), strict=True):
        assert result.rgb.shape == (2 * SIZE[0], 2 * SIZE[1], 3) and result.time == frame.time
        changed = levels_apart(result.rgb[::2, ::2], frame.rgb).max(-1)
        assert changed[:, :30].mean() < 12 < changed[100:130, 110:150].mean()


def test_a_crop_tells_that_a_new_shot_begins(stylizer):
    frames = clip(3) + [Frame(255 - view(150, 110), Fraction(3 + i, 10)) for i in range(2)]
    person = Person(stylizer, stylizer.fit(frames[0], CLOSE), Look(crop="follow", steady="on"))
    scene = Scene([person], person.look, None, 0)
    views = [scene.see(frame).views[0] for frame in frames]
    assert [view.crop.is_cut for view in views] == [False] * 3 + [True, False]
    plain = views[3].window.apply(frames[3].rgb)
    assert np.array_equal(views[3].crop.rgb, plain), "nor is it mixed with the frame before"


def test_side_by_side(stylizer):
    frames = clip(2)
    portrait = stylizer.fit(frames[0], CLOSE)
    plain = next(cartoon(stylizer, frames, portrait, Look())).rgb
    both = next(cartoon(stylizer, frames, portrait, Look(compare=True))).rgb
    height, width = plain.shape[:2]
    assert both.shape == (height, 2 * width, 3) and np.array_equal(both[:, width:], plain)
    whole = next(cartoon(stylizer, frames, portrait, Look(compare=True, full_frame=1))).rgb
    assert whole.shape == (SIZE[0], 2 * SIZE[1], 3) and np.array_equal(whole[:, : SIZE[1]], frames[0].rgb)


def test_frames_are_taken_as_they_are_needed(stylizer):
    taken = []
    frames = (taken.append(i) or frame for i, frame in enumerate(clip(6)))
    portrait = stylizer.fit(clip(1)[0], CLOSE)
    results = cartoon(stylizer, frames, portrait, Look(full_frame=1, crop="follow", compare=True))
    for count in range(1, 7):
        next(results)
        assert len(taken) == count


def test_parsing_maps_are_made_of_the_crops():
    stylizer = dual(19)
    frames = clip(3)
    portrait = stylizer.fit(frames[0], CLOSE)
    shapes = []

    def maps_of(crops):
        for crop in crops:
            shapes.append(crop.shape)
            yield np.zeros((19, *crop.shape[:2]), np.float16)

    assert len(list(cartoon(stylizer, frames, portrait, Look(crop="follow"), maps_of=maps_of))) == 3
    assert shapes == [(portrait.crop.height, portrait.crop.width, 3)] * 3
