"""A clip whose style are paintings of its own frames: exported, painted over, carried, blended, suggested, refused."""

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import style_transfer
from model.common.errors import InputError
from model.faces.detect import find_landmarks
from model.inference.options import Options
from model.media.files import open_frames
from model.media.sample import PanSource, sample_portrait
from model.styles.base import Crop
from model.styles.keyframes.blend import Choice
from model.styles.keyframes.colours import Colours, beyond
from model.styles.keyframes.presets import parse_keyframes
from model.styles.keyframes.style import KeyframeStyle
from model.styles.keyframes.suggest import View, suggested
from tests.clips import make_clip
from tests.commands import assert_one_sentence
from tests.sitters import sitter

LAST = 12


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A short clip of the sample portrait, which moves."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    frames = [frame.rgb for frame in PanSource(path, sample_portrait(), 2.0)][: LAST + 1]
    return make_clip(path, frames, rate=25)


@pytest.fixture(scope="module")
def exported(clip):
    """Paths of the first and the last frame, to be painted over, and their pictures."""
    folder = clip.parent / "keys"
    run(clip, "--export_keyframe", "0", str(LAST), "--output_path", str(folder))
    paths = [folder / f"clip_key_{number:06d}.png" for number in (0, LAST)]
    return paths, [np.asarray(Image.open(path)) for path in paths]


def run(clip, *words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["style_transfer.py", str(clip), *words])
        style_transfer.main()


def stylised(clip, folder, *words):
    run(clip, "--output_path", str(folder), "--steady", "off", *words)
    with open_frames(folder / "clip_vtoonify_k.mp4") as source:
        return [frame.rgb.copy() for frame in source]


def saved(path, rgb):
    Image.fromarray(rgb).save(path)
    return path


def greens(rgb):
    """Where a picture is green paint: (x, y) of the middle, and how many pixels."""
    mask = (rgb[..., 1].astype(int) - np.maximum(rgb[..., 0], rgb[..., 2]) > 60).astype(np.uint8)
    moments = cv2.moments(mask, binaryImage=True)
    return np.array([moments["m10"], moments["m01"]]) / max(moments["m00"], 1), int(mask.sum())


def test_an_exported_frame_notes_where_it_is_from(exported):
    paths, pictures = exported
    with Image.open(paths[1]) as image:
        assert "keyframe" in image.info and f'"frame": {LAST}' in image.info["keyframe"]
    assert pictures[0].shape == pictures[1].shape and min(pictures[0].shape[:2]) > 200


def test_paint_stays_on_the_cheek(clip, exported, tmp_path):
    painted = exported[1][0].copy()
    face = find_landmarks(painted)
    cheek = (face[2] + face[31]) / 2
    cv2.circle(painted, cheek.round().astype(int).tolist(), 16, (20, 220, 40), -1)
    frames = stylised(clip, tmp_path, "--keyframe", f"0={saved(tmp_path / 'a.png', painted)}")
    assert len(frames) == LAST + 1
    first, count = greens(frames[0])
    assert count > 300
    for rgb in frames[4::4]:
        seen, now = find_landmarks(rgb), greens(rgb)
        assert np.linalg.norm(now[0] - (seen[2] + seen[31]) / 2) < 8 and now[1] > 0.7 * count
    assert np.linalg.norm(greens(frames[-1])[0] - first) > 5, "the face has moved"


def test_an_unpainted_frame_gives_the_photo(clip, exported, tmp_path):
    frames = stylised(clip, tmp_path, "--keyframe", f"0={exported[0][0]}", f"{LAST}={exported[0][1]}")
    run(clip, "--export_keyframe", "6", "--steady", "off", "--output_path", str(tmp_path))
    truth = np.asarray(Image.open(tmp_path / "clip_key_000006.png"))[: frames[6].shape[0], : frames[6].shape[1]]
    assert np.abs(cv2.blur(frames[6], (3, 3)).astype(int) - cv2.blur(truth, (3, 3))).mean() < 6


