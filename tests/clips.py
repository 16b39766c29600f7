"""Small clips made on the fly, and what the tests of sources and sinks ask of files."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from PIL import Image

from model.media.files import Frame, open_frames, open_sink

COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)], np.uint8)
PATCH = 32
SAMPLE_RATE = 44100
BT709, SMPTE170M, BT2020, UNSPECIFIED = 1, 6, 9, 2
SWSCALE_MATRICES = {BT709: Colorspace.ITU709, SMPTE170M: Colorspace.ITU601, BT2020: Colorspace.BT2020}
SOUND_OPTIONS = {"vorbis": {"strict": "-2"}, "wmav2": {"b": "64000"}}
LAYOUTS = {("uint8", 3): "rgb24", ("uint8", 4): "rgba", ("uint16", 3): "rgb48le"}


def patches(height: int = 64) -> np.ndarray:
    """Red, green, blue and grey side by side: [height, 128, 3]."""
    return np.broadcast_to(COLOURS.repeat(PATCH, axis=0), (height, 4 * PATCH, 3)).copy()


def patch_colours(rgb: np.ndarray) -> np.ndarray:
    """The colours at the centres of the patches: [4, 3]."""
    return rgb[rgb.shape[0] // 2, PATCH // 2 :: PATCH][:4].astype(int)


def marked(index: int) -> np.ndarray:
    """A grey picture [48, 64, 3] whose level tells its index."""
    return np.full((48, 64, 3), 40 + 4 * index, np.uint8)


def index_of(rgb: np.ndarray) -> int:
    return round((float(rgb.mean()) - 40) / 4)


def make_clip(
    path: Path, pictures: list[np.ndarray], times: list[int] | None = None, *,
    tick=Fraction(1, 600), rate=20, codec="libx264", pix_fmt="yuv420p", matrix=BT709, color_range=ColorRange.MPEG,
    tagged=True, options: dict[str, str] | None = None, rotation=0, sample_aspect=Fraction(1),
    sound: str | None = None, sound_seconds: float = 0, sound_rate=SAMPLE_RATE, sound_start: float = 0,
    wave: np.ndarray | None = None, tracks=1, layout="mono", tags: dict[str, int] | None = None,
    container_format: str | None = None, **container_options: str,
) -> Path:  # fmt: skip
    """Writes a clip; `times` are in ticks; the matrix is tagged on request. The sound is float32 `wave`, or a tone."""
    times = times or [round(i / rate / tick) for i in range(len(pictures))]
    if wave is None:
        wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(sound_seconds * sound_rate)) / sound_rate)
    with av.open(str(path), "w", container_format, container_options=container_options) as container:
        stream = container.add_stream(codec, rate=rate, time_base=tick, options={"crf": "10"} | (options or {}))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.sample_aspect_ratio = sample_aspect
        if rotation:
            stream.set_display_rotation(rotation)
        if tagged:
            stream.colorspace, stream.color_range = matrix, color_range
        for name, value in (tags or {}).items():
            setattr(stream, name, value)
        heard = [
            container.add_stream(sound, rate=sound_rate, layout=layout, options=SOUND_OPTIONS.get(sound, {}))
            for _ in range(tracks if sound else 0)
        ]
        for rgb, time in zip(pictures, times, strict=True):
            plain = av.VideoFrame.from_ndarray(rgb, LAYOUTS[rgb.dtype.name, rgb.shape[2]])
            picture = VideoReformatter().reformat(
                plain, format=pix_fmt, dst_colorspace=SWSCALE_MATRICES[matrix],
                src_color_range=ColorRange.JPEG, dst_color_range=color_range,
            )  # fmt: skip
            picture.pts, picture.time_base = time, tick
            container.mux(stream.encode(picture))
        for track in heard:
            for start in range(0, len(wave), 1024):
                part = np.ascontiguousarray(wave[None, start : start + 1024], np.float32)
                samples = av.AudioFrame.from_ndarray(part, "fltp", "mono")
                samples.rate, samples.time_base = sound_rate, Fraction(1, sound_rate)
                samples.pts = start + round(sound_start * sound_rate)
                container.mux(track.encode(samples))
            container.mux(track.encode(None))
        container.mux(stream.encode(None))
    return path


def write_photo(path: Path, rgb: np.ndarray) -> Path:
    Image.fromarray(rgb).save(path)
    return path


def mean_flicker(frames: list[np.ndarray], results: list[np.ndarray]) -> tuple[float, float]:
    """Mean flicker of a video `[H, W, 3]` and of what was made of it, as model.tools.metrics measures it."""
    return _mean_metrics(frames, results)[0]


def mean_jitter(frames: list[np.ndarray], results: list[np.ndarray]) -> tuple[float, float]:
    """As mean_flicker, of jitter."""
    return _mean_metrics(frames, results)[1]


def _mean_metrics(frames: list[np.ndarray], results: list[np.ndarray]) -> list[tuple[float, float]]:
    from model.tools.metrics import means, measure  # here: most tests of clips don't need it

    pairs = zip(frames, results, strict=True)
    own, made = measure([Frame(rgb, Fraction(0)) for rgb in pair] for pair in pairs)
    return [*zip(means(own), means(made), strict=True)]


def copy(source: Path, target: Path) -> Path:
    with open_frames(source) as frames, open_sink(target, frames) as sink:
        for frame in frames:
            sink.write(frame)
    return target


def video_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [picture.pts * picture.time_base for picture in container.decode(video=0)]


def sound_packets(path: Path) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as container:
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(audio=0) if p.size]


def sound_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def noisy(frames: list[np.ndarray], level: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.clip(frame + rng.normal(0, level, frame.shape), 0, 255).round().astype(np.uint8) for frame in frames]
