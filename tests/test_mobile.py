"""From photos to a student in one command, and its recipe."""

import importlib
import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import skimage.data
import torch

import style_transfer
from model import checkpoints
from model.common import cli
from model.common.cli import EXIT_INTERRUPTED
from model.common.errors import InputError
from model.config import MOBILE_CLASSES, MobileConfig
from model.media.sample import sample_portrait
from model.mobile import options as mobile_options
from model.mobile.__main__ import main
from model.mobile.options import Options
from model.mobile.stages import stages_of
from model.mobile_unet import MobileUNet
from model.styles import catalog, presets
from model.styles.catalog import choose_preset, list_presets
from model.training import chain
from model.training.data.shards import encode_pair, write_shard
from model.training.generate.options import BY_TEACHER
from tests.chains import in_this_process
from tests.portrait import LANDMARKS
from tests.test_translation_styles import copying_whitebox

ROOT = Path(__file__).parents[1]
TINY = MobileConfig(widths=(4, 6), blocks=(1,))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with two portraits, as the working folder; two are enough."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mobile_options, "FEW", 2)
    face = sample_portrait()[:300, 100:400, ::-1]
    for folder, brightness in (("photos", 1.0), ("others", 0.9)):
        Path(folder).mkdir()
        cv2.imwrite(f"{folder}/a.png", brightness * face)
        cv2.imwrite(f"{folder}/b.png", brightness * face[:, ::-1])
    return tmp_path


def write_pairs(folder: Path) -> None:
    """Eight pairs, and the preview that shows that they are all."""
    rng, pairs = np.random.default_rng(0), []
    landmarks = (20 + (LANDMARKS - LANDMARKS.min(0)) / np.ptp(LANDMARKS) * 56).tolist()
    for number in range(8):
        photo = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        facts = {"style": "night", "degree": 0.5, "source": str(number)}
        facts |= {"landmarks": landmarks, "landmarks_full": landmarks}
        pairs.append((f"{number:06d}", encode_pair(photo, 255 - photo, photo, facts)))
    write_shard(folder / "pairs-00000.tar", pairs)
    (folder / "preview.jpg").touch()


@pytest.fixture
def in_process(monkeypatch):
    """Stages run in this process, with a small network; the commands that were given."""
    monkeypatch.setitem(MOBILE_CLASSES, "0.5", TINY)
    return in_this_process(monkeypatch)


