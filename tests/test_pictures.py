import numpy as np
import pytest
import torch
from PIL import Image

from model.common.errors import InputError
from model.training.data.pictures import PictureFolder

RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(width: int, height: int) -> Image.Image:
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def colour_at(picture: torch.Tensor, row: int, column: int) -> tuple[int, ...]:
    return tuple(((picture[:, row, column] + 1) * 127.5).round().int().tolist())


def test_pictures_of_all_subfolders_are_found_in_order_and_their_central_square_is_scaled(tmp_path):
    (tmp_path / "b").mkdir()
    wide = Image.new("RGB", (64, 32), (0, 255, 0))
    wide.paste(halves(32, 32), (16, 0))
    for name in ("c.PNG", "b/a.jpg", "a.webp", "notes.txt"):
        wide.save(tmp_path / name, format="PNG")
    folder = PictureFolder(tmp_path, 16)
    assert folder.names == ["a.webp", "b/a.jpg", "c.PNG"]
    picture = folder[0]
    assert picture.shape == (3, 16, 16) and picture.dtype == torch.float32
    assert colour_at(picture, 8, 4) == RED and colour_at(picture, 8, 11) == BLUE
    assert not (picture[1] > -0.5).any()  # nothing of the green sides


def test_half_of_what_is_drawn_is_mirrored_and_all_of_it_follows_from_the_random_numbers(tmp_path):
    for shade in (0, 100, 200):
        picture = halves(8, 8)
        picture.paste((shade, shade, shade), (0, 0, 8, 4))
        picture.save(tmp_path / f"{shade}.png")
    folder = PictureFolder(tmp_path, 8)
    drawn = folder.draw(np.random.default_rng(0), 300)
    assert drawn.shape == (300, 3, 8, 8)
    assert torch.equal(drawn, folder.draw(np.random.default_rng(0), 300))
    assert 120 < (drawn[:, 0, 6, 0] < 0).sum() < 180  # blue on the left
    for shade in (0, 100, 200):
        assert 70 < ((drawn[:, 0, 0, 0] + 1) * 127.5).round().eq(shade).sum() < 130


def test_a_file_that_ends_too_early_is_named_when_it_is_drawn(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:4000])
    folder = PictureFolder(tmp_path, 64)
    with pytest.raises(InputError, match="a.png.*damaged, cut off"):
        folder.draw(np.random.default_rng(0), 1)


def test_what_cannot_be_learnt_from_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no pictures"):
        PictureFolder(tmp_path, 8)
    with pytest.raises(InputError, match="nowhere is no folder"):
        PictureFolder(tmp_path / "nowhere", 8)
    halves(100, 15).save(tmp_path / "a.png")
    assert len(PictureFolder(tmp_path, 60).paths) == 1
    with pytest.raises(InputError, match="a.png is only 15 pixels wide or high: remove it or give at least 16"):
        PictureFolder(tmp_path, 64)
    for content in (b"", b"no picture"):
        (tmp_path / "b.png").write_bytes(content)
        with pytest.raises(InputError, match="b.png can't be read as a picture: remove it or replace it"):
            PictureFolder(tmp_path, 8)
