"""Several people in one picture: followed one by one, each in a style of its own."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import InputError
from model.inference.crowd import CrowdTracker
from model.inference.detect import find_all_landmarks
from model.inference.face import face_size
from model.inference.frames import open_frames
from model.inference.media import Frame
from model.inference.people import Choice, Person, parse_styles, stylised_people
from model.inference.scene import Look
from tests.clips import make_clip
from tests.small_models import dual, face_picture, levels_apart
from tests.test_track import SIZE, middle, view

pytest_plugins = ("tests.commands_plugin",)

CLOSE = (56, 56, 56, 56)


def group(left: float = 80, right: float = 240, left_scale: float = 0.5, right_scale: float = 0.62) -> np.ndarray:
    """Two faces side by side, the right one larger: RGB uint8 `[240, 320, 3]`."""
    both = view(left, 110, left_scale)
    both[:, 160:] = view(right, 120, right_scale)[:, 160:]
    return both


@pytest.fixture(scope="module")
def stylizer():
    return dual()


def people_of(stylizer, frame: np.ndarray, *looks: Look) -> list[Person]:
    pairs = zip(find_all_landmarks(frame), looks, strict=True)
    return [Person(stylizer, stylizer.fit(frame, CLOSE, True, face), look) for face, look in pairs]


# ---- who is who


def test_all_faces_are_found_the_main_one_first():
    faces = find_all_landmarks(group())
    assert len(faces) == 2 and middle(faces[0])[0] > 200 > 120 > middle(faces[1])[0]
    assert face_size(faces[0]) > face_size(faces[1])
    for side in (99, 9):
        assert find_all_landmarks(np.full((side, side, 3), 90, np.uint8)) == []


def test_people_keep_their_numbers_while_they_move_and_while_one_is_gone():
    tracker = CrowdTracker(find_all_landmarks(group()))
    for i in range(6):
        right, left = tracker.update(group(80 + 2 * i, 240 - i))
        assert middle(left)[0] < 140 and middle(right)[0] > 190
    alone = group()
    alone[:, :160] = 128
    for _ in range(5):
        right, left = tracker.update(alone)
        assert left is None and middle(right)[0] > 190
    for _ in range(5):
        right, left = tracker.update(group())
    assert middle(left)[0] < 140 and middle(right)[0] > 190


# ---- what is drawn


def test_each_person_has_their_own_style(stylizer):
    frames = [Frame(group(), Fraction(i, 10)) for i in range(2)]
    ink, wash = Look(style=0, degree=1.0), Look(style=1, degree=1.0)
    pictures = {}
    for looks in ((ink, ink), (ink, wash), (wash, wash)):
        results = list(stylised_people(frames, people_of(stylizer, group(), *looks), full_frame=1))
        assert [frame.time for frame in results] == [0, Fraction(1, 10)]
        pictures[looks] = results[-1].rgb
    halves = {looks: (rgb[:, 170:], rgb[:, :150]) for looks, rgb in pictures.items()}
    mixed = halves[ink, wash]
    assert np.array_equal(mixed[0], halves[ink, ink][0]) and np.array_equal(mixed[1], halves[wash, wash][1])
    for k in (0, 1):
        assert levels_apart(halves[ink, ink][k], halves[wash, wash][k]).max() > 4


def test_the_nearer_one_covers_the_other(stylizer):
    frame = group(125, 200)
    people = people_of(stylizer, frame, Look(style=0, degree=1.0), Look(style=1, degree=1.0))
    either = [next(stylised_people([Frame(frame)], order)).rgb for order in (people, people[::-1])]
    assert np.array_equal(*either), "the order in which they are named does not matter"


def test_whole_frames_side_by_side(stylizer):
    people = people_of(stylizer, group(), Look(), Look())
    (result,) = stylised_people([Frame(group())], people, full_frame=2, compare=True)
    assert result.rgb.shape == (2 * SIZE[0], 4 * SIZE[1], 3)


# ---- the command line


def test_styles_are_read():
    wanted = {1: Choice(None, "film", 0.5), 2: Choice("cartoon", "26", None), 3: Choice("pixar", None, 0.7)}
    assert parse_styles("1=film@0.5, 2=cartoon:26,3=pixar@0.7") == wanted


@pytest.mark.parametrize("text", ["film", "0=film", "x=film", "1=", "1=film,1=ink", "1=film@2", ""])
def test_other_words_are_refused(text):
    with pytest.raises(InputError, match="--styles "):
        parse_styles(text)


@pytest.mark.parametrize(("degree", "told"), [("2", "is 2: give"), ("x", ": 'x' is not a number")])
def test_a_wrong_degree_names_the_person(degree, told):
    with pytest.raises(InputError, match=f"person 3 in --styles ?{told}"):
        parse_styles(f"1=ink,3=film@{degree}")


def test_the_program_stylises_everybody(stylize):
    Image.fromarray(group()).save("us.png")
    make_clip(Path("us.mp4"), [group(80 + i, 240) for i in range(4)])
    both = ["--faces", "all", "--full_frame", 2, "--styles", "1=0@1,2=wash.v2@0.3"]
    code, out, err = stylize("--content", "us.png", "us.mp4", *both, "--crop", "follow")
    assert (code, err) == (0, "")
    picture = np.asarray(Image.open("output/us_vtoonify_d.jpg"))
    assert picture.shape == (2 * SIZE[0], 2 * SIZE[1], 3)
    with open_frames("output/us-2_vtoonify_d.mp4") as film:
        assert film.size == (480, 640) and len(list(film)) == 4
    changed = levels_apart(picture[::2, ::2], group()).max(-1)
    assert changed[100:130, 70:100].mean() > 8 and changed[100:140, 220:260].mean() > 8
    assert stylize("--content", "us.png", "--faces", 1, "--output_path", "one")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--faces", "all"], "needs --full_frame"),
        (["--faces", 0], "--faces is '0'"),
        (["--faces", "many"], "--faces is 'many'"),
        (["--styles", "1=ink"], "--styles is for several people"),
        (["--faces", "all", "--full_frame", 1, "--styles", "ink"], "the part 'ink'"),
        (["--faces", "all", "--full_frame", 1, "--styles", "5=ink"], "names person 5, but me.jpg shows 1"),
        (["--faces", "all", "--full_frame", 1, "--styles", "1=crayon"], "styles 0 to 1"),
        (["--faces", 2, "--full_frame", 1, "--smooth"], "--smooth is for one face"),
    ],
)
def test_wrong_options_are_a_sentence(stylize, arguments, told):
    Image.fromarray(face_picture()).save("me.jpg")
    code, _, err = stylize("--content", "me.jpg", *arguments)
    assert code == 2 and told in err and err.count("\n") == 1
