"""Decoded pictures of a video as people see them: without combs, upright, with square pixels, in BT.709's colours."""

import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import chain
from typing import TypeVar

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from model.media.frames import over_white

Stamp = TypeVar("Stamp")

FIELD_ORDERS = {2: "tff", 3: "bff", 4: "bff", 5: "tff"}  # FFmpeg's AVFieldOrder, and which of two fields is shown first
MARKED_CODECS = {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3"}  # mark each picture, may mix
LEAST_SIDE = 4  # that bwdif takes
KNOWN_MATRICES = (1, 4, 5, 6, 7, 9)  # that swscale converts (ITU-T H.273): BT.709, FCC, BT.470BG, SMPTE, BT.2020
HDR_CURVES = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # washed out unless brought to BT.709, which is slow to set up
SD_WIDTH, SD_HEIGHT = 1279, 576  # up to these, unmarked video is BT.601, above them BT.709, as players assume
CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
MAX_PIXEL_ASPECT = 4  # anamorphic PAL is 64:45; beyond, the figure is garbage
# Chromaticities (ITU-T H.273) of red, green and blue; without conversion pictures with wide ones look faded.
BT709_PRIMARIES, D65 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)), (0.3127, 0.3290)
WIDE_PRIMARIES = {
    ColorPrimaries.BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    ColorPrimaries.SMPTE432: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
DISPLAY_GAMMA, SRGB_GAMMA = np.float32(2.4), np.float32(2.2)  # of screens for video (ITU-R BT.1886), and about sRGB's


def first_field(decoder: VideoCodecContext) -> str | None:
    """Which field of all pictures comes first, where their container says so and they themselves may not."""
    return None if decoder.name in MARKED_CODECS else FIELD_ORDERS.get(decoder.field_order)


def deinterlaced(
    shown: Iterator[tuple[VideoFrame, Stamp]], first_field: str | None
) -> Iterator[tuple[VideoFrame, Stamp, bool]]:
    """Pictures with their stamps, as many as there were, and whether each was interlaced.

    Those that are become whole pictures at the time of their first field, the others stay as they are.
    """
    graph, layout = None, None
    waiting: deque[tuple[VideoFrame, Stamp]] = deque()  # in the graph
    for picture, stamp in chain(shown, [(None, None)]):
        following = picture and (picture.format.name, picture.width, picture.height)
        if graph is not None and following != layout:  # the end, or a recording that changes its size
            graph.push(None)
            yield from _pulled(graph, waiting, first_field)
            graph = None
        is_large = picture is not None and min(picture.width, picture.height) >= LEAST_SIDE
        if graph is None and is_large and (first_field or picture.interlaced_frame):
            graph, layout = _deinterlacer(picture, first_field), following
        if graph is not None:
            waiting.append((picture, stamp))
            graph.push(picture)
            yield from _pulled(graph, waiting, first_field)
        elif picture is not None:
            yield picture, stamp, False


def _deinterlacer(picture: VideoFrame, first_field: str | None) -> Graph:
    graph, tick = Graph(), picture.time_base or Fraction(1, 1000)  # nobody asks it for times
    source = graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=tick)
    mark = [graph.add("setfield", f"mode={first_field}")] if first_field else []
    one_for_each = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    graph.link_nodes(source, *mark, one_for_each, graph.add("buffersink")).configure()
    return graph


def _pulled(
    graph: Graph, waiting: deque[tuple[VideoFrame, Stamp]], first_field: str | None
) -> Iterator[tuple[VideoFrame, Stamp, bool]]:
    while True:
        try:
            picture = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        original, stamp = waiting.popleft()
        picture.pts, picture.duration = original.pts, original.duration
        yield picture, stamp, original.interlaced_frame or first_field is not None


