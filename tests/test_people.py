import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.common.errors import InputError
from model.config import MobileConfig
from model.faces.detect import find_all_landmarks
from model.faces.landmarks import face_size
from model.faces.track import CrowdTracker
from model.faces.window import FADE, GRACE, Presence, Visibility
from model.inference import job
from model.inference.clip import stylised
from model.inference.look import Choice, Look, parse_styles
from model.inference.options import Options
from model.inference.scene import People, Person
from model.inference.stylizer import Stylizer
from model.media.files import open_frames
from model.media.frames import Frame
from model.mobile_unet import MobileUNet
from model.styles.network import VToonifyRenderer
from model.styles.translators.mobile import MobileStyle
from tests.clips import make_clip
from tests.small_models import cartoon, dual, face_picture, levels_apart
from tests.test_scene import CLOSE as NEAR
from tests.test_track import SIZE, empty, middle, view

pytest_plugins = ("tests.commands_plugin",)

CLOSE = (56, 56, 56, 56)
WHOLE = Look(full_frame=1)
RATE = 20


def group(left: float = 80, right: float = 240, left_scale: float = 0.5, right_scale: float = 0.62) -> np.ndarray:
    both = view(left, 110, left_scale)
    both[:, 160:] = view(right, 120, right_scale)[:, 160:]
    return both


@pytest.fixture(scope="module")
def stylizer():
    return dual()


def people_of(stylizer, frame: np.ndarray, *looks: Look) -> list[Person]:
    pairs = zip(find_all_landmarks(frame), looks, strict=True)
    return [Person(stylizer, stylizer.fit(frame, CLOSE, True, face), look) for face, look in pairs]


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
    for _ in range(5):
        right, left = tracker.update(arriving(3)[0].rgb)
        assert left is None and middle(right)[0] > 190
    for _ in range(5):
        right, left = tracker.update(group())
    assert middle(left)[0] < 140 and middle(right)[0] > 190


def test_each_person_has_their_own_style(stylizer):
    frames = [Frame(group(), Fraction(i, 10)) for i in range(2)]
    ink, wash = "01"
    pictures = {}
    for looks in ((ink, ink), (ink, wash), (wash, wash)):
        results = list(stylised(frames, people_of(stylizer, group(), *(Look(style, 1.0) for style in looks)), WHOLE))
        assert [frame.time for frame in results] == [0, Fraction(1, 10)]
        pictures[looks] = results[-1].rgb
    halves = {looks: (rgb[:, 170:], rgb[:, :150]) for looks, rgb in pictures.items()}
    mixed = halves[ink, wash]
    assert np.array_equal(mixed[0], halves[ink, ink][0]) and np.array_equal(mixed[1], halves[wash, wash][1])
    for k in (0, 1):
        assert levels_apart(halves[ink, ink][k], halves[wash, wash][k]).max() > 4


def test_the_nearer_one_covers_the_other(stylizer):
    frame = group(125, 200)
    people = people_of(stylizer, frame, Look(style_id="0", style_degree=1.0), Look(style_id="1", style_degree=1.0))
    either = [next(stylised([Frame(frame)], order, WHOLE)).rgb for order in (people, people[::-1])]
    assert np.array_equal(*either), "the order in which they are named does not matter"


def test_a_look_that_the_model_has_not_is_that_of_the_model_that_has_it(stylizer):
    plain, loaded = Stylizer(MobileStyle(MobileUNet(MobileConfig(widths=(4, 6), blocks=(1,))), "m", "none", "cpu")), []

    def people(base, text):
        return People(base, Look(style_id="1" if base is stylizer else None), parse_styles(text), load)

    def load(preset):
        loaded.append(preset)
        return stylizer

    for base in (stylizer, plain):
        loaded.clear()
        with pytest.raises(InputError, match="no style 'comic'"):  # the other model is a stand-in without it
            people(base, "1=comic")
        assert loaded == ["painters"]
        with pytest.raises(InputError, match="no style 'nope'"):
            people(base, "1=nope")
    assert people(stylizer, "1=0")._chosen[1][1].style_id == "0"
    with pytest.raises(InputError, match="no style 'COMIC', perhaps .*comic"):
        people(plain, "1=COMIC")


