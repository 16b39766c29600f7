"""Measure how steady, how sharp and how true to the person a video is.

    python -m model.tools.metrics clip.mp4
    python -m model.tools.metrics clip.mp4 cartoon.mp4 --json metrics.json --plot metrics.png
    python -m model.tools.metrics clip.mp4 --model starter

With two videos, the second is what was made of the first (style_transfer.py with --full_frame or --no_scale_image, so
that both show the same). With --model, the crop around the face is compared with what the model makes of it, in every
style at degree 1. Flicker is what is left between neighbouring frames after the motion of the input is taken out, in
levels of 255, and its ratio is to the input's own; sharpness is the mean magnitude of the Laplacian; identity is the
distance of dlib's face descriptors (0 the same picture, below 0.6 the same person).

Levels are no fair measure of a drawing: black lines that stand as still as the photo does differ more from themselves
than soft skin, since no motion is found, and no picture moved, without a part of a pixel of error. Jitter is: what is
left of a picture as coarse as the eye sees what flickers, divided by its mean gradient. That is how far its edges
would have to jump, in thousandths of the height, to look so. Only places count where the first video has enough to see
to tell its motion by."""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import cv2
import dlib
import numpy as np
from tqdm import tqdm

from model.common import cli
from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.common.tables import markdown_table
from model.common.tensors import pixel_grid
from model.effects import dense_flow, warp
from model.faces.detect import dlib_points, find_landmarks_quickly, model_file
from model.inference.clip import stylised
from model.inference.look import Look
from model.inference.scene import Person
from model.inference.stylizer import Stylizer
from model.media.files import Frame, FrameSource, open_frames

CONSISTENT = 1.0  # pixels between a point and where the flow there and back leads, up to which the flow is believed
SAME_SHAPE = 0.03  # aspect ratios of two videos may differ by so much: sides are rounded
FLAT = 0.01  # levels a pixel, up to which a picture has no edges
IDENTITY_EVERY = 5  # one frame in so many is looked at for identity, which takes longest
COLUMNS = {
    "time": "seconds", "flicker": "levels", "jitter": "1/1000 of the height", "sharpness": "levels",
    "identity": "distance",
}  # fmt: skip
METRICS = tuple(COLUMNS)[1:]
RATIOS = 2  # so many metrics, the first ones, are also told relative to the input's own
# Blur before jitter is measured, as a part of the height. Half the contrast is left at 6 cycles a degree in a picture
# that is looked at from three times its height; of what changes quickly, the eye sees little that is finer. Where lines fall on the grid of pixels, which changes with any motion, is finer.
SEEN = 1 / 600
# In what is flat no motion is found, but a drawing's dots may lie there: places count whose mean gradient, within a
# blur that is so wide a part of the height, is at least that part of the mean of the whole picture.
AROUND, TELLING = 1 / 60, 0.5
PLOT_SUFFIXES = (".png", ".svg", ".pdf")


