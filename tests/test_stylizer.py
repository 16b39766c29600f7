from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from model.common.errors import InputError
from model.inference import stylizer as stylizer_module
from model.inference.stylizer import Stylizer
from model.media.files import Frame, PhotoSource, open_frames
from model.styles.network import VToonifyStyle
from model.styles.presets import VToonifyPreset
from tests.clips import make_clip
from tests.small_models import (
    CODES,
    ColourEncoder,
    dual,
    enlarging_network,
    face_picture,
    levels_apart,
    noises,
    save_model,
)

GREY = np.full((192, 192, 3), 128, np.uint8)
CLOSE = (48, 48, 48, 48)


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return dual()


@pytest.fixture
def whole(stylizer):  # a portrait of frames as `noises` gives them, which need no face
    return stylizer.fit(noises(1)[0], scale_image=False)


@pytest.mark.parametrize("parsing_channels", [0, 19])
def test_a_batch_equals_its_items(parsing_channels):
    stylizer, frames = dual(parsing_channels), noises(5)
    portrait = stylizer.fit(frames[0], scale_image=False)
    one_by_one = list(stylizer.render(frames, portrait, batch_size=1))
    in_batches = list(stylizer.render(frames, portrait, batch_size=3))
    assert len(one_by_one) == len(in_batches) == 5
    for single, batched in zip(one_by_one, in_batches, strict=True):
        assert levels_apart(single, batched).max() <= 1
    assert levels_apart(one_by_one[0], one_by_one[1]).max() > 1, "frames differ, and so must results"


def test_arrays_give_arrays_and_frames_give_frames_with_their_times(stylizer, whole):
    pictures = noises(2)
    arrays = list(stylizer.render(pictures, whole))
    frames = list(stylizer.render([Frame(rgb, Fraction(i, 7)) for i, rgb in enumerate(pictures)], whole))
    assert [frame.time for frame in frames] == [0, Fraction(1, 7)]
    for array, frame in zip(arrays, frames, strict=True):
        assert array.dtype == np.uint8 and np.array_equal(array, frame.rgb)


@pytest.mark.parametrize(("height", "width"), [(61, 83), (64, 80), (1, 9), (3, 5)])
def test_a_whole_frame_of_any_size_becomes_exactly_four_times_as_large(stylizer, height, width):
    (picture,) = noises(1, height, width)
    portrait = stylizer.fit(picture, scale_image=False)
    assert portrait.landmarks is None
    (result,) = stylizer.render([picture], portrait)
    assert result.shape == (4 * height, 4 * width, 3)


def test_render_takes_no_more_than_a_batch_ahead(stylizer, whole):
    taken = []
    frames = (taken.append(i) or rgb for i, rgb in enumerate(noises(7)))
    results = stylizer.render(frames, whole, batch_size=3)
    assert not taken and [len(taken) for _ in results] == [3, 3, 3, 6, 6, 6, 7]


@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_precisions_differ_little(whole, precision):
    (exact,) = dual().render(noises(1), whole)
    (other,) = dual(precision=precision).render(noises(1), whole)
    assert levels_apart(exact, other).mean() < 2


def test_another_kind_of_array_or_size_is_refused(stylizer, whole):
    for wrong in (np.zeros((24, 32), np.uint8), np.zeros((24, 32, 3), np.float32)):
        with pytest.raises(ValueError, match="RGB uint8"):
            stylizer.fit(wrong)
        with pytest.raises(ValueError, match="RGB uint8"):
            list(stylizer.render([wrong], whole))
    results = stylizer.render([*noises(1), *noises(1, 32, 32)], whole)
    next(results)
    with pytest.raises(InputError, match="32 x 32 pixels follows frames of 32 x 24"):
        next(results)


def test_degrees_from_0_to_1_differ_and_others_are_refused_at_once(stylizer, whole):
    ends = [next(stylizer.render(noises(1), whole, degree=degree)) for degree in (0, 1, None)]
    assert levels_apart(ends[0], ends[1]).max() > 1
    middle = next(stylizer.render(noises(1), whole, degree=0.5))
    assert np.array_equal(middle, ends[2]), "the preset's own degree"
    for degree in (7, -0.1, float("nan")):
        with pytest.raises(InputError, match="0 .photo. to 1"):
            stylizer.render(noises(1), whole, degree=degree)


def test_a_style_goes_by_number_or_name(stylizer, whole):
    by_number = next(stylizer.render(noises(1), whole, style=1))
    for style in ("1", "wash.v2.png", "wash.v2"):
        assert np.array_equal(by_number, next(stylizer.render(noises(1), whole, style=style)))
    assert levels_apart(by_number, next(stylizer.render(noises(1), whole, style=0))).max() > 1
    for style in (9999, -1, "crayon"):
        with pytest.raises(InputError, match="styles 0 to 1"):
            stylizer.render(noises(1), whole, style=style)
    assert stylizer.style.preset.default_style >= len(CODES) and stylizer.style.exemplar_name() == "ink.jpg"