def test_styles_are_read():
    wanted = {1: Choice(None, "film", 0.5), 2: Choice("cartoon", "26", None), 3: Choice("pixar", None, 0.7)}
    assert parse_styles("1=film@0.5, 2=cartoon:26,3=pixar@0.7") == wanted


@pytest.mark.parametrize("text", ["film", "0=film", "x=film", "1=", "1=film,1=ink", "1=ink,3=film@2", "3=film@x", ""])
def test_other_words_are_refused(text):
    with pytest.raises(InputError, match="person 3 in --styles( is 2|: 'x' is no)" if "3" in text else "--styles "):
        parse_styles(text)


def test_the_model_of_another_preset_comes_with_its_own_files(stylizer, monkeypatch):
    options = Options(ckpt="mine.pt", style_id="1", exstyle_path="x.npy", style_encoder_path="e.pt")
    monkeypatch.setattr(job, "make_stylizer", lambda options: options)
    other = job.load_other(stylizer, options, "cartoon")
    assert (other.ckpt, other.style_id, other.exstyle_path, other.style_encoder_path) == ("cartoon", None, None, None)
    assert job.load_other(stylizer, options, "mine.pt") is stylizer


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
        (["--faces", "²"], "--faces is '²'"),
        (["--faces", "all", "--full_frame", 1, "--styles", "²=ink"], "the part '²=ink'"),
        (["--styles", "1=ink"], "--styles is for several people"),
        (["--faces", "all", "--full_frame", 1, "--styles", "ink"], "the part 'ink'"),
        (["--faces", "all", "--full_frame", 1, "--styles", "5=ink"], "names person 5, but me.jpg shows 1"),
        (["--faces", "all", "--full_frame", 1, "--styles", "1=crayon"], "styles 0 to 1"),
        (["--faces", 2, "--full_frame", 1, "--smooth"], "--smooth is for one face"),
        (["--faces", 2, "--full_frame", 1, "--styles", "3=ink"], "names person 3, but --faces is 2"),
        (["--lost", "pass", "--crop", "fixed"], "--lost pass is for --crop follow"),
        (["--lost", "pass", "--no_scale_image"], "--lost pass is for --crop follow"),
    ],
)
def test_wrong_options_are_a_sentence(stylize, arguments, told):
    Image.fromarray(face_picture()).save("me.jpg")
    code, _, err = stylize("--content", "me.jpg", *arguments)
    assert code == 2 and told in err and err.count("\n") == 1


def arriving(count: int) -> list[Frame]:
    alone = group()
    alone[:, :160] = 128
    pictures = [alone] * 3 + [group()] * (count - 3)
    return [Frame(rgb, Fraction(i, 10)) for i, rgb in enumerate(pictures)]


def test_who_arrives_gets_the_next_number():
    frames = arriving(20)
    tracker = CrowdTracker(find_all_landmarks(frames[0].rgb), most=None)
    counts = [len(tracker.update(frame.rgb, float(frame.time))) for frame in frames]
    assert counts[:3] == [1] * 3 and counts[-1] == 2 and sorted(counts) == counts
    right, left = tracker.update(group(), 2.1)
    assert middle(left)[0] < 140 and middle(right)[0] > 190


@pytest.mark.parametrize(("most", "begin", "end"), [(0, 3, 20), (1, 3, 20), (None, 10, 11)])
def test_no_more_people_than_wanted_and_a_face_that_flashes_up_is_nobody(most, begin, end):
    alone, *_, both = (frame.rgb for frame in arriving(4))
    tracker = CrowdTracker(find_all_landmarks(alone), most=most)
    assert {len(tracker.update(both if begin <= i < end else alone, i / 10)) for i in range(20)} == {1}


def test_newcomers_fade_in_and_who_has_left_is_not_drawn(stylizer):
    frames = arriving(34)
    for i in range(22, 34):
        frames[i] = Frame(frames[0].rgb, frames[i].time)
    look = Look("1", 1.0, padding=CLOSE, crop="follow", full_frame=1, lost="pass")
    cast = People(stylizer, look)
    people = [cast.person(1, frames[0], find_all_landmarks(frames[0].rgb)[0])]
    results = list(stylised(frames, people, look, most=None, newcomer=cast.newcomer))
    apart = [levels_apart(result.rgb, frame.rgb) for result, frame in zip(results, frames, strict=True)]
    changes = [picture[80:150, 40:120].mean() for picture in apart]
    assert cast.count == 2
    assert max(changes[:3]) == 0 and max(changes[18:22]) > 4 and max(changes[31:]) == 0
    first = next(i for i, change in enumerate(changes) if change)
    assert changes[first] < 0.6 * max(changes[18:22]), "nothing pops"
    assert min(picture[90:150, 210:270].mean() for picture in apart) > 4, "the other one stays"


def test_the_window_of_who_comes_in_at_the_edge_is_not_cut_off(stylizer):
    frame = Frame(view(40, 110), Fraction(0))
    (face,) = find_all_landmarks(frame.rgb)
    cast = People(stylizer, Look(padding=(200, 200, 60, 60)))
    cut_off, whole = (make(1, frame, face).portrait.crop for make in (cast.person, cast.newcomer))
    assert whole.width > cut_off.width and whole.height == cut_off.height


def test_styles_for_people_who_arrive_later(stylize):
    make_clip(Path("us.mp4"), [frame.rgb for frame in arriving(14)], rate=10)
    everybody = ["--content", "us.mp4", "--faces", "all", "--full_frame", 1, "--styles"]
    assert stylize(*everybody, "2=0@1")[::2] == (0, "")
    code, out, err = stylize(*everybody, "1=0,3=1")
    assert code == 0 and "us_vtoonify_d.mp4" in out
    assert err == "program.py: --styles names person 3, but us.mp4 shows 2.\n"
    code, _, err = stylize(*everybody, "2=0@1", "--crop", "fixed")
    assert code == 2 and "names person 2, but us.mp4 shows 1" in err


def shares(seen: list[bool], visibility: Visibility | None = None, start: int = 0) -> list[float]:
    visibility = visibility or Visibility()
    return [visibility.update(is_seen, (start + i) / RATE) for i, is_seen in enumerate(seen)]


def test_a_face_that_stays_away_fades_out_and_fades_in_when_it_is_back_and_a_hand_before_it_changes_nothing():
    assert set(shares([True] * 3 + [False] * (round(GRACE * RATE) - 1) + [True] * 3)) == {1.0}
    found = shares([True] + [False] * 30 + [True] * 10)
    steps = np.diff(found)
    assert found[0] == 1 and found[round(GRACE * RATE)] == 1 and found[30] == 0 and found[-1] == 1
    assert np.abs(steps).max() <= 1 / (FADE * RATE) + 1e-9, "nothing pops"
    newcomer = shares([True] * 10, Visibility(is_new=True), start=140)
    assert newcomer[0] == 0 and 0 < newcomer[1] < 0.5 and newcomer[-1] == 1


def test_the_first_frame_and_cuts_decide_at_once():
    assert shares([True])[0] == 1 and shares([False])[0] == 0
    visibility = Visibility()
    shares([True] * 5, visibility)
    assert visibility.update(False, 5 / RATE, is_cut=True) == 0
    assert visibility.update(True, 6 / RATE, is_cut=True) == 1


