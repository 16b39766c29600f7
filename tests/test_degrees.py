"""Style degrees: one, or a curve over time."""

from fractions import Fraction

import pytest

from model.common.errors import InputError
from model.inference.look import DegreeCurve, parse_degree
from model.inference.stylizer import Stylizer
from model.media.files import Frame
from model.styles.network import VToonifyStyle
from model.styles.presets import Preset
from tests.small_models import ColourEncoder, dual, enlarging_network, face_picture, levels_apart, noises


@pytest.mark.parametrize(("text", "degree"), [("0", 0), ("0.7", 0.7), ("1", 1)])
def test_a_number_is_a_degree(text, degree):
    assert parse_degree(text) == degree


def test_a_curve_is_straight_between_its_points_and_level_outside():
    curve = parse_degree("0@1s, 1@3 ,0.5@4s")
    assert curve.points == ((1, 0), (3, 1), (4, 0.5))
    wanted = {0: 0, 1: 0, 1.5: 0.25, 2: 0.5, 3: 1, 3.5: 0.75, 4: 0.5, 100: 0.5}
    for time, degree in wanted.items():
        assert curve(Fraction(time)) == pytest.approx(degree)


def test_degrees_go_in_steps_so_that_neighbouring_frames_share_one():
    curve = parse_degree("0@0s,1@100s")
    assert len({curve(Fraction(i, 25)) for i in range(100)}) == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2", "is 2"),
        ("nan", "is nan"),
        ("much", "'much' is not a number"),
        ("0@0s,2@3s", "is 2"),
        ("0@0s,1", "the point '1'"),
        ("0@soon", "'soon' is not a number"),
        ("0@3s,1@1s", "back in time at 1@1s"),
        ("0@1s,1@1s", "back in time"),
        ("@", "the point '@'"),
    ],
)
def test_other_words_are_refused(text, told):
    with pytest.raises(InputError, match="--style_degree") as error:
        parse_degree(text)
    assert told in str(error.value)


def clip(count: int) -> list[Frame]:
    return [Frame(rgb, Fraction(i, 10)) for i, rgb in enumerate(noises(1) * count)]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_each_frame_has_the_degree_of_its_time(batch_size):
    stylizer = dual()
    portrait = stylizer.fit(noises(1)[0], scale_image=False)
    curve = DegreeCurve(((0.1, 0.0), (0.4, 0.9)))
    found = list(stylizer.render(clip(6), portrait, degree=curve, batch_size=batch_size))
    assert [frame.time for frame in found] == [Fraction(i, 10) for i in range(6)]
    for frame, degree in zip(found, (0, 0, 0.3, 0.6, 0.9, 0.9), strict=True):
        (wanted,) = stylizer.render(noises(1), portrait, degree=degree)
        assert levels_apart(frame.rgb, wanted).max() <= 1


def test_a_photo_is_at_the_beginning_of_the_curve():
    stylizer = dual()
    portrait = stylizer.fit(noises(1)[0], scale_image=False)
    (found,) = stylizer.render([Frame(noises(1)[0])], portrait, degree=parse_degree("0.8@0s,0@1s"))
    (wanted,) = stylizer.render(noises(1), portrait, degree=0.8)
    assert levels_apart(found.rgb, wanted).max() <= 1


def test_a_curve_that_leaves_the_range_is_refused_when_it_does():
    stylizer = dual()
    portrait = stylizer.fit(noises(1)[0], scale_image=False)
    results = stylizer.render(clip(2), portrait, degree=lambda time: 20 * float(time))
    next(results)
    with pytest.raises(InputError, match="The style degree is 2"):
        next(results)


def test_models_without_degrees_leave_the_curve_aside():
    network = enlarging_network("toonify")
    encoder = ColourEncoder()
    style = VToonifyStyle(
        Preset("t", "toonify", "t.pt"), network, style_encoder=encoder, device="cpu", precision="fp32"
    )
    stylizer = Stylizer(style)
    portrait = stylizer.fit(face_picture())
    frames = [Frame(face_picture(), Fraction(0))]
    (plain,), (curved,) = (stylizer.render(frames, portrait, degree=degree) for degree in (None, parse_degree("0@0s")))
    assert levels_apart(plain.rgb, curved.rgb).max() == 0


def test_a_compiled_network_has_one_degree():
    stylizer = dual(compile=True)
    portrait = stylizer.fit(noises(1)[0], scale_image=False)
    with pytest.raises(InputError, match="--compile is for one style degree"):
        stylizer.render(clip(1), portrait, degree=parse_degree("0@0s,1@1s"))
