import argparse
import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from model import checkpoints
from model.arcface import ArcFace
from model.common.errors import InputError
from model.config import EncoderConfig, GeneratorConfig
from model.e4e import E4EEncoder
from model.perceptual import VGG19Features
from model.psp import PSPEncoder
from model.stylegan2 import Generator
from model.training import losses
from model.training.own.encoders import FaceEncoder

MANIFEST = Path(__file__).parent / "golden" / "own" / "manifest.json.gz"
CHANNELS = (4, 8, 16, 32, 64)
SMALL = EncoderConfig(face_size=64, code_count=10, code_size=16, widths=(4, 8, 16, 16), blocks=(1, 1, 2, 1))


def encoder(kind=PSPEncoder, config=SMALL, seed=0):
    torch.manual_seed(seed)
    network = kind(config).eval()
    network.latent_avg = torch.randn(config.code_count, config.code_size)
    return network


def faces(count=2, size=64):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize(("module", "build"), [("e4e", E4EEncoder), ("arcface", ArcFace), ("vgg19", VGG19Features)])
def test_networks_have_the_names_and_shapes_of_the_published_files(module, build):
    published = json.loads(gzip.decompress(MANIFEST.read_bytes()))[module]
    with torch.device("meta"):
        own = {name: list(value.shape) for name, value in build().state_dict().items()}
    stored = {name: entry[0] for name, entry in published.items() if module != "vgg19" or name in own}
    assert own == stored


def test_e4e_adds_to_the_first_code_what_each_row_differs_by():
    psp, e4e = encoder(), encoder(E4EEncoder)
    heads, codes = psp(faces()), e4e(faces())
    assert torch.equal(codes[:, 0], heads[:, 0])
    torch.testing.assert_close(codes[:, 1:], heads[:, 1:] + heads[:, :1])
    torch.testing.assert_close(e4e.style_codes(faces()), codes + e4e.latent_avg)


@pytest.mark.parametrize("kind", [PSPEncoder, E4EEncoder])
def test_small_encoders_come_back_with_their_sizes_and_mean_code(tmp_path, kind):
    load = checkpoints.load_e4e if kind is E4EEncoder else checkpoints.load_style_encoder
    network = encoder(kind)
    checkpoints.save_encoder(tmp_path / "encoder.pt", network)
    loaded = load(tmp_path / "encoder.pt")
    assert loaded.config == SMALL and type(loaded) is kind
    assert torch.equal(loaded.style_codes(faces()), network.style_codes(faces()))
    with pytest.raises(InputError, match="64, 64"):
        loaded(faces(size=128))


def test_each_kind_of_encoder_is_told_from_the_other_by_its_options(tmp_path):
    for kind, load in ((PSPEncoder, checkpoints.load_e4e), (E4EEncoder, checkpoints.load_style_encoder)):
        checkpoints.save_encoder(tmp_path / "encoder.pt", encoder(kind))
        own, other = ("a pSp style encoder", "an e4e encoder")[:: 1 if kind is PSPEncoder else -1]
        with pytest.raises(InputError, match=f"encoder.pt is not {other}: it is {own}, which has the same names"):
            load(tmp_path / "encoder.pt")


@pytest.mark.parametrize("options", [None, {}, argparse.Namespace(lr=1)])
def test_without_such_options_the_mean_code_tells(tmp_path, options):
    network = encoder()
    weights = {f"encoder.{name}": value for name, value in network.state_dict().items()}
    sizes = {"face_size": 64, "code_count": 10, "code_size": 16, "widths": [4, 8, 16, 16], "blocks": [1, 1, 2, 1]}
    row = torch.randn(1, 16)
    for mean, is_psp, is_e4e in ((row.expand(10, 16), False, True), (row * 1e-3 + torch.zeros(10, 1), True, False),
                                 (network.latent_avg, True, True)):  # fmt: skip
        contents = {"state_dict": weights, "latent_avg": mean, "config": sizes} | ({"opts": options} if options else {})
        torch.save(contents, tmp_path / "encoder.pt")
        for load, fits in ((checkpoints.load_style_encoder, is_psp), (checkpoints.load_e4e, is_e4e)):
            if fits:
                assert torch.equal(load(tmp_path / "encoder.pt").latent_avg, mean)
            else:
                with pytest.raises(InputError, match="which has the same names"):
                    load(tmp_path / "encoder.pt")


@pytest.mark.parametrize("change", [{"face_size": 60}, {"face_size": 0}, {"blocks": (1, 1)}, {"widths": None},
                                    {"surprise": 1}, {"code_count": 2.5}])  # fmt: skip
def test_sizes_that_make_no_encoder_are_refused(tmp_path, change):
    checkpoints.save_encoder(tmp_path / "encoder.pt", encoder())
    contents = checkpoints.load_state(tmp_path / "encoder.pt")
    torch.save(contents | {"config": contents["config"] | change}, tmp_path / "encoder.pt")
    with pytest.raises(InputError, match="'config' describes no network"):
        checkpoints.load_style_encoder(tmp_path / "encoder.pt")


