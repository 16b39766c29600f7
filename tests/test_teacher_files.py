"""Network teachers and backbones from files, and what is said about files that do not serve."""

import numpy as np
import pytest
import torch

from model import checkpoints
from model.common.errors import InputError
from model.common.weight_files import write_contents
from model.dualstylegan import DualStyleGAN
from model.stylegan2 import Generator
from model.training.options import RECIPES, DualOptions, ToonifyOptions
from model.training.teachers.load import fill_backbone, load_backbone, load_teacher
from model.vtoonify import VToonify
from tests.small_teachers import Parser

TINY = RECIPES["tiny"].network


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A function that makes options for small files in a folder, but for the parser, which is not read."""
    torch.manual_seed(0)
    config = TINY.generator
    for name, network in (("base", Generator(config)), ("fine", Generator(config)), ("dual", DualStyleGAN(config))):
        write_contents(tmp_path / f"{name}.pt", {"g_ema": network.state_dict()})
    rng = np.random.default_rng(0)
    codes = {name: rng.normal(size=(1, config.w_layers, config.style_dim)) for name in ("a", "b")}
    checkpoints.save_exemplars(tmp_path / "codes.npy", codes)
    np.save(tmp_path / "directions.npy", rng.normal(size=(4, config.w_layers, config.style_dim)))
    monkeypatch.setattr(checkpoints, "load_parser", lambda path: Parser())

    names = {
        ToonifyOptions: {"stylegan": "base.pt", "finetunegan": "fine.pt", "direction": "directions.npy"},
        DualOptions: {"stylegan": "dual.pt", "exstyle": "codes.npy", "direction": "directions.npy"},
    }

    def options(kind: type, **changes):
        paths = {f"{option}_path": str(tmp_path / name) for option, name in names[kind].items()}
        others = {"config": "tiny", "style_encoder_path": "none"} | ({"style_id": 1} if kind is DualOptions else {})
        return kind(**paths | others | changes).resolved()

    return options


def test_teachers_come_from_files(files, tmp_path):
    teacher = load_teacher(files(ToonifyOptions, weight=[0.25] * TINY.generator.w_layers), "cpu")
    base, fine = (checkpoints.load_generator(tmp_path / f"{name}.pt", TINY.generator) for name in ("base", "fine"))
    weight = [generator.convs[1].conv.weight for generator in (base, fine, teacher.photos, teacher.cartoons)]
    assert torch.equal(weight[2], weight[0])
    torch.testing.assert_close(weight[3], 0.75 * weight[0] + 0.25 * weight[1])
    sample = teacher.sample([0, 1], 0.5)
    assert sample.cartoon.shape == (2, 3, 256, 256) and sample.logits.shape == (2, 19, 128, 128)
    assert sample.attribute.min() >= 0

    plain = load_teacher(files(DualOptions, direction_path="none"), "cpu")
    sample = plain.sample([0, 1], 0)
    assert plain.styles == ["a", "b"] and sample.style.tolist() == [1, 1] and sample.attribute.tolist() == [-1, -1]


@pytest.mark.parametrize("kind", [ToonifyOptions, DualOptions])
def test_a_student_is_put_on_the_generator_of_its_teacher(files, kind):
    options = files(kind)
    network = VToonify(options.recipe.network)
    fill_backbone(network, load_backbone(options))
    trained = load_teacher(options, "cpu").cartoons
    for name, value in trained.state_dict().items():
        assert torch.equal(network.generator.state_dict()[name], value), name
    if kind is DualOptions:
        assert len(network.res) == TINY.generator.structure_layers
        for block, own in zip(network.res, trained.res, strict=False):
            assert all(torch.equal(a, b) for a, b in zip(block.parameters(), own.parameters(), strict=True))
        assert network.res[1].conv[0].dilation == 2, "the weights are shared, the dilation is the student's"


def test_the_style_encoder_is_read_only_where_it_is_used(files, monkeypatch):
    monkeypatch.delattr(checkpoints, "load_style_encoder")
    with pytest.raises(InputError, match="--style_encoder_path is e.pt: .* don't fit --config tiny, so give none"):
        load_teacher(files(DualOptions, style_encoder_path="e.pt"), "cpu")
    for useless in ({"pretrain": True}, {"fix_style": True}):
        load_teacher(files(DualOptions, style_encoder_path="e.pt", **useless), "cpu")


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        (ToonifyOptions, {"finetunegan_path": "nowhere.pt"}, "nowhere.pt does not exist: a StyleGAN2 generator"),
        (ToonifyOptions, {"direction_path": "nowhere.npy"}, "nowhere.npy does not exist: a file of editing directions"),
        (ToonifyOptions, {"direction_path": "other.npy"}, r"\[4, 18, 512\], not float of shape \[N, 14, 16\]"),
        (DualOptions, {"stylegan_path": "nowhere.pt"}, "nowhere.pt does not exist: a DualStyleGAN"),
        (DualOptions, {"exstyle_path": "nowhere.npy"}, "nowhere.npy does not exist: a file of exemplar"),
        (DualOptions, {"style_id": 2}, "--style_id is 2: .*codes.npy has styles 0 to 1"),
        (DualOptions, {"config": "published"}, r"shape \[1, 14, 16\], but --config published takes \[1, 18, 512\]"),
    ],
)
def test_files_that_do_not_serve_are_one_sentence(files, tmp_path, monkeypatch, kind, changes, sentence):
    monkeypatch.chdir(tmp_path)
    np.save("other.npy", np.zeros((4, 18, 512), np.float32))
    with pytest.raises(InputError, match=sentence) as caught:
        load_teacher(files(kind, **changes), "cpu")
    assert "\n" not in str(caught.value)
