"""Small files as people have them: films and photos of every kind, and what has to be seen and heard in each.

All show one scene: four coloured corners around a square that gets lighter from frame to frame.
"""

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from PIL import Image, ImageCms

from tests.clips import BT709, BT2020, SMPTE170M, make_clip

Colours = tuple[tuple[int, ...], ...]  # of the upper left, upper right, lower left and lower right corner
CORNERS: Colours = (200, 60, 60), (60, 160, 80), (60, 80, 190), (128, 128, 128)
MILD: Colours = (180, 120, 110), (110, 160, 125), (110, 120, 170), (128, 128, 128)  # the same by any curve
GREYS: Colours = (48,) * 3, (235,) * 3, (128,) * 3, (80,) * 3
BLACK_AND_WHITE: Colours = (0,) * 3, (255,) * 3, (255,) * 3, (0,) * 3
SEEN_THROUGH: Colours = (200, 60, 60, 0), (60, 160, 80, 128), (60, 80, 190, 255), (128, 128, 128, 255)
ON_WHITE: Colours = (255, 255, 255), (157, 207, 167), *CORNERS[2:]

# Chromaticities of red, green and blue; the white is D65, that of profiles D50.
PRIMARIES = {
    "sRGB": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), "Display P3": ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    "Adobe RGB": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), "BT.2020": ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
}  # fmt: skip
D65, D50 = np.array([0.9504559, 1, 1.0890578]), np.array([0.9642, 1, 0.8249])
BRADFORD = np.array([(0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)])
GAMMA = 1.8


def xyz_of(primaries: str) -> np.ndarray:
    """The matrix [3, 3] from linear light of these primaries to XYZ."""
    columns = np.array([(x, y, 1 - x - y) for x, y in PRIMARIES[primaries]]).T
    return columns * np.linalg.solve(columns, D65)


def srgb_light(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 10, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)


def signal_of(light: np.ndarray, primaries: str) -> np.ndarray:
    """Linear light [..., 3] as it is stored with other primaries (or as grey) and GAMMA: from 0 to 1."""
    change = np.linalg.solve(xyz_of(primaries), xyz_of("sRGB")) if primaries in PRIMARIES else np.eye(3)
    return (light @ change.T).clip(0, 1) ** (1 / GAMMA)


