"""Sources and sinks of frames: an image is a one-frame video.

    with open_frames(src) as frames, open_sink(dst, frames) as sink:
        for frame in frames:
            sink.write(frame)
"""

from pathlib import Path

from model.common.errors import InputError
from model.media.frames import Frame, FrameSink, FrameSource, unreadable
from model.media.photos import WRITTEN_PHOTOS, PhotoSink, SequenceSource, is_pattern, open_photo
from model.media.video_reader import VideoSource
from model.media.video_writer import VideoSink

__all__ = ["Frame", "FrameSink", "FrameSource", "open_frames", "open_sink"]

# ISO base media brands of HEIF photos. Their tiles would open as a video of fragments.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


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
    if photo := open_photo(path):
        return photo
    if header[4:8] == b"ftyp" and header[8:12] in HEIF_BRANDS:
        raise unreadable(path, "HEIC photos are not supported", "save it as JPEG or PNG first")
    return VideoSource(path)


def open_sink(path: str | Path, source: FrameSource) -> FrameSink:
    """Opens a sink whose kind follows from the suffix: .jpg, .jpeg, .png for one frame, .mp4 for a video.

    `source` lends a video its clock and its sound. Raises InputError if nothing can be written at `path`.
    """
    path = Path(path)
    sinks = dict.fromkeys(WRITTEN_PHOTOS, PhotoSink) | {".mp4": VideoSink}
    if sink := sinks.get(path.suffix.lower()):
        return sink(path, source)
    raise InputError(f"cannot write {path}: unknown kind of file; use a name that ends in one of {', '.join(sinks)}")
