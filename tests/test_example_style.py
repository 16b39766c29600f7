"""A picture as the style, from the files to the results."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from PIL import Image

import style_transfer
from model.common.errors import InputError
from model.faces.landmarks import open_eye
from model.inference.stylizer import Stylizer
from model.media.files import open_frames
from model.media.sample import sample_portrait
from model.styles.base import Crop
from model.styles.catalog import choose_preset, preset_with
from model.styles.example.exemplar import Exemplar, load_exemplar, resized_by
from model.styles.example.finish import Finish, missing_parts
from model.styles.example.labels import CLOTHES, HAIR
from model.styles.example.style import ExampleStyle
from tests.clips import make_clip
from tests.portrait import LANDMARKS
from tests.sitters import sitter


def blue_painting(rgb: np.ndarray) -> np.ndarray:
    """A picture in four blue tones with diagonal strokes."""
    grey = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (0, 0), 2)
    rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    tone = np.clip(grey // 64 * 64 + 12 * ((rows + columns) // 3 % 2), 0, 255).astype(np.uint8)
    return np.dstack([tone // 4, tone // 2, np.clip(tone.astype(int) + 60, 0, 255).astype(np.uint8)])


@pytest.fixture(scope="module")
def subject():
    return sitter(420)


@pytest.fixture(scope="module")
def exemplar(subject):
    return Exemplar(blue_painting(subject.rgb), subject.landmarks)


def rendered(exemplar, crop, **look):
    return ExampleStyle({"blue": exemplar}, "blue", "none", "cpu").renderer(None, **look).start([crop])()[0]


@pytest.fixture
def painting(subject, tmp_path, monkeypatch):
    """The picture as a file with landmarks, in the working folder."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(blue_painting(subject.rgb)).save("blue.png")
    np.savetxt("blue.landmarks.txt", subject.landmarks, "%.1f")
    return tmp_path


def test_the_exemplar_in_its_own_style_is_itself(subject, exemplar):
    result = rendered(exemplar, Crop(exemplar.picture, subject.landmarks), keep_tone="off")
    away = np.abs(result.astype(int) - exemplar.picture).mean(axis=2)
    assert (away < 8).mean() > 0.75 and away.mean() < 9


def test_a_portrait_takes_the_colours_and_strokes_of_the_picture(subject, exemplar):
    mirrored = np.ascontiguousarray(subject.rgb[:, ::-1])
    points = subject.landmarks.copy()
    points[:, 0] = subject.rgb.shape[1] - 1 - points[:, 0]
    order = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38,
             37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), 64, 63, 62, 61, 60, 67, 66, 65]  # fmt: skip
    result = rendered(exemplar, Crop(mirrored, points[order]))
    assert result.shape == mirrored.shape and result.dtype == np.uint8
    assert result[..., 2].mean() > result[..., 0].mean() + 50, "blue"
    assert np.abs(result.astype(int) - mirrored).mean() > 25
    light, dark = (result[mirrored.mean(axis=2) > 170], result[mirrored.mean(axis=2) < 60])
    assert light.mean() > dark.mean() + 30, "what is light is light there, too"


def test_degree_area_and_size_of_strokes(subject, exemplar):
    crop = Crop(subject.rgb, subject.landmarks)
    full, half = rendered(exemplar, crop), rendered(exemplar, crop, degree=0.5)
    assert np.abs(half - (full.astype(int) + subject.rgb) / 2).max() <= 1
    assert np.array_equal(rendered(exemplar, crop, degree=0.0), subject.rgb)
    head = rendered(exemplar, crop, example_area="head")
    assert np.array_equal(head[:30, :30], subject.rgb[:30, :30]) and np.array_equal(head[-3:], subject.rgb[-3:])
    x, y = subject.landmarks[30].astype(int)
    assert np.abs(head[y, x].astype(int) - full[y, x]).max() <= 2
    assert np.abs(rendered(exemplar, crop, style_size=1.6).astype(int) - full).mean() > 3


