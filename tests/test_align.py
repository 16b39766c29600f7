import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from model.common.errors import InputError
from model.faces.landmarks import MEAN_FACE, eye_centres, face_at, in_aligned, tilt
from model.media.sample import sample_portrait
from model.training.own import align
from tests.portrait import LANDMARKS

SIZE = 128
FACE = (90, 10, 350, 290)  # left, top, right, bottom: head and shoulders in the sample portrait
EYES = {"left_eye": [201.2, 102.2], "right_eye": [246.5, 103.7], "mouth": [223.5, 140.0]}


def sample() -> Image.Image:
    return Image.fromarray(sample_portrait()).crop((0, 0, 400, 300))


def pattern(seed: int) -> Image.Image:
    """A picture that shows nobody, and is like no other."""
    noise = np.random.default_rng(seed).integers(0, 255, (20, 20, 3), np.uint8)
    return Image.fromarray(noise).resize((160, 160), Image.Resampling.BICUBIC)


def saved(folder: Path, **pictures: Image.Image) -> list[Path]:
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in pictures]


def run(paths: list[Path], points=None) -> tuple[list[align.Aligned], list[str]]:
    told = []
    return align.align_folder(paths, SIZE, points, tell=told.append), told


def test_a_face_is_framed_as_in_ffhq_and_its_landmarks_go_with_it(tmp_path):
    ((face,), told) = run(saved(tmp_path, her=sample()))
    assert face.picture.shape == (SIZE, SIZE, 3) and not told and not face.doubt
    left, right = eye_centres(face.landmarks)
    assert np.allclose((left + right) / 2, (0.5 * SIZE, 0.475 * SIZE), atol=0.03 * SIZE)
    assert 0.2 < (right - left)[0] / SIZE < 0.27 and abs(tilt(face.landmarks)) < 3
    dark = face.picture[np.rint(left[1]).astype(int)].astype(int).sum(1)  # the eyes are darker than what is between
    assert dark[[round(left[0]), round(right[0])]].max() < dark[SIZE // 2 - 3 : SIZE // 2 + 3].mean()


def test_landmarks_in_the_aligned_picture_are_where_the_picture_shows_them(tmp_path):
    dotted = sample_portrait()[:300, :400].copy()
    x, y = np.rint(LANDMARKS[30]).astype(int)  # tip of the nose
    dotted[y - 1 : y + 2, x - 1 : x + 2] = (0, 255, 0)
    face = align.Aligned(saved(tmp_path, her=Image.fromarray(dotted))[0], SIZE, LANDMARKS)
    picture = face.picture.astype(int)
    rows, columns = np.nonzero(picture[..., 1] - picture[..., (0, 2)].max(-1) > 80)
    assert np.allclose((columns.mean(), rows.mean()), face.landmarks[30], atol=1)


def test_what_cannot_be_used_is_left_out_and_named(tmp_path):
    two = Image.new("RGB", (520, 280))
    two.paste(sample().crop(FACE), (0, 0))
    two.paste(ImageOps.mirror(sample().crop(FACE)), (260, 0))
    tiny = sample().crop(FACE).resize((52, 56))
    paths = saved(tmp_path, nobody=pattern(0), two=two, tiny=tiny, her=sample())
    (tmp_path / "damaged.png").write_bytes(paths[0].read_bytes()[:2000])
    found, told = run([*paths, tmp_path / "damaged.png"])
    assert [face.path.name for face in found] == ["her.png"]
    for name, reason in (("nobody", "no face that is found"), ("two", "2 faces: cut one out"),
                         ("tiny", "pixels, and 48 are the least"), ("damaged", "damaged")):  # fmt: skip
        (line,) = [line for line in told if f"{name}.png" in line]
        assert line.startswith("Left out: ") and reason in line and "\n" not in line
    with pytest.raises(InputError, match="no face that is found: name eyes and mouth"):
        run(paths[:1])
    with pytest.raises(InputError, match="None of the 2 pictures can be used"):
        run(paths[:2])
    with pytest.raises(InputError, match="no pictures"):
        run([])


def test_copies_are_told_and_left_out_whatever_their_size_and_kind(tmp_path):
    first, small = saved(tmp_path, first=sample(), small=sample().resize((320, 240)))
    same = tmp_path / "zsame.png"
    same.write_bytes(first.read_bytes())
    sample().save(tmp_path / "photo.jpg", quality=80)
    mirrored = saved(tmp_path, mirrored=ImageOps.mirror(sample()))
    found, told = run([first, small, same, tmp_path / "photo.jpg", *mirrored])
    assert [face.path.name for face in found] == ["first.png", "mirrored.png"]
    assert len(told) == 3 and all("shows the same as first.png" in line for line in told)


def test_grey_blurred_tilted_and_cut_off_faces_are_doubtful(tmp_path):
    grey, lying = ImageOps.grayscale(sample()), sample().crop(FACE).rotate(70, expand=True, fillcolor="grey")
    small = sample().crop(FACE).resize((130, 140)).filter(ImageFilter.GaussianBlur(0.5))
    cut = sample().crop((170, 70, 280, 185)).resize((330, 345))
    names = {"grey": grey, "lying": lying, "small": small, "cut": cut}
    points = {"cut.png": {part: [(x - 170) * 3, (y - 70) * 3] for part, (x, y) in EYES.items()}}
    for name, reason in (("grey", "it is grey"), ("lying", "tilted by 6"), ("small", "takes only 8"),
                         ("cut", "lies outside of the picture")):  # fmt: skip
        own = {key: value for key, value in points.items() if key == f"{name}.png"}
        ((face,), told) = run(saved(tmp_path, **{name: names[name]}), own)
        assert reason in face.doubt, (name, face.doubt)
        assert told == [f"Look at {face.path}: {face.doubt}."]


def test_points_by_hand_find_a_face_that_no_detector_does(tmp_path):
    hidden = sample()
    hidden.paste(pattern(1).resize((120, 110)), (165, 75))
    paths = saved(tmp_path, hidden=hidden)
    ((face,), _) = run(paths, {"hidden.png": EYES})
    ((known,), _) = run(saved(tmp_path, her=sample()))
    assert np.abs(in_aligned(LANDMARKS, face.source_landmarks, SIZE) - known.landmarks).max() < 0.04 * SIZE
    with pytest.raises(InputError, match="points are given for other.png, which is not among"):
        run(paths, {"other.png": EYES})


def test_a_face_from_eyes_and_mouth_has_them_where_they_were_put():
    points = [(10, 40), (60, 30), (45, 90)]
    for face in (face_at(*points), face_at(points[1], points[0], points[2])):  # as seen from either side
        found = [face[36:42].mean(0), face[42:48].mean(0), face[[48, 54]].mean(0)]
        assert np.allclose(found, points, atol=1e-3)
    assert np.allclose(
        in_aligned(MEAN_FACE, MEAN_FACE, 2), in_aligned(MEAN_FACE * 3 + 5, MEAN_FACE * 3 + 5, 2), atol=1e-4
    )


def test_a_face_unlike_the_others_of_its_folder_is_an_outlier():
    rng = np.random.default_rng(0)
    faces = [align.Aligned(Path(f"{n}.png"), SIZE, MEAN_FACE * 100 + rng.normal(0, 1, (68, 2))) for n in range(8)]
    slipped = MEAN_FACE * 100
    slipped[48:68] += (90, -30)
    marked = align.with_outliers([*faces, align.Aligned(Path("slipped.png"), SIZE, slipped)])
    assert [bool(face.doubt) for face in marked] == [False] * 8 + [True]
    alone = align.with_outliers([align.Aligned(Path("slipped.png"), SIZE, slipped, "it is grey")])
    assert alone[0].doubt.startswith("it is grey; eyes and mouth lie elsewhere")
    assert not align.with_outliers(faces[:1])[0].doubt


@pytest.mark.parametrize("content", [
    "nothing", "[]", '{"a.png": {"left_eye": [1, 2], "right_eye": [3, 4]}}', '{"a.png": 3}',
    '{"a.png": {"left_eye": [1, 2, 3], "right_eye": [3, 4], "mouth": [2, 9]}}',
    '{"a.png": {"left_eye": [1, 2], "right_eye": [3, 4], "mouth": [5, 6]}}',
    '{"a.png": {"left_eye": [1, NaN], "right_eye": [3, 4], "mouth": [5, 16]}}'])  # fmt: skip
def test_a_file_that_holds_no_points_is_told_in_a_sentence(tmp_path, content):
    (tmp_path / "points.json").write_text(content)
    with pytest.raises(InputError, match="points.json") as caught:
        align.read_points(tmp_path / "points.json")
    assert "\n" not in str(caught.value)


def test_the_program_writes_faces_and_a_sheet(tmp_path, call, capsys):
    (tmp_path / "in").mkdir()
    saved(tmp_path / "in", her=sample(), hidden=pattern(2), nobody=pattern(3))
    (tmp_path / "points.json").write_text(json.dumps({"hidden.png": EYES}))
    words = ("--data", tmp_path / "in", "--out", tmp_path / "out", "--size", SIZE, "--points", tmp_path / "points.json")
    assert call(align.main, *words) == 0
    assert "2 of 3 pictures are in" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["faces", "overlay.jpg"]
    faces = tmp_path / "out/faces"  # which other programs read as a whole
    assert sorted(path.name for path in faces.iterdir()) == ["0000_her.png", "0001_hidden.png"]
    assert Image.open(faces / "0000_her.png").size == (SIZE, SIZE)
    assert call(align.main, "--data", tmp_path / "nowhere") == 2


def test_the_sheet_shows_the_doubtful_first_and_no_more_than_asked(tmp_path):
    (path,) = saved(tmp_path, her=sample())
    faces = [align.Aligned(path, SIZE, LANDMARKS, "") for _ in range(5)]
    faces[4] = replace(faces[4], doubt="the face was hard to find, and the rest of this sentence has no room")
    sheet = align.overlay_sheet(faces, most=4)
    assert sheet.shape == (2 * (align.CELL + align.CAPTION), 2 * align.CELL, 3)
    red = (sheet[..., 0] > 200) & (sheet[..., 1] < 60)
    assert red[:, : align.CELL].sum() > 1000 and red[:, align.CELL :].sum() < 200