def test_patches_of_a_painting_follow_the_photo(tmp_path):
    subject = sitter(200)
    picture = 255 - subject.rgb
    style = KeyframeStyle({0: saved(tmp_path / "a.png", picture)}, "cpu")
    style.learn({0: Crop(subject.rgb, subject.landmarks, Fraction(0))})
    paints = style.renderer(None, synthesis="patch")
    for number in range(2):
        shift = np.float32([[1, 0, 3 * number], [0, 1, -2 * number]])
        rgb = cv2.warpAffine(subject.rgb, shift, subject.rgb.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)
        moved = cv2.transform(subject.landmarks[None], shift)[0].astype(np.float32)
        result = paints.start([Crop(rgb, moved, Fraction(number, 25))])()[0]
        away = np.abs(cv2.blur(result, (3, 3)).astype(int) - cv2.blur(255 - rgb, (3, 3)))
        assert away.mean() < 8, number


def test_between_two_paintings_each_place_is_of_one_of_them(clip, exported, tmp_path):
    paths = []
    for number, (channel, picture) in enumerate(zip((0, 2), exported[1], strict=True)):
        painted = picture // 3
        painted[..., channel] += 150
        paths.append(saved(tmp_path / f"{number}.png", painted))
    frames = stylised(clip, tmp_path, "--keyframe", f"0={paths[0]}", f"{LAST}={paths[1]}")
    shares = []
    for rgb in frames:
        red = rgb[..., 0].astype(int) - rgb[..., 2]
        shares.append((red > 0).mean())
        assert (np.abs(red) < 60).mean() < 0.3, "purple: a ghost of both"
    assert shares[0] > 0.99 and shares[-1] < 0.01
    assert np.all(np.diff(shares) < 0.05)


def test_without_a_face_paint_goes_with_the_flow(tmp_path):
    scene = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (260, 340)).astype(np.uint8), (0, 0), 4)
    scene = cv2.merge([cv2.normalize(scene, None, 40, 200, cv2.NORM_MINMAX)] * 3)
    clip = make_clip(
        tmp_path / "clip.mp4", [np.ascontiguousarray(scene[20:212, 3 * n : 3 * n + 256]) for n in range(11)]
    )
    run(clip, "--export_keyframe", "0", "--no_scale_image", "--output_path", str(tmp_path))
    painted = np.asarray(Image.open(tmp_path / "clip_key_000000.png")).copy()
    cv2.circle(painted, (150, 90), 14, (20, 230, 40), -1)
    frames = stylised(clip, tmp_path, "--no_scale_image", "--keyframe", f"0={saved(tmp_path / 'a.png', painted)}")
    for number in (0, 5, 10):
        place, count = greens(frames[number])
        assert count > 250 and np.linalg.norm(place - (150 - 3 * number, 90)) < 3


def test_a_face_may_come_late_or_be_hidden_where_it_was_painted(tmp_path):
    subject = sitter(200)
    style = KeyframeStyle({n: saved(tmp_path / f"{n}.png", 255 - subject.rgb) for n in (0, 4)}, "cpu")
    style.learn({0: Crop(subject.rgb, subject.landmarks, Fraction(0)), 4: Crop(subject.rgb, None, Fraction(4, 25))})
    paints = style.renderer(None)
    for number, landmarks in enumerate([None, None, subject.landmarks, subject.landmarks, None, subject.landmarks]):
        result = paints.start([Crop(subject.rgb, landmarks, Fraction(number, 25))])()[0]
        assert np.abs(result.astype(int) - (255 - subject.rgb)).mean() < 4, number


def test_a_layer_of_paint_lies_on_the_photo(tmp_path):
    subject = sitter(200)
    layer = np.zeros((*subject.rgb.shape[:2], 4), np.uint8)
    layer[20:60, 30:80] = 20, 220, 40, 255
    layer[60:90, 30:80] = 0, 0, 0, 128
    style = KeyframeStyle({0: saved(tmp_path / "layer.png", layer)}, "cpu")
    style.learn({0: Crop(subject.rgb, None, Fraction(0))})
    result = style.renderer(None).start([Crop(subject.rgb, None, Fraction(0))])()[0].astype(int)
    assert np.abs(result[100:] - subject.rgb[100:]).mean() < 2
    assert np.abs(result[25:55, 35:75] - (20, 220, 40)).mean() < 2
    assert np.abs(result[65:85, 35:75] - subject.rgb[65:85, 35:75] * 0.5).mean() < 3


