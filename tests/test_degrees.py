from fractions import Fraction

import pytest

from model.common.errors import InputError
from model.inference.look import DegreeCurve, parse_degree
from model.media.files import Frame
from tests.small_models import dual, levels_apart, noises


def test_a_curve_is_straight_between_its_points_and_level_outside():
    assert parse_degree("0.7") == 0.7
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
    [("2", "is 2"), ("nan", "is nan"), ("much", "'much' is not a number"), ("0@0s,2@3s", "is 2"),
     ("0@0s,1", "the point '1'"), ("0@soon", "'soon' is not a number"), ("0@3s,1@1s", "back in time at 1@1s"),
     ("0@1s,1@1s", "back in time"), ("@", "the point '@'")],
)  # fmt: skip
def test_other_words_are_refused(text, told):
    with pytest.raises(InputError, match="--style_degree") as error:
        parse_degree(text)
    assert told in str(error.value)


def clip(count: int) -> list[Frame]:
    return [Frame(rgb, Fraction(i, 10)) for i, rgb in enumerate(noises(1) * count)]


def fitted(**settings):
    stylizer = dual(**settings)
    return stylizer, stylizer.fit(noises(1)[0], scale_image=False)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_each_frame_has_the_degree_of_its_time(batch_size):
    stylizer, portrait = fitted()
    curve = DegreeCurve(((0.1, 0.0), (0.4, 0.9)))
    found = list(stylizer.render(clip(6), portrait, degree=curve, batch_size=batch_size))
    assert [frame.time for frame in found] == [Fraction(i, 10) for i in range(6)]
    photo = next(stylizer.render([Frame(noises(1)[0])], portrait, degree=DegreeCurve(((0.0, 0.8), (1.0, 0.0)))))
    for frame, degree in zip([*found, photo], (0, 0, 0.3, 0.6, 0.9, 0.9, 0.8), strict=True):
        (wanted,) = stylizer.render(noises(1), portrait, degree=degree)
        assert levels_apart(frame.rgb, wanted).max() <= 1


def test_a_curve_that_leaves_the_range_is_refused_when_it_does():
    stylizer, portrait = fitted()
    results = stylizer.render(clip(2), portrait, degree=lambda time: 20 * float(time))
    next(results)
    with pytest.raises(InputError, match="The style degree is 2"):
        next(results)


def test_a_compiled_network_has_one_degree():
    stylizer, portrait = fitted(compile=True)
    with pytest.raises(InputError, match="--compile is for one style degree"):
        stylizer.render(clip(1), portrait, degree=parse_degree("0@0s,1@1s"))