def motion_between(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the frame `after` shows what each pixel of `before` shows, both RGB uint8 `[H, W, 3]`: displacements
    float32 `[H, W, 2]`, and whether they are to be believed, bool `[H, W]`."""
    flow, back = dense_flow(before, after), dense_flow(after, before)
    height, width = flow.shape[:2]
    target = pixel_grid(height, width) + flow
    inside = ((target >= 0) & (target <= (width - 1, height - 1))).all(-1)
    return flow, inside & (np.linalg.norm(flow + warp(back, flow), axis=-1) < CONSISTENT)


def flicker_between(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """Flicker and jitter of two neighbouring frames of each video, see above.
    before, after: the frame of a video, RGB uint8 `[H, W, 3]`, perhaps followed by what was made of it, of any size.
    All are measured at the last one's size, with the motion of the first; NaN where the frames have nothing in
    common."""
    flow, valid = motion_between(before[0], after[0])
    size = before[-1].shape[1::-1]
    flow, valid = _enlarged(flow, valid, size)
    if not valid.any():
        return [(np.nan, np.nan)] * len(before)
    found = []
    for pictures in zip(before, after, strict=True):
        first, second = (cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC) for picture in pictures)
        flicker = cv2.absdiff(first, warp(second, flow, cv2.INTER_CUBIC))[valid].mean()
        first, second = (cv2.GaussianBlur(each.astype(np.float32), (0, 0), SEEN * size[1]) for each in (first, second))
        gradient = gradient_of(first)
        if not found:
            telling = cv2.GaussianBlur(gradient, (0, 0), AROUND * size[1]) >= TELLING * gradient.mean()
            telling &= valid
        steep = gradient[telling].mean() if telling.any() else 0.0
        left = cv2.absdiff(first, warp(second, flow, cv2.INTER_CUBIC))[telling]
        found.append((flicker, 1000 / size[1] * left.mean() / steep if steep > FLAT else np.nan))
    return found


def _enlarged(flow: np.ndarray, valid: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A flow, and where it is valid, for pictures of another size (width, height)."""
    factor = np.float32(np.divide(size, flow.shape[1::-1]))
    is_valid = cv2.resize(valid.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return cv2.resize(flow, size) * factor, is_valid


def gradient_of(picture: np.ndarray) -> np.ndarray:
    """Magnitude of the gradient, mean of the channels, of float32 `[H, W, 3]`: float32 `[H, W]`, in levels a pixel."""
    across, down = (cv2.Sobel(picture, cv2.CV_32F, *order, ksize=1, scale=0.5) for order in ((1, 0), (0, 1)))
    return cv2.magnitude(across, down).mean(axis=2)


def sharpness(rgb: np.ndarray) -> float:
    """Mean magnitude of the Laplacian of a picture uint8 `[H, W, 3]`, in levels."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean()


@cache
def _recogniser() -> dlib.face_recognition_model_v1:
    return dlib.face_recognition_model_v1(model_file("dlib_face_recognition_resnet_model_v1.dat"))


def descriptor(rgb: np.ndarray) -> np.ndarray:
    """dlib's descriptor `[128]` of the main face in a picture uint8 `[H, W, 3]`; NaN without a face."""
    landmarks = find_landmarks_quickly(rgb)
    if landmarks is None:
        return np.full(128, np.nan)
    return np.array(_recogniser().compute_face_descriptor(np.ascontiguousarray(rgb), dlib_points(landmarks)))


def measure(moments: Iterable[Sequence[Frame]]) -> np.ndarray:
    """Metrics of one video, or of two where each of `moments` holds the frames of both at the same time. Returns
    `[videos, frames, 5]` in the order of COLUMNS, NaN where there is nothing to measure. Sharpness is measured at the
    size of the first video. Raises InputError where the two don't show the same."""
    found, before = [], None
    for number, moment in enumerate(moments):
        pictures = [frame.rgb for frame in moment]
        (height, width), (h, w) = pictures[0].shape[:2], pictures[-1].shape[:2]
        if abs(w / h / (width / height) - 1) > SAME_SHAPE:
            sizes = f"{width} x {height} and {w} x {h}"
            raise InputError(f"The videos show different parts ({sizes}): use --full_frame or --no_scale_image.")
        alike = [cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) for picture in pictures]
        identity = [np.nan] * len(pictures)
        if len(pictures) > 1 and number % IDENTITY_EVERY == 0:
            identity = [np.nan, np.linalg.norm(np.subtract(*map(descriptor, pictures)))]
        flicker = flicker_between(before, pictures) if before else [(np.nan, np.nan)] * len(pictures)
        sharp, time = [*map(sharpness, alike)], float(moment[0].time)
        found.append([(time, *each, s, i) for each, s, i in zip(flicker, sharp, identity, strict=True)])
        before = pictures
    return np.array(found).transpose(1, 0, 2)


def means(video: np.ndarray) -> np.ndarray:
    """The mean of each of METRICS over the frames `[frames, 5]` where it was measured; NaN where it never was."""
    return np.ma.masked_invalid(video[:, 1:]).mean(axis=0).filled(np.nan)


def at_same_times(first: Iterable[Frame], second: Iterable[Frame], apart: float) -> Iterator[tuple[Frame, Frame]]:
    """Frames of two videos that are at most `apart` seconds from each other; what only one of them has is left out.
    Raises InputError where one goes on after the end of the other."""
    ours, theirs = iter(first), iter(second)
    one, other = next(ours, None), next(theirs, None)
    while one and other:
        ahead = one.time - other.time
        if abs(ahead) <= apart:
            yield one, other
        if ahead <= apart:
            one = next(ours, None)
        if ahead >= -apart:
            other = next(theirs, None)
    if one or other:
        raise InputError("One video is longer than the other: compare a video with what was made of it.")


def open_video(path: str) -> FrameSource:
    """A video; InputError for anything else."""
    source = open_frames(path)
    if not source.is_video:
        raise InputError(f"{path} is a photo: a video is needed.")
    return source


def measure_files(paths: Sequence[str], count: int | None) -> dict[str, np.ndarray]:
    """Metrics of a video, or of one and what was made of it, by path; of `count` frames at most."""
    with ExitStack() as stack:
        first, *others = (stack.enter_context(open_video(path)) for path in paths)
        bar = tqdm(first, desc=first.name, total=first.expected_frames, disable=None)
        moments = at_same_times(bar, others[0], 0.5 / first.rate) if others else zip(bar)
        return dict(zip(paths, measure(islice(moments, count)), strict=True))


def measure_model(stylizer: Stylizer, path: str, count: int | None) -> dict[str, np.ndarray]:
    """Metrics of the crop around the face in a video, and of its cartoon in every style, at degree 1. Raises InputError
    for no video or no face."""
    videos = {}
    with open_video(path) as source:
        portrait = stylizer.fit_source(source)
        for style in stylizer.style.exemplar_names or [None]:
            look = Look(style_id=style, style_degree=1.0, crop="fixed")
            crops = (replace(frame, rgb=portrait.crop.show(frame.rgb)) for frame in islice(source, count))
            cartoons = stylised(islice(source, count), [Person(stylizer, portrait, look)], look)
            videos[path], videos[f"{path} {style or 'cartoon'}"] = measure(zip(crops, cartoons, strict=True))
    return videos


def table(videos: dict[str, np.ndarray]) -> str:
    """Means as Markdown: a row for each video; the first is what the others were made of."""
    rows, own = [], means(next(iter(videos.values())))
    for name, video in videos.items():
        found = means(video)
        ratios = [value / its if its else np.nan for value, its in zip(found[:RATIOS], own, strict=False)]
        values = (*(each for pair in zip(found, ratios, strict=False) for each in pair), *found[RATIOS:])
        rows.append((name, *(f"{value:.2f}".replace("nan", "") for value in values)))
    heads = [each for name in METRICS[:RATIOS] for each in (name, "ratio")]
    return markdown_table(("video", *heads, *METRICS[RATIOS:]), rows)


def plot(path: Path, videos: dict[str, np.ndarray]) -> None:
    """Draw the curves of all videos into a picture."""
    from matplotlib.figure import Figure  # here: it takes a second to import

    figure = Figure(figsize=(9, 9), layout="constrained")
    for column, axis in enumerate(figure.subplots(len(METRICS), 1), 1):
        for label, video in videos.items():
            known = video[~np.isnan(video[:, column])]
            axis.plot(known[:, 0], known[:, column], label=label)
        axis.set(xlabel="seconds", ylabel=", ".join(list(COLUMNS.items())[column]))
        axis.legend()
    write_whole(path, bytes_of(figure.savefig, format=path.suffix[1:]))


def main() -> None:
    parser = cli.OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", help="the video")
    parser.add_argument("cartoon", nargs="?", help="what was made of it")
    parser.add_argument("--model", help="preset or file of a VToonify model that draws the clip")
    parser.add_argument("--frames", type=int, help="look at this many frames (default: all)")
    parser.add_argument("--json", type=Path, help="write the metrics of every frame to this file")
    parser.add_argument("--plot", type=Path, help=f"draw curves into this picture ({', '.join(PLOT_SUFFIXES)})")
    options = parser.parse_args()
    if options.frames is not None and options.frames < 2:
        raise InputError(f"--frames is {options.frames}: give at least 2, as neighbours are compared.")
    if options.plot and options.plot.suffix.lower() not in PLOT_SUFFIXES:
        raise InputError(f"--plot is {options.plot}: give it a name that ends in {' or '.join(PLOT_SUFFIXES)}.")
    if options.model and options.cartoon:
        raise InputError(f"--model draws a cartoon of its own: leave --model or {options.cartoon} out.")
    if options.model:
        videos = measure_model(Stylizer.from_preset(options.model), options.clip, options.frames)
    else:
        videos = measure_files([path for path in (options.clip, options.cartoon) if path], options.frames)
    print(table(videos))
    if options.json:
        curves = {name: np.where(np.isnan(video), None, video).T.tolist() for name, video in videos.items()}
        content = {name: dict(zip(COLUMNS, values, strict=True)) for name, values in curves.items()}
        write_whole(options.json, json.dumps(content, indent=2) + "\n")
    if options.plot:
        plot(options.plot, videos)


if __name__ == "__main__":
    cli.run(main)