def test_a_model_without_styles_leaves_style_degree_and_colours_aside():
    preset = VToonifyPreset("small-t", "toonify", "t.pt")
    network = enlarging_network("toonify")
    stylizer = Stylizer(VToonifyStyle(preset, network, style_encoder=ColourEncoder(), device="cpu", precision="fp32"))
    portrait = stylizer.fit(face_picture(), CLOSE)
    assert (stylizer.style.exemplar_name(), stylizer.style.degree()) == (None, None)
    plain = next(stylizer.render([face_picture()], portrait))
    assert plain.shape[0] == 4 * portrait.crop.height
    for settings in ({"style": 0}, {"degree": 0.5}, {"degree": lambda time: 0.5}, {"color_transfer": True}):
        assert np.array_equal(next(stylizer.render([face_picture()], portrait, **settings)), plain)


def test_each_portrait_keeps_its_own_style_code():
    encoder = ColourEncoder()
    stylizer = dual(style_encoder=encoder)
    pictures = [face_picture(), np.ascontiguousarray(face_picture()[..., ::-1])]
    portraits = [stylizer.fit(picture, CLOSE) for picture in pictures]
    results = [next(stylizer.render([pictures[0]], portrait)) for portrait in portraits]
    again = next(stylizer.render([pictures[0]], portraits[0]))
    assert levels_apart(*results).max() > 1 and np.array_equal(results[0], again)
    exemplar_colours = [next(stylizer.render(pictures[:1], portrait, color_transfer=True)) for portrait in portraits]
    assert np.array_equal(*exemplar_colours), "nothing of the portrait's code is left"
    assert encoder.calls == 2, "once for a portrait, not for a frame"


def test_a_photo_without_a_face_is_named_and_none_is_searched_where_none_is_needed(stylizer, monkeypatch):
    with pytest.raises(InputError, match="somewhere/hill.jpg"):
        stylizer.fit_source(PhotoSource(Path("somewhere/hill.jpg"), GREY[:17, :17]))
    with pytest.raises(InputError, match="No face"):
        stylizer.fit(GREY[:17, :17])
    monkeypatch.setattr(stylizer_module, "search_face", lambda source: pytest.fail("searched"))
    assert stylizer.fit_source(PhotoSource(Path("hill.jpg"), GREY), scale_image=False).crop.height == 192


def test_frames_before_the_first_face_are_kept(stylizer, tmp_path):
    clip = make_clip(tmp_path / "c.mp4", [GREY] * 5 + [face_picture()] * 3, rate=10)
    with open_frames(clip) as source:
        portrait = stylizer.fit_source(source, CLOSE)
        expected = stylizer.fit(face_picture(), CLOSE)
        assert np.abs(portrait.landmarks - expected.landmarks).max() < 3
        results = list(stylizer.render(source, portrait))
    assert [result.time for result in results] == [Fraction(i, 10) for i in range(8)]
    assert levels_apart(results[0].rgb, results[-1].rgb).max() > 1


def test_stored_parsing_maps_take_the_place_of_the_parser():
    stylizer, frames = dual(19), noises(3)
    portrait = stylizer.fit(frames[0], scale_image=False)
    maps = np.zeros((3, 19, 24, 32), np.float16)
    stored = list(stylizer.render(frames, portrait, parsing_maps=maps, batch_size=2))
    parsed = list(stylizer.render(frames, portrait, batch_size=2))
    assert len(stored) == 3 and levels_apart(stored[0], parsed[0]).max() > 1
    stylizer.style.parser = None
    without = list(stylizer.render(frames, portrait, parsing_maps=maps, batch_size=2))
    assert np.array_equal(stored, without)


def test_from_preset_takes_a_path(tmp_path):
    stylizer = Stylizer.from_preset(str(save_model(tmp_path)), device="cpu", precision="fp32")
    assert (stylizer.style.letter, stylizer.scale, stylizer.style.exemplar_names) == ("d", 4, list(CODES))
    portrait = stylizer.fit(noises(1)[0], scale_image=False)
    expected = next(dual().render(noises(1), portrait, style=1, color_transfer=True))
    assert np.array_equal(next(stylizer.render(noises(1), portrait, style=1)), expected)
    other = dict.fromkeys(("style_encoder_path", "faceparsing_path"), "a file that it has no use for, nor reads.pt")
    assert Stylizer.from_preset(str(save_model(tmp_path)), **other).style.uses == {"degree", "exemplars"}