def test_before_a_camera_it_paints_from_a_smaller_picture(exemplar):
    large = resized_by(exemplar, (0.9e6 / exemplar.picture[..., 0].size) ** 0.5)
    style = ExampleStyle({"blue": large}, "blue", "none", "cpu")
    live = style.live()
    assert live.exemplar().picture[..., 0].size < 0.5e6 < style.exemplar().picture[..., 0].size
    assert live.eye_distance == pytest.approx(live.exemplar().eye_distance) and live.eye_distance < style.eye_distance


def test_dark_skin_is_darker_where_the_tone_is_kept(subject, exemplar):
    dark = (subject.rgb * np.float32((0.5, 0.42, 0.4))).astype(np.uint8)
    crop = Crop(dark, subject.landmarks)
    kept, plain = rendered(exemplar, crop, keep_tone="on"), rendered(exemplar, crop, keep_tone="off")
    x, y = subject.landmarks[[2, 31]].mean(0).astype(int)
    assert kept[y - 4 : y + 4, x - 4 : x + 4].mean() < 0.9 * plain[y - 4 : y + 4, x - 4 : x + 4].mean()


def shut(landmarks: np.ndarray) -> np.ndarray:
    closed = landmarks.copy()
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46), (61, 67), (62, 66), (63, 65)):
        closed[upper] = closed[lower] = (landmarks[upper] + landmarks[lower]) / 2
    return closed


def test_open_mouths_and_closed_eyes_that_the_exemplar_lacks_are_found():
    closed, size = shut(LANDMARKS), (300, 400)
    assert open_eye(closed[36:42]) == 0 < 1 == open_eye(LANDMARKS[36:42])
    assert missing_parts(LANDMARKS, LANDMARKS, size) is None and missing_parts(closed, closed, size) is None
    mouth = missing_parts(LANDMARKS, closed, size)
    x, y = LANDMARKS[60:].mean(0).astype(int)
    assert mouth[y, x] > 0.5 and mouth[int(LANDMARKS[38, 1]), int(LANDMARKS[38, 0])] == 0
    eyes = missing_parts(closed, LANDMARKS, size)
    x, y = LANDMARKS[36:42].mean(0).astype(int)
    assert eyes[y, x] > 0.9 and eyes[int(LANDMARKS[66, 1]), int(LANDMARKS[66, 0])] == 0


def test_an_open_mouth_is_as_dark_as_in_the_photo(subject, exemplar):
    photo, points = subject.rgb.copy(), subject.landmarks.round().astype(np.int32)
    cv2.fillPoly(photo, [points[60:]], (20, 5, 5))
    silent = Exemplar(exemplar.picture, shut(subject.landmarks))
    result = rendered(silent, Crop(photo, subject.landmarks))
    x, y = subject.landmarks[60:].mean(0).astype(int)
    silent_mouth = rendered(silent, Crop(exemplar.picture, shut(subject.landmarks)))[y - 2 : y + 3, x - 2 : x + 3]
    assert result[y - 2 : y + 3, x - 2 : x + 3].mean() < 0.75 * silent_mouth.mean()


