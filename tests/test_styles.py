from pathlib import Path

import numpy as np
import pytest
import torch

from model import checkpoints
from model.common.errors import InputError
from model.common.hub import CHECKPOINTS
from model.styles import catalog
from model.styles import presets as styles
from model.styles.catalog import choose_preset, list_presets
from model.styles.names import resolve_style
from model.styles.network import mix_codes
from model.styles.presets import PRESETS, SHORT_NAMES
from tests.small_models import small_network

EXEMPLARS = {"Cartoons_00002_01.jpg": np.zeros((1, 14, 8)), "ink.v2.png": np.ones((1, 14, 8)), "film": np.ones(1)}


def test_presets_are_consistent():
    assert len({preset.name for preset in PRESETS}) == len({preset.file for preset in PRESETS}) == len(PRESETS)
    for preset in PRESETS:
        is_dual = preset.backbone == "dualstylegan"
        assert (preset.exemplars is not None) == is_dual, "every D model has exemplars, and no T model"
        assert is_dual or (preset.style, preset.degree, preset.style_encoder) == (None, None, "encoder.pt")
        assert preset.style in (None, preset.default_style) and preset.degree in (None, preset.default_degree)
        assert preset.styles is None or preset.default_style < preset.styles
        if preset.file.startswith("vtoonify_d"):
            style, degree, colour = styles.PUBLISHED_NAME.fullmatch(Path(preset.file).stem).groups()
            assert preset.style == (int(style) if style else None)
            assert preset.degree == (float(degree) if degree else None)
            assert preset.colour_transfer == (colour is not None)
    assert set(SHORT_NAMES.values()) <= {preset.name for preset in PRESETS}


@pytest.mark.parametrize("collection", ["cartoon", "caricature", "arcane", "comic", "pixar", "illustration", "starter"])
def test_every_collection_has_a_model_under_its_plain_name(collection):
    preset = choose_preset(collection)
    assert preset.backbone == "dualstylegan" and collection in preset.file


def test_published_defaults():
    cartoon, starter, free = map(choose_preset, ("cartoon", "starter", "starter-pd"))
    assert (cartoon.default_style, cartoon.default_degree) == (26, 0.5)
    helpers = {"vtoonify_d_cartoon": ["encoder.pt", "faceparsing.pth"], "starter": [], "starter_pd": []}
    for preset, (folder, more) in zip((cartoon, starter, free), helpers.items(), strict=True):
        assert preset.files == [f"{folder}/vtoonify_s_d.pt", f"{folder}/exstyle_code.npy", *more]
    assert "non-commercial" in starter.licence and "non-commercial" not in free.licence


def test_unknown_presets_and_styles_are_told_with_those_that_are_near():
    for name, told in (("cartoons", "perhaps cartoon .*--list_styles"), ("zzz", "no preset 'zzz'; --list_styles")):
        with pytest.raises(InputError, match=told):
            choose_preset(name)
    for style_id in (3, -1, "9999"):
        with pytest.raises(InputError, match="styles 0 to 2"):
            resolve_style(EXEMPLARS, style_id)
    with pytest.raises(InputError, match="perhaps Cartoons_00002_01"):
        resolve_style(EXEMPLARS, "Cartoons_0002_01")


def test_a_published_file_that_is_not_there_yet_means_its_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pixar").mkdir()  # a folder of the name does not hide a preset
    file = "vtoonify_d_pixar/vtoonify_s_d.pt"
    assert {choose_preset(str(ckpt)).name for ckpt in (file, CHECKPOINTS / file, "pixar")} == {"pixar"}


def test_the_table_shows_every_preset_and_what_is_on_disk(tmp_path):
    for file in choose_preset("arcane-t").files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    lines = {line.split()[0]: line for line in list_presets(tmp_path).splitlines()}
    assert set(lines) == {"preset", *(preset.name for preset in catalog.PRESETS)}
    there = [name for name, line in lines.items() if line.endswith("on disk")]
    assert there == ["painters", "arcane-t"], "painters need no files"
    assert "comic, oil, charcoal" in lines["painters"]
    assert "0-316 (26)" in lines["cartoon"] and "0.5 only" in lines["cartoon-s026-d0.5"]


