"""White-box cartoonisation learns from two folders."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torchvision.models.vgg import cfgs, make_layers

from model import checkpoints
from model.common.errors import InputError
from model.perceptual import CARTOON_LAYER, CaffeVGG19, TorchvisionVGG19
from model.training import whitebox as program
from model.training.trainer import make_accelerator
from model.training.unpaired import whitebox as representations
from model.training.unpaired.regions import _neighbours, merged_regions
from model.training.whitebox import Options, WhiteboxTrainer, main, train_whitebox
from tests.runs import assert_stopped_and_resumed_is_whole, log_of, state_of
from tests.unpaired_folders import assert_wrong_folders_are_told, write_folders


@pytest.fixture
def options(tmp_path, monkeypatch):
    """A function that makes options of short runs with pixels for VGG-19."""
    photos, styles = write_folders(tmp_path)
    monkeypatch.setattr(program, "vgg_on_disk", lambda layers: None)
    fixed = {"photos": photos, "style_images": styles, "runs": str(tmp_path / "runs"), "device": "cpu", "quiet": True}
    fixed |= {"size": 32, "batch": 2, "iter": 4, "pretrain_iter": 2, "log_every": 2, "content": "pixels", "workers": 2}
    return lambda **changes: Options(**fixed | {"out": str(tmp_path / "mine.pt")} | changes)


@pytest.fixture
def trainer(options):
    """A function that puts together the networks of a run, as in a process of its own."""

    def trainer(**changes) -> WhiteboxTrainer:
        AcceleratorState._reset_state(reset_partial_state=True)
        resolved = options(**changes)
        return WhiteboxTrainer(resolved, make_accelerator(resolved))

    return trainer


@pytest.mark.parametrize("step", [2, 3])  # between the stages, and in the second
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options, tmp_path, step):
    runs = [options(name=name, out=str(tmp_path / f"{name}.pt")) for name in ("whole", "parted")]
    assert_stopped_and_resumed_is_whole(train_whitebox, *runs, step=step)
    first, last = log_of(runs[0])
    assert "pretraining" in first and "held_out_change" not in first
    names = {"variation", "surface", "texture", "content", "structure", "discriminator", "D(real)", "D(fake)"}
    assert names <= last.keys() and "held_out_change" in last
    assert cv2.imread(str(runs[0].folder / "preview-000004.jpg")).shape == (6 * 256, 4 * 256, 3)
    again = options(name="again", init_path=runs[0].out, iter=1, pretrain_iter=0, lr=1e-12)
    train_whitebox(again)
    first, last = (checkpoints.load_whitebox(run.out).state_dict() for run in (runs[0], again))
    assert all(torch.allclose(value, first[name], atol=1e-6) for name, value in last.items())


def test_it_learns_to_give_photos_back_and_then_to_flatten_them(options):
    run = options(iter=40, pretrain_iter=25, lr=5e-4, log_every=5)
    train_whitebox(run)
    lines = log_of(run)
    back = [line["pretraining"] for line in lines if "pretraining" in line]
    flat = [line["structure"] for line in lines if "structure" in line]
    assert back[-1] < 0.5 * back[0] and flat[-1] < flat[0]


def test_the_second_stage_begins_with_a_new_optimiser(trainer):
    run = trainer(pretrain_iter=3)
    for _ in range(3):
        run.advance()
    assert {int(state["step"]) for state in run.optimizer.state.values()} == {3}
    run.advance()
    assert {int(state["step"]) for state in run.optimizer.state.values()} == {1}


def test_losses_have_the_weights_of_their_names_at_any_size(trainer):
    terms = {}
    for weights in ("published", "paper"):
        run = trainer(weights=weights, pretrain_iter=0)
        terms[weights] = run._cartoon(np.random.default_rng(0))
    assert terms["paper"]["surface"].item() == pytest.approx(10 * terms["published"]["surface"].item(), rel=1e-5)
    assert terms["paper"]["texture"].item() == pytest.approx(10 * terms["published"]["texture"].item(), rel=1e-5)
    result = run.result(run._batch(np.random.default_rng(0))[0])
    mean = result.diff(dim=2).square().mean() + result.diff(dim=3).square().mean()
    assert terms["paper"]["variation"].item() == pytest.approx(1e4 / (3 * 256**2) * mean.item(), rel=1e-4)


def test_faces_come_every_fifth_batch(trainer, options, tmp_path):
    (tmp_path / "more").mkdir()
    faces, style_faces = write_folders(tmp_path / "more", side=64)
    for folder, grey in ((faces, 9), (style_faces, 200)):
        for number, path in enumerate(sorted(Path(folder).glob("*.png"))):
            cv2.imwrite(str(path), np.full((64, 64, 3), grey + number, np.uint8))
    run = trainer(faces=faces, style_faces=style_faces)
    spread = []
    for step in range(6):
        run.step = step
        photo, style, _ = run._batch(np.random.default_rng(step))
        spread.append((photo[0].std().item() < 0.01, style[0].std().item() < 0.01))
    assert spread == [(True, True), *[(False, False)] * 4, (True, True)]
    train_whitebox(options(iter=2, faces=faces, style_faces=style_faces))
    with pytest.raises(InputError, match="other faces"):
        train_whitebox(options(iter=4, resume=True, out=str(tmp_path / "other.pt")))


def test_filter_segments_and_colours_are_options(trainer):
    results = {}
    for changes in ({}, {"unfiltered": True}, {"colouring": "adaptive"}, {"superpixels": "felzenszwalb"}):
        run = trainer(pretrain_iter=0, size=96, **changes)
        x = run.drawn(run.photos, np.random.default_rng(0))
        results[str(changes)] = run.result(x).std().item(), run.flattened(x).std().item()
    filtered, unfiltered, adaptive, merged = results.values()
    assert filtered[0] != unfiltered[0] and filtered[1] == unfiltered[1]
    assert len({filtered[1], adaptive[1], merged[1]}) == 3
    assert set(trainer(content="none", pretrain_iter=0)._cartoon(np.random.default_rng(0))) == {
        "variation", "surface", "texture",
    }  # fmt: skip


def test_regions_are_merged_until_few_are_neighbours():
    rng = np.random.default_rng(0)
    rgb = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    labels = merged_regions(rgb, pairs=20)
    count = int(labels.max()) + 1
    assert labels.shape == (128, 128) and len(np.unique(labels)) == count
    assert sum(map(len, _neighbours(labels, count).values())) // 2 <= 20
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 200
    left, right = (merged_regions(halves)[:, columns] for columns in (slice(0, 30), slice(34, 64)))
    assert not set(np.unique(left)) & set(np.unique(right))


def test_structures_are_flat_in_the_colours_that_were_asked_for():
    rgb = np.full((64, 64, 3), -0.5)
    rgb[:, 32:] = 0.5
    mean, deep = (representations.structure(rgb, colouring=colouring) for colouring in ("mean", "adaptive"))
    assert mean.dtype == deep.dtype == np.float32
    inside = np.r_[:24, 40:64]  # superpixels may reach over the edge
    assert np.abs(mean - rgb)[:, inside].max() < 0.01
    assert np.allclose(deep[:, inside], (2 * ((rgb + 1) / 2) ** 1.2 - 1)[:, inside], atol=0.01)


def vgg19() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {f"features.{name}": value for name, value in make_layers(cfgs["E"][:15], False).state_dict().items()}


def write_caffe(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """As Python 2 pickled it."""
    layers, numbers = {}, iter([0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25])
    for block, count in ((1, 2), (2, 2), (3, 4), (4, 4)):
        for place in range(1, count + 1):
            number = next(numbers)
            kernel = weights[f"features.{number}.weight"].numpy()
            kernel = kernel[:, ::-1] if number == 0 else kernel
            bias = weights[f"features.{number}.bias"].numpy()
            layers[f"conv{block}_{place}"] = [kernel.transpose(2, 3, 1, 0), bias]
    layers["fc6"] = [np.zeros((2, 3), np.float32), np.zeros(3, np.float32)]
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(np.array(layers, dtype=object), file, protocol=2)


def test_vgg19_is_read_as_caffe_s_and_as_torchvision_s_and_nothing_is_run(tmp_path):
    weights = vgg19()
    write_caffe(tmp_path / "vgg19.npy", weights)
    torch.save(weights | {"classifier.0.weight": torch.zeros(1)}, tmp_path / "vgg19.pth")
    caffe, ours = (checkpoints.load_cartoon_vgg19(tmp_path / name) for name in ("vgg19.npy", "vgg19.pth"))
    assert type(caffe) is CaffeVGG19 and type(ours) is TorchvisionVGG19
    for name, value in caffe.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    assert caffe(x).shape == ours(x).shape == (1, 512, 4, 4) and not torch.allclose(caffe(x), ours(x))
    plain = make_layers(cfgs["E"], False)[: CARTOON_LAYER + 1]
    plain.load_state_dict({name.removeprefix("features."): value for name, value in weights.items()})
    levels = (x + 1) * 127.5 - torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)
    with torch.no_grad():
        assert torch.allclose(caffe(x), plain(levels), rtol=1e-3, atol=1e-2)
    np.save(tmp_path / "code.npy", np.array({"conv1_1": [Path("x")]}, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="code.npy is not Caffe's VGG-19 .*refers to code"):
        checkpoints.load_cartoon_vgg19(tmp_path / "code.npy")
    np.save(tmp_path / "other.npy", np.array({"conv1_1": []}, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="other.npy is not Caffe's VGG-19"):
        checkpoints.load_cartoon_vgg19(tmp_path / "other.npy")


def test_features_of_a_file_take_the_place_of_pixels(options, tmp_path):
    torch.save(vgg19(), tmp_path / "vgg19.pth")
    run = options(content="vgg", vgg=str(tmp_path / "vgg19.pth"), iter=3, pretrain_iter=1, log_every=1)
    train_whitebox(run)
    assert {"content", "structure"} <= log_of(run)[-1].keys() and state_of(run)["VGG-19"]


def test_what_is_missing_or_wrong_is_one_sentence(options, tmp_path):
    for changes, sentence in (
        ({"content": "vgg"}, r"--vgg is missing: give Caffe's vgg19.npy.*or --content pixels"),
        ({"content": "vgg", "vgg": str(tmp_path / "none.pth")}, "none.pth does not exist"),
        ({"size": 34}, "--size is 34: give a multiple of 4"),
        ({"pretrain_iter": 5}, "--pretrain_iter is 5: give no more than --iter, 4"),
    ):
        with pytest.raises(InputError, match=sentence):
            train_whitebox(options(**changes))
    assert_wrong_folders_are_told(train_whitebox, options)


def test_the_command_line_says_where_the_result_is(call, options, capsys):
    run = options()
    words = [f"--{name}={getattr(run, name)}" for name in ("photos", "style_images", "runs", "out")]
    words += ["--size=32", "--iter=1", "--pretrain_iter=0", "--batch=1", "--content=pixels", "--device=cpu"]
    assert call(main, *words) == 0
    told = capsys.readouterr()
    assert f"The cartoon network is {run.out}" in told.out and "pixels, for want of VGG-19" in told.out
    assert "holds 10 pictures" in told.err
