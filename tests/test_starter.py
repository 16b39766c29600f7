from functools import cache, partial
from itertools import combinations, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model.common import hub
from model.common.tensors import to_uint8
from model.faces.detect import find_landmarks
from model.faces.landmarks import eye_centres
from model.inference.stylizer import Stylizer
from model.media.sample import PanSource, sample_portrait
from model.tools.drawn_metrics import cheek_lightness, cheek_pixels, gradient_energy, l1, student_view
from model.training.drawn.geometry import align_portrait
from model.training.drawn.parsing import parse_portrait
from model.training.drawn.raster import to_lab
from model.training.drawn.styles import load_style
from model.training.drawn.teacher import draw_full
from tests.clips import mean_flicker

# What the card of each shipped folder has to tell.
CARDS = {
    "starter": ("CC BY-NC-SA 4.0", "generate_data.py", "train_vtoonify_d.py", "## Limits"),
    "starter_pd": ("Apache License 2.0", "generate_data.py", "train_vtoonify_d.py", "## Limits"),
    "exemplars": ("CC BY-NC-SA 4.0", "model.tools.make_exemplar", "Limits"),
    "drawn": ("CC BY-NC-SA 4.0", "model.training.drawn.learn_matte", "## Limits"),
    "mobile": ("CC BY-NC-SA 4.0", "generate_data.py", "model.mobile.student", "## Limits"),
    "finder": ("CC BY-NC-SA 4.0", "model.training.finder.learn", "## Limits"),
}

STYLES = ("film", "ink", "painterly", "watercolour")
DEGREES = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module", params=["starter", "starter-pd"])
def stylizer(request) -> Stylizer:
    return Stylizer.from_preset(request.param, device="cpu")


@pytest.fixture(scope="module")
def photo(stylizer) -> np.ndarray:
    """The sample portrait's crop, enlarged to the size of the results."""
    frame = sample_portrait()
    crop = stylizer.fit(frame).crop.apply(frame)
    return cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def results(stylizer, photo) -> dict[str, dict[float, np.ndarray]]:
    """What becomes of the sample portrait, by style and degree."""
    frames = [sample_portrait()]
    draw = partial(stylizer.render, frames, stylizer.fit(frames[0]))
    found = {style: {degree: next(draw(style=style, degree=degree)) for degree in DEGREES} for style in STYLES}
    assert found["ink"][1.0].shape == photo.shape
    return found


@pytest.mark.parametrize("style", STYLES)
def test_grey_photos_stay_grey(stylizer, style):
    frame = sample_portrait()
    grey = np.repeat(frame.mean(axis=2, keepdims=True).round().astype(np.uint8), 3, axis=2)
    result = next(stylizer.render([grey], stylizer.fit(grey), style=style, degree=1.0))
    assert np.ptp(result.astype(int), axis=2).max() == 0
    assert result.std() > 40


@cache
def teachers() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The sample portrait, 144 px between the eyes, and as the teacher draws it, by style."""
    frame = sample_portrait()
    photo, landmarks = align_portrait(frame, find_landmarks(frame), 576, 0.25, (0.5, 0.47), 0.0)[:2]
    parsing = parse_portrait(photo, landmarks)
    return photo, {style: draw_full(photo, load_style(style), parsing).full for style in STYLES}


@pytest.fixture(scope="module")
def beside_teacher(stylizer) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The sample portrait, 144 px between the eyes, as the starter and as its teacher draw it, by style."""
    network, pairs = stylizer.style.network, {}
    photo, drawings = teachers()
    for style in STYLES:
        w_plus = network.zplus_to_wplus(torch.from_numpy(stylizer.style.exemplars[style]).float())
        with torch.no_grad():
            drawn = network(student_view(photo, network.config.scale), w_plus, 1.0)
        pairs[style] = to_uint8(drawn[0]).numpy(), drawings[style]
    return pairs


