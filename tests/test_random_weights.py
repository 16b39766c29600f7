from pathlib import Path

import pytest
import torch

from model import checkpoints
from model.tools import random_weights
from model.training.options import TINY, DualOptions
from model.training.teachers.variants import DualStyleTeacher, load_teacher

FILES = ["stylegan.pt", "dualstylegan.pt", "exstyle_code.npy", "directions.npy", "faceparsing.pth"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("selfmade") / "new"
    random_weights.write(folder)
    return folder


@pytest.fixture(scope="module")
def teacher(folder) -> DualStyleTeacher:
    files = zip(("stylegan", "exstyle", "direction", "faceparsing"), FILES[1:], strict=True)
    paths = {f"{option}_path": str(folder / name) for option, name in files}
    return load_teacher(DualOptions(config="tiny", style_id=0, style_encoder_path="none", **paths).resolved(), "cpu")


@torch.no_grad()
def cartoons(teacher: DualStyleTeacher, style: int, degree: float, colour: float) -> torch.Tensor:
    latent, exemplar = teacher.latent([0, 1]), teacher.exemplars[[style, style]]
    weights = torch.tensor([degree] * TINY.structure_layers + [colour] * (TINY.w_layers - TINY.structure_layers))
    return teacher.render(teacher.cartoons, latent.w_plus, exemplar, weights, noise=latent.noise)


def test_the_generator_of_photos_is_in_both_files(folder):
    assert {path.name for path in folder.iterdir()} == set(FILES)
    photos = checkpoints.load_generator(folder / "stylegan.pt", TINY).state_dict()
    dual = checkpoints.load_dualstylegan(folder / "dualstylegan.pt", TINY).generator.state_dict()
    assert photos.keys() == dual.keys() and all(torch.equal(value, dual[name]) for name, value in photos.items())


def test_photos_are_smooth_colourful_and_varied(teacher):
    with torch.no_grad():
        latent = teacher.latent(range(12))
        photos = teacher.photos(latent.w_plus, latent.noise)
    assert 0.3 < photos.std() < 0.8 and abs(photos.mean()) < 0.25
    assert (photos.abs() > 1).double().mean() < 0.15
    assert photos.diff(dim=-1).abs().mean() < 0.05 * photos.std(), "smooth"
    assert photos.std(dim=1).mean() > 0.15, "colourful"
    assert photos.std(dim=0).mean() > 0.25, "varied from code to code"
    assert photos.mean((2, 3), keepdim=True).sub(photos).std() > 0.2, "varied over the picture"


def test_degree_colour_and_exemplar_matter(teacher):
    none, half, full = (cartoons(teacher, 0, degree, 0.0) for degree in (0.0, 0.5, 1.0))
    assert (full - none).abs().mean() > 0.1
    assert (half - none).abs().mean() < (full - none).abs().mean()
    assert (cartoons(teacher, 0, 0.0, 1.0) - none).abs().mean() > 0.1
    styles = [cartoons(teacher, style, 1.0, 1.0) for style in range(3)]
    assert min((styles[i] - styles[j]).abs().mean() for i, j in ((0, 1), (0, 2), (1, 2))) > 0.1
    assert all((style.abs() == 1).double().mean() < 0.4 for style in styles), "not all of it is clamped"


def test_parsing_maps_are_of_the_usual_size_and_follow_the_picture(teacher):
    logits = teacher.sample_features(range(4), 0.5).logits
    assert logits.shape == (4, 19, 128, 128) and 1 < logits.std() < 10 and logits.std(dim=0).mean() > 0.5
    assert len(logits.argmax(1).unique()) > 5
    sizes = teacher.directions.abs().mean((1, 2))
    assert sizes[0] == 0 and (sizes[1:] > 0.1).all() and len(sizes) == 4, "the first direction changes nothing"


def test_a_seed_gives_the_same_weights_again(folder, tmp_path, call, capsys, monkeypatch):
    monkeypatch.setattr(random_weights, "make_parser", lambda photos: photos)  # takes most of the time
    for name, seed in (("same", 0), ("other", 1)):
        assert call(random_weights.main, "--out", tmp_path / name, "--seed", seed) == 0
    for file in FILES[:-1]:
        one, same, other = ((at / file).read_bytes() for at in (folder, tmp_path / "same", tmp_path / "other"))
        assert one == same != other
    assert "same" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--out is missing"),
        (["--out", "x", "--seed", "-1"], "--seed is -1"),
        (["--out", "taken"], "cannot write taken"),
    ],
)
def test_what_cannot_work_is_one_sentence(call, capsys, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    assert call(random_weights.main, *arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and [path.name for path in tmp_path.iterdir()] == ["taken"]
