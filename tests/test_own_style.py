"""From a picture to a style, in one command."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import style_transfer
from model import checkpoints
from model.common.errors import InputError
from model.common.weight_files import write_contents
from model.config import GeneratorConfig
from model.discriminator import Discriminator
from model.media.sample import sample_portrait as portrait
from model.own_style.__main__ import main
from model.own_style.options import Options
from model.own_style.stages import stages_of
from model.stylegan2 import Generator
from model.styles import presets
from model.styles.catalog import choose_preset, list_presets
from model.training import chain
from model.training.options import RECIPES
from tests.chains import in_this_process

ROOT = Path(__file__).parents[1]
NARROW = GeneratorConfig(
    size=64, style_dim=8, mapping_layers=2, structure_size=8, channels=dict.fromkeys((4, 8, 16, 32, 64), 8)
)
QUICK = ["--encoder_steps=2", "--tune_steps=12", "--pretrain_steps=3", "--train_steps=2", "--batch=4"]
SMALL = ["--config=small", "--device=cpu", "--precision=fp32", "--stylegan_path=photos.pt", "--output=styles"]


@pytest.fixture
def narrow(monkeypatch):
    """`--config small` has few channels."""
    small = RECIPES["small"]
    network = replace(small.network, generator=NARROW, stem_channels=4)
    monkeypatch.setitem(RECIPES, "small", replace(small, network=network))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with a generator and its discriminator, photos.pt, and a picture, art.png, as the working folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    judge = Discriminator(None, 64, NARROW.channels)
    write_contents(Path("photos.pt"), {"g_ema": Generator(NARROW).state_dict(), "d": judge.state_dict()})
    Image.fromarray(255 - portrait()[:, :, ::-1] // 2).save("art.png")
    return tmp_path


@pytest.fixture
def in_process(monkeypatch, narrow):
    """Stages run in this process, where the sizes are narrow; the commands that were given."""
    return in_this_process(monkeypatch)


def distance(path: str, wanted: np.ndarray) -> float:
    """How far a generator's pictures are from a picture's mean colour."""
    network = checkpoints.load_generator(path, NARROW)
    z = torch.randn(8, 1, 8, generator=torch.Generator().manual_seed(1)).repeat(1, NARROW.w_layers, 1)
    with torch.no_grad():
        mean = network(0.5 * network.mapping(z)).clamp(-1, 1).mean((0, 2, 3)).numpy()
    return float(np.abs(mean - wanted).mean())


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_one_picture_becomes_a_style_that_stylises(call, place, in_process, capsys):
    begin = (*SMALL, *QUICK, "--picture", "art.png", "--name", "mine")
    assert call(main, *begin, "--until", "sheet") == 0
    folder = Path("styles/mine")
    assert "Stopped after sheet as asked: look at" in capsys.readouterr().out
    assert cv2.imread(str(folder / "own/sheet.jpg")).shape[1] == 12 * 192 and not (folder / "vtoonify.pt").exists()
    assert [words[1].rpartition(".")[2] for words in in_process] == [
        "align",
        "encoder",
        "invert_folder",
        "jojo",
        "sheet",
    ]

    face = cv2.imread(str(folder / "own/aligned/faces/0000_art.png"))[:, :, ::-1].mean((0, 1)) / 127.5 - 1
    assert distance(f"{folder}/own/tuned.pt", face) < distance("photos.pt", face)

    in_process.clear()
    assert call(main, *begin) == 0
    assert "train_vtoonify_t.py" in in_process[0][0] and len(in_process) == 2
    said = capsys.readouterr().out
    assert "1/7 align: done" in said and "python style_transfer.py --ckpt styles/mine clip.mp4" in said
    assert (folder / "own/pictures/art.png").read_bytes() == Path("art.png").read_bytes()

    assert call(style_transfer.main, "--ckpt", "styles/mine", "--content", "art.png", "--device", "cpu") == 0
    assert np.std(cv2.imread("output/art_vtoonify_t.jpg")) > 1

    in_process.clear()
    assert call(main, *begin, "--redo", "sheet", "--until", "sheet") == 0
    assert [words[1].rpartition(".")[2] for words in in_process] == ["sheet"]
    assert not (folder / "vtoonify.pt").exists()  # what follows is to be done again, too

    for changes, sentence in (
        (("--strength", "0.5"), "mine was begun with --strength 1.0: use that"),
        (("--name", "cartoon"), "--name cartoon is the name of a style"),
    ):
        assert call(main, *begin, *changes) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_a_folder_becomes_a_style(call, place, in_process, capsys):
    folder = Path("art")
    folder.mkdir()
    for i in range(12):
        Image.fromarray(np.roll(portrait(), 12 * i - 60, axis=2)[:, 8 * i :]).save(folder / f"{i}.png")
    begin = (*SMALL, *QUICK, "--pictures", "art", "--name", "many", "--aligned")
    assert call(main, *begin) == 0
    said = capsys.readouterr().out
    assert "12 pictures are few (100 to 300 are usual)" in said
    words = next(words for words in in_process if "model.training.finetune" in words)
    assert "--freeze_d=7" in words and "--lr=0.0005" in words and "--data=art" in words
    weights = checkpoints.read_vtoonify_config("styles/many/vtoonify.pt")
    assert weights.generator == NARROW and Path("styles/many/own/sheet.jpg").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_a_folder_becomes_styles_with_a_degree(call, place, in_process):
    folder = Path("art")
    folder.mkdir()
    for i in range(10):
        Image.fromarray(np.roll(portrait(), 12 * i - 60, axis=2)[:, 8 * i :]).save(folder / f"{i}.png")
    begin = (*SMALL, *QUICK, "--pictures", "art", "--name", "several", "--aligned", "--kind", "dual")
    quick = ("--code_steps=2", "--dual_steps=4", "--tune_steps=4")
    assert call(main, *begin, *quick, "--dual_pretrain_path", "photos_dual.pt") == 0
    codes = checkpoints.load_exemplars("styles/several/exstyle_code.npy")
    assert list(codes) == sorted(f"{i}.png" for i in range(10)) and Path("photos_dual.pt").exists()
    stylise = ("--ckpt", "styles/several", "--content", "art.png", "--device", "cpu", "--style_id", "3")
    for degree in (0, 1):
        assert call(style_transfer.main, *stylise, "--style_degree", degree, "--output_path", degree) == 0
    results = [cv2.imread(f"{degree}/art_vtoonify_d.jpg").astype(int) for degree in (0, 1)]
    assert results[0].shape == results[1].shape


def test_what_can_not_work_is_said_before_anything_is_written(call, place, capsys):
    Path("empty").mkdir()
    Path("one").mkdir()
    shutil.copy("art.png", "one/art.png")
    Path("styles/taken").mkdir(parents=True)
    for words, sentence in (
        ((), "--name is missing"),
        (("--name", "a"), "there is no picture: give --picture art.png, or --pictures FOLDER"),
        (("--name", "a", "--picture", "art.png", "--pictures", "one"), "exclude each other"),
        (("--name", "a", "--picture", "one"), "one is a folder: give it as --pictures"),
        (("--name", "a", "--picture", "b.png"), "b.png does not exist"),
        (("--name", "a", "--pictures", "nowhere"), "--pictures nowhere is no folder"),
        (("--name", "a", "--pictures", "empty", "--kind", "jojo"), "empty holds no pictures"),
        (("--name", "a", "--pictures", "one"), "one has 1 pictures, and --kind toonify takes 10 at least"),
        (("--name", "../a", "--picture", "art.png"), "--name is '../a': give a plain name"),
        (("--name", "starter", "--picture", "art.png"), "is the name of a style that there is"),
        (("--name", "taken", "--picture", "art.png"), "taken exists, and is no style of this program"),
        (("--name", "a", "--picture", "art.png", "--until", "never"), "--kind jojo has the stages align, encoder"),
        (("--name", "a", "--picture", "art.png", "--colours", "photo", "--kind", "dual"), "--colours photo is for"),
        (("--name", "a", "--picture", "art.png", "--stylegan_path", "x.pt"), "x.pt does not exist: put it there"),
        (("--name", "a", "--picture", "art.png", "--config", "published"), "e4e_ffhq_encode.pt does not exist"),
    ):
        assert call(main, *SMALL, *words) == 2
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1, error
    assert not Path("styles/a").exists() and not any(Path("styles/taken").iterdir())


def test_the_stages_can_be_seen_first(call, place, capsys):
    assert call(main, "--picture=art.png", "--name=mine", "--output=styles", "--dry_run") == 0
    said = capsys.readouterr().out
    assert "4. sheet: twelve random faces in the style (about 1 min)" in said and "estimates" in said
    assert "--encoder_path=checkpoint/e4e_ffhq_encode.pt" in said and "--weight 1 1" in said
    assert not Path("styles").exists()


def test_colours_of_the_photo_are_kept_by_family_c_and_by_blending(place):
    options = Options(name="a", picture=["art.png"], colours="photo").resolved()
    stages = {stage.name: stage for stage in stages_of(options, 1)}
    assert "--family=c" in stages["tune"].words
    first = stages["train"].words.index("--weight") + 1
    assert stages["train"].words[first : first + 18] == ["1"] * 9 + ["0"] * 9


def test_a_picture_without_a_face_ends_with_its_program_s_sentence(place):
    """With real programs, which say themselves what is wrong."""
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save("art.png")
    command = [sys.executable, "-m", "model.own_style", *SMALL, "--picture=art.png", "--name=mine"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and "shows no face that is found" in done.stderr and "Traceback" not in done.stderr
    kept = json.loads(Path("styles/mine/own/options.json").read_text())
    assert kept["sources"] == ["art.png"] and kept["kind"] == "jojo"


def test_exit_codes_of_programs_are_passed_on():
    chain.launch([sys.executable, "-c", "pass"])
    with pytest.raises(SystemExit) as failed:
        chain.launch([sys.executable, "-c", "raise SystemExit(2)"])
    assert failed.value.code == 2
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        chain.launch([sys.executable, "-c", "raise SystemExit(130)"])


def test_a_folder_with_one_model_is_named_by_its_name(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "checkpoint/starter", tmp_path / "mine")
    monkeypatch.setattr("model.styles.catalog.CHECKPOINTS", tmp_path)
    chosen = choose_preset("mine")
    assert chosen.name == "mine" and Path(chosen.file) == tmp_path / "mine/vtoonify_s_d.pt"
    assert choose_preset(str(tmp_path / "mine")) == chosen
    assert presets.own_models(tmp_path) == [tmp_path / "mine/vtoonify_s_d.pt"]
    assert any(line.startswith("mine ") and "on disk" in line for line in list_presets(tmp_path).splitlines())
    shutil.copy(tmp_path / "mine/vtoonify_s_d.pt", tmp_path / "mine/vtoonify_s001_d.pt")
    with pytest.raises(InputError):  # which of both?
        choose_preset("mine")


def test_a_program_that_is_interrupted_while_it_is_imported_ends_quietly(tmp_path, capfd):
    program = tmp_path / "slow.py"
    program.write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        chain.launch([sys.executable, str(program)])
    assert capfd.readouterr().err == ""
    program.write_text("import sys\nassert __name__ == '__main__' and sys.argv[1:] == ['--measure=2']\nsys.exit(2)")
    assert chain._measure(chain.Stage("s", "", tmp_path / "result", str(program))) == ""  # it tells itself why
    chain.launch([sys.executable, "-m", "json.tool", "--help"])
    assert "json" in capfd.readouterr().out
