"""Files of frames: opens and writes them by kind; photos, animated and numbered pictures by Pillow.

    with open_frames(src) as frames, open_sink(dst, frames) as sink:
        for frame in frames:
            sink.write(frame)
"""

import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from model.common.errors import InputError
from model.common.files import bytes_of
from model.media.frames import DEFAULT_RATE, Frame, FrameSink, FrameSource, over_white, unreadable
from model.media.video_reader import VideoSource
from model.media.video_writer import VideoSink

# What Pillow may open: formats with a clear signature. Its others would also claim some videos and text files.
PHOTO_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TIFF", "WEBP")
ANIMATED_FORMATS = ("AVIF", "GIF", "PNG", "WEBP")  # in others (JPEG, TIFF) further pictures are previews or pages
WRITTEN_PHOTOS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}  # suffix and Pillow's name of the format
# What Pillow's decoders raise on damaged files.
DAMAGE = (OSError, EOFError, SyntaxError, ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error)
SHORTEST_MS, FALLBACK_MS = 20, 100  # browsers show frames that ask for less than 20 ms for 100, and old GIFs rely on it
ANIMATION_TICK = Fraction(1, 90000)  # divides both hundredths of a second (GIF) and usual frame rates (APNG)
JPEG_QUALITY = 95
PATTERN = re.compile(r"%0?(\d*)d")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # photos, but open as videos


def open_frames(path: str | Path) -> FrameSource:
    """Opens a photo, an animated picture, a video, or numbered photos ("frames_%04d.png", 25 per second).

    What a file is follows from its content, never from its suffix. Frames come upright, without alpha (over
    white), in sRGB. Raises InputError if the path is no whole photo or video with at least one frame.
    """
    path = Path(path)
    if is_pattern(path) and not path.exists():
        return SequenceSource(path)
    if not path.is_file():
        raise unreadable(path, "it is a folder" if path.is_dir() else "there is no such file", "check the name")
    try:
        with path.open("rb") as file:
            header = file.read(12)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error), "check the permissions") from error
    if not header:
        raise unreadable(path, "it is empty (0 bytes)", "copy it again or pass another file")
    with _reported(path), suppress(Image.UnidentifiedImageError), _open(path) as image:
        is_animated = image.format in ANIMATED_FORMATS and getattr(image, "is_animated", False)
        return AnimationSource(path) if is_animated else PhotoSource(path, read_photo(path))
    if header[4:8] == b"ftyp" and header[8:12] in HEIF_BRANDS:
        raise unreadable(path, "HEIC photos are not supported", "save it as JPEG or PNG first")
    return VideoSource(path)


def open_sink(path: str | Path, source: FrameSource, keep_audio: bool = False) -> FrameSink:
    """Opens a sink for .jpg, .jpeg, .png (one frame) or .mp4, with clock and tracks of `source`; or InputError.

    keep_audio: whether sound is kept as it is though not all players play it.
    """
    path = Path(path)
    sinks = dict.fromkeys(WRITTEN_PHOTOS, PhotoSink) | {".mp4": partial(VideoSink, keep_audio=keep_audio)}
    if sink := sinks.get(path.suffix.lower()):
        return sink(path, source)
    raise InputError(f"cannot write {path}: unknown kind of file; use a name that ends in one of {', '.join(sinks)}")


def read_photo(path: Path) -> np.ndarray:
    """One photo, upright: [H, W, 3] uint8. Raises InputError for anything but a whole photo."""
    with _reported(path), _open(path) as image:
        return to_rgb(ImageOps.exif_transpose(image))


class PhotoSource(FrameSource):
    """One photo that was read or made: `rgb` is [H, W, 3] uint8, `path` need not exist."""

    is_video = False
    expected_frames = 1

    def __init__(self, path: Path, rgb: np.ndarray):
        super().__init__(path)
        self.first = Frame(rgb)

    def _read(self) -> Iterator[Frame]:
        yield self.first


class AnimationSource(FrameSource):
    """An animated GIF, PNG, WebP or AVIF."""

    is_steady = False
    time_base = ANIMATION_TICK

    def __init__(self, path: Path):
        super().__init__(path)
        with _reported(path), _open(path) as image:
            self._start = int(getattr(image, "default_image", False))  # an APNG's still is not part of its film
            self.expected_frames = image.n_frames - self._start
            image.seek(self._start)
            self.rate = 1 / _duration(image)
            self.first = Frame(to_rgb(image), Fraction(0))

    def _read(self) -> Iterator[Frame]:
        time = Fraction(0)
        with _open(self.path) as image:
            for index in range(self._start, self._start + self.expected_frames):
                try:
                    image.seek(index)
                    rgb, step = to_rgb(image), _duration(image)
                except DAMAGE:
                    self.warning = f"{self.path} is damaged after {float(time):.2f} s: the result stops there"
                    return
                yield Frame(rgb, time)
                time += step
                self.end = time


