"""Measure how steady, how sharp and how true to the person a video is.

    python -m model.tools.metrics clip.mp4
    python -m model.tools.metrics clip.mp4 cartoon.mp4 --json metrics.json --plot metrics.png
    python -m model.tools.metrics clip.mp4 --model starter

With two videos, the second is what was made of the first (style_transfer.py with --full_frame or --no_scale_image, so
that both show the same). With --model, the crops of each video are compared with what the model makes of them, in every
style at degree 1. Flicker is what is left between neighbouring frames after the motion of the input is taken out, in
levels of 255, and its ratio is to the input's own; sharpness is the mean magnitude of the Laplacian; identity is the
distance of dlib's face descriptors (0 the same picture, below 0.6 the same person).
"""

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
from model.common.tables import markdown_table
from model.common.weight_files import write_whole
from model.effects.flow import checked_flow, warp
from model.faces.detect import dlib_points, find_landmarks_quickly, model_file
from model.inference.clip import stylised
from model.inference.look import Look
from model.inference.people import Person
from model.inference.stylizer import Stylizer
from model.media.files import Frame, FrameSource, open_frames

SAME_SHAPE = 0.03  # aspect ratios of two videos may differ by so much: sides are rounded
IDENTITY_EVERY = 5  # one frame in so many is looked at for identity, which takes longest
UNITS = {"flicker": "levels", "sharpness": "levels", "identity": "distance"}
PLOT_SUFFIXES = (".png", ".svg", ".pdf")

Curves = dict[str, list[float | None]]
"""Metrics of a video by name, a value for each frame, None where there is nothing to measure; and "time" in seconds."""