@pytest.mark.parametrize(
    ("name", "style", "degree", "colour"),
    [("vtoonify_s_d", None, None, False), ("vtoonify_s026_d0.5", 26, 0.5, False), ("vtoonify_s054_d_c", 54, None, True),
     ("vtoonify_s_d_c", None, None, True), ("mine_s512", None, None, False)],
)  # fmt: skip
def test_checkpoints_elsewhere_are_described_by_file_and_name(tmp_path, name, style, degree, colour):
    path = tmp_path / f"{name}.pt"
    checkpoints.save_vtoonify(path, small_network())
    preset = choose_preset(str(path))
    assert (preset.backbone, preset.style, preset.degree) == ("dualstylegan", style, degree)
    assert preset.colour_transfer == colour
    assert preset.exemplars == str(tmp_path / "exstyle_code.npy")
    assert (preset.style_encoder, preset.parser) == (None, None), "codes of 14 rows and no parsing channels"
    assert preset.default_style == (26 if style is None else style)


def test_checkpoints_of_variant_t_take_no_exemplars(tmp_path):
    checkpoints.save_vtoonify(tmp_path / "vtoonify_s001_d0.5.pt", small_network("toonify"))
    preset = choose_preset(str(tmp_path / "vtoonify_s001_d0.5.pt"))
    assert (preset.backbone, preset.exemplars, preset.style, preset.degree) == ("toonify", None, None, None)


def test_files_that_are_no_models_are_not_described(tmp_path):
    (tmp_path / "model.pt").write_text("nothing")
    with pytest.raises(InputError, match="not a VToonify model"):
        choose_preset(str(tmp_path / "model.pt"))
    with pytest.raises(InputError, match="is a folder"):
        choose_preset(str(tmp_path))


@pytest.fixture(scope="module")
def codes() -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(size=(1, 14, 8)).astype(np.float32)), rng.normal(size=(1, 14, 8))


def test_variant_d_takes_structure_from_the_exemplar_and_colour_from_the_photo(codes):
    network, (photo, exemplar) = small_network(), codes
    with torch.no_grad():
        mapped = torch.stack([network.stylegan.mapping(row) for row in torch.from_numpy(exemplar).float()[0]])[None]
    rows = mix_codes(network, photo, exemplar)
    torch.testing.assert_close(rows[:, :7], mapped[:, :7])
    assert torch.equal(rows[:, 7:], photo[:, 7:])
    torch.testing.assert_close(mix_codes(network, photo, exemplar, color_transfer=True), mapped)
    torch.testing.assert_close(mix_codes(network, None, exemplar), mapped)


def test_variant_t_takes_the_code_of_the_photo_or_the_mean_code_where_no_encoder_belongs_to_it(codes):
    network = small_network("toonify")
    assert torch.equal(mix_codes(network, *codes), codes[0])
    for layer in network.stylegan.style[1:]:
        layer.bias.data.normal_(std=50)  # times the learning-rate multiplier, 0.01
    with torch.no_grad():
        mean = network.stylegan.mapping(torch.zeros(8))
    torch.testing.assert_close(mix_codes(network, None, None), mean.expand(1, 14, 8))
    assert mean.abs().max() > 0.1


def test_codes_that_do_not_fit_the_model_are_refused(codes):
    photo, exemplar = codes
    with pytest.raises(InputError, match=r"\[1, 9, 8\], but the model takes \[1, 14, 8\]"):
        mix_codes(small_network(), photo, exemplar[:, :9])
    with pytest.raises(InputError, match="exemplar"):
        mix_codes(small_network(), photo, None)
