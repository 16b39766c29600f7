from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.common import onnx_files
from model.folded import FoldedVToonify
from model.inference.stylizer import Stylizer
from model.tools import export_onnx as export
from tests.small_models import ColourEncoder, dual, enlarging_network, face_picture, levels_apart, noises, save_model

onnxruntime = pytest.importorskip("onnxruntime", reason="exporting needs onnxruntime")


def pictures(path: Path, rgb: np.ndarray) -> np.ndarray:
    """What onnxruntime makes of RGB uint8 `[H, W, 3]` with the file, as RGB uint8."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    frame = rgb.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
    (picture,) = session.run(None, {"frame": frame})
    return np.round((picture[0].clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)


@pytest.mark.parametrize(("precision", "levels"), [("fp32", 1), ("fp16", 4)])
def test_the_file_gives_the_same_pictures_at_any_size(call, capsys, tmp_path, precision, levels):
    model, out = save_model(tmp_path), tmp_path / "ink.onnx"
    settings = ["--style_id", "wash.v2", "--style_degree", 0.7, "--precision", precision]
    assert call(export.main, "--ckpt", model, *settings, "--out", out) == 0
    assert str(out) in capsys.readouterr().out
    assert [file.name for file in tmp_path.glob("*.onnx*")] == ["ink.onnx"], "one file holds all"
    stylizer = Stylizer.from_preset(str(model), device="cpu", precision="fp32")
    for height, width in ((24, 32), (96, 40), (8, 8)):
        (frame,) = noises(1, height, width)
        portrait = stylizer.fit(frame, scale_image=False)
        for style, agrees in (("wash.v2", True), ("ink.jpg", False)):
            (picture,) = stylizer.render([frame], portrait, style=style, degree=0.7)
            assert (levels_apart(pictures(out, frame), picture).max() <= levels) == agrees


@pytest.mark.parametrize(("backbone", "channels"), [("toonify", 0), ("dualstylegan", 19)])
def test_variant_t_and_parsing_maps_are_exported(tmp_path, backbone, channels):
    network = enlarging_network(backbone, channels)
    generator = network.config.generator
    code = network.zplus_to_wplus(torch.ones(1, generator.w_layers, generator.style_dim))
    folded = FoldedVToonify(network, code, 0.5 if network.has_degree else None)
    export.trace(folded, 3 + channels, "fp32").save(tmp_path / "t.onnx", external_data=False)
    assert export.difference(tmp_path / "t.onnx", folded, 3 + channels) < 1e-4


def test_a_file_that_differs_does_not_appear(call, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "difference", lambda *_: float("nan"))
    out = tmp_path / "ink.onnx"
    out.write_bytes(b"older")
    assert call(export.main, "--ckpt", save_model(tmp_path), "--out", out) == 2
    assert "differs from PyTorch" in capsys.readouterr().err
    assert out.read_bytes() == b"older" and not list(tmp_path.glob("*partial*"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [("", "--out is missing"), ("--out ink.pt", "--out is ink.pt"), ("--out a.onnx --ckpt no.pt", "no.pt"),
     ("--out a.onnx --style_degree 3", "degree is 3"), ("--out a.onnx --content no.jpg", "no.jpg"),
     ("--out ink.onnx", "exporting needs none_such: pip install")],
)  # fmt: skip
def test_wrong_options_are_a_sentence(call, capsys, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    if "needs" in told:
        monkeypatch.setattr(onnx_files, "PACKAGES", ("onnx", "none_such"))
    assert call(export.main, *arguments.split()) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_the_style_code_is_that_of_the_photo(tmp_path, monkeypatch):
    monkeypatch.setattr(Stylizer, "from_preset", lambda *_, **__: dual(style_encoder=ColourEncoder()))
    frame = torch.zeros(1, 3, 16, 16)
    results = []
    for name, rgb in (("me.png", face_picture()), ("blue.png", face_picture()[..., ::-1])):
        Image.fromarray(np.ascontiguousarray(rgb)).save(tmp_path / name)
        network, channels = export.fold(export.Options(style_id="0", content=str(tmp_path / name)))
        results.append(network(frame))
        assert channels == 3
    assert (results[0] - results[1]).abs().max() > 1e-3
