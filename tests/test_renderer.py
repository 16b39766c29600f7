import shutil

import pytest
import torch

from model.common.errors import InputError
from model.folded import FoldedVToonify
from model.styles import renderer as renderer_module
from model.styles.renderer import frames_that_fit
from tests.small_models import dual, levels_apart, noises

FULL = "CUDA out of memory. Tried to allocate 90.00 GiB"


@pytest.fixture
def stylizer():
    return dual()


@pytest.fixture
def whole(stylizer):
    return stylizer.fit(noises(1)[0], scale_image=False)


def memory_for(monkeypatch, frames: int) -> list[int]:
    """Lets the network fail for more frames at a time; returns a list of what it is asked for."""
    asked, forward = [], FoldedVToonify.forward

    def limited(network, x):
        asked.append(len(x))
        if len(x) > frames:
            raise torch.OutOfMemoryError(FULL)
        return forward(network, x)

    monkeypatch.setattr(FoldedVToonify, "forward", limited)
    return asked


def assert_alike(wanted, found) -> None:
    assert max(levels_apart(*pair).max() for pair in zip(wanted, found, strict=True)) <= 1


def test_batches_are_halved_until_they_fit(stylizer, whole, monkeypatch):
    frames = noises(13)
    wanted = list(stylizer.render(frames, whole, batch_size=1))
    asked = memory_for(monkeypatch, frames=2)
    found = list(stylizer.render(frames, whole, batch_size=8))
    assert asked == [8, 4, 2, 2, 2, 2, 2, 2, 1], "once found, the size stays"
    assert_alike(wanted, found)


def test_one_frame_that_does_not_fit_is_rendered_in_strips(stylizer, whole, monkeypatch):
    wanted = list(stylizer.render(noises(3), whole))
    asked = memory_for(monkeypatch, frames=0)
    found = list(stylizer.render(noises(3), whole))
    assert asked == [1], "strips from then on"
    assert_alike(wanted, found)


@pytest.mark.parametrize(
    ("message", "error", "told"),
    [("can't allocate memory: you tried to allocate 9000000000 bytes.", InputError, "frame of 32 x 24 pixels"),
     ("mat1 and mat2 shapes cannot be multiplied", RuntimeError, "shapes")],
)  # fmt: skip
def test_too_little_memory_is_a_sentence_and_other_failures_are_not(stylizer, whole, monkeypatch, message, error, told):
    def fail(*_):
        raise RuntimeError(message)

    monkeypatch.setattr(FoldedVToonify, "encode", fail)
    with pytest.raises(error, match=told):
        list(stylizer.render(noises(1), whole, batch_size=4))


@pytest.mark.parametrize(
    ("free", "one", "frames"), [(10e9, 1e9, 8), (7.4e9, 1e9, 4), (1e9, 2e9, 1), (141e9, 1e9, 16), (1e9, 0, 16)]
)
def test_a_batch_fills_the_free_memory(free, one, frames):
    assert frames_that_fit(int(free), int(one)) == frames


@pytest.mark.parametrize("parsing_channels", [0, 19])
def test_tiles_make_the_same_picture(parsing_channels, monkeypatch):
    picture = noises(1, 160, 24)
    plain, tiled = dual(parsing_channels), dual(parsing_channels, tile=True)
    portrait = plain.fit(picture[0], scale_image=False)
    (wanted,) = plain.render(picture, portrait)
    asked = memory_for(monkeypatch, frames=1)
    (found,) = tiled.render(picture, portrait)
    assert not asked and found.shape == wanted.shape == (640, 96, 3)
    assert levels_apart(wanted, found).max() <= 1


def test_large_frames_are_rendered_in_strips(stylizer, whole, monkeypatch):
    monkeypatch.setattr(renderer_module, "LARGE_FRAME", 32 * 24 - 1)
    asked = memory_for(monkeypatch, frames=1)
    assert len(list(stylizer.render(noises(2), whole))) == 2 and not asked


def test_tiles_and_compiling_exclude_each_other():
    with pytest.raises(InputError, match="--tile and --compile"):
        type(dual()).from_preset("starter", tile=True, compile=True)


def test_the_last_frames_of_a_clip_are_filled_up_for_a_compiled_network(stylizer, whole, monkeypatch):
    monkeypatch.setattr(renderer_module, "compile_network", lambda network, device: network)
    wanted = list(stylizer.render(noises(5), whole))
    stylizer.style.compile = True
    asked = memory_for(monkeypatch, frames=3)
    found = list(stylizer.render(noises(5), whole, batch_size=3))
    assert asked == [3, 3] and len(found) == 5
    assert_alike(wanted, found)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_the_compiled_network_gives_the_same_pictures(stylizer, whole):
    wanted = list(stylizer.render(noises(2), whole))
    stylizer.style.compile = True
    found = list(stylizer.render(noises(2), whole))
    assert_alike(wanted, found)


def test_no_compiler_is_a_sentence(stylizer, whole, monkeypatch, tmp_path):
    torch.compiler.reset()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (str(tmp_path / "no-compiler"),))
    stylizer.style.compile = True
    with pytest.raises(InputError, match="--compile does not work here"):
        list(stylizer.render(noises(1), whole))
