import pickle
import signal
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from model.common.errors import InputError
from model.inference import job
from model.inference.limits import check_result
from model.inference.options import Options
from tests.clips import make_clip, video_times
from tests.commands import assert_one_sentence, results, save_face
from tests.small_models import face_picture
from tests.test_frames_failures import files_no_larger_than

pytest_plugins = ("tests.commands_plugin",)


@pytest.mark.parametrize("name", ["empty.jpg", "cut.jpg", "text.mp4", "text.jpg", "gone.jpg", "n" * 300])
def test_unreadable_contents(stylize, name, monkeypatch):
    monkeypatch.setattr("model.inference.job.make_stylizer", lambda options: pytest.fail("loaded for nothing"))
    face = save_face("whole.jpg").read_bytes()
    contents = {"empty": b"", "cut": face[: len(face) // 2], "text": b"once upon a time\n" * 99}
    if (stem := Path(name).stem) in contents:
        Path(name).write_bytes(contents[stem])
    assert_one_sentence(stylize("--content", name), f"cannot read {name}: ", "; ")


@pytest.mark.parametrize(("height", "width"), [(5, 3), (24, 24)])
def test_pictures_without_a_face(stylize, height, width):
    Image.new("RGB", (width, height), "grey").save("hill.png")
    assert_one_sentence(stylize("--content", "hill.png"), "no face was found in hill.png: ")


def test_folders_and_patterns_without_pictures(stylize):
    Path("empty").mkdir()
    Path("empty/notes.txt").write_text("no picture")
    assert_one_sentence(stylize("--content", "empty"), "empty is a folder without photos or videos: ")
    assert_one_sentence(stylize("--content", "*.jpg"), "no file matches *.jpg: ")
    assert_one_sentence(stylize("--content", ""), "--content is empty: ")
    assert_one_sentence(stylize("--resume"), "--content")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--style_degree", 7], "--style_degree is 7: give a number from 0 to 1"),
        (["--style_degree", "nan"], "--style_degree is nan: "),
        (["--style_degree", "abc"], "--style_degree: 'abc' is not a number; --help lists the options"),
        (["--style_id", 9999], "no style 9999; this model has styles 0 to 1"),
        (["--style_id", -1], "no style -1; "),
        (["--style_id", "inc"], "no style 'inc', perhaps ink; "),
        (["--padding", 0, 0, 0, 0], "me.jpg: the crop around the face would be 0 x 0 pixels"),
        (["--padding", -1, 2, 3, 4], "--padding is -1: give 0 or more"),
        (["--padding", 1, 2, 3], "--padding: expected 4 arguments"),
        (["--padding", 1, 2, 3, 4.5], "--padding: '4.5' is not a whole number"),
        (["--batch_size", -1], "--batch_size is -1: "),
        (["--batch_size", "9" * 30], "give a number from 0 to 1000"),
        (["--backbone", "toonify"], "is a dualstylegan model: leave --backbone toonify out"),
        (["--backbone", "resnet"], "--backbone: invalid choice: 'resnet'"),
        (["--video"], "me.jpg is a photo, but --video was given: "),
        (["--scale_image", "--no_scale_image"], "contradict each other"),
        (["--cpu", "--device", "cuda"], "contradict each other"),
        (["--crop", "follow", "--no_scale_image"], "exclude each other: there is no crop to move"),
        (["--cpu", "--precision", "fp16"], "--precision fp16 needs a GPU: "),
        (["--parsing_map_path", "maps.npy"], "uses no parsing maps: "),
        (["you.jpg", "--parsing_map_path", "maps.npy"], "--parsing_map_path belongs to one video: "),
        (["--output_path", "me.jpg"], "--output_path me.jpg is the name of a file: "),
        (["--output_path", "me.png"], "--output_path me.png is the name of a file: "),
        (["--output_path", "me.jpg/deeper"], "cannot make the folder me.jpg/deeper: a file is in its place; "),
        (["--ckpt", "cartoom"], "no preset 'cartoom', perhaps cartoon "),
        (["--ckpt", "cartoon"], "(HF_HUB_OFFLINE is set): download https://"),
        (["--ckpt", "gone/model.pt"], "gone/model.pt does not exist: "),
        (["--ckpt", "loop.pt"], "loop.pt does not exist: "),
        (["--content", ".", "--output_path", "loop.pt"], "cannot make the folder loop.pt: "),
        (["--exstyle_path", "gone.npy"], "gone.npy does not exist: "),
        (["--bogus", "you.jpg"], "--bogus belongs to no option; "),
    ],
)
def test_options_that_cannot_work(stylize, arguments, told):
    save_face("me.jpg")
    Path("loop.pt").symlink_to("loop.pt")
    assert_one_sentence(stylize("--content", "me.jpg", *arguments), told)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_a_device_that_is_not_there(stylize):
    assert_one_sentence(stylize("--device", "cuda"), "the device cuda is not available on this machine: ")


