import cv2
import numpy as np
import pytest

from model.common.errors import InputError
from model.media.sample import sample_portrait
from model.styles.painters import sight
from model.styles.painters.brushes import PER_BRISTLE, TEXTURE, bristles
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
    return load_painter("oil").paint(subject)


def own(folder, text):
    path = folder / "mine.toml"
    path.write_text('painter = "oil"\n' + text, encoding="utf-8")
    return load_painter(path)


def flat(grey=128, shape=(96, 120)):
    return Subject(np.full((*shape, 3), grey, np.uint8), None, np.zeros(shape, np.float32))


def difference(first, second):
    return np.abs(first.astype(float) - second).mean()


def test_the_same_seed_gives_the_same_strokes(subject, painting):
    assert "oil" in painter_names()
    assert painting.shape == subject.rgb.shape and painting.dtype == np.uint8
    painter = load_painter("oil")
    assert (painter.paint(subject) == painting).all()
    other = painter.paint(subject, seed=1)
    assert 2 < difference(other, painting) < 30, "other strokes, but of the same person"


def test_tones_stay_near_the_photo_and_brushwork_is_broad(subject, painting):
    photo, painted = (sight.to_lab(rgb) for rgb in (subject.rgb, painting))
    face = subject.face > 0.8
    assert np.corrcoef(sight.blur(photo, 6)[face][:, 0], sight.blur(painted, 6)[face][:, 0])[0, 1] > 0.9
    assert abs(photo[face][:, 0].mean() - painted[face][:, 0].mean()) < 10
    # Where the photo is flat, the paint is not, unlike that of a filter that smooths.
    background = subject.matte < 0.05
    assert painted[background][:, 1:].std(axis=0).min() > 2


def test_eyes_and_mouth_are_finer_than_the_rest(tmp_path, subject, painting):
    broader = own(tmp_path, "needs = [0.0, 0.0, 0.1, 1.0, 1.0, 1.0, 1.0]\nreluctance = 200\n").paint(subject)

    def detail(rgb):
        lightness = sight.to_lab(rgb)[..., 0]
        return (lightness - sight.blur(lightness, 4))[subject.fineness > 0.9]

    matches = [np.corrcoef(detail(rgb), detail(subject.rgb))[0, 1] for rgb in (painting, broader)]
    assert matches[0] > matches[1] + 0.03 and matches[0] > 0.6


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_flat_photo_becomes_a_calm_canvas(grey):
    painted = load_painter("oil").paint(flat(grey))
    assert painted.shape == (96, 120, 3)
    spread = sight.to_lab(painted)[..., 0].std()
    assert 0.2 < spread < 9, "brushwork, and nothing else"


def test_photos_of_all_kinds_are_painted(subject):
    painter = load_painter("oil")
    grey = np.repeat(cv2.cvtColor(subject.rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    painted = painter.paint(Subject(grey, subject.landmarks, subject.matte))
    assert sight.to_lab(painted)[subject.face > 0.8][:, 2].mean() > 2, "grey photos are painted in colour"
    unknown = painter.paint(Subject(subject.rgb, None, subject.matte))
    assert difference(unknown, subject.rgb) < 40
    dim = painter.paint(Subject(subject.rgb // 4, subject.landmarks, subject.matte))
    assert dim.mean() > 2 * (subject.rgb // 4).mean()
    for shape in ((1, 1), (3, 60), (17, 9)):
        assert painter.paint(flat(shape=shape)).shape == (*shape, 3)


def test_values_of_ones_own_change_the_painting(tmp_path, subject, painting):
    smooth = own(tmp_path, "relief = 0\nstreaks = 0\n").paint(subject)
    assert difference(smooth, painting) > 0.5
    background = subject.matte < 0.05
    detail = [
        np.abs(cv2.Laplacian(sight.to_lab(rgb)[..., 0], cv2.CV_32F))[background].mean() for rgb in (smooth, painting)
    ]
    assert detail[0] < 0.8 * detail[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("brush = 1", r"mine\.toml has an unknown key 'brush'.*widths"),
        ("relief = 'much'", "'relief' must be a number"),
        ("relief = 1000", "'relief' must lie between 0 and 60"),
        ("widths = 1", "'widths' must be a list"),
        ("widths = [0.3, 0.1]", "widths, lengths, needs, gains, colour_play must be equally long"),
        ("ground = [50, 0]", "'ground' must have 3 numbers, not 2"),
    ],
)
def test_mistakes_are_named(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        own(tmp_path, text)


def test_bristles_run_along_the_stroke_and_tile():
    texture = bristles(np.random.default_rng(0))
    assert texture.shape == (TEXTURE, TEXTURE) and 0 <= texture.min() < texture.max() <= 1
    along = np.abs(np.roll(texture, 1, axis=1) - texture)
    across = np.abs(np.roll(texture, PER_BRISTLE, axis=0) - texture)
    assert across.mean() > 2 * along.mean()
    assert along[:, 0].mean() < 2 * along.mean(), "no seam"
