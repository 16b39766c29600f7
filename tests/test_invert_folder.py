from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model import checkpoints
from model.common.errors import InputError
from model.common.tensors import to_uint8
from model.config import EncoderConfig, GeneratorConfig
from model.discriminator import Discriminator
from model.e4e import E4EEncoder
from model.psp import PSPEncoder
from model.stylegan2 import Generator
from model.training.options import RECIPES
from model.training.own import invert_folder
from model.training.own.invert_folder import CODES_FILE, OPTIMISED_FILE, SHEET_FILE, Options

GENERATOR = GeneratorConfig(size=32, style_dim=8, mapping_layers=2, channels=dict.fromkeys((4, 8, 16, 32), 12))
ENCODER = EncoderConfig(face_size=32, code_count=8, code_size=8, widths=(4, 4, 8, 8), blocks=(1, 1, 1, 1))
COUNT = 3


@pytest.fixture
def options(tmp_path, monkeypatch) -> Options:
    """Options with a generator that is smaller than the tiny one, and three pictures that it drew."""
    recipe = RECIPES["tiny"]
    monkeypatch.setitem(RECIPES, "tiny", replace(recipe, network=replace(recipe.network, generator=GENERATOR)))
    torch.manual_seed(0)
    generator = Generator(GENERATOR)
    contents = {"g_ema": generator.state_dict(), "d": Discriminator(None, 32, GENERATOR.channels).state_dict()}
    torch.save(contents, tmp_path / "stylegan.pt")
    checkpoints.save_encoder(tmp_path / "encoder.pt", PSPEncoder(ENCODER))
    (tmp_path / "faces").mkdir()
    with torch.no_grad():
        pictures = generator(generator.mapping(torch.randn(COUNT, 1, 8)).repeat(1, 8, 1), "fixed")
    for number, picture in enumerate(to_uint8(pictures).numpy()):
        Image.fromarray(picture).save(tmp_path / f"faces/{number}.png")
    folders = {"data": str(tmp_path / "faces"), "out": str(tmp_path / "out"), "runs": str(tmp_path / "runs")}
    files = {"stylegan_path": str(tmp_path / "stylegan.pt"), "encoder_path": str(tmp_path / "encoder.pt")}
    return Options(**folders, **files, config="tiny", device="cpu", batch=2, steps=40)


@pytest.mark.parametrize("kind", [PSPEncoder, E4EEncoder])
def test_codes_have_the_names_of_the_pictures_and_draw_them(options, kind):
    torch.manual_seed(1)
    checkpoints.save_encoder(options.encoder_path, kind(ENCODER))
    out = invert_folder.invert_folder(options)
    seen, optimised = (checkpoints.load_exemplars(out / file) for file in (CODES_FILE, OPTIMISED_FILE))
    assert list(seen) == list(optimised) == [f"{number}.png" for number in range(COUNT)]
    generator = checkpoints.load_generator(options.stylegan_path, GENERATOR)
    for number, (name, code) in enumerate(seen.items()):
        picture = np.asarray(Image.open(Path(options.data, f"{number}.png"))) / 127.5 - 1
        with torch.no_grad():
            drawn = [
                generator(torch.from_numpy(c), "fixed")[0].permute(1, 2, 0).numpy() for c in (code, optimised[name])
            ]
        errors = [np.square(result - picture).mean() for result in drawn]
        assert errors[1] < 0.6 * errors[0]
    assert Image.open(out / SHEET_FILE).size == (3 * 256, COUNT * 256)


def test_a_run_goes_on_where_it_was_stopped_and_gives_the_same(options, tmp_path, monkeypatch):
    options = replace(options, steps=3)
    whole = invert_folder.invert_folder(options)
    parted = replace(options, runs=str(tmp_path / "others"), out=str(tmp_path / "parted"))
    real = invert_folder.Inverter.__call__

    def stopped(work, part):
        if part[0]:
            raise KeyboardInterrupt
        return real(work, part)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="--resume goes on"):
        patch.setattr(invert_folder.Inverter, "__call__", stopped)
        invert_folder.invert_folder(parted)
    again = invert_folder.invert_folder(replace(parted, resume=True))
    for file in (CODES_FILE, OPTIMISED_FILE):
        a, b = (checkpoints.load_exemplars(folder / file) for folder in (whole, again))
        assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
    with pytest.raises(InputError, match="another pictures"):
        Image.new("RGB", (32, 32)).save(Path(options.data, "0.png"))
        invert_folder.invert_folder(replace(parted, resume=True))


def test_without_steps_nothing_but_the_encoder_is_needed(options, tmp_path):
    contents = checkpoints.load_state(options.stylegan_path)
    torch.save({"g_ema": contents["g_ema"]}, options.stylegan_path)
    out = invert_folder.invert_folder(replace(options, steps=0))
    assert (out / CODES_FILE).exists() and not (out / OPTIMISED_FILE).exists()
    with pytest.raises(InputError, match="has no discriminator"):
        invert_folder.invert_folder(replace(options, runs=str(tmp_path / "others")))
