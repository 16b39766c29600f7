import sys

import numpy as np
import pytest
import torch
from PIL import Image

from model import checkpoints
from model.common import onnx_files
from model.config import MobileConfig
from model.mobile import export
from model.mobile_unet import MobileUNet

onnx = pytest.importorskip("onnx", reason="exporting needs onnx")


@pytest.fixture
def student(tmp_path):
    torch.manual_seed(0)
    network = MobileUNet(MobileConfig(widths=(4, 8, 8), blocks=(1, 1)))
    with torch.no_grad():
        network.tail[-1].weight.mul_(8)  # so that it changes the photo visibly
    checkpoints.save_pixel_network(tmp_path / "ink.pt", network)
    return tmp_path / "ink.pt"


@pytest.fixture
def photos(tmp_path):
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for number in range(3):
        noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((64, 64)).save(folder / f"{number}.png")
    return folder


def test_each_kind_of_file_gives_the_students_pictures(call, capsys, tmp_path, student, photos):
    out = tmp_path / "out"
    arguments = ["--ckpt", student, "--out", out, "--size", 64, "--formats", "onnx", "--calibration", photos]
    assert call(export.main, *arguments) == 0
    told = capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        "ink.fp16.onnx", "ink.int8.onnx", "ink.onnx", "ink.web.onnx"
    ]  # fmt: skip
    network, photo = checkpoints.load_mobile(student).eval(), export.Photos(photos, 64).first
    other = onnx_files.random_frame(1, 3, 64, 64)
    with torch.no_grad():
        change = (network(photo) - photo).abs().mean()
    assert change > 0.05, "a student that changes nothing would prove nothing"
    for path in out.iterdir():
        with torch.no_grad():
            mean = (onnx_files.run(path, photo) - network(photo)).abs().mean()
        assert mean < (0.3 if "int8" in path.name else 0.01) * change, path.name
        if "int8" not in path.name:
            assert onnx_files.difference(path, network, other) < 5e-3
        assert str(path) in told
    kinds = {node.op_type for node in onnx.load(str(out / "ink.int8.onnx")).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds, "it computes in whole numbers"


def test_files_for_any_size_take_other_sizes(call, tmp_path, student):
    arguments = ["--ckpt", student, "--out", tmp_path / "out", "--size", 0, "--formats", "onnx"]
    assert call(export.main, *arguments, "--precisions", "fp32", "web") == 0
    network = checkpoints.load_mobile(student).eval()
    for name in ("ink.onnx", "ink.web.onnx"):
        for sides in ((4, 4), (32, 80)):
            frame = onnx_files.random_frame(1, 3, *sides)
            assert onnx_files.difference(tmp_path / "out" / name, network, frame) < 5e-3


def test_weights_for_browsers_take_half_the_room(tmp_path, student):
    network = checkpoints.load_mobile(student).eval()
    onnx_files.trace(network, (1, 3, 32, 32), None).save(tmp_path / "whole.onnx", external_data=False)
    onnx_files.halve_weights(tmp_path / "whole.onnx", tmp_path / "half.onnx")
    stored = {weight.data_type for weight in onnx.load(str(tmp_path / "half.onnx")).graph.initializer if weight.dims}
    assert onnx.TensorProto.FLOAT16 in stored
    assert onnx_files.difference(tmp_path / "half.onnx", network, onnx_files.random_frame(1, 3, 32, 32)) < 5e-3


def test_slopes_above_one_stay_prelu():
    network = torch.nn.Sequential(torch.nn.PReLU(2, 0.3), torch.nn.PReLU(2, 1.5))
    other = onnx_files.without_prelu(network)
    assert [type(module) for module in other] == [onnx_files.Larger, torch.nn.PReLU]
    x = onnx_files.random_frame(1, 2, 4, 4)
    assert torch.equal(other(x), network(x)) and isinstance(network[0], torch.nn.PReLU)


@pytest.mark.parametrize(("name", "packages"), [("mnn", ["MNN"]), ("ncnn", ["ncnn", "pnnx"])])
def test_other_runtimes_agree(call, tmp_path, student, name, packages):
    for package in packages:
        pytest.importorskip(package, reason=f"{name} needs the package {package}")
    out, network = tmp_path / "out", checkpoints.load_mobile(student).eval()
    assert call(export.main, "--ckpt", student, "--out", out, "--size", 0, "--formats", name) == 0
    files = [out / f"ink.{suffix}" for suffix in (["mnn"] if name == "mnn" else ["ncnn.param", "ncnn.bin"])]
    for sides in ((64, 64), (32, 48)):
        frame = onnx_files.random_frame(1, 3, *sides)
        found = (export.run_mnn if name == "mnn" else export.run_ncnn)(*files, frame)
        with torch.no_grad():
            assert (found - network(frame)).abs().max() < 5e-3


def test_formats_without_their_packages_are_left_out(call, capsys, tmp_path, monkeypatch, student):
    monkeypatch.setattr(export, "FORMATS", export.FORMATS | {"mnn": ("none_such",), "ncnn": ("none_such",)})
    arguments = ["--ckpt", student, "--out", tmp_path / "out", "--size", 32, "--precisions", "fp32"]
    assert call(export.main, *arguments) == 0
    assert "mnn is left out: it needs none_such" in capsys.readouterr().out
    assert call(export.main, *arguments, "--formats", "mnn") == 2
    assert "--formats mnn needs none_such: pip install none_such" in capsys.readouterr().err


def test_a_file_that_differs_does_not_appear(call, capsys, tmp_path, monkeypatch, student):
    monkeypatch.setattr(onnx_files, "run", lambda path, frame: frame + 0.5)
    assert call(export.main, "--ckpt", student, "--out", tmp_path / "out", "--formats", "onnx", "--size", 32) == 2
    assert "differs from PyTorch" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_converter_that_fails_is_a_sentence(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such layer')"]
    with pytest.raises(export.InputError, match="MNN could not convert the student: no such layer"):
        export.call(command, tmp_path / "a.mnn", "MNN")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [("", "--ckpt is missing"), ("--ckpt ink.pt", "--out names no folder"), ("--ckpt no.pt --out o", "no.pt"),
     ("--ckpt ink.pt --out o --size 30", "--size is 30: give a multiple of 4, or 0"),
     ("--ckpt ink.pt --out o --precisions int8", "name a folder of them with --calibration"),
     ("--ckpt ink.pt --out o --calibration empty", "empty holds no pictures"),
     ("--ckpt ink.pt --out o --formats tflite", "--formats: invalid choice: 'tflite'")],
)  # fmt: skip
def test_wrong_options_are_a_sentence(call, capsys, tmp_path, monkeypatch, student, arguments, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert call(export.main, *arguments.split()) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "o").exists()
