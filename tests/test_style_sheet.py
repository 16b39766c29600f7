import numpy as np

from model.inference.stylizer import Stylizer
from model.media.files import open_frames
from model.tools.style_sheet import DEGREES, LABEL_HEIGHT, WIDTH, main


def test_the_sheet_shows_every_style_and_degrees_lead_away_from_the_photo(call, tmp_path):
    file = tmp_path / "sheet.png"
    assert call(main, "--out", file) == 0
    with open_frames(file) as frames:
        sheet = frames.first.rgb.astype(int)
    styles = len(Stylizer.from_preset("starter", device="cpu").style.exemplar_names)
    assert sheet.shape[1] == (1 + len(DEGREES)) * WIDTH and sheet.shape[0] % styles == 0
    for row in np.split(sheet, styles):
        photo, *drawn = np.split(row[:-LABEL_HEIGHT], 1 + len(DEGREES), axis=1)
        away = [np.abs(picture - photo).mean() for picture in drawn]
        assert away == sorted(away) and away[-1] > away[0] + 2
