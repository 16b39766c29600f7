"""Photos, animated pictures and numbered photos in and out."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from model.common.errors import InputError
from model.media.files import open_frames
from tests.clips import COLOURS, PATCH, copy, index_of, make_clip, marked, patch_colours, patches


def test_gif_is_a_video_with_its_own_times_over_white(tmp_path):
    rgba = np.zeros((4, 32, 32, 4), np.uint8)
    for index in range(4):
        rgba[index, :16] = (60 * index, 0, 0, 255)
    first, *others = map(Image.fromarray, rgba)
    path = tmp_path / "a.b.gif"
    first.save(path, save_all=True, append_images=others, duration=[50, 120, 200, 300], disposal=2)
    with open_frames(path) as frames:
        assert (frames.is_video, frames.name, frames.expected_frames, frames.size) == (True, "a.b", 4, (32, 32))
        read = list(frames)
    assert [frame.time for frame in read] == [0, Fraction(5, 100), Fraction(17, 100), Fraction(37, 100)]
    assert all((frame.rgb[16:] == 255).all() for frame in read)
    assert [int(frame.rgb[8, 8, 0]) for frame in read] == pytest.approx([0, 60, 120, 180], abs=3)
    with av.open(str(copy(path, tmp_path / "out.mp4"))) as container:
        assert container.duration / av.time_base == pytest.approx(0.67, abs=0.002)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_animated_png_and_webp_are_videos_and_still_ones_are_photos(tmp_path, suffix):
    first, *others = (Image.fromarray(marked(i)) for i in range(3))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=others, duration=40, lossless=True)
    first.save(tmp_path / f"s.{suffix}", lossless=True)
    with open_frames(tmp_path / f"a.{suffix}") as frames:
        assert frames.is_video
        assert [(index_of(f.rgb), f.time) for f in frames] == [(i, Fraction(i, 25)) for i in range(3)]
    assert not open_frames(tmp_path / f"s.{suffix}").is_video


def test_numbered_photos_are_a_video_at_25_frames_per_second(tmp_path):
    for index in (9, 10, 11):
        Image.fromarray(marked(index)).save(tmp_path / f"shot_{index:04d}.png")
    with open_frames(tmp_path / "shot_%04d.png") as frames:
        assert (frames.is_video, frames.name, frames.rate, frames.expected_frames) == (True, "shot", 25, 3)
        assert [(index_of(f.rgb), f.time) for f in frames] == [(9 + i, Fraction(i, 25)) for i in range(3)]
    Image.fromarray(marked(12)[:, 1:]).save(tmp_path / "shot_0012.png")
    with pytest.raises(InputError, match="shot_0012.png"):
        list(open_frames(tmp_path / "shot_%04d.png"))
    with pytest.raises(InputError, match="no file"):
        open_frames(tmp_path / "none_%d.png")


def photo(tmp_path: Path, image: Image.Image, name: str = "p.png", **options: object) -> np.ndarray:
    image.save(tmp_path / name, **options)
    with open_frames(tmp_path / name) as frames:
        assert not frames.is_video and frames.expected_frames == 1
        (only,) = frames
        assert only.time is None and (only.rgb == frames.first.rgb).all()
    assert only.rgb.dtype == np.uint8 and only.rgb.shape[2] == 3
    return only.rgb


def test_photo_alpha_and_palette_transparency_are_laid_on_white(tmp_path):
    rgba = np.dstack([patches(), np.full((64, 4 * PATCH), 255, np.uint8)])
    rgba[:, :PATCH, 3], rgba[:, PATCH : 2 * PATCH, 3] = 0, 128
    colours = patch_colours(photo(tmp_path, Image.fromarray(rgba)))
    assert colours.tolist() == [[255, 255, 255], [127, 255, 127], [0, 0, 255], [128, 128, 128]]
    palette = Image.fromarray(np.repeat(np.arange(2, dtype=np.uint8), 8).reshape(4, 4))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    rgb = photo(tmp_path, palette, transparency=0)
    assert rgb[0, 0].tolist() == [255, 255, 255] and rgb[3, 3].tolist() == [40, 50, 60]


def test_grey_of_8_and_16_bit_and_cmyk_are_read_as_rgb(tmp_path):
    grey = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    rgb = photo(tmp_path, Image.fromarray(grey))
    assert np.abs(rgb[..., 1].reshape(-1).astype(int) - np.arange(256)).max() <= 1, "scaled, not clipped"
    assert index_of(photo(tmp_path, Image.fromarray(marked(20)[..., 0]))) == 20
    rgb = photo(tmp_path, Image.fromarray(patches()).convert("CMYK"), "p.jpg", quality=100)
    assert np.abs(patch_colours(rgb) - COLOURS).max() <= 6


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, -1), (8, 1)])
def test_exif_orientation_is_applied(tmp_path, orientation, turns):
    exif = Image.Exif()
    exif[274] = orientation
    assert (photo(tmp_path, Image.fromarray(patches()), exif=exif) == np.rot90(patches(), turns)).all()


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = SRGB.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
for old, new in ((b"rXYZ", b"?XYZ"), (b"bXYZ", b"rXYZ"), (b"?XYZ", b"bXYZ")):
    SWAPPED = SWAPPED.replace(old, new)  # with its red and blue primaries swapped, a profile swaps the channels


@pytest.mark.parametrize("kind", ["sRGB", "opaque", "transparent", "palette"])
def test_a_profile_other_than_srgb_is_converted_before_alpha_is_laid_on_white(tmp_path, kind):
    image, expected = Image.fromarray(patches()), COLOURS.astype(int)
    if kind != "sRGB":
        expected = expected[:, ::-1].copy()
    if kind == "transparent":
        image = image.convert("RGBA")
        image.paste((255, 0, 0, 128), (0, 0, PATCH, 64))
        expected[0] = 127, 127, 255
    image = image.quantize() if kind == "palette" else image
    rgb = photo(tmp_path, image, icc_profile=SRGB if kind == "sRGB" else SWAPPED)
    assert np.abs(patch_colours(rgb) - expected).max() <= (0 if kind == "sRGB" else 3)


def test_content_decides_not_the_suffix(tmp_path):
    photo(tmp_path, Image.fromarray(patches()), "photo.mp4", format="JPEG")
    assert open_frames(make_clip(tmp_path / "clip.mp4", [marked(0)]).rename(tmp_path / "clip.jpg")).is_video


@pytest.mark.parametrize("name", ["o.png", "o.JPEG"])
def test_photo_sink_writes_jpeg_in_full_colour_and_png(tmp_path, name):
    Image.fromarray(patches()).save(tmp_path / "p.png")
    written = copy(tmp_path / "p.png", tmp_path / name)
    with Image.open(written) as image:
        if image.format == "JPEG":
            assert {sampling[1:3] for sampling in image.layer} == {(1, 1)}
        assert np.abs(np.asarray(image).astype(int) - patches()).max() <= (0 if image.format == "PNG" else 12)
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []
