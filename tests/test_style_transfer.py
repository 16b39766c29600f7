import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from model.common.hub import EXEMPLAR_FILE
from model.config import Backbone
from model.inference import batch
from model.media.files import open_frames
from model.styles import network
from model.styles.base import Style
from model.styles.presets import VToonifyPreset
from tests.clips import make_clip, sound_packets, video_times
from tests.commands import results, save_face, size
from tests.small_models import ColourEncoder, ColourParser, face_picture, save_model
from tests.test_tracks import NO_FLAC, patched

pytest_plugins = ("tests.commands_plugin",)


def test_a_photo_gives_its_crop_and_a_picture_four_times_as_large(stylize):
    save_face("me.jpg")
    code, out, err = stylize("--content", "me.jpg", "--output_path", "new/folder")
    assert (code, err) == (0, "")
    assert out == "me.jpg → new/folder/me_vtoonify_d.jpg\n"
    assert results("new/folder") == ["me_input.jpg", "me_vtoonify_d.jpg"]
    width, height = size("new/folder/me_input.jpg")
    assert 80 <= width <= 96 and size("new/folder/me_vtoonify_d.jpg") == (4 * width, 4 * height)

    Image.fromarray(face_picture()[:61, :83]).save("me.png")
    assert stylize("--content", "me.png", "--no_scale_image", "--cpu")[0] == 0
    assert size("output/me_input.jpg") == (83, 61) and size("output/me_vtoonify_d.jpg") == (332, 244)


def test_the_sample_portrait_is_taken_where_none_is_named(stylize, monkeypatch):
    monkeypatch.setattr(batch, "sample_portrait", face_picture)
    Path("astronaut").write_text("a file of that name is not it")
    code, out, _ = stylize()
    assert (code, out) == (0, "the sample portrait → output/astronaut_vtoonify_d.jpg\n")


class Negative(Style):
    """A style that is no network."""

    name, licence, letter, scale, eye_distance = "negative", "none", "n", 2, 32.0
    batch = 2

    def exemplar_name(self, exemplar=None):
        return None

    def degree(self, degree=None):
        return None

    def renderer(self, code, **settings):
        return self

    def start(self, crops):
        pictures = [255 - crop.rgb.repeat(2, axis=0).repeat(2, axis=1) for crop in crops]
        return lambda: pictures


def test_a_style_of_any_kind_is_used_for_photos_and_videos(stylize, monkeypatch):
    monkeypatch.setattr(network.VToonifyStyle, "load", lambda preset, **settings: Negative())
    save_face("me.jpg")
    make_clip("clip.mp4", [face_picture()] * 3)
    code, _, err = stylize("--content", "me.jpg", "clip.mp4", "--style_id", "ink", "--smooth", "--resume")
    assert (code, err) == (0, "program.py: negative has no use for --style_id, --smooth: left aside.\n")
    given, drawn = (np.asarray(Image.open(f"output/me_{kind}.jpg")).astype(int) for kind in ("input", "vtoonify_n"))
    assert np.abs(255 - given - drawn[::2, ::2]).mean() < 3
    frames = [frame.rgb for frame in open_frames("output/clip_vtoonify_n.mp4")]
    assert len(frames) == 3 and frames[0].shape == drawn.shape
    again = stylize("--content", "me.jpg", "clip.mp4", "--style_id", "ink", "--smooth", "--resume")
    assert again[1].startswith("nothing is left to do")
    for wrong in (["--backbone", "toonify"], ["--parsing_map_path", "maps.npz"]):
        code, _, err = stylize("--content", "clip.mp4", *wrong)
        assert code == 2 and f"leave {wrong[0]}" in err


def use_preset(monkeypatch, backbone: Backbone) -> None:
    def preset(path: str) -> VToonifyPreset:
        exemplars = str(Path(path).with_name(EXEMPLAR_FILE)) if backbone == "dualstylegan" else None
        return VToonifyPreset("small", backbone, path, exemplars, parser=None)

    monkeypatch.setattr("model.inference.stylizer.choose_preset", preset)
    monkeypatch.setattr(network.checkpoints, "load_style_encoder", lambda path: ColourEncoder())


def test_style_degree_and_colours_change_the_picture(stylize, monkeypatch):
    use_preset(monkeypatch, "dualstylegan")
    save_face("me.jpg")
    pictures = []
    for look in ([], ["--style_id", "wash.v2"], ["--style_degree", 0.9], ["--color_transfer"]):
        assert stylize("--content", "me.jpg", "--style_encoder_path", "me.jpg", *look)[0] == 0
        pictures.append(np.asarray(Image.open("output/me_vtoonify_d.jpg")).astype(int))
    assert all(np.abs(pictures[0] - other).mean() > 1 for other in pictures[1:])


def test_a_model_of_variant_t_has_its_own_name_and_no_styles(stylize, monkeypatch, tmp_path):
    use_preset(monkeypatch, "toonify")
    path = save_model(tmp_path / "t", "toonify")
    save_face("me.jpg")
    arguments = ["--content", "me.jpg", "--ckpt", path, "--style_encoder_path", "me.jpg"]
    code, out, err = stylize(*arguments, "--backbone", "toonify", "--style_id", 0, "--color_transfer")
    assert (code, out) == (0, "me.jpg → output/me_vtoonify_t.jpg\n")
    assert "has no use for --style_id, --color_transfer: left aside." in err


def test_a_video_keeps_its_sound_and_times_whatever_the_batch_and_its_bar_tells_the_time_left(stylize, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    make_clip(Path("clip.mkv"), [face_picture()] * 7, rate=10, sound="aac", sound_seconds=0.7)
    code, out, err = stylize("--content", "clip.mkv", "--batch_size", 3, "--video")
    assert (code, out) == (0, "clip.mkv → output/clip_vtoonify_d.mp4\n")
    assert re.search(r"clip: +\d+%.*7/7 \[\d\d:\d\d<\d\d:\d\d", err)
    assert results() == ["clip_input.jpg", "clip_vtoonify_d.mp4"]
    assert video_times(Path("output/clip_vtoonify_d.mp4")) == video_times(Path("clip.mkv"))
    assert sound_packets(Path("output/clip_vtoonify_d.mp4"))
    width, height = size("output/clip_input.jpg")
    with open_frames("output/clip_vtoonify_d.mp4") as film:
        assert film.size == (4 * height, 4 * width)


def test_sound_is_kept_on_demand_and_what_cannot_be_decoded_is_told(stylize):
    source, made = make_clip(Path("clip.mkv"), [face_picture()] * 3, sound="flac", sound_seconds=0.2), Path("output")
    assert stylize("--content", source, "--keep_audio")[::2] == (0, "")
    assert [data for data, _ in sound_packets(made / "clip_vtoonify_d.mp4")] == [d for d, _ in sound_packets(source)]
    patched(source, NO_FLAC)
    code, out, err = stylize("--content", source)
    assert (code, out) == (0, "clip.mkv → output/clip_vtoonify_d.mp4\n")
    assert err == "program.py: clip.mkv: its sound (codec unknown) can't be decoded: the result is silent.\n"


def test_compare_shows_the_input_beside_the_result(stylize):
    save_face("me.jpg")
    make_clip(Path("clip.mp4"), [face_picture()] * 3)
    assert stylize("--content", "me.jpg", "clip.mp4", "--compare")[0] == 0
    assert results() == ["clip_compare_d.mp4", "clip_input.jpg", "me_compare_d.jpg", "me_input.jpg"]
    width, height = size("output/me_input.jpg")
    assert size("output/me_compare_d.jpg") == (8 * width, 4 * height)
    left = np.asarray(Image.open("output/me_compare_d.jpg").crop((0, 0, 4 * width, 4 * height)).resize((width, height)))
    assert np.abs(left.astype(int) - np.asarray(Image.open("output/me_input.jpg"))).mean() < 8
    with open_frames("output/clip_compare_d.mp4") as film:
        assert film.size == (4 * height, 8 * width) and len(list(film)) == 3


def test_preview_is_one_frame_with_a_face(stylize):
    grey = np.full_like(face_picture(), 128)
    make_clip(Path("clip.mp4"), [grey] * 3 + [face_picture()] * 9)
    assert stylize("--content", "clip.mp4", "--preview")[0] == 0
    assert results() == ["clip_input.jpg", "clip_preview_d.jpg"]
    width, height = size("output/clip_input.jpg")
    assert size("output/clip_preview_d.jpg") == (4 * width, 4 * height)
    with Image.open("output/clip_input.jpg") as picture:
        assert np.asarray(picture).std() > 40, "not the grey beginning"


def test_stored_parsing_maps_are_used_and_have_to_fit(stylize, monkeypatch):
    monkeypatch.setattr(network.checkpoints, "load_parser", lambda path: ColourParser())
    path = save_model(Path("parsing"), parsing_channels=19)
    make_clip(Path("clip.mp4"), [face_picture()[:64, :96]] * 3)
    arguments = ["--content", "clip.mp4", "--no_scale_image", "--ckpt", path, "--faceparsing_path", "parser.pth"]
    stored = ["--parsing_map_path", "maps.npy"]
    sentences = {(2, 96): "fewer parsing maps", (4, 96): "more parsing maps", (3, 64): "in maps.npy are"}
    for (count, width), told in sentences.items():
        np.save("maps.npy", np.zeros((count, 19, 64, width), np.float16))
        code, _, err = stylize(*arguments, *stored)
        assert code == 2 and told in err
    np.save("maps.npy", np.zeros((3, 19, 64, 96), np.float16))
    pictures = []
    for options in (stored, []):
        assert stylize(*arguments, *options)[0] == 0
        with open_frames("output/clip_vtoonify_d.mp4") as film:
            pictures.append(film.first.rgb.astype(int))
    assert np.abs(pictures[0] - pictures[1]).mean() > 1


def test_a_gif_and_numbered_pictures_become_videos(stylize):
    pictures = [Image.fromarray(np.roll(face_picture(), i, axis=1)) for i in range(3)]
    pictures[0].save("wave.gif", save_all=True, append_images=pictures[1:], duration=100)
    for i, picture in enumerate(pictures):
        picture.save(f"walk_{i:02d}.png")
    assert stylize("--content", "wave.gif", "walk_%02d.png")[0] == 0
    assert results() == ["walk_input.jpg", "walk_vtoonify_d.mp4", "wave_input.jpg", "wave_vtoonify_d.mp4"]
    assert len(video_times(Path("output/walk_vtoonify_d.mp4"))) == 3
    assert [float(time) for time in video_times(Path("output/wave_vtoonify_d.mp4"))] == [0, 0.1, 0.2]


def test_help_names_the_published_options(stylize):
    code, out, _ = stylize("--help")
    assert code == 0
    names = "content style_id style_degree color_transfer ckpt output_path scale_image video cpu backbone padding"
    for name in (names + " style_encoder_path exstyle_path faceparsing_path batch_size parsing_map_path").split():
        assert f"[--{name}]" in out or f"[--{name} " in out


def test_names_that_the_terminal_cannot_show_are_no_reason_to_stop(stylize, monkeypatch):
    save_face("mé.jpg")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", open("out.txt", "w", encoding="ascii"))  # noqa: PTH123, SIM115
        code, _, err = stylize("--content", "mé.jpg")
    assert (code, err) == (0, "") and Path("output/mé_vtoonify_d.jpg").exists()


def test_a_folder_named_as_the_camera_goes_before_it(stylize):
    Path("webcam").mkdir()
    save_face("webcam/me.jpg")
    code, out, err = stylize("webcam")
    assert code == 0 and "webcam is a file or folder here" in err and "me.jpg → " in out


def test_folders_patterns_and_files_of_one_name_never_collide(stylize, monkeypatch):
    Path("a").mkdir()
    Path("b").mkdir()
    save_face("a/x.jpg", "a/x.png", "b/X.jpg", "x-2.jpg", "a.b.jpg")
    Path("a/notes.txt").write_text("left out of folders")
    code, out, err = stylize("--content", "a", "b/*", "x-2.jpg", "a.b.jpg", "a/x.jpg")
    assert code == 0 and "1 of 3 files left out (notes.txt)" in err
    names = [line.split(" → ")[1].removeprefix("output/").removesuffix("_vtoonify_d.jpg") for line in out.splitlines()]
    assert names == ["x", "x-2", "X-3", "x-2-2", "a.b"]
    assert len(results()) == 2 * len(names)
    assert batch.unique_name("ü" * 120, set()) == "ü" * 100, "shortened at whole letters"
    assert batch.unique_name("a.b", {"a.b", "a.b-2"}) == "a.b-3"


def test_results_are_neither_read_as_photos_nor_written_over_contents(stylize):
    save_face("me.jpg")
    for _ in range(2):
        code, out, _ = stylize("--content", ".", "--output_path", ".")
        assert (code, out) == (0, "me.jpg → me_vtoonify_d.jpg\n")
    before = save_face("me_input.jpg").read_bytes()
    code, out, _ = stylize("--content", "me.jpg", "me_input.jpg", "--output_path", ".")
    assert code == 0 and "me.jpg → me-2_vtoonify_d.jpg" in out
    assert Path("me_input.jpg").read_bytes() == before


def test_one_bad_content_among_three_does_not_stop_the_others(stylize):
    save_face("me.jpg", "you.jpg")
    code, out, err = stylize("--content", "me.jpg", "gone.jpg", "you.jpg")
    assert code == 2
    assert [line.split()[0] for line in out.splitlines()] == ["me.jpg", "you.jpg"]
    assert err.splitlines() == [
        "program.py: cannot read gone.jpg: there is no such file; check the name.",
        "program.py: 1 of 3 contents could not be stylised; see above.",
    ]
    assert results() == ["me_input.jpg", "me_vtoonify_d.jpg", "you_input.jpg", "you_vtoonify_d.jpg"]


def test_what_is_done_is_left_out_when_resumed(stylize):
    save_face("a.jpg", "b.jpg", "c.jpg")
    assert stylize("--content", "a.jpg", "b.jpg", "--resume")[1].count("→") == 2
    made = Path("output/a_vtoonify_d.jpg").stat().st_mtime_ns
    code, out, _ = stylize("--content", "a.jpg", "b.jpg", "c.jpg", "--resume")
    told = "2 of 3 contents left out: done before, as output/manifest.jsonl says\n"
    assert (code, out) == (0, "c.jpg → output/c_vtoonify_d.jpg\n" + told)
    assert Path("output/a_vtoonify_d.jpg").stat().st_mtime_ns == made
    Path("output/a_vtoonify_d.jpg").unlink()
    Image.fromarray(face_picture()[::-1, ::-1][:180]).save("b.jpg")
    save_face("b.jpg")  # another file, by its time
    with Path("output/manifest.jsonl").open("a") as manifest:
        manifest.write('{"content": "c.j')  # the power went
    out = stylize("--content", "a.jpg", "b.jpg", "c.jpg", "--resume")[1]
    assert out.splitlines()[:2] == ["a.jpg → output/a_vtoonify_d.jpg", "b.jpg → output/b_vtoonify_d.jpg"]
    Path("output/b_vtoonify_d.jpg").write_bytes(b"what another run has made of it since")
    assert stylize("--content", "a.jpg", "b.jpg", "--resume")[1].count("→") == 1
    assert "left to do" in stylize("--content", "a.jpg", "b.jpg", "--resume")[1]
    assert stylize("--content", "c.jpg", "--resume", "--style_degree", 0.9)[1].count("→") == 1, "another look"


def test_a_model_that_was_trained_anew_makes_results_anew(stylize, model):
    save_face("a.jpg")
    copy = Path(shutil.copytree(model.parent, "copy")) / model.name
    for count in (1, 0):
        assert stylize("--content", "a.jpg", "--resume", "--ckpt", copy)[1].count("→") == count
    save_model(Path("copy"))
    assert stylize("--content", "a.jpg", "--resume", "--ckpt", copy)[1].count("→") == 1


def test_processes_share_the_work_and_agree_on_names(stylize, monkeypatch):
    Path("other").mkdir()
    save_face("a.jpg", "b.jpg", "other/a.jpg", "c.jpg")
    everything = ["--content", "a.jpg", "gone.jpg", "b.jpg", "other/a.jpg", "c.jpg"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    shares = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        code, out, err = stylize(*everything)
        assert code == (2 if rank == "1" else 0) and ("gone.jpg" in err) == (rank == "1")
        shares.append([line.split(" → ")[1] for line in out.splitlines()])
    names = [["a", "b", "c"], ["a-2"]]
    assert shares == [[f"output/{name}_vtoonify_d.jpg" for name in share] for share in names]
