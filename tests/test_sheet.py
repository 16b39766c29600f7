"""The sheet of all styles, and style pictures of one's own making."""

import numpy as np
import pytest
from PIL import Image

import style_transfer
from model.inference import sheet
from model.media.sample import sample_portrait
from model.styles.catalog import EXEMPLARS, PAINTERS, PRESETS
from model.styles.example.exemplar import load_exemplar
from model.tools import make_exemplar


def test_the_sheet_has_every_look_that_needs_no_download():
    shown = {name: preset.name for preset, names in sheet.offline() for name in names}
    assert shown["comic"] == shown["watercolour"] == "painters" and shown["popart"] == "exemplars"
    assert shown["film"] == "starter" and "starter-pd" not in shown.values(), "twins are left out"
    assert len(shown) == 5 + 6 + 3
    assert PRESETS[:2] == (PAINTERS, EXEMPLARS), "the boldest first"


def test_pictures_of_any_shape_fill_their_cells():
    wide, high = np.full((100, 300, 3), 50, np.uint8), np.full((900, 200, 3), 200, np.uint8)
    whole = sheet.arranged([("a", "", wide), ("b", "painters", high)] * 4)
    (width, height), gap = sheet.CELL, sheet.GAP
    assert whole.shape == (2 * (height + sheet.LABEL) + gap, 5 * (width + gap) + gap, 3)
    assert (whole[gap : gap + height, gap : gap + width] == 50).all()
    assert (whole[gap : gap + height, 2 * gap + width : 2 * (gap + width)] == 200).all()
    labels = whole[gap + height : gap + height + sheet.LABEL - 4, gap : gap + width]
    assert labels.min() < 60, "names are written below"


def test_nothing_named_gives_the_sheet_of_the_sample_portrait(tmp_path, monkeypatch, call, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sheet, "offline", lambda: [(PAINTERS, ["comic"]), (EXEMPLARS, ["popart"])])
    monkeypatch.setattr(sheet, "PADDING", (60, 60, 60, 70))
    assert call(style_transfer.main, "--cpu") == 0
    told = capsys.readouterr().out
    assert told.startswith("the sample portrait → output/astronaut_sheet.jpg\n") and "--style_id comic" in told
    with Image.open("output/astronaut_sheet.jpg") as image:
        pixels = np.asarray(image).astype(int)
    (width, height), gap = sheet.CELL, sheet.GAP
    photo, comic, popart = (pixels[gap : gap + height, gap + n * (width + gap) :][:, :width] for n in range(3))
    assert np.abs(photo - comic).mean() > 20 and np.abs(photo - popart).mean() > 30
    Image.fromarray(sample_portrait()[:300, 60:380]).save("me.png")
    assert call(style_transfer.main, "me.png", "--sheet", "--cpu") == 0
    assert "me.png → output/me_sheet.jpg" in capsys.readouterr().out
    assert call(style_transfer.main, "webcam", "--sheet") == 2
    assert "--sheet is for files" in capsys.readouterr().err


def test_a_style_picture_is_made_of_a_photo(tmp_path, monkeypatch, call, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(sample_portrait()[:300, 60:380]).save("me.png")
    (tmp_path / "dots.toml").write_text('painter = "comic"\ndot_spacing = 0.09\n')
    arguments = "me.png", "--painter", "dots.toml", "--side", "400", "--out", "me_style.jpg"
    assert call(make_exemplar.main, *arguments) == 0
    assert "me.png → me_style.jpg" in capsys.readouterr().out
    exemplar = load_exemplar("me_style.jpg")
    assert exemplar.likeness is not None and exemplar.likeness.shape == exemplar.picture.shape
    assert np.abs(exemplar.likeness.astype(int) - exemplar.picture).mean() > 15
    for wrong in (["me.png", "--painter", "clay"], ["me.png", "--out", "me.png"], []):
        assert call(make_exemplar.main, *wrong) == 2
    assert sorted(path.name for path in tmp_path.glob("me*")) == [
        "me.png", "me_style.jpg", "me_style.landmarks.txt", "me_style.photo.jpg"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("style", "told"), [("oily", "perhaps oil"), ("comik", "perhaps comic"), ("inkk", "perhaps ink")]
)
def test_a_style_that_was_meant_is_named(style, told, call, capsys):
    assert call(style_transfer.main, "--style_id", style) == 2
    assert told in capsys.readouterr().err


def test_people_take_looks_of_any_kind():
    from model.inference.options import Options

    options = Options(
        content=["group.jpg"], faces="all", full_frame=1, styles="1=comic,2=fauve@0.5,3=comic:28,4=ink,5=cartoon"
    )
    chosen = {number: (choice.preset, choice.style) for number, choice in options.choices.items()}
    assert chosen == {
        1: ("painters", "comic"), 2: ("exemplars", "fauve"), 3: ("comic", "28"), 4: (None, "ink"), 5: ("cartoon", None),
    }  # fmt: skip