class SequenceSource(FrameSource):
    """Photos numbered by a pattern such as frames_%04d.png, in the order of their numbers."""

    rate = DEFAULT_RATE

    def __init__(self, pattern: Path):
        super().__init__(pattern)
        self.name = content_name(pattern)
        before, digits, after = map(re.escape, PATTERN.split(pattern.name))
        fits = re.compile(rf"{before}(\d{{{digits or 1},}}){after}")
        files = [file for file in pattern.parent.glob("*") if fits.fullmatch(file.name)]
        self._files = sorted(files, key=lambda file: int(fits.fullmatch(file.name)[1]))
        if not self._files:
            raise unreadable(pattern, "no file fits this pattern", "check the folder and the number of digits")
        self.expected_frames = len(self._files)
        self.first = Frame(read_photo(self._files[0]), Fraction(0))

    def _read(self) -> Iterator[Frame]:
        damaged = []
        for index, file in enumerate(self._files):
            try:
                frame = Frame(read_photo(file), index / DEFAULT_RATE)
            except InputError:
                damaged.append(file.name)
                self.warning = f"{len(damaged)} pictures of {self.path} are damaged and left out: {', '.join(damaged)}"
                continue
            if frame.rgb.shape != self.first.rgb.shape:
                raise unreadable(file, f"it is not of the size of {self._files[0].name}", "give all the same size")
            yield frame


class PhotoSink(FrameSink):
    """Writes one frame as JPEG (quality 95, 4:4:4) or PNG."""

    def _write(self, frame: Frame) -> None:
        if self.written:
            raise ValueError(f"{self.path} is a photo and holds one frame only")
        kind = WRITTEN_PHOTOS[self.path.suffix.lower()]
        data = bytes_of(Image.fromarray(frame.rgb).save, kind, quality=JPEG_QUALITY, subsampling="4:4:4")
        self._unfinished.write_bytes(data)


def is_pattern(path: Path) -> bool:
    """Whether the name stands for numbered files: it has one %d or %04d in it."""
    return len(PATTERN.findall(path.name)) == 1


def content_name(path: Path) -> str:
    """What results of a file, or of numbered files, are called after."""
    if is_pattern(path) and not path.exists():
        return PATTERN.sub("", path.stem).strip("_-. ") or path.absolute().parent.name
    return path.stem


def _open(path: Path) -> Image.Image:
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        # Pillow warns at half the size that it refuses; photos of 108 megapixels are real.
        Image.init()  # registers the formats this build of Pillow knows
        return Image.open(path, formats=[name for name in PHOTO_FORMATS if name in Image.OPEN])


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turns what Pillow raises within the block into a sentence."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise unreadable(path, "it has more pixels than is safe to decode", "make it smaller first") from error
    except DAMAGE as error:
        reason = f"this photo is damaged, cut off or of an unsupported kind ({error})"
        raise unreadable(path, reason, "save it again as JPEG or PNG or pass another one") from error


def _duration(image: Image.Image) -> Fraction:
    """How long the current frame of an animation stays, in seconds."""
    milliseconds = Fraction(image.info.get("duration", 0)).limit_denominator(1000)
    is_too_short = milliseconds <= 0 or (milliseconds < SHORTEST_MS and image.format == "GIF")
    return (Fraction(FALLBACK_MS) if is_too_short else milliseconds) / 1000


def to_rgb(image: Image.Image) -> np.ndarray:
    """A Pillow image of any mode as sRGB over white: [H, W, 3] uint8."""
    if image.mode.startswith("I"):
        # Pillow clips these on conversion instead of scaling them. Mode I carries 16-bit greys too.
        grey = np.round(np.asarray(image).clip(0, 65535) / 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating point pixels have no known range")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")  # a profile speaks of the colours as they are before they are laid on white
        return over_white(np.dstack([_to_srgb(rgba.convert("RGB")), rgba.getchannel("A")]))
    return np.array(_to_srgb(image))


def _to_srgb(image: Image.Image) -> Image.Image:
    """The colours that the picture's profile says, as RGB; the image has no alpha."""
    plain = image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        name = (profile.profile.profile_description or "").strip().lower()
        # Conversion between variants of sRGB ("c2" is a tiny one) would only add rounding.
        if "srgb" in name or name == "c2":
            return plain
        stored = image if image.mode == "CMYK" else plain
        return ImageCms.profileToProfile(stored, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (KeyError, TypeError, ImageCms.PyCMSError, OSError):
        return plain  # without a profile, or with one that does not fit its picture and so says nothing about it