def test_shade_on_skin_has_the_colours_of_the_exemplar(subject):
    """Of a drawing in red on cream, what is made darker is redder, not greyer."""
    ink, paper = np.float32((140, 40, 30)), np.float32((245, 225, 190))
    tone = cv2.cvtColor(subject.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 255
    drawing = (ink + tone * (paper - ink)).astype(np.uint8)
    finish = Finish(Exemplar(drawing, subject.landmarks, likeness=subject.rgb), keep_tone=False)
    light = np.full((20, 20, 3), ink + 0.8 * (paper - ink), np.uint8)
    darker = finish._lighter(light, np.full((20, 20), -50, np.float32)).astype(int)
    change = light.astype(int) - darker
    assert 40 < cv2.cvtColor(change.astype(np.uint8), cv2.COLOR_RGB2GRAY).mean() < 60
    assert change[..., 0].mean() + 10 < change[..., 2].mean() < change[..., 1].mean()


def test_paper_that_was_left_bare_is_painted_nowhere(subject):
    """A vignette: hair and clothes fade into white paper."""
    rows, columns = np.mgrid[: subject.rgb.shape[0], : subject.rgb.shape[1]]
    x, y = subject.landmarks[30]
    share = np.clip(np.hypot(columns - x, rows - y) / (1.3 * (subject.landmarks[8, 1] - y)) - 1, 0, 1)[..., None]
    picture = (subject.rgb // 2 + share * (250 - subject.rgb // 2)).astype(np.uint8)
    vignette = Exemplar(picture, subject.landmarks, likeness=subject.rgb)
    bare = picture.min(axis=-1) > 246
    usable = np.isin(vignette.guides.labels, (HAIR, CLOTHES))
    assert usable.sum() > 1000 and bare.mean() > 0.2
    assert (usable & bare).sum() == 0
    whole = Exemplar(subject.rgb // 2, subject.landmarks, likeness=subject.rgb).guides.labels
    assert (np.isin(whole, (HAIR, CLOTHES)) & bare).sum() > 500


def test_photos_of_one_renderer_have_nothing_to_do_with_each_other(subject, exemplar):
    dark = Crop((subject.rgb * 0.4).astype(np.uint8), subject.landmarks + np.float32((6, 3)))
    crop, renderer = (
        Crop(subject.rgb, subject.landmarks),
        ExampleStyle({"blue": exemplar}, "", "", "cpu").renderer(None),
    )
    alone = rendered(exemplar, crop)
    pictures = renderer.start([dark, crop])()
    assert np.array_equal(pictures[1], alone) and np.array_equal(renderer.start([crop])()[0], alone)


def test_a_clip_keeps_its_strokes(subject, exemplar):
    rng = np.random.default_rng(0)
    noisy = [np.clip(subject.rgb + rng.normal(0, 3, subject.rgb.shape), 0, 255).astype(np.uint8) for _ in range(5)]
    crops = [Crop(rgb, subject.landmarks, Fraction(k, 25)) for k, rgb in enumerate(noisy)]

    def flicker(**look) -> float:
        renderer = ExampleStyle({"blue": exemplar}, "blue", "none", "cpu").renderer(None, **look)
        drawn = [renderer.start([crop])()[0].astype(int) for crop in crops]
        return float(np.mean([np.abs(a - b).mean() for a, b in zip(drawn, drawn[1:], strict=False)]))

    own = float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(noisy, noisy[1:], strict=False)]))
    assert flicker() < 1.2 * own


@pytest.mark.parametrize("is_told", [False, True])
def test_after_a_cut_nothing_is_left_of_the_shot_before(subject, exemplar, is_told):
    def clip(rgb, landmarks, start, told=False):
        return [Crop(rgb, landmarks, Fraction(start + k, 25), is_cut=told and k == 0) for k in range(2)]

    if is_told:  # by who sees the whole frame; the crop hardly changes
        rgb, points = np.roll(subject.rgb, 3, axis=1), subject.landmarks + np.float32((3, 0))
    else:
        rgb, points = 255 - subject.rgb[:, ::-1], subject.landmarks + np.float32((-20, 6))
    before, after = clip(subject.rgb, subject.landmarks, 0), clip(np.ascontiguousarray(rgb), points, 2, is_told)
    style = ExampleStyle({"blue": exemplar}, "blue", "none", "cpu")
    drawn, alone = (
        [style_renderer.start([crop])()[0] for crop in crops]
        for style_renderer, crops in ((style.renderer(None), before + after), (style.renderer(None), after))
    )
    assert np.array_equal(drawn[2], alone[0]) and np.array_equal(drawn[3], alone[1])


def test_landmarks_come_from_the_file_beside_or_are_found(painting, subject):
    assert np.abs(load_exemplar("blue.png").landmarks - load_exemplar("blue.png").landmarks).max() == 0
    Image.fromarray(sample_portrait()[:300, 60:380]).save("face.jpg")
    found = load_exemplar("face.jpg")
    scale = found.picture.shape[1] / 320
    assert scale > 2 and np.abs(found.landmarks / scale - (LANDMARKS - (60, 0))).mean() < 3, "enlarged to work with"