def test_a_window_that_nobody_saw_does_not_glide(stylizer):
    frame = view(110, 110)
    portrait = stylizer.fit(frame, NEAR)
    lands = [Presence(portrait.crop, portrait.landmarks, fades=fades) for fades in (False, True)]
    far = portrait.landmarks + np.float32((90, 0))
    for presence in lands:
        presence.update(portrait.landmarks, 0.0)
        for i in range(1, 60):
            presence.update(None, i / RATE)
    windows = [presence.update(far, 3.0)[0] for presence in lands]
    stays, jumps = (window.x - portrait.crop.left / portrait.crop.scale for window in windows)
    assert stays < 15 and jumps > 60


@pytest.mark.parametrize(("x", "share"), [(110, 1.0), (3, 0.0)])
def test_a_face_that_was_lost_at_the_edge_has_left(stylizer, x, share):
    portrait = stylizer.fit(view(110, 110), NEAR)
    presence = Presence(portrait.crop, portrait.landmarks, fades=True)
    presence.update(portrait.landmarks + np.float32((x - 110, 0)), 0.0)
    for i in range(1, 9):
        _, found = presence.update(None, i / RATE)
    assert found == pytest.approx(share, abs=1e-6)


def hiding() -> list[Frame]:
    pictures = [view(110, 110)] * 3 + [empty()] * 20 + [view(190, 110)] * 12
    return [Frame(rgb, Fraction(i, 10)) for i, rgb in enumerate(pictures)]


def looked(stylizer, **settings) -> tuple[list[Frame], list[Frame]]:
    frames = hiding()
    look = Look(style_id="1", style_degree=1.0, crop="follow", **settings)
    return frames, list(cartoon(stylizer, frames, stylizer.fit(frames[0], NEAR), look))


def test_frames_without_a_face_come_through_as_they_are_and_are_not_rendered(stylizer, monkeypatch):
    rendered, start = [], VToonifyRenderer.start
    monkeypatch.setattr(VToonifyRenderer, "start", lambda self, crops: rendered.extend(crops) or start(self, crops))
    frames, results = looked(stylizer, full_frame=1, lost="pass", batch_size=4)
    assert len(rendered) < len(frames) - 8
    assert [frame.time for frame in results] == [frame.time for frame in frames]
    changes = [levels_apart(result.rgb, frame.rgb).mean() for result, frame in zip(results, frames, strict=True)]
    assert min(changes[0], changes[2], changes[-1]) > 0.3
    assert not any(changes[15:23]), "nothing is drawn"
    around = middle(stylizer.fit(frames[-1]).landmarks).astype(int)
    patch = np.s_[around[1] - 15 : around[1] + 15, around[0] - 15 : around[0] + 15]
    assert levels_apart(results[-1].rgb[patch], frames[-1].rgb[patch]).mean() > 8, "it is where the face is"


def test_without_the_whole_frame_the_crop_comes_through_enlarged(stylizer):
    _, kept = looked(stylizer)
    _, passed = looked(stylizer, lost="pass")
    assert len({frame.rgb.shape for frame in passed}) == 1 and passed[0].rgb.shape == kept[0].rgb.shape
    assert np.array_equal(passed[2].rgb, kept[2].rgb)
    assert np.abs(passed[18].rgb.astype(int) - 120).max() == 0 < levels_apart(kept[18].rgb, passed[18].rgb).mean()


@pytest.mark.parametrize("cut", [14, 32])
def test_fades_and_glides_go_on_from_a_state(stylizer, cut):
    portrait = stylizer.fit(view(110, 110), CLOSE)
    far = portrait.landmarks + np.float32((90, 0))
    faces = [portrait.landmarks] * 3 + [None] * 27 + [far] * 20

    def walk(presence: Presence, first: int, last: int) -> list[tuple[float, float]]:
        seen = (presence.update(face, i / 20) for i, face in enumerate(faces[first:last], first))
        return [(window.x, share) for window, share in seen]

    whole, parted, after = (Presence(portrait.crop, portrait.landmarks, fades=True) for _ in range(3))
    wanted = walk(whole, 0, len(faces))
    walk(parted, 0, cut)
    after.restore(json.loads(json.dumps(parted.state())))
    assert np.allclose(walk(after, cut, len(faces)), wanted[cut:])
