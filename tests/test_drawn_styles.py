from itertools import combinations

import cv2
import numpy as np
import pytest
import skimage.data

from model.common.errors import InputError
from model.training.drawn.geometry import align_portrait
from model.training.drawn.parsing import REGIONS, parse_portrait
from model.training.drawn.raster import to_lab
from model.training.drawn.styles import SHIPPED, DrawnStyle, load_style, style_names
from model.training.drawn.teacher import Drawing, draw_full
from model.training.drawn.warp import displace
from tests.portrait import LANDMARKS
from tests.portrait import PORTRAIT_SIZE as SIZE

STYLE_NAMES = ["film", "ink", "painterly", "watercolour"]


def changed(style, **values):
    return DrawnStyle(**vars(style) | values)


def scale_lightness(rgb, factor):
    lab = to_lab(rgb)
    lab[..., 0] *= factor
    return np.round(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1) * 255).astype(np.uint8)


def skin_colours(drawing: Drawing, parsing):
    """Lab colours [N, 3] of the face's skin in the photo, and in the drawing."""
    skin = np.ascontiguousarray(parsing.regions[..., REGIONS.index("skin")])
    drawn_skin = displace(skin, drawing.warp.field(skin.shape, 1.0), cv2.INTER_LINEAR)
    return to_lab(drawing.photo)[skin > 0.6], to_lab(drawing.full)[drawn_skin > 0.6]


def written(folder, text, name="mine.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_copied_style_draws_the_same_until_it_is_changed(tmp_path):
    assert style_names() == STYLE_NAMES
    text = (SHIPPED / "ink.toml").read_text(encoding="utf-8")
    assert changed(load_style(written(tmp_path, text)), name="ink") == load_style("ink")
    own = load_style(str(written(tmp_path, "ink_colour = [9, 0, -5]\n[shape]\neye_width = 1.1\n")))
    film = load_style("film")
    film.shape.eye_width = 1.1
    assert own == changed(film, name="mine", ink_colour=[9, 0, -5]), "film is the default"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("inc = 0.5", r"mine\.toml has an unknown key 'inc'.*\bink\b"),
        ("name = 'mine'", r"unknown key 'name'"),
        ("[shape]\nears = 1", r"mine\.toml has an unknown key 'shape\.ears'.*eye_width"),
        ("shape = 1", r"mine\.toml: 'shape' must be a table, written \[shape\]"),
        ("ink = 'much'", r"mine\.toml: 'ink' must be a number, not 'much'"),
        ("ink = true", r"'ink' must be a number, not True"),
        ("ink = nan", r"mine\.toml: 'ink' must lie between 0 and 1, not nan"),
        ("[shape]\njaw_width = 0.1", r"'shape\.jaw_width' must lie between 0\.7 and 1\.2"),
        ("skin_tones = [1, 2]", r"'skin_tones' must be a list of 3 numbers"),
        ("skin_tones = [1, 2, 300]", r"'skin_tones' must lie between -40 and 30"),
        ("ink =", r"mine\.toml is not a TOML file"),
        ("charcoal", r"no drawn style 'charcoal'.*film, ink, painterly, watercolour"),
        ("none.toml", r"none\.toml cannot be read"),
        ("My Style.toml", "rename the file"),
    ],
)
def test_mistakes_in_a_style_are_named(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as caught:
        load_style(written(tmp_path, text) if "=" in text else text)
    assert "\n" not in str(caught.value)


def test_styles_differ_clearly(portrait, parsing):
    drawn = [draw_full(portrait[0], load_style(name), parsing).full for name in STYLE_NAMES]
    pairs = combinations([picture.astype(float) for picture in (*drawn, portrait[0])], 2)
    assert min(np.abs(one - other).mean() for one, other in pairs) > 6


@pytest.mark.parametrize("factor", [1.0, 0.75, 0.5])
@pytest.mark.parametrize("name", STYLE_NAMES)
def test_skin_of_every_shade_keeps_its_lightness_and_colour(portrait, name, factor):
    rgb = scale_lightness(portrait[0], factor)
    parsing, style = parse_portrait(rgb, portrait[1]), load_style(name)
    before, after = skin_colours(draw_full(rgb, style, parsing), parsing)
    assert abs(after[:, 0].mean() - before[:, 0].mean() - style.skin_lift) < 3
    chroma = [np.hypot(colours[:, 1], colours[:, 2]).mean() for colours in (before, after)]
    assert chroma[1] > 0.95 * chroma[0]


@pytest.mark.parametrize("name", STYLE_NAMES)
def test_grey_photos_stay_grey_in_every_style(portrait, parsing, name):
    grey = np.repeat(cv2.cvtColor(portrait[0], cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    full = draw_full(grey, load_style(name), parsing).full.astype(int)
    assert np.ptp(full, axis=-1).max() <= 2


def test_night_faces_come_out_of_the_dark_and_not_grey(portrait, parsing):
    night = scale_lightness(portrait[0], 0.2)
    for name in STYLE_NAMES:
        before, after = skin_colours(draw_full(night, load_style(name), parsing), parsing)
        assert 3 < after[:, 0].mean() - before[:, 0].mean() < 15
        assert np.hypot(after[:, 1], after[:, 2]).mean() > np.hypot(before[:, 1], before[:, 2]).mean()


def test_ink_draws_dark_lines(portrait, parsing):
    styles = load_style("ink"), changed(load_style("ink"), ink=0.0)
    drawn, bare = (to_lab(draw_full(portrait[0], style, parsing).full)[..., 0] for style in styles)
    assert (bare - drawn > 10).mean() > 0.01


def test_paper_shows_in_the_corners_and_not_on_the_face():
    style = load_style("watercolour")
    far = align_portrait(skimage.data.astronaut(), LANDMARKS, SIZE, eye_fraction=0.12)
    parsing = parse_portrait(*far)
    with_paper, without = (draw_full(far[0], s, parsing).full.astype(int) for s in (style, changed(style, paper=0.0)))
    difference = (with_paper - without).sum(-1)
    middle = np.s_[SIZE // 2 - 20 : SIZE // 2 + 20]
    assert abs(difference[middle, middle]).max() <= 3
    assert difference[:20, :20].mean() > 30


@pytest.mark.parametrize("step", ["brush_size", "outline", "rim_light", "pigment", "glow"])
def test_steps_at_zero_change_nothing_and_otherwise_something(portrait, parsing, step):
    plain = changed(load_style("film"), ink=0.5, glow=0.0)
    bare = draw_full(portrait[0], plain, parsing).full.astype(int)
    value = 0.05 if step == "brush_size" else 0.9
    assert np.abs(draw_full(portrait[0], changed(plain, **{step: value}), parsing).full - bare).mean() > 0.05