@pytest.mark.parametrize(
    ("lines", "told"),
    [(lambda lines: lines[:-1], "67 points"), (lambda lines: [*lines[:-1], "9000 3"], "point 68 (9000, 3) is outside"),
     (lambda lines: [*lines[:-1], "a b"], "cannot be read"), (lambda lines: ["9 9"] * 68, "no face"),
     (lambda lines: [*lines[:-1], "1"], "cannot be read")],
)  # fmt: skip
def test_wrong_landmarks_are_told(painting, lines, told):
    path = painting / "blue.landmarks.txt"
    path.write_text("\n".join(lines(path.read_text().splitlines())))
    with pytest.raises(InputError, match=r"blue\.landmarks\.txt") as error:
        load_exemplar("blue.png")
    assert told in str(error.value)


def test_pictures_that_are_no_style_are_told(painting):
    Image.new("RGB", (20, 26)).save("tiny.png")
    Image.new("RGB", (200, 260), "grey").save("wall.png")
    both = np.hstack([sample_portrait()[:300, 100:350]] * 2)
    Image.fromarray(both).save("two.png")
    make_clip("clip.mp4", [sample_portrait()[:64, :64]] * 2)
    for name, words in (
        ("tiny.png", "20 x 26"), ("wall.png", "wall.landmarks.txt"), ("two.png", "2 faces"), ("clip.mp4", "a video"),
        ("none.png", "no such file"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=name.partition(".")[0]) as error:
            load_exemplar(name)
        assert words in str(error.value)


def test_the_command_line_paints_photo_and_clip(painting, call, capsys):
    photo = sample_portrait()[:300, 60:380]
    Image.fromarray(photo).save("me.jpg", quality=95)
    Image.fromarray(photo).convert("CMYK").save("blue.cmyk.jpg")
    make_clip("clip.mp4", [photo] * 3)
    assert call(style_transfer.main, "me.jpg", "clip.mp4", "--style_image", "blue.png", "--cpu") == 0
    result = np.asarray(Image.open("output/me_vtoonify_e.jpg"))
    assert result[..., 2].mean() > result[..., 0].mean() + 40 and result.shape[0] > 300
    with open_frames("output/clip_vtoonify_e.mp4") as clip:
        assert len(list(clip)) == 3
    for wrong, told in (
        (["--style_image", "me.jpg"], "both content and style"),
        (["--style_image", "x.png", "--ckpt", "starter"], "exclude"),
        (["--style_image", "blue.png", "--backbone", "toonify"], "no VToonify model"),
        (["--style_image", "blue.png", "--boil", "2"], "from 0 to 1"),
        (["--style_image", "blue.png", "--style_size", "9"], "from 0.5 to 2"),
    ):  # fmt: skip
        assert call(style_transfer.main, "me.jpg", *wrong) == 2
        assert told in capsys.readouterr().err
    assert call(style_transfer.main, "me.jpg", "--style_id", "ink", "--boil", "0.5") == 0
    assert "no use for --boil" in capsys.readouterr().err


def test_three_lines_of_python(painting):
    stylizer = Stylizer.from_preset("blue.png", device="cpu")
    photo = sample_portrait()
    portrait = stylizer.fit(photo)
    (whole,), (head,) = (list(stylizer.render([photo], portrait, example_area=area)) for area in ("picture", "head"))
    assert whole.shape == head.shape and np.abs(whole.astype(int) - head).mean() > 5
    assert stylizer.style.padding != (200, 200, 200, 200), "the framing of the picture"


def test_shipped_exemplars_and_painters_have_names_of_their_own():
    shipped = choose_preset("exemplars")
    assert len(shipped.style_names) == 6
    for name in shipped.style_names:
        assert preset_with(name) == "exemplars"
    assert preset_with("oil") == preset_with("watercolour") == "painters" and preset_with("ink") == "starter"
    assert preset_with("26") is None