def dark_lines(picture: np.ndarray) -> float:
    """How much darker than both sides thin lines are, on average, in levels of 255."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, np.ones((9, 9), np.uint8)).mean())


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def lightness(picture: np.ndarray) -> float:
    return float(to_lab(picture)[..., 0].mean())


def eye_opening(landmarks: np.ndarray) -> float:
    """Mean height of the eyes over their distance."""
    heights = [landmarks[[a, b]].mean(0)[1] - landmarks[[c, d]].mean(0)[1]
               for a, b, c, d in ((40, 41, 37, 38), (46, 47, 43, 44))]  # fmt: skip
    return float(np.mean(heights) / np.linalg.norm(np.subtract(*eye_centres(landmarks))))


def test_the_styles_have_their_names(stylizer):
    assert tuple(stylizer.style.exemplar_names) == STYLES == stylizer.style.preset.style_names
    assert stylizer.style.preset.styles == len(STYLES)


@pytest.mark.parametrize("style", STYLES)
def test_the_degree_leads_smoothly_away_from_the_photo(results, photo, style):
    away = [distance(results[style][degree], photo) for degree in DEGREES]
    assert away == sorted(away)
    assert away[0] < 8  # levels of 255: degree 0 is nearly the photo
    assert away[-1] > away[0] + 4
    steps = [distance(results[style][a], results[style][b]) for a, b in pairwise(DEGREES)]
    assert max(steps) < 0.5 * sum(steps)


def test_the_styles_differ(results):
    for one, other in combinations(STYLES, 2):
        assert distance(results[one][1.0], results[other][1.0]) > 5


@pytest.mark.parametrize("style", STYLES)
def test_the_cartoon_has_larger_eyes_and_is_still_a_face(results, photo, style):
    before, cartoon = find_landmarks(photo), find_landmarks(results[style][1.0])
    assert before is not None and cartoon is not None
    assert eye_opening(cartoon) > 1.04 * eye_opening(before)
    assert np.linalg.norm(sum(eye_centres(cartoon)) - sum(eye_centres(before))) < 0.1 * len(photo)


def test_film_has_larger_eyes_than_the_photo_like_styles(beside_teacher):
    opening = {style: eye_opening(find_landmarks(drawn)) for style, (drawn, _) in beside_teacher.items()}
    assert opening["film"] > max(opening["ink"], opening["painterly"])


@pytest.mark.parametrize("style", STYLES)
def test_the_drawing_is_nearly_the_teachers_and_nearly_as_sharp(beside_teacher, style):
    drawn, teacher = beside_teacher[style]
    assert l1(drawn, teacher) < 12
    assert 0.7 < gradient_energy(drawn) / gradient_energy(teacher) < 1.2


def test_ink_has_lines(beside_teacher):
    lines = {style: dark_lines(drawn) for style, (drawn, _) in beside_teacher.items()}
    assert max(lines, key=lines.get) == "ink"
    assert lines["ink"] > 0.6 * dark_lines(beside_teacher["ink"][1])


@pytest.mark.parametrize("style", STYLES)
def test_skin_is_neither_lightened_nor_darkened(results, photo, style):
    before = cheek_lightness(photo, find_landmarks(photo))
    after = cheek_lightness(results[style][1.0], find_landmarks(results[style][1.0]))
    assert abs(after - before) < (7 if style == "watercolour" else 5)  # paper lifts all skin


@pytest.mark.parametrize("light", [0.2, 0.1])
@pytest.mark.parametrize("style", STYLES)
def test_in_dim_light_cheeks_do_not_burn_and_the_picture_stays_as_dim(stylizer, results, photo, style, light):
    frame, bright, landmarks = sample_portrait(), results[style][1.0], find_landmarks(photo)
    dim = np.round(light * frame).astype(np.uint8)
    (drawn,) = stylizer.render([dim], stylizer.fit(frame), style=style, degree=1.0)
    blush = [red / green for red, green, _ in (cheek_pixels(each, landmarks).mean(0) for each in (bright, drawn))]
    assert abs(blush[1] / blush[0] - 1) < 0.1
    lighter = lightness(drawn) - lightness(np.round(light * photo).astype(np.uint8))
    assert abs(lighter) < (lightness(bright) - lightness(photo) if style == "watercolour" else 2)  # paper lightens all


@pytest.mark.parametrize("style", STYLES)
def test_a_camera_move_does_not_make_it_flicker(stylizer, style):
    source = PanSource(Path("sample"), sample_portrait(), seconds=0.16)
    portrait = stylizer.fit(source.first)
    crops = [portrait.crop.apply(frame.rgb) for frame in source]
    drawn = [frame.rgb for frame in stylizer.render(source, portrait, style=style, degree=1.0)]
    own, made = mean_flicker(crops, drawn)
    assert len(drawn) == 4 and made < own + 1.6  # levels of 255


@pytest.mark.parametrize("folder", CARDS)
def test_shipped_weights_are_small_and_have_a_card(folder):
    files = [file for folder in CARDS for file in (hub.CHECKPOINTS / folder).iterdir()]
    assert set(hub.SHIPPED) < set(CARDS)
    assert 20e6 < sum(file.stat().st_size for file in files) < 30e6
    card = (hub.CHECKPOINTS / folder / "README.md").read_text(encoding="utf-8")
    for words in CARDS[folder]:
        assert words in card


def test_readme_and_ci_give_the_same_test_command():
    root = Path(__file__).resolve().parent.parent
    command = next(line for line in (root / ".ci" / "run").read_text().splitlines() if "pytest" in line)
    assert command in (root / "README.md").read_text().splitlines()