def flicker_between(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> list[float] | None:
    """Mean absolute difference in levels between two neighbouring frames, after warping.

    before, after: the frame of a video, RGB uint8 `[H, W, 3]`, perhaps followed by what was made of it, of any size.
    Each has its own difference; all are measured at the last one's size, with the motion of the first. None where
    nothing of one frame is found in the other.
    """
    flow, valid = checked_flow(before[0], after[0])
    size = before[-1].shape[1::-1]
    flow = cv2.resize(flow, size) * np.float32(np.divide(size, valid.shape[::-1]))
    valid = cv2.resize(valid.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    if not valid.any():
        return None
    differences = []
    for pictures in zip(before, after, strict=True):
        first, second = (cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC) for picture in pictures)
        differences.append(float(cv2.absdiff(first, warp(second, flow, cv2.INTER_CUBIC))[valid].mean()))
    return differences


def sharpness(rgb: np.ndarray) -> float:
    """Mean magnitude of the Laplacian of a picture uint8 `[H, W, 3]`, in levels."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())


def descriptor(rgb: np.ndarray) -> np.ndarray | None:
    """dlib's face descriptor `[128]` of the main face; None without one."""
    landmarks = find_landmarks_quickly(rgb)
    if landmarks is None:
        return None
    return np.array(_recogniser().compute_face_descriptor(np.ascontiguousarray(rgb), dlib_points(landmarks)))


@cache
def _recogniser() -> dlib.face_recognition_model_v1:
    return dlib.face_recognition_model_v1(model_file("dlib_face_recognition_resnet_model_v1.dat"))


def distances(pictures: Sequence[np.ndarray]) -> list[float | None]:
    """Distance of each picture's face to that of the first; None for the first, and without a face in both."""
    if len(pictures) == 1:
        return [None]
    first, *others = map(descriptor, pictures)
    return [None, *(None if first is None or face is None else float(np.linalg.norm(first - face)) for face in others)]


def measure(frames: Iterable[Sequence[Frame]]) -> list[Curves]:
    """Metrics of one video, or of two where `frames` yields the frames of both at the same time.

    Flicker is against the frame before; sharpness is measured at the size of the first video; identity is the distance
    to the first video's face. Raises InputError where the two don't show the same.
    """
    videos: list[Curves] = []
    before: list[np.ndarray] = []
    for number, moment in enumerate(frames):
        pictures = [frame.rgb for frame in moment]
        videos = videos or [{name: [] for name in ("time", *UNITS)} for _ in pictures]
        nothing = [None] * len(pictures)
        found = {
            "time": [float(moment[0].time)] * len(pictures),
            "flicker": (flicker_between(before, pictures) if before else None) or nothing,
            "sharpness": [sharpness(_at_size_of(pictures[0], picture)) for picture in pictures],
            "identity": nothing if number % IDENTITY_EVERY else distances(pictures),
        }
        for name, values in found.items():
            for video, value in zip(videos, values, strict=True):
                video[name].append(value)
        before = pictures
    return videos


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of what was measured; None where nothing was."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _at_size_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`second` at the size of `first`. Raises InputError where they have another shape."""
    (height, width), (h, w) = first.shape[:2], second.shape[:2]
    if abs(w / h / (width / height) - 1) > SAME_SHAPE:
        raise InputError(
            f"The videos show different parts ({width} x {height} and {w} x {h}): "
            "stylise with --full_frame or --no_scale_image."
        )
    return first if second is first else cv2.resize(second, (width, height), interpolation=cv2.INTER_AREA)


def at_same_times(first: Iterable[Frame], second: Iterable[Frame], apart: float) -> Iterator[tuple[Frame, Frame]]:
    """Frames of two videos that are at most `apart` seconds from each other; what only one of them has is left out.

    Raises InputError where one goes on after the end of the other.
    """
    ours, theirs = iter(first), iter(second)
    one, other = next(ours, None), next(theirs, None)
    while one is not None and other is not None:
        ahead = one.time - other.time
        if abs(ahead) <= apart:
            yield one, other
        if ahead <= apart:
            one = next(ours, None)
        if ahead >= -apart:
            other = next(theirs, None)
    if one is not other:
        raise InputError("One video is longer than the other: compare a video with what was made of it.")


def plot(path: Path, videos: dict[str, Curves]) -> None:
    """Draw the curves of all videos into a picture."""
    from matplotlib.figure import Figure  # here: it takes a second to import

    figure = Figure(figsize=(9, 7), layout="constrained")
    for axis, (name, unit) in zip(figure.subplots(3, 1), UNITS.items(), strict=True):
        for label, video in videos.items():
            known = [(time, value) for time, value in zip(video["time"], video[name], strict=True) if value is not None]
            if known:  # a video is not compared with its own faces
                axis.plot(*zip(*known, strict=True), label=label)
                axis.legend()
        axis.set(xlabel="seconds", ylabel=f"{name}, {unit}")
    write_whole(path, lambda partial: figure.savefig(partial))


def open_video(path: str) -> FrameSource:
    """A video; InputError for anything else."""
    source = open_frames(path)
    if not source.is_video:
        raise InputError(f"{path} is a photo: a video is needed.")
    return source


def measure_files(paths: Sequence[str], count: int | None) -> dict[str, Curves]:
    """Metrics of a video, or of two of which the second was made of the first, by path; of `count` frames at most."""
    with ExitStack() as stack:
        first, *others = (stack.enter_context(open_video(path)) for path in paths)
        bar = tqdm(first, desc=first.name, total=first.expected_frames, disable=None)
        moments = at_same_times(bar, others[0], 0.5 / first.rate) if others else zip(bar)
        return dict(zip(paths, measure(islice(moments, count)), strict=True))


def measure_model(stylizer: Stylizer, path: str, count: int | None) -> dict[str, Curves]:
    """Metrics of the crop around the face in a video, and of its cartoon in every style, at degree 1.

    Raises InputError for no video or no face.
    """
    videos: dict[str, Curves] = {}
    with open_video(path) as source:
        portrait = stylizer.fit_source(source)
        crop = portrait.crop
        for style in stylizer.style.exemplar_names or [None]:
            look = Look(style_id=style, style_degree=1.0)
            crops = (replace(frame, rgb=crop.trim(crop.apply(frame.rgb), factor=1)) for frame in islice(source, count))
            cartoons = stylised(islice(source, count), [Person(stylizer, portrait, look)], look)
            videos[path], videos[f"{path} {style or 'cartoon'}"] = measure(zip(crops, cartoons, strict=True))
    return videos


def table(groups: Sequence[dict[str, Curves]]) -> str:
    """Means as Markdown: a row for each video; the first of each group is what the others were made of."""
    rows = []
    for videos in groups:
        own = mean(next(iter(videos.values()))["flicker"])
        for name, video in videos.items():
            flicker, *others = (mean(video[metric]) for metric in UNITS)
            values = [flicker, flicker / own if own and flicker is not None else None, *others]
            rows.append((name, *("" if value is None else f"{value:.2f}" for value in values)))
    return markdown_table(("video", "flicker", "ratio", "sharpness", "identity"), rows)


def main() -> None:
    """Print a table; write JSON and a plot when asked."""
    parser = cli.OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", help="a video, and perhaps what was made of it; with --model, any number")
    parser.add_argument("--model", help="preset or file of a VToonify model that draws the videos")
    parser.add_argument("--frames", type=int, help="look at this many frames (default: all)")
    parser.add_argument("--json", type=Path, help="write the metrics of every frame to this file")
    parser.add_argument("--plot", type=Path, help=f"draw curves into this picture ({', '.join(PLOT_SUFFIXES)})")
    options = parser.parse_args()
    if options.frames is not None and options.frames < 2:
        raise InputError(f"--frames is {options.frames}: give at least 2, as neighbours are compared.")
    if options.plot is not None and options.plot.suffix.lower() not in PLOT_SUFFIXES:
        raise InputError(f"--plot is {options.plot}: give it a name that ends in {' or '.join(PLOT_SUFFIXES)}.")
    if options.model:
        stylizer = Stylizer.from_preset(options.model)
        groups = [measure_model(stylizer, path, options.frames) for path in options.videos]
    elif len(options.videos) > 2:
        raise InputError(f"there are {len(options.videos)} videos: give one, or one and what was made of it.")
    else:
        groups = [measure_files(options.videos, options.frames)]
    print(table(groups))
    videos = {name: video for group in groups for name, video in group.items()}
    if options.json:
        means = {name: {metric: mean(video[metric]) for metric in UNITS} for name, video in videos.items()}
        content = {name: means[name] | {"frames": video} for name, video in videos.items()}
        write_whole(options.json, lambda path: path.write_text(json.dumps(content, indent=2) + "\n"))
    if options.plot:
        plot(options.plot, videos)


if __name__ == "__main__":
    cli.run(main)