def profile(name: str) -> bytes:
    """A minimal ICC profile (ICC.1:2010) of the colour space, or of greys under any other name, with GAMMA."""

    def xyz(values: np.ndarray) -> bytes:
        return b"XYZ \0\0\0\0" + np.round(65536 * values).astype(">i4").tobytes()

    adapt = np.linalg.solve(BRADFORD, np.diag(BRADFORD @ D50 / (BRADFORD @ D65)) @ BRADFORD)
    curve, text = b"curv" + struct.pack(">IIHxx", 0, 1, round(256 * GAMMA)), name.encode("utf-16-be")
    title = b"mluc" + struct.pack(">III4sII", 0, 1, 12, b"enUS", len(text), 28) + text
    tags = {b"desc": title, b"cprt": title, b"wtpt": xyz(D50)}
    if name in PRIMARIES:
        for letter, column in zip("rgb", (adapt @ xyz_of(name)).T, strict=True):
            tags |= {f"{letter}XYZ".encode(): xyz(column), f"{letter}TRC".encode(): curve}
    else:
        tags[b"kTRC"] = curve
    index, data, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, content in tags.items():
        index += struct.pack(">4sII", tag, start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    kind = b"mntrRGB XYZ " if name in PRIMARIES else b"mntrGRAYXYZ "
    head = struct.pack(">I4xI12s12x4s28x12s48x", start + len(data), 0x04300000, kind, b"acsp", xyz(D50)[8:])
    return head + index + data


def scene(corners: Colours, level: int = 100, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    """Four corners of C channels around a square of one level: uint8 `[H, W, C]`."""
    (height, width), channels = size, len(corners[0])
    picture = np.array(corners, np.uint8).reshape(2, 2, channels).repeat(-(-height // 2), 0).repeat(-(-width // 2), 1)
    picture[height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = (level, level, level, 255)[:channels]
    return picture[:height, :width]


def corners_of(rgb: np.ndarray) -> np.ndarray:
    """The mean colours of the corners: [4, 3]."""
    height, width = rgb.shape[0] // 8, rgb.shape[1] // 6
    areas = (rgb[y:, x:][:height, :width] for y in (height // 2, -2 * height) for x in (width // 2, -2 * width))
    return np.array([area.mean((0, 1)) for area in areas])


def level_of(rgb: np.ndarray) -> float:
    """The mean level of the square in the middle."""
    height, width = rgb.shape[:2]
    return float(rgb[3 * height // 8 : 5 * height // 8, 4 * width // 9 : 5 * width // 9].mean())


WIDE = {"color_primaries": ColorPrimaries.BT2020}
COLOURS: dict[str, tuple[str | None, int, dict[str, int]]] = {  # of films: primaries, matrix, tags
    "bt2020": ("BT.2020", BT2020, WIDE | {"color_trc": ColorTrc.BT2020_10}),
    "p3": ("Display P3", BT709, {"color_primaries": ColorPrimaries.SMPTE432, "color_trc": ColorTrc.BT709}),
    "pq": (None, BT2020, WIDE | {"color_trc": ColorTrc.SMPTE2084}),
    "hlg": (None, BT2020, WIDE | {"color_trc": ColorTrc.ARIB_STD_B67}),
}
FINE = {"flags": "+qscale", "global_quality": "118"}  # of the old codecs
OPTIONS = {
    "libx264": {"preset": "veryfast"}, "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libsvtav1": {"preset": "8"}, "libvpx-vp9": {"cpu-used": "8", "crf": "4"}, "libvpx": {"crf": "4", "b": "2000000"},
    "dnxhd": {"profile": "dnxhr_hq"}, **dict.fromkeys(("prores_ks", "qtrle", "ffv1", "rawvideo", "png"), {}),
}  # fmt: skip
MARKED = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "mpeg2video", "prores_ks", "dnxhd")  # with their matrix
SIZES = {"dvvideo": (576, 720), "h263": (144, 176), "dnxhd": (128, 256)}  # that these codecs insist on, or begin with
SOUND_RATES = {"amr_nb": 8000, "libopus": 48000, "pcm_s16le": 48000}
BROADCAST = tuple("mpg m1v m2v vob ts m2ts mts mxf wtv dv m4v h264 hevc obu".split())  # noqa: SIM905
BEEP = 3  # number of the frame with which the sound begins


@dataclass(frozen=True, eq=False)
class Film:
    """A film to be made; `times` are in milliseconds, as is `late`, the start of the pictures and of the sound."""

    name: str
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    sound: str | None = None
    layout: str = "mono"
    note: str = ""
    rate: Fraction | int | None = None
    size: tuple[int, int] | None = None  # height, width
    seen_size: tuple[int, int] | None = None  # where that is another one
    count: int = 8
    times: tuple[int, ...] | None = None
    late: tuple[int, int] = (0, 0)
    colour: str | None = None  # of COLOURS
    turns: int = 0  # quarter turns counter-clockwise that the player makes
    stored: Colours = CORNERS
    corners: Colours = CORNERS  # that are to be seen
    slack: float = 0.002  # s
    draw: Callable[..., np.ndarray] = scene
    how: dict[str, Any] = field(default_factory=dict)  # further arguments of make_clip

    def __str__(self) -> str:
        layout = self.pix_fmt if self.pix_fmt != "yuv420p" else None
        return "-".join(filter(None, (Path(self.name).suffix[1:], self.codec, layout, self.sound, self.note)))

    @property
    def fps(self) -> Fraction:
        return Fraction(self.rate or (25 if self.name.endswith(BROADCAST) else 10))

    @property
    def seconds(self) -> list[Fraction]:
        """When the frames are shown, from 0 on."""
        return [Fraction(time, 1000) for time in self.times or ()] or [i / self.fps for i in range(self.count)]

    @property
    def end(self) -> Fraction:
        return self.seconds[-1] + 1 / self.fps

    @property
    def beep(self) -> Fraction:
        return self.seconds[min(BEEP, len(self.seconds) - 1)]

    def pictures(self) -> list[np.ndarray]:
        """The frames as they are seen, in the colours that are stored."""
        size = self.size or SIZES.get(self.codec, (64, 96))
        pictures = [self.draw(self.stored, 40 + 20 * i, size) for i in range(len(self.seconds))]
        if self.colour is None or COLOURS[self.colour][0] is None:
            return pictures
        stored = (signal_of((picture / 255) ** GAMMA, COLOURS[self.colour][0]) for picture in pictures)
        return [np.round(65535 * picture).astype(np.uint16) for picture in stored]

    def make(self, folder: Path) -> Path:
        """Write it; what FFmpeg and PyAV raise tells that this build can't."""
        late, is_even = Fraction(self.late[0], 1000), all((time * self.fps).denominator == 1 for time in self.seconds)
        tick = 1 / self.fps if is_even else Fraction(1, 1000)
        rate = self.how.get("sound_rate") or SOUND_RATES.get(self.sound, 44100)
        wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(self.end * rate)) / rate)
        wave[: round(self.beep * rate)] = 0
        _, matrix, tags = COLOURS.get(self.colour, (None, BT709 if self.codec in MARKED else SMPTE170M, None))
        settings = {"matrix": matrix, "tags": tags, "wave": wave, "sound_rate": rate, "rotation": 90 * self.turns}
        pictures = [np.ascontiguousarray(np.rot90(picture, -self.turns)) for picture in self.pictures()]
        times = [round((time + late) / tick) for time in self.seconds]
        make = partial(
            make_clip, folder / self.name, pictures, times, tick=tick, rate=self.fps, codec=self.codec,
            pix_fmt=self.pix_fmt, sound=self.sound, layout=self.layout, sound_start=self.late[1] / 1000,
            options=OPTIONS.get(self.codec, FINE), **settings | self.how,
        )  # fmt: skip
        # SVT-AV1, as root, gives the thread that opens it the highest real-time priority, and all that this one starts
        # inherit it: servers and browsers that wait busily would starve each other. So it is a thread that ends.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(make).result()


def films(table: str) -> list[Film]:
    """A film for each row: suffix, codec, pixel format (- for yuv420p), sound, channels."""
    rows = (row.replace(" - ", " yuv420p ").split() for row in table.split(","))
    return [Film(f"a.{suffix}", *rest) for suffix, *rest in rows]


FULL, MARKED_601, UNMARKED = {"color_range": ColorRange.JPEG}, {"matrix": SMPTE170M}, {"tagged": False}
GREY, ALPHA = {"stored": GREYS, "corners": GREYS}, {"stored": SEEN_THROUGH, "corners": ON_WHITE, "note": "alpha"}
VARIABLE = {"times": (0, 20, 130, 140, 700, 720, 1500, 1517), "how": {"movie_timescale": "1000"}, "note": "variable"}
BURST = np.where(np.arange(35280) < 13230, 0, 1e37 * np.sin(np.arange(35280)))  # damage, or a mistake in mixing
CONTAINERS_AND_CODECS = films("""
    3gp h263 - amr_nb, asf msmpeg4 - libmp3lame, avi cinepak rgb24, avi huffyuv yuv422p, avi mjpeg yuvj420p ac3,
    avi mpeg4 - pcm_s16le, avi rawvideo bgr24, avi utvideo gbrp, flv flv1 - libmp3lame, flv libx264 - aac,
    h264 libx264, hevc libx265, ivf libsvtav1, ivf libvpx, ivf libvpx-vp9, m2ts mpeg2video - ac3, m2v mpeg2video,
    m4v mpeg4, mkv ffv1 bgr0 flac, mkv ffv1 yuv420p12le, mkv libx264 - pcm_f32le, mkv libx265 yuv420p10le libopus,
    mkv mjpeg yuvj444p ac3, mov cfhd yuv422p10le, mov dnxhd yuv422p pcm_s24le, mov jpeg2000 rgb24,
    mov libx265 - aac, mov prores_ks yuv422p10le pcm_s16le, mov qtrle rgb24 alac, mov svq1 yuv410p,
    mov v210 yuv422p10le, mp4 libsvtav1 - aac, mp4 libvpx-vp9 - libopus, mp4 libx264 - aac, mp4 libx264 yuv420p10le,
    mp4 libx264 yuv444p, mp4 mpeg2video - eac3, mp4 mpeg4 - libmp3lame, mpg mpeg1video - mp2, mts libx264 - ac3,
    mxf mpeg2video - pcm_s16le, nut ffv1 - flac, obu libsvtav1, ogv libtheora - vorbis stereo,
    ogv libvpx - vorbis stereo, rm rv20 - ac3, ts libx264 - aac, vob mpeg2video - ac3,
    webm libsvtav1 yuv420p10le libopus, webm libvpx - vorbis stereo, webm libvpx-vp9 - libopus, wmv wmv2 - wmav2,
    wtv mpeg2video - mp2, y4m rawvideo
""")
FILMS = [
    *CONTAINERS_AND_CODECS,
    Film("a.dv", "dvvideo", "yuv420p", "pcm_s16le", "stereo", seen_size=(576, 768)),
    Film("a.m1v", "mpeg1video", slack=0.041),  # the last stamp is a guess
    # Colours, depths and alpha.
    *(Film("a.mp4", note=note, how=how) for note, how in {
        "601": MARKED_601, "full range": FULL, "601 full range": MARKED_601 | FULL, "unmarked": MARKED_601 | UNMARKED,
    }.items()),
    Film("a.mp4", note="unmarked hd", size=(64, 1280), how=UNMARKED),
    Film("a.mkv", "libx264rgb", "rgb24", how=UNMARKED), Film("a.mkv", "ffv1", "gbrp16le"),
    Film("a.mkv", "ffv1", "gray16le", **GREY), Film("a.mp4", "libx264", "gray", how=FULL, **GREY),
    Film("a.nut", "rawvideo", "monob", stored=BLACK_AND_WHITE, corners=BLACK_AND_WHITE, count=1),
    *(Film(*how, colour=colour, note=colour, stored=MILD, corners=MILD) for *how, colour in [
        ("a.mp4", "libx264", "yuv420p", "bt2020"), ("a.mp4", "libx265", "yuv420p10le", "bt2020"),
        ("a.mov", "libx265", "yuv420p10le", "p3"),
    ]),
    *(Film(*how, **ALPHA) for how in [
        ("a.mov", "prores_ks", "yuva444p10le"), ("a.webm", "libvpx-vp9", "yuva420p"), ("a.mov", "qtrle", "argb"),
        ("a.mov", "png", "rgba"),
    ]),
    # Turned, odd, oblong, tiny.
    *(Film("a.mp4", sound="aac", turns=turns, note=f"turned {90 * turns}") for turns in (1, 2, 3)),
    Film("a.mov", "libx265", turns=1, note="turned 90"), Film("a.mkv", turns=3, note="turned 270"),
    Film("a.mkv", "ffv1", "bgr0", size=(63, 127), note="odd"),
    Film("a.mp4", "libx264", "yuv444p", size=(65, 97), note="odd"), Film("a.mp4", size=(32, 34), note="tiny"),
    Film("a.mp4", seen_size=(64, 128), how={"sample_aspect": Fraction(4, 3)}, note="oblong"),
    Film("a.mpg", "mpeg2video", seen_size=(72, 96), how={"sample_aspect": Fraction(8, 9)}, note="upright oblong"),
    # Clocks.
    *(Film(name, sound="aac", rate=rate, note=f"{float(rate):.4g} fps") for name, rate in [
        ("a.mp4", 1), ("a.mp4", 12), ("a.mkv", Fraction(24000, 1001)), ("a.mp4", Fraction(24000, 1001)),
        ("a.ts", Fraction(30000, 1001)), ("a.mov", 50), ("a.mp4", 60), ("a.flv", 60),
    ]),
    *(Film(name, sound="aac", **VARIABLE) for name in ("a.mp4", "a.mkv", "a.flv")),
    Film("a.mp4", count=1, note="single"), Film("a.avi", "mpeg4", times=(0, 100, 200, 600, 700), note="dropped"),
    *(Film(name, sound="aac", late=late, note=note) for name in ("a.mp4", "a.mkv") for note, late in {
        "late": (400, 400), "late pictures": (300, 0), "late sound": (0, 300),
    }.items()),
    Film("a.ts", sound="aac", late=(3600_000, 3600_000), note="an hour late"),
    # Sound.
    *(Film("a.mkv", "libx264", "yuv420p", sound, layout, note, how=how) for sound, layout, note, how in [
        ("aac", "5.1", "5.1", {}), ("pcm_s16le", "mono", "8 kHz", {"sound_rate": 8000}),
        ("flac", "stereo", "96 kHz", {"sound_rate": 96000}), ("libmp3lame", "mono", "11 kHz", {"sound_rate": 11025}),
        ("aac", "mono", "two tracks", {"tracks": 2}), ("pcm_f32le", "mono", "burst", {"wave": BURST}),
    ]),
]  # fmt: skip
# White is at 58 % and 75 % of the signal (ITU-R BT.2408).
HDR = [Film("a.mkv", "libx265", "yuv420p10le", colour=colour, note=colour, count=2,
            stored=((0,) * 3, (white,) * 3, (white * 3 // 4,) * 3, (white // 2,) * 3))
       for colour, white in (("pq", 148), ("hlg", 191))]  # fmt: skip

STORED_AS = {  # under an orientation of EXIF, which tells where the first row and the first column are seen
    1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1), 6: lambda p: p.swapaxes(0, 1)[::-1], 7: lambda p: p.swapaxes(0, 1)[::-1, ::-1],
    8: lambda p: p.swapaxes(0, 1)[:, ::-1],
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo to be made, in a mode of Pillow; RGB;16 is written by OpenCV."""

    name: str
    mode: str = "RGB"
    note: str = ""
    stored: Colours = CORNERS
    corners: Colours = CORNERS  # that are to be seen
    orientation: int = 1
    save: dict[str, Any] = field(default_factory=dict)
    draw: Callable[..., np.ndarray] = scene

    def __str__(self) -> str:
        return "-".join(filter(None, (Path(self.name).suffix[1:], self.mode, self.note)))

    def make(self, folder: Path) -> Path:
        """Write it; ValueError tells that it can't be done."""
        if self.name.endswith(".heic") and find_spec("pillow_heif"):
            import_module("pillow_heif").register_heif_opener()
        path, pixels = folder / self.name, np.ascontiguousarray(STORED_AS[self.orientation](self.draw(self.stored)))
        if self.mode == "RGB;16":
            cv2.imwrite(str(path), pixels[..., ::-1].astype(np.uint16) * 257)
            return path
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257 if self.mode == "I;16" else pixels)
        image = image.quantize() if self.mode == "P" else image.convert(self.mode)
        lossy = path.suffix in (".jpg", ".jfif", ".avif", ".heic")
        settings = {"quality": 100, "subsampling": "4:4:4"} if lossy else {}
        if self.orientation > 1:
            exif = Image.Exif()
            exif[274] = self.orientation
            settings["exif"] = exif.tobytes()  # HEIC is turned by this, not by an object
        image.save(path, **settings | self.save)
        return path


def of(suffixes: str, mode: str = "RGB", **settings: Any) -> list[Photo]:
    return [Photo(f"a.{suffix}", mode, **settings) for suffix in suffixes.split()]


def in_profile(name: str, corners: Colours = MILD, on_white: Colours | None = None) -> dict[str, Any]:
    """What is special in a photo with the profile of a colour space, if `corners` are its colours in sRGB."""
    colours = np.array(corners)
    rgb = np.round(255 * signal_of(srgb_light(colours[:, :3]), name)).astype(int)
    stored = tuple(map(tuple, np.hstack([rgb, colours[:, 3:]]).tolist()))
    return {"stored": stored, "corners": on_white or corners, "save": {"icc_profile": profile(name)}, "note": name}


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_ALPHA: Colours = tuple((*grey, alpha) for grey, alpha in zip(GREYS, (0, 255, 255, 255), strict=True))
GREYS_ON_WHITE: Colours = (255,) * 3, *GREYS[1:]
WEBP = {"save": {"lossless": True}}
PHOTOS = [
    *of("jpg jfif png bmp tif ppm qoi gif webp avif heic jp2"),
    Photo("a.jpg", note="progressive", save={"progressive": True}), Photo("a.webp", **WEBP, note="lossless"),
    Photo("a.tif", note="lzw", save={"compression": "tiff_lzw"}),
    Photo("a.jpg", note="two", save={"format": "MPO", "save_all": True, "append_images": [Image.new("RGB", (9, 9))]}),
    *of("jpg png tif pgm jp2", "L", **GREY), *of("png tif jp2", "I;16", **GREY), *of("png tif", "RGB;16"),
    *of("png tif bmp pbm", "1", stored=BLACK_AND_WHITE, corners=BLACK_AND_WHITE), *of("jpg tif", "CMYK"),
    *of("png gif tif bmp", "P"), *of("png", "P", **ALPHA), *of("png tif avif jp2 qoi heic", "RGBA", **ALPHA),
    Photo("a.webp", "RGBA", **ALPHA, **WEBP), Photo("a.png", "LA", stored=GREY_ALPHA, corners=GREYS_ON_WHITE),
    *of("jpg png tif webp avif heic", **in_profile("Display P3")),
    *of("png tif", "RGBA", **in_profile("Display P3", SEEN_THROUGH, ON_WHITE)),
    Photo("a.png", note="sRGB", save={"icc_profile": SRGB}), *of("png", "P", **in_profile("Display P3")),
    *of("jpg", **in_profile("Adobe RGB")),
    *of("jpg png", "L", **in_profile("grey", GREYS)),
    Photo("a.png", "LA", **in_profile("grey", GREY_ALPHA, GREYS_ON_WHITE)),
    *(Photo("a.jpg", note=f"orientation {n}", orientation=n) for n in range(2, 9)),
    *of("png webp tif avif heic", note="orientation 6", orientation=6),
]  # fmt: skip