def to_rgb(picture: VideoFrame, size: tuple[int, int], reformatter: VideoReformatter) -> np.ndarray:
    """A decoded picture as RGB uint8 [H, W, 3], full range, over white; `size` is (width, height)."""
    is_hd = picture.width > SD_WIDTH or picture.height > SD_HEIGHT
    assumed = Colorspace.ITU709 if is_hd else Colorspace.ITU601  # of a picture that states no matrix
    has_alpha = picture.format.name == "pal8" or any(c.is_alpha for c in picture.format.components)
    is_hdr = picture.color_trc in HDR_CURVES
    is_wide = picture.color_primaries in WIDE_PRIMARIES and not is_hdr
    layout = ("rgba64le" if has_alpha else "rgb48le") if is_wide else ("rgba" if has_alpha else "rgb24")
    pixels = reformatter.reformat(
        picture, *size, layout,
        src_colorspace=None if picture.format.is_rgb or picture.colorspace in KNOWN_MATRICES else assumed,
        dst_color_range=ColorRange.JPEG, interpolation=CONVERSION,
        dst_color_trc=ColorTrc.BT709 if is_hdr else None,
        dst_color_primaries=ColorPrimaries.BT709 if is_hdr else None,
    ).to_ndarray()  # fmt: skip
    if is_wide:
        gamma = SRGB_GAMMA if picture.color_trc == ColorTrc.IEC61966_2_1 else DISPLAY_GAMMA
        rgb = _narrowed(pixels[..., :3], ColorPrimaries(picture.color_primaries), gamma)
        pixels = np.dstack([rgb, pixels[..., 3:] >> 8]).astype(np.uint8)
    return over_white(pixels) if has_alpha else pixels


def _narrowed(rgb: np.ndarray, primaries: ColorPrimaries, gamma: np.float32) -> np.ndarray:
    """Colours of wide primaries in those of BT.709, cut off where it has none: uint16 -> uint8 [H, W, 3].

    swscale would do it, but needs seconds to begin and makes saturated colours paler.
    """
    light = (rgb / np.float32(65535)) ** gamma @ _to_bt709(primaries)
    return np.round(255 * light.clip(0, 1) ** (1 / gamma)).astype(np.uint8)


@cache
def _to_bt709(primaries: ColorPrimaries) -> np.ndarray:
    """The matrix [3, 3] for linear RGB, as row vectors."""
    wide, narrow = (_to_xyz(values) for values in (WIDE_PRIMARIES[primaries], BT709_PRIMARIES))
    return np.linalg.solve(narrow, wide).T.astype(np.float32)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """The matrix [3, 3] from linear RGB to CIE XYZ, as column vectors; the white is D65."""
    *colours, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in (*primaries, D65))
    columns = np.stack(colours, axis=1)
    return columns * np.linalg.solve(columns, white)


def square_pixel_size(picture: VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height after stretching pixels of `aspect` width / height to squares."""
    if not aspect or not Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT:
        return picture.width, picture.height
    return round(picture.width * max(aspect, 1)), round(picture.height / min(aspect, 1))


def display_matrix(picture: VideoFrame) -> bytes | None:
    """How the container says that the picture is to be turned, for `oriented`."""
    try:
        return picture.side_data.get(SideDataType.DISPLAYMATRIX)
    except ValueError:  # FFmpeg knows kinds of side data that PyAV has no name for; the angle can be had without them
        cosine, sine = (round(65536 * f(math.radians(picture.rotation))) for f in (math.cos, math.sin))
        return np.int32([cosine, -sine, 0, sine, cosine, 0, 0, 0, 1 << 30]).tobytes()


def oriented(rgb: np.ndarray, display_matrix: bytes | None) -> np.ndarray:
    """Applies the quarter turns and mirrors of a container's display matrix; other angles go to the nearest of them."""
    if display_matrix is None:
        return rgb
    # Its upper left 2 x 2 maps row vectors (x, y).
    (a, b), (c, d) = np.frombuffer(bytes(display_matrix), np.int32).reshape(3, 3)[:2, :2].tolist()
    right, down = a, d
    if abs(b) > abs(a):
        rgb, right, down = rgb.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(rgb[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])