class Bomb:
    """Runs when it is unpickled without care."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("kind", ["text", "truncated", "other", "bomb", "naked-bomb"])
def test_wrong_and_malicious_models(stylize, model, kind):
    save_face("me.jpg")
    path = Path(f"{kind}.pt")
    if kind in ("other", "bomb"):
        torch.save({"g_ema": Bomb() if kind == "bomb" else {"conv1.weight": torch.zeros(3, 3)}}, path)
    else:
        naked = {"text": b"these are no weights", "truncated": model.read_bytes()[:-1000]}
        path.write_bytes(naked.get(kind) or pickle.dumps(Bomb()))
    assert_one_sentence(stylize("--content", "me.jpg", "--ckpt", path), f"{path} is not a VToonify model: ")
    assert not Path("exploded").exists()


@pytest.mark.parametrize("naked", [True, False])
def test_malicious_exemplar_codes(stylize, naked):
    save_face("me.jpg")
    if naked:
        Path("codes.npy").write_bytes(pickle.dumps(Bomb()))
    else:
        np.save("codes.npy", np.array({"ink": Bomb()}, dtype=object), allow_pickle=True)
    outcome = stylize("--content", "me.jpg", "--exstyle_path", "codes.npy")
    assert_one_sentence(outcome, "codes.npy is not a file of exemplar style codes: ")
    assert not Path("exploded").exists()


@pytest.mark.parametrize("name", ["me.jpg", "clip.mp4"])
def test_a_full_disk_leaves_no_stub(stylize, name):
    save_face("me.jpg")
    make_clip(Path("clip.mp4"), [face_picture()] * 3)
    with files_no_larger_than(500):
        outcome = stylize("--content", name)
    assert_one_sentence(outcome, "cannot write output/", "free some space")


@pytest.mark.parametrize("name", ["me.jpg", "clip.mp4"])
def test_a_full_disk_leaves_an_older_result_byte_for_byte(stylize, name):
    save_face("me.jpg")
    make_clip(Path("clip.mp4"), [face_picture()] * 3)
    assert stylize("--content", name)[0] == 0
    before = {path: path.read_bytes() for path in Path("output").iterdir()}
    (made,) = Path("output").glob("*_vtoonify_d.*")
    for room in (500, made.stat().st_size // 2):
        with files_no_larger_than(room):
            code, out, err = stylize("--content", name)
        assert (code, out, err.count("\n")) == (2, "", 1) and "free some space" in err
        assert {path: path.read_bytes() for path in Path("output").iterdir()} == before


WIDE = {
    ("wide.jpg", "--full_frame", 4): "would have 65520 x 80 pixels, but .jpg ends at 65500 a side: lower --full_frame",
    ("wide.mp4", "--full_frame", 4): "would have 16392 x 256 pixels, but .mp4 ends at 16384 a side: lower --full_frame",
    ("wide.mp4", "--full_frame", 2, "--compare"): "would have 16392 x 128 pixels, but .mp4 ends",
    ("wide.mp4", "--full_frame", 4, "--compare", "--preview"): "",
    ("wide.mp4", "--no_scale_image"): "would have 16416 x 256 pixels, but .mp4 ends",
}


@pytest.mark.parametrize(("arguments", "told"), WIDE.items())
def test_results_too_large_for_their_files_are_refused_at_once(stylize, monkeypatch, arguments, told):
    drawn = Mock(side_effect=InputError("drawn"))
    monkeypatch.setattr(job, "stylised" if "--no_scale_image" in arguments else "make_stylizer", drawn)
    Image.new("RGB", (16380, 20)).save("wide.jpg")
    make_clip(Path("wide.mp4"), [np.zeros((64, 4098, 3), np.uint8)])
    assert_one_sentence(stylize("--content", *arguments), told or "drawn")
    assert drawn.called == (not told)


@pytest.mark.parametrize(
    ("size", "options", "told"),
    [((1080, 1920), {"full_frame": 4}, "clip.mp4: results of 7680 x 4320 pixels take about 4 GB of memory"),
     ((2160, 3840), {"full_frame": 4}, "clip.mp4: results of 15360 x 8640 pixels take about 7 GB of memory"),
     ((1080, 1920), {"full_frame": 4, "preview": True}, ""), ((1080, 1920), {"full_frame": 2}, ""),
     ((2160, 3840), {}, "")],
)  # fmt: skip
def test_the_need_of_memory_is_told_where_it_is_large(capsys, size, options, told):
    check_result(Mock(path=Path("clip.mp4"), size=size, is_video=True), Options(**options), (512, 512))
    assert told in (err := capsys.readouterr().err) and bool(err) == bool(told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("heeded_ctrl_c")
def test_ctrl_c_and_kill_leave_the_done_part_of_a_video_under_another_name(stylize, monkeypatch, number):
    tqdm = job.tqdm

    def broken_off(results, **settings):
        for index, result in enumerate(tqdm(results, **settings)):
            if index == 5:
                signal.raise_signal(number)
            yield result

    monkeypatch.setattr(job, "tqdm", broken_off)
    make_clip(Path("clip.mp4"), [face_picture()] * 8, rate=10)
    code, out, err = stylize("--content", "clip.mp4")
    assert (code, out) == (130, "")
    assert err.splitlines() == [
        "program.py: the part of clip.mp4 that was done is in output/clip_vtoonify_d.partial.mp4.",
        "program.py: interrupted.",
    ]
    assert results() == ["clip_vtoonify_d.partial.mp4"]
    assert len(video_times(Path("output/clip_vtoonify_d.partial.mp4"))) == 5


@pytest.mark.parametrize(
    ("error", "told"),
    [(PermissionError(13, "Permission denied", "somewhere"), "somewhere: Permission denied."),
     (MemoryError(), "there is not enough memory: close other programs or take smaller pictures.")],
)  # fmt: skip
def test_what_the_system_refuses_is_a_sentence(stylize, monkeypatch, error, told):
    monkeypatch.setattr("model.inference.job.make_stylizer", Mock(side_effect=error))
    assert stylize() == (2, "", f"program.py: {told}\n")


def test_a_reader_that_goes_away_is_no_error(stylize, monkeypatch):
    monkeypatch.setattr("model.styles.catalog.list_presets", Mock(side_effect=BrokenPipeError))
    monkeypatch.setattr("os.dup2", lambda *_: None)
    monkeypatch.setattr("sys.stdout.fileno", lambda: 1)
    assert stylize("--list_styles") == (141, "", "")
