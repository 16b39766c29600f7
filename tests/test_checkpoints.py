import argparse
import gzip
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from model import checkpoints
from model.bisenet import BiSeNet
from model.common.errors import InputError
from model.config import GeneratorConfig, VToonifyConfig
from model.raft import RAFT, to_torchvision_names
from model.stylegan2 import Generator
from model.vtoonify import VToonify
from tests.parity_calls import BUILDERS
from tests.runs import assert_same
from tests.small_models import small_config, small_network

MANIFEST = Path(__file__).parent / "golden" / "manifest.json.gz"


@torch.no_grad()
def render(network: VToonify) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 3, 64, 64, generator=generator)
    return network(x, torch.randn(1, network.config.generator.w_layers, 8, generator=generator), 0.5)


def published_file(name: str) -> dict[str, torch.Tensor]:
    """A state dict of the published layout, which takes no memory for its numbers."""
    manifest = json.loads(gzip.decompress(MANIFEST.read_bytes()))
    return {key: torch.zeros(()).expand(shape) for key, (shape, _, _) in manifest[name].items()}


@pytest.mark.parametrize("name", BUILDERS)
def test_networks_have_the_names_and_shapes_of_the_published_files(name):
    stored = to_torchvision_names(published_file(name)) if name == "raft" else published_file(name)
    with torch.device("meta"):
        own = BUILDERS[name]().state_dict()
    assert {key: value.shape for key, value in own.items()} == {key: value.shape for key, value in stored.items()}


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("backbone", ["toonify", "dualstylegan"])
def test_vtoonify_comes_back_as_it_was_saved(tmp_path, backbone, half):
    network, path = small_network(backbone), tmp_path / "new" / "model.pt"
    checkpoints.save_vtoonify(path, network, half, extra={"step": 7})
    loaded = checkpoints.load_vtoonify(path)
    assert loaded.config == network.config == checkpoints.read_vtoonify_config(path) and not loaded.training
    torch.testing.assert_close(render(loaded), render(network), atol=0.02 * half, rtol=0)
    assert all(p.requires_grad and not p.is_meta and p.dtype == torch.float32 for p in loaded.parameters())
    stored = checkpoints.load_state(path)
    assert stored["step"] == 7 and (stored["g_ema"]["encoder.0.0.weight"].dtype == torch.float16) == half
    torch.save(stored, path, _use_new_zipfile_serialization=False)  # as torch before 1.6 wrote files
    assert torch.equal(render(checkpoints.load_vtoonify(path)), render(loaded))


@pytest.mark.parametrize("name", ["vtoonify_t", "vtoonify_d"])
def test_published_files_carry_no_sizes_and_tell_the_variant_by_their_names(tmp_path, name):
    torch.save({"g_ema": published_file(name)}, tmp_path / "model.pt")
    config = checkpoints.read_vtoonify_config(tmp_path / "model.pt")
    assert config == VToonifyConfig(backbone="toonify" if name == "vtoonify_t" else "dualstylegan")


def test_generators_of_other_sizes_come_back(tmp_path):
    config = GeneratorConfig(size=64, style_dim=8, mapping_layers=1, channels=dict.fromkeys((4, 8, 16, 32, 64), 4))
    network = Generator(config)
    checkpoints.save_weights(tmp_path / "generator.pt", network)
    loaded = checkpoints.load_generator(tmp_path / "generator.pt", config)
    w_plus = torch.randn(1, config.w_layers, 8)
    assert torch.equal(loaded(w_plus, noise="fixed"), network(w_plus, noise="fixed"))
    with pytest.raises(InputError, match=r"not a DualStyleGAN generator: parameter style\.2\.weight is missing"):
        checkpoints.load_dualstylegan(tmp_path / "generator.pt", config)


@pytest.mark.parametrize(("build", "load"), [(BiSeNet, checkpoints.load_parser), (RAFT, checkpoints.load_optical_flow)])
def test_face_parser_and_optical_flow_load_with_their_buffers(tmp_path, build, load):
    state = build().state_dict()
    torch.save(state, tmp_path / "weights.pth")
    assert_same(dict(load(tmp_path / "weights.pth").state_dict()), dict(state))


def tiny_encoder() -> torch.nn.Module:
    """What the loader of the pSp encoder relies on."""
    network = torch.nn.ModuleDict({"line": torch.nn.Linear(2, 2)})
    network.register_buffer("latent_avg", torch.zeros(18, 512), persistent=False)
    return network


@pytest.mark.parametrize("options", [{"label_nc": 0}, argparse.Namespace(label_nc=0)])
def test_style_encoder_file_holds_options_and_a_mean_code(tmp_path, monkeypatch, options):
    monkeypatch.setattr("model.checkpoints.encoders.PSPEncoder", tiny_encoder)
    mean_code = torch.randn(18, 512)
    weights = {"encoder.line.weight": torch.ones(2, 2), "encoder.line.bias": torch.zeros(2), "decoder.x": torch.ones(1)}
    torch.save({"state_dict": weights, "latent_avg": mean_code, "opts": options}, tmp_path / "encoder.pt")
    loaded = checkpoints.load_style_encoder(tmp_path / "encoder.pt")
    assert torch.equal(loaded.latent_avg, mean_code) and torch.equal(loaded["line"].weight, torch.ones(2, 2))
    torch.save({"state_dict": weights, "opts": options}, tmp_path / "encoder.pt")
    with pytest.raises(InputError, match="latent_avg"):
        checkpoints.load_style_encoder(tmp_path / "encoder.pt")


def test_pretrained_encoder_goes_into_a_network(tmp_path):
    source, target = small_network(), small_network()
    with torch.no_grad():
        source.encoder[0][0].weight.add_(1)
    checkpoints.save_weights(tmp_path / "pretrain.pt", source.encoder)
    checkpoints.load_encoder_pretrain(tmp_path / "pretrain.pt", target)
    assert torch.equal(render(source), render(target))
    wide = VToonify(replace(small_config(), stem_channels=8))
    with pytest.raises(InputError, match=r"parameter 0\.0\.weight has shape \[4, 3, 3, 3\], not \[8, 3, 3, 3\]"):
        checkpoints.load_encoder_pretrain(tmp_path / "pretrain.pt", wide)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"{5}": None, "{9}": None}, "parameter {5} is missing"),
    ({"{5}": torch.zeros(1, 2, 3)}, "parameter {5} has shape [1, 2, 3], not"),
    ({"surplus.weight": torch.zeros(1)}, "parameter surplus.weight is unexpected")])  # fmt: skip
def test_a_wrong_network_is_told_by_its_first_differing_parameter(tmp_path, change, sentence):
    network = small_network()
    names = list(network.state_dict())
    weights = network.state_dict() | {name.format(*names): value for name, value in change.items()}
    weights = {name: value for name, value in weights.items() if value is not None}
    torch.save({"g_ema": weights, "config": asdict(network.config)}, tmp_path / "model.pt")
    with pytest.raises(InputError) as caught:
        checkpoints.load_vtoonify(tmp_path / "model.pt")
    assert f"model.pt is not a VToonify model: {sentence.format(*names)}" in str(caught.value)


@pytest.mark.parametrize("change", [
    {"subpixel": 0}, {"subpixel": 3}, {"eye_distance": 0}, {"backbone": "resnet"}, {"surprise": 1},
    {"dilations": None}, {"generator": {"mapping_layers": 10**9}}, {"stem_channels": 2.5}])  # fmt: skip
def test_sizes_that_make_no_network_are_refused(tmp_path, change):
    config = asdict(small_config())
    config["generator"] |= change.pop("generator", {})
    torch.save({"g_ema": {}, "config": config | change}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="describes no network"):
        checkpoints.load_vtoonify(tmp_path / "model.pt")