def test_no_painting_is_exported_over(clip, tmp_path, call, capsys):
    words = str(clip), "--export_keyframe", "0", "--output_path", str(tmp_path)
    path = tmp_path / "clip_key_000000.png"
    run(*words)
    run(*words)  # as it is, it may be written again
    painted = np.asarray(Image.open(path)).copy()
    painted[:20] = 255
    saved(path, painted)
    capsys.readouterr()
    code = call(style_transfer.main, *words)
    assert_one_sentence((code, *capsys.readouterr()), "may have painted it")
    assert np.array_equal(np.asarray(Image.open(path)), painted)


def test_a_shot_that_no_painting_shows_takes_colours_alone(tmp_path):
    """Red of a first shot, green of a last one; the one between is of neither."""
    rng = np.random.default_rng(3)
    shots = [cv2.GaussianBlur(rng.integers(0, 256, (96, 128)).astype(np.uint8), (0, 0), 9) for _ in range(3)]
    shots = [cv2.merge([cv2.normalize(shot, None, 30, 220, cv2.NORM_MINMAX)] * 3) for shot in shots]
    shots[1] = 255 - shots[0] // 2  # as unlike as can be
    red, green = (
        np.where(np.arange(3) == channel, shot, shot // 4) for channel, shot in ((0, shots[0]), (1, shots[2]))
    )
    paths = [saved(tmp_path / f"{name}.png", paint.astype(np.uint8)) for name, paint in (("r", red), ("g", green))]
    crops = [Crop(shots[n // 4], None, Fraction(n, 25), is_cut=n in (4, 8)) for n in range(12)]
    style = KeyframeStyle({0: paths[0], 10: paths[1]}, "cpu")
    style.learn({0: crops[0], 10: crops[10]})
    paints = style.renderer(None)
    pictures = [paints.start([crop])()[0].astype(int) for crop in crops]
    assert all(np.abs(picture - red).mean() < 6 for picture in pictures[:4]), "nothing of the last shot leaks in"
    assert all(np.abs(picture - green).mean() < 6 for picture in pictures[8:])
    grey = cv2.GaussianBlur(shots[1], (0, 0), 1).astype(int)
    for picture in pictures[4:8]:
        assert picture[..., 0].mean() > 1.5 * picture[..., 1].mean(), "the colours of the nearest painting"
        assert np.corrcoef(picture[..., 0].ravel(), grey[..., 0].ravel())[0, 1] > 0.8, "and nothing is bent"


def test_what_was_out_of_sight_takes_the_colours_of_the_painting():
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[:, :30], photo[:, 30:] = (200, 60, 60), (40, 60, 200)
    picture = photo[..., ::-1].copy()
    seen = Colours(photo, picture)(np.full((4, 4, 3), (40, 60, 200), np.uint8))
    assert np.abs(seen - (200, 60, 40)).max() < 8
    field = np.stack(np.meshgrid(np.arange(60, dtype=np.float32), np.arange(40, dtype=np.float32)), -1)
    assert beyond(field, (40, 60)) is None
    share = beyond(field + np.float32((20, 0)), (40, 60))
    assert share[:, 45:].min() > 0.95 and share[:, :35].max() < 0.05


def test_a_choice_follows_what_is_seen_not_time_alone():
    rng = np.random.default_rng(0)
    early, late = (cv2.blur(rng.integers(0, 256, (64, 96, 3)).astype(np.uint8), (5, 5)) for _ in range(2))
    frame = np.hstack([early[:, :48], late[:, 48:]])
    field = np.stack(np.meshgrid(np.arange(96, dtype=np.float32), np.arange(64, dtype=np.float32)), -1)
    share = Choice()(frame, (early, late), (field, field), 0.5)
    assert share[:, :40].mean() < 0.1 and share[:, 56:].mean() > 0.9


def test_suggested_frames_see_what_others_do_not():
    rng = np.random.default_rng(2)
    scenes = [cv2.blur(rng.integers(0, 256, (80, 80, 3)).astype(np.uint8), (9, 9)) for _ in range(3)]
    views = []
    for number in range(30):
        noise = rng.normal(0, 2, scenes[0].shape)
        rgb = np.clip(scenes[(number >= 10) + (number >= 24)] + noise, 0, 255).astype(np.uint8)
        views.append(View.of(number, Crop(rgb, None, Fraction(number, 25))))
    chosen = suggested(views, 3)
    assert [(number >= 10) + (number >= 24) for number in chosen] == [0, 1, 2]
    assert suggested(views, 1)[0] in range(10, 24), "the one that is like most"
    assert len(suggested(views[:2], 5)) == 2


def test_suggestions_are_named_and_shown(clip, tmp_path, capsys):
    run(clip, "--suggest_keyframes", "2", "--output_path", str(tmp_path))
    told = capsys.readouterr().out
    assert "frames worth painting" in told and "--export_keyframe" in told
    assert (tmp_path / "clip_keyframes.jpg").is_file()


def test_paintings_count_among_what_a_result_depends_on(exported):
    options = Options(content=["clip.mp4"], keyframe=[f"0={exported[0][0]}"])
    assert any(file.endswith("clip_key_000000.png") for file in options.facts("clip.mp4")["files"])
    assert isinstance(parse_keyframes(["3=a.png", "0=b.png"]).paintings[0][0], int)


def test_frames_that_were_never_shown_are_told(exported):
    style = KeyframeStyle({0: exported[0][0]}, "cpu")
    crop = Crop(exported[1][0], None, Fraction(0))
    with pytest.raises(InputError, match="not shown"):
        style.renderer(None).start([crop])()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--keyframe", "a.png"], "write FRAME=PICTURE"),
        (["--keyframe", "0={0}", "0={1}"], "frame 0 twice"),
        (["--keyframe", "0=missing.png"], "missing.png"),
        (["--keyframe", "3={0}"], "over frame 0, not 3"),
        (["--keyframe", "999={plain}"], "no frame 999"),
        (["--keyframe", "0={small}"], "keep its size"),
        (["--keyframe", "0={other}"], "another clip"),
        (["--keyframe", "0={0}", "--style_id", "oil"], "a style of its own"),
        (["--keyframe", "0={0}", "--export_keyframe", "1"], "exclude each other"),
        (["--keyframe", "0={0}", "--faces", "all", "--full_frame", "1"], "for one face"),
        (["--export_keyframe", "50"], "no frame 50"),
    ],
)
def test_what_cannot_work_is_one_sentence(clip, exported, words, told, call, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths, pictures = exported
    names = {
        "plain": saved(tmp_path / "plain.png", pictures[0]),
        "small": saved(tmp_path / "small.png", pictures[0][8:]),
    }
    note = Image.open(paths[0]).info["keyframe"]
    changed, info = json.loads(note), PngInfo()
    changed["thumbnail"] = (255 - np.array(changed["thumbnail"])).tolist()
    info.add_text("keyframe", json.dumps(changed))
    names["other"] = tmp_path / "other.png"
    Image.fromarray(pictures[0]).save(names["other"], pnginfo=info)
    filled = [word.replace("{0}", str(paths[0])).replace("{1}", str(paths[1])) for word in words]
    filled = [word.format(**names) if "{" in word else word for word in filled]
    capsys.readouterr()
    code = call(style_transfer.main, str(clip), *filled)
    assert_one_sentence((code, *capsys.readouterr()), told)


def test_a_photo_has_no_frames_to_paint(exported, call, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = call(style_transfer.main, str(exported[0][0]), "--keyframe", f"0={exported[0][1]}")
    assert_one_sentence((code, *capsys.readouterr()), "is a photo")
