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
from PIL import ExifTags, Image, ImageCms, ImageOps

from model.common.errors import InputError
from model.common.files import bytes_of
from model.media.frames import DEFAULT_RATE, MARK, Frame, FrameSink, FrameSource, over_white, unreadable
from model.media.video_reader import VideoSource, open_container
from model.media.video_writer import VideoSink

# What Pillow may open: formats with a clear signature. Its others would also claim some videos and text files.
PHOTO_FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TIFF", "WEBP")
# What is taken out of a folder; a file named on its own is recognised from its content.
MEDIA_SUFFIXES = {
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heics", ".heif", ".heifs", ".hif", ".j2c", ".j2k",
    ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".qoi", ".tif", ".tiff", ".webp",
    ".264", ".265", ".3g2", ".3gp", ".3gpp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".h264", ".h265",
    ".hevc", ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mk3d", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg",
    ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv",
    ".wtv", ".y4m",
}  # fmt: skip
ANIMATED_FORMATS = ("AVIF", "GIF", "PNG", "WEBP")  # in others (JPEG, TIFF) further pictures are previews or pages
WRITTEN_PHOTOS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}  # suffix and Pillow's name of the format
# What Pillow's decoders raise on damaged files.
DAMAGE = (
    OSError, EOFError, SyntaxError, ValueError, LookupError, TypeError, RuntimeError, ArithmeticError, struct.error,
)  # fmt: skip
PROFILED_MODES = {"GRAY": "L", "CMYK": "CMYK"}  # Pillow's, of pictures whose profile is not one of RGB
SHORTEST_MS, FALLBACK_MS = 20, 100  # browsers show frames that ask for less than 20 ms for 100, and old GIFs rely on it
ANIMATION_TICK = Fraction(1, 90000)  # divides both hundredths of a second (GIF) and usual frame rates (APNG)
JPEG_QUALITY = 95
PATTERN = re.compile(r"%0?(\d*)d")
# Photos in the container of mp4, which would open as videos; "mif1" and "msf1" tell nothing of the codec.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")


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
            is_empty = not file.read(1)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error), "check the permissions") from error
    if is_empty:
        raise unreadable(path, "it is empty (0 bytes)", "copy it again or pass another file")
    with _reported(path), suppress(Image.UnidentifiedImageError), _open(path) as image:
        is_animated = image.format in ANIMATED_FORMATS and getattr(image, "is_animated", False)
        return AnimationSource(path) if is_animated else PhotoSource(path, read_photo(path))
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


def is_result(path: Path) -> bool:
    """Whether the file says that this program made it (`FrameSink.mark`)."""
    try:
        if path.suffix.lower() in WRITTEN_PHOTOS:
            with _open(path) as image:
                return image.getexif().get(ExifTags.Base.Software) == MARK
        if path.suffix.lower() == ".mp4":
            with open_container(path) as container:
                return container.metadata.get("comment") == MARK
        return False
    except (InputError, Image.DecompressionBombError, *DAMAGE):
        return False


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
        exif = Image.Exif()
        if self.mark:
            exif[ExifTags.Base.Software] = self.mark
        data = bytes_of(Image.fromarray(frame.rgb).save, kind, quality=JPEG_QUALITY, subsampling="4:4:4", exif=exif)
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
    """Raises what Pillow does, UnidentifiedImageError for no photo, and InputError without the package for HEIC."""
    with path.open("rb") as file:
        header = file.read(12)
    brand = header[8:] if header[4:8] == b"ftyp" else None
    can_read = brand not in HEIF_BRANDS or _reads_heif()
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        # Pillow warns at half the size that it refuses; photos of 108 megapixels are real.
        Image.init()  # registers the formats this build of Pillow knows
        try:
            return Image.open(path, formats=[name for name in PHOTO_FORMATS if name in Image.OPEN])
        except Image.UnidentifiedImageError as error:
            if not can_read:
                raise unreadable(path, "HEIC photos need another package", "pip install pillow-heif") from error
            if brand in (*HEIF_BRANDS, *AVIF_BRANDS):
                raise ValueError("broken HEIC or AVIF") from error
            raise


def _reads_heif() -> bool:
    """Teaches Pillow to read HEIC, upright whatever EXIF says besides, and of several photos the primary one."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


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
    if image.mode == "F":
        raise ValueError("floating point pixels have no known range")
    if image.mode.startswith("I"):
        # Pillow clips these on conversion instead of scaling them. Mode I carries 16-bit greys too.
        grey = np.round(np.asarray(image).clip(0, 65535) / 257).astype(np.uint8)
        return np.array(_to_srgb(Image.fromarray(grey), image.info.get("icc_profile")))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")  # a profile speaks of the colours as they are before they are laid on white
        opaque = rgba.convert("L" if image.mode in ("L", "LA") else "RGB")
        return over_white(np.dstack([_to_srgb(opaque, image.info.get("icc_profile")), rgba.getchannel("A")]))
    return np.array(_to_srgb(image, image.info.get("icc_profile")))


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """The colours that a profile says, as RGB; the image has no alpha."""
    plain = image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        name = (profile.profile.profile_description or "").strip().lower()
        # Conversion between variants of sRGB ("c2" is a tiny one) would only add rounding.
        if "srgb" in name or name == "c2":
            return plain
        is_same_kind = PROFILED_MODES.get(profile.profile.xcolor_space.strip()) == image.mode
        stored = image if is_same_kind else plain
        return ImageCms.profileToProfile(stored, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (TypeError, ImageCms.PyCMSError, OSError):
        return plain  # without a profile, or with one that does not fit its picture and so says nothing about it