def test_arcface_looks_at_the_face_alone_and_takes_any_size():
    torch.manual_seed(0)
    arcface = ArcFace().eval()
    face = F.interpolate(faces(1, 16), (256, 256), mode="bilinear")
    framed = face.clone()
    framed[..., :35, :] = framed[..., :32] = framed[..., 223:, :] = framed[..., 220:] = 1
    with torch.inference_mode():
        one, same, large = (arcface(each) for each in (face, framed, F.interpolate(face, (512, 512), mode="bilinear")))
        other = arcface(faces(1, 256))
    assert torch.equal(one, same) and one.norm().item() == pytest.approx(1, abs=1e-5)
    assert losses.identity(large, one) < 0.1 * losses.identity(other, one)
    assert arcface(face[..., ::4, ::4]).shape == (1, 512)


def test_contextual_loss_forgets_places_but_not_textures():
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.rand(2, 8, 4, 4, generator=generator) for _ in range(2))
    shuffled = x.flatten(2)[..., torch.randperm(16, generator=generator)].view_as(x)
    torch.testing.assert_close(losses.contextual(shuffled, y), losses.contextual(x, y))
    assert losses.contextual(x, shuffled) < 0.01 < 0.3 < losses.contextual(x, y)


def test_losses_of_features_give_the_target_no_gradient():
    result, target = ([torch.randn(1, 4, 3, 3, requires_grad=True) for _ in range(2)] for _ in range(2))
    loss = losses.feature_l1(result, target, (0.5, 2)) + losses.channel_means(result, target)
    loss = loss + losses.identity(F.normalize(result[0].flatten(1)), F.normalize(target[0].flatten(1)))
    loss.backward()
    assert all(each.grad is not None for each in result) and all(each.grad is None for each in target)
    with torch.no_grad():
        expected = 0.5 * (result[0] - target[0]).abs().mean() + 2 * (result[1] - target[1]).abs().mean()
    torch.testing.assert_close(losses.feature_l1(result, target, (0.5, 2)).detach(), expected)


def test_vgg_19_is_shared_by_features_and_likeness(tmp_path):
    torch.manual_seed(0)
    features = VGG19Features()
    names = features.state_dict() | {"features.34.weight": torch.zeros(1), "classifier.0.bias": torch.zeros(1)}
    torch.save(names, tmp_path / "vgg19.pth")
    loaded, likeness = checkpoints.load_vgg19(tmp_path / "vgg19.pth"), checkpoints.load_likeness(tmp_path / "vgg19.pth")
    a, b = faces(1, 32), faces(1, 32).flip(-1)
    for one, other in zip(loaded(a), features(a), strict=True):
        assert torch.equal(one, other)
    layers = (3, 8, 17)
    pairs = zip(features(a, layers), features(b, layers), strict=True)
    torch.testing.assert_close(likeness(a, b)[0], sum((x - y).square().mean() for x, y in pairs) / 3)
    assert len(features(a, (1, 6))) == 2 and not any(p.requires_grad for p in loaded.parameters())


def test_published_sizes_are_the_defaults():
    config = EncoderConfig()
    assert config.feature_blocks == (6, 20, 23) and config.head_sizes == (16,) * 3 + (32,) * 4 + (64,) * 11
    assert replace(config, code_count=14).head_sizes == config.head_sizes[:14]


def generator_for(config=SMALL):
    torch.manual_seed(5)
    sizes = GeneratorConfig(size=64, style_dim=config.code_size, mapping_layers=2, channels=dict.fromkeys(CHANNELS, 4))
    return Generator(sizes).eval()


@pytest.mark.parametrize("kind", [PSPEncoder, E4EEncoder])
def test_a_face_encoder_gives_codes_in_w_whichever_it_is(tmp_path, kind):
    network, generator = encoder(kind), generator_for()
    checkpoints.save_encoder(tmp_path / "encoder.pt", network)
    found = FaceEncoder.load(tmp_path / "encoder.pt", generator)
    large = F.interpolate(faces(), scale_factor=2, mode="nearest")
    with torch.no_grad():
        codes = network.style_codes(faces())
        expected = codes if kind is E4EEncoder else generator.mapping(codes)
    torch.testing.assert_close(found.w_codes(large), expected)
    if kind is PSPEncoder:
        torch.testing.assert_close(found.z_codes(large), codes)
    else:
        with pytest.raises(InputError, match="encoder.pt is an e4e, whose codes are in w+"):
            found.z_codes(large)


def test_an_encoder_of_another_generator_is_refused(tmp_path):
    checkpoints.save_encoder(tmp_path / "encoder.pt", encoder(config=replace(SMALL, code_count=14)))
    with pytest.raises(InputError, match="makes codes of 14 x 16 numbers, where 10 x 16 fit"):
        FaceEncoder.load(tmp_path / "encoder.pt", generator_for())