@pytest.mark.parametrize("pairs_are_there", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_photos_become_a_student_that_stylises_and_is_measured(
    call, place, in_process, monkeypatch, capsys, pairs_are_there
):
    checkpoints.save_whitebox("w.pt", copying_whitebox())
    recipe = {"name": "phone", "photos": "photos", "teacher": "whitebox", "ckpt": "w.pt", "held_out": "others"}
    numbers = "compare = true\nheld_out_count = 8\nsteps = 99\n"
    Path("recipe.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in recipe.items()) + numbers)
    line = ["--recipe", "recipe.toml", "--steps", "2", "--batch", "2", "--count", "8", "--output", "out"]
    line += ["--device", "cpu", "--precision", "fp32"]
    if pairs_are_there:
        with monkeypatch.context() as stopped:
            stopped.setattr(chain, "launch", Mock(side_effect=KeyboardInterrupt))
            assert call(main, *line) == EXIT_INTERRUPTED
        for name in ("pairs", "held_out"):
            write_pairs(Path("out/phone/own", name))
    assert call(main, *line, "--until", "student") == 0
    assert "Stopped after student as asked" in capsys.readouterr().out
    names = [words[0] if words[0].endswith(".py") else words[1] for words in in_process]
    made = [] if pairs_are_there else ["generate_data.py"]
    assert names == [*made, *["model.mobile.student"] * 4]
    assert all("--iter=2" in words for words in in_process[len(made) :])  # the command line goes before the recipe
    stopped = len(in_process)
    assert call(main, *line, "--until", "frames") == 0
    assert len(in_process) == stopped + len(made) + 2  # what was done is not done again
    table = Path("out/phone/own/table.md").read_text()
    assert all(f"| {name} |" in table for name in ("photo", "teacher", "pixel", "adversarial", "edges", "all"))
    assert Path("out/phone/own/frames/000.png").exists()
    cv2.imwrite("me.png", skimage.data.astronaut()[:300, 100:400, ::-1])
    line_of_use = ["--content", "me.png", "--ckpt", "out/phone/mobile.pt", "--device", "cpu"]
    assert call(style_transfer.main, *line_of_use) == 0
    assert list(Path("output").glob("me_*_m.jpg"))
    assert call(main, *line, "--gmac", "2") == 2 and "was begun with --gmac 0.5" in capsys.readouterr().err


def test_a_folder_with_a_student_is_a_style_by_its_name(tmp_path, monkeypatch):
    torch.manual_seed(0)
    checkpoints.save_pixel_network(tmp_path / "phone/mobile.pt", MobileUNet(TINY))
    for module in (presets, catalog):
        monkeypatch.setattr(module, "CHECKPOINTS", tmp_path)
    assert choose_preset("phone").name == "phone" and choose_preset("phone").variant == "mobile"
    row = next(line for line in list_presets(tmp_path).splitlines() if line.startswith("phone"))
    assert "mobile" in row and "on disk" in row


def names_of(**changes) -> list[str]:
    return [stage.name for stage in stages_of(Options(**{"name": "p", "photos": "photos"} | changes))]


def test_a_teacher_that_learns_without_pairs_goes_first():
    assert names_of() == ["pairs", "student", "frames", "export"]
    unpaired = {"teacher": "ugatit", "style_images": "art"}
    first = ["align", "unpaired", "pairs", "sift"]
    assert names_of(**unpaired)[:4] == first and names_of(**unpaired, drop=0.0)[:4] == [*first[:3], "student"]
    assert names_of(teacher="ugatit", generator="g.pt")[:5] == ["draw", *first]
    assert names_of(teacher="ugatit", ckpt="u.pt")[:2] == ["pairs", "sift"]
    compared = ["student_pixel", "student_adversarial", "student_edges", "student", "held_out", "table"]
    assert names_of(compare=True, held_out="others")[1:7] == compared


def test_stages_fit_together():
    stages = {s.name: s for s in stages_of(Options(name="p", photos="a", teacher="ugatit", style_images="art"))}
    assert f"--photos={stages['align'].result.parent / 'faces'}" in stages["unpaired"].words
    assert f"--ckpt={stages['unpaired'].result}" in stages["pairs"].words
    assert f"--pairs={stages['sift'].result.parent}" in stages["student"].words
    assert f"--calibration={stages['frames'].result.parent}" in stages["export"].words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--name", "p"), "--photos is missing"),
        (("--photos", "photos"), "--name is missing"),
        (("--name", "comic", "--photos", "photos"), "is the name of a style that there is"),
        (("--name", "p", "--photos", "none"), "none is no folder"),
        (("--name", "p", "--photos", "empty"), "empty has 0 pictures"),
        (("--name", "p", "--photos", "photos", "--teacher", "ugatit"), "learns from --style_images"),
        (("--name", "p", "--photos", "photos", "--style_images", "photos"), "are for --teacher ugatit, not drawn"),
        (("--name", "p", "--photos", "photos", "--ckpt", "x.pt"), "takes none"),
        (("--name", "p", "--photos", "photos", "--teacher", "adain", "--style", "x"), "adain takes none"),
        (("--name", "p", "--photos", "photos", "--style_image", "x"), "drawn takes none"),
        (("--name", "p", "--photos", "photos", "--held_out", "photos"), "--held_out are both photos"),
        (("--name", "p", "--photos", "photos", "--held_out", "copies"), "are the same picture"),
        (("--name", "p", "--photos", "photos", "--inception_path", "i.pt"), "i.pt does not exist"),
        (("--name", "p", "--photos", "photos", "--until", "never"), "has the stages pairs, student"),
        (("--name", "p", "--photos", "photos", "--teacher", "whitebox", "--ckpt", "no.pt"), "no.pt does not exist"),
        (("--recipe", "no.toml"), "no.toml does not exist"),
        (("--recipe", "odd.toml"), "unknown option, colour"),
        (("--recipe", "photos/a.png"), "is no recipe"),
        (("--recipe", "many.toml"), "many"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(call, place, capsys, words, told):
    Path("empty").mkdir()
    shutil.copytree("photos", "copies")
    Path("odd.toml").write_text("colour = 1")
    Path("many.toml").write_text('draw = "many"')
    assert call(main, *words, "--output", "out") == 2
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error and error.count("\n") == 1 and not Path("out").exists()


def test_the_stages_can_be_seen_first(call, place, capsys):
    assert call(main, "--name", "p", "--photos", "photos", "--dry_run", "--output", "out") == 0
    shown = capsys.readouterr().out
    assert "1. pairs:" in shown and "python generate_data.py --teacher=drawn" in shown and not Path("out").exists()


def test_the_plan_is_kept_as_soon_as_something_is_done(place):
    def keep(**changes):
        options = Options(**{"name": "p", "photos": "photos", "output": "out"} | changes)
        options.keep(stages_of(options), photos=options.fingerprint())
        return json.loads(Path("out/p/own/options.json").read_text())

    assert keep(style="inc")["gmac"] == "0.5"
    Path("out/p/own/pairs").mkdir()
    assert keep()["style"] == "" and not Path("out/p/own/pairs").exists()  # begun for another style
    Path("out/p/own/pairs").mkdir()
    assert keep(steps=2)["steps"] == 2
    Path("out/p/own/pairs/preview.jpg").touch()
    assert keep(steps=5)["steps"] == 5  # the student is not done yet
    with pytest.raises(InputError, match="p was begun without --style: use that"):
        keep(style="ink")
    with pytest.raises(InputError, match="with other pictures"):
        keep(photos=".")
    Path("out/p/mobile.pt").touch()
    with pytest.raises(InputError, match="with --steps 5"):
        keep(steps=6)


@pytest.mark.parametrize(
    "changes",
    [
        {"compare": True, "held_out": "others", "inception_path": "i.pt", "steps": 3, "batch": 2, "count": 5},
        {"teacher": "ugatit", "generator": "g.pt", "unpaired_steps": 9, "unpaired_width": 16},
        {"teacher": "ugatit", "ckpt": "u.pt"},
        {"teacher": "example", "style": "fauve", "style_image": ["a.png", "b.png"]},
        {"teacher": "adain", "style_image": ["a.png"], "ckpt": "a.pt"},
        {"teacher": "whitebox", "ckpt": "w.pt"},
        {"teacher": "painter", "style": "comic"},
    ],
)  # fmt: skip
def test_each_program_understands_its_words(changes):
    for stage in stages_of(Options(**{"name": "p", "photos": "photos"} | changes)):
        module = importlib.import_module(stage.module.removesuffix(".py"))
        kind = BY_TEACHER[changes.get("teacher", "drawn")] if stage.module.endswith(".py") else module.Options
        cli.parse(kind, "", [*map(str, stage.words), *(["--measure=2"] if stage.measures else [])])


def test_the_command_line_goes_before_the_recipe_with_a_default_too(call, place, capsys):
    Path("r.toml").write_text(
        'name = "p"\nphotos = "photos"\nteacher = "adain"\ngmac = "2"\nstyle_image = ["photos/a.png"]\n'
    )
    line = ["--recipe", "r.toml", "--dry_run", "--output", "out"]
    assert call(main, *line, "--gmac", "0.5", "--style_image", "photos/b.png") == 0
    shown = capsys.readouterr().out
    assert "--gmac=0.5" in shown and "--style_image photos/b.png" in shown and "a.png" not in shown
    assert call(main, *line) == 0
    shown = capsys.readouterr().out
    assert "--gmac=2" in shown and "--style_image photos/a.png" in shown


def test_missing_packages_are_told_before_hours_of_training(call, place, monkeypatch, capsys):
    monkeypatch.setattr(chain, "find_spec", lambda name: None if name == "onnxscript" else object())
    line = ["--name", "p", "--photos", "photos", "--output", "out", "--dry_run"]
    assert call(main, *line) == 2
    told = capsys.readouterr().err
    assert "stage export needs packages: pip install onnx onnxscript onnxruntime" in told
    assert "--until frames" in told and not Path("out").exists()
    assert call(main, *line, "--until", "frames") == 0
    Path("out/p/export").mkdir(parents=True)
    Path("out/p/export/mobile.int8.onnx").touch()
    stages = stages_of(Options(name="p", photos="photos", output="out"))
    chain.check(stages, "this student")  # what is done needs nothing
    with pytest.raises(InputError, match="pip install"):
        chain.check(stages, "this student", redo="export")
