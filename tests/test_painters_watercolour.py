import cv2
import numpy as np
import pytest

from model.common.errors import InputError
from model.media.sample import sample_portrait
from model.styles.painters import sight, wet
from model.styles.painters.subject import Subject
from model.styles.painters.values import load_painter, painter_names
from tests.portrait import LANDMARKS

CORNER, SIDE, REDUCED = (100, 0), 270, 180  # of the part of the portrait that is painted: head and shoulders


@pytest.fixture(scope="module")
def subject():
    x, y = CORNER
    photo = cv2.resize(sample_portrait()[y : y + SIDE, x : x + SIDE], (REDUCED, REDUCED), interpolation=cv2.INTER_AREA)
    landmarks = (LANDMARKS - CORNER) * np.float32(REDUCED / SIDE)
    matte = np.zeros((REDUCED, REDUCED), np.float32)
    cv2.ellipse(matte, (85, 70), (48, 60), 0, 0, 360, 1.0, -1)
    matte[120:] = 1
    return Subject(photo, landmarks, cv2.GaussianBlur(matte, (0, 0), 2))


@pytest.fixture(scope="module")
def painting(subject):
    return load_painter("watercolour").paint(subject)


def own(folder, text):
    path = folder / "mine.toml"
    path.write_text('painter = "watercolour"\n' + text, encoding="utf-8")
    return load_painter(path)


def flat(grey=128, shape=(96, 120)):
    return Subject(np.full((*shape, 3), grey, np.uint8), None, np.zeros(shape, np.float32))


def difference(first, second):
    return np.abs(first.astype(float) - second).mean()


def test_the_same_seed_gives_the_same_washes(subject, painting):
    assert "watercolour" in painter_names()
    assert painting.shape == subject.rgb.shape and painting.dtype == np.uint8
    painter = load_painter("watercolour")
    assert (painter.paint(subject) == painting).all()
    other = painter.paint(subject, seed=1)
    assert 2 < difference(other, painting) < 40
    face = subject.face > 0.9
    assert difference(other[face], painting[face]) < 15, "the face is the same person's"


def test_paper_is_white_at_the_borders_and_the_face_is_painted(subject, painting):
    corners = [painting[y, x] for y in (slice(0, 8), slice(-8, None)) for x in (slice(0, 8), slice(-8, None))]
    assert np.mean([corner.mean() for corner in corners]) > 235
    face = subject.face > 0.8
    photo, painted = (sight.blur(sight.to_lab(rgb), 4)[face][:, 0] for rgb in (subject.rgb, painting))
    assert np.corrcoef(photo, painted)[0, 1] > 0.9
    assert abs(photo.mean() - painted.mean()) < 15


def test_watercolour_is_transparent(subject, painting):
    """No colour is lighter than the paper, apart from the light on its grain."""
    paper = np.float32(load_painter("watercolour").paper)
    assert (sight.blur(painting.astype(np.float32), 2) <= paper + 3).all()


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_flat_photo_becomes_one_wash(grey):
    painted = load_painter("watercolour").paint(flat(grey))
    assert painted.shape == (96, 120, 3) and painted[:6, :6].mean() > 225


def test_photos_of_all_kinds_are_painted(subject):
    painter = load_painter("watercolour")
    grey = np.repeat(cv2.cvtColor(subject.rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    painted = painter.paint(Subject(grey, subject.landmarks, subject.matte))
    assert sight.to_lab(painted)[subject.face > 0.8][:, 2].mean() > 2, "grey photos are painted in colour"
    unknown = painter.paint(Subject(subject.rgb, None, subject.matte))
    assert unknown.shape == subject.rgb.shape
    dim = painter.paint(Subject(subject.rgb // 4, subject.landmarks, subject.matte))
    assert dim[60:120, 60:120].mean() > 2 * (subject.rgb // 4)[60:120, 60:120].mean()
    for shape in ((1, 1), (3, 60), (17, 9)):
        assert painter.paint(flat(shape=shape)).shape == (*shape, 3)


def test_values_of_ones_own_change_the_painting(tmp_path, subject, painting):
    bare = own(tmp_path, "border = 0.8\nline = 0\n").paint(subject)
    assert (bare > 235).all(axis=2).mean() > (painting > 235).all(axis=2).mean() + 0.1, "more paper is left white"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("water = 1", r"mine\.toml has an unknown key 'water'.*border"),
        ("edge = true", "'edge' must be a number"),
        ("steps = [200]", "'steps' must lie between -100 and 60"),
        ("steps = [10, -10]", "steps, sharp must be equally long"),
        ("paper = [255, 255]", "'paper' must have 3 numbers, not 2"),
    ],
)
def test_mistakes_are_named(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        own(tmp_path, text)


def test_pigment_dries_along_the_edge_of_a_wash():
    mask = np.zeros((60, 60), np.float32)
    mask[15:45, 15:45] = 1
    dried = wet.wet_edge(mask, 1.5, 1.0)
    assert dried[30, 15] > 1.2 * dried[30, 30] and dried[:15].max() == 0


def test_a_bloom_moves_pigment_outwards_and_spares_what_it_must():
    room = np.ones((80, 80), np.float32)
    room[:, :40] = 0
    factor = wet.blooms((80, 80), 8, 25.0, room, np.random.default_rng(2))
    assert (factor[:, :40] == 1).all() and factor[:, 40:].min() < 0.8 and factor[:, 40:].max() > 1.2


def test_pencil_lines_follow_dark_creases_only():
    lightness = np.full((60, 60), 70, np.float32)
    lightness[:, 30:32] = 40
    lines = wet.drawn_lines(lightness, sight.flow(lightness, 2.0), 1.0, 2.5)
    assert lines[10:50, 30:32].min() > 0.9 and lines[:, :24].max() == 0
