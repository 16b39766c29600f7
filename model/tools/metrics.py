"""How steady, how sharp and how true to the person a video is.

    python -m model.tools.metrics clip.mp4
    python -m model.tools.metrics clip.mp4 cartoon.mp4 --json figures.json --plot figures.png

With two videos, the second is what was made of the first (style_transfer.py with --full_frame or --no_scale_image, so
that both show the same). Flicker is what is left between neighbouring frames after the motion of the first video is
taken out, in levels of 255; sharpness is the mean magnitude of the Laplacian; identity is the distance of dlib's face
descriptors (0 the same picture, below 0.6 the same person).
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

import cv2
import dlib
import numpy as np
from tqdm import tqdm

from model.common import cli
from model.common.errors import InputError
from model.common.weight_files import write_whole
from model.faces.detect import dlib_points, find_landmarks_quickly, model_file
from model.media.files import open_frames
from model.tools.flicker import pair_error

SAME_SHAPE = 0.03
"""Aspect ratios of two videos may differ so much: sides are rounded."""

IDENTITY_EVERY = 5
"""One frame in so many is looked at for identity, which takes longest."""


@dataclass
class Figures:
    """Figures of a video, frame after frame."""

    flicker: list[float] = field(default_factory=list)
    """Of each pair of neighbours, in levels of 255."""
    sharpness: list[float] = field(default_factory=list)
    """Of each frame, in levels of 255 a pixel, at the size of the first video."""
    identity: list[float] = field(default_factory=list)
    """Distance to the first video's face, of every fifth frame with a face in both."""

    def means(self) -> dict[str, float | None]:
        """The mean of each, None where there is none."""
        return {name: float(np.mean(values)) if values else None for name, values in asdict(self).items()}


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


def evaluate(first: Iterable[np.ndarray], second: Iterable[np.ndarray] | None = None) -> tuple[Figures, Figures | None]:
    """Figures of a video RGB uint8 `[H, W, 3]`, and of what was made of it, uint8 `[kH, kW, 3]`.

    Raises InputError where they don't show the same, or one is longer than the other.
    """
    own, made = Figures(), None if second is None else Figures()
    both = ((frame, frame) for frame in first) if second is None else zip(first, second, strict=True)
    try:
        for number, (before, after) in enumerate(pairwise(_noted(both, own, made))):
            errors = pair_error(*before, *after)
            if errors is not None:
                own.flicker.append(errors[0])
                if made is not None:
                    made.flicker.append(errors[1])
            if made is not None and number % IDENTITY_EVERY == 0:
                faces = [descriptor(picture) for picture in before]
                if all(face is not None for face in faces):
                    made.identity.append(float(np.linalg.norm(faces[0] - faces[1])))
    except ValueError as error:  # of zip
        raise InputError("One video is longer than the other: compare a video with what was made of it.") from error
    return own, made


def _noted(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], own: Figures, made: Figures | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs of frames; their sharpness is noted on the way."""
    for first, second in pairs:
        own.sharpness.append(sharpness(first))
        if made is not None:
            height, width = first.shape[:2]
            if abs(second.shape[1] / second.shape[0] / (width / height) - 1) > SAME_SHAPE:
                raise InputError(
                    f"The videos show different parts ({width} x {height} and {second.shape[1]} x {second.shape[0]}): "
                    "stylise with --full_frame or --no_scale_image."
                )
            made.sharpness.append(sharpness(cv2.resize(second, (width, height), interpolation=cv2.INTER_AREA)))
        yield first, second


def plot(path: Path, figures: dict[str, Figures]) -> None:
    """Draw the curves of all videos into a picture."""
    from matplotlib.figure import Figure  # here: it takes a second to import

    sheet = Figure(figsize=(9, 7), layout="constrained")
    for axis, (name, unit) in zip(
        sheet.subplots(3, 1),
        {"flicker": "levels", "sharpness": "levels", "identity": "distance"}.items(),
        strict=True,
    ):
        for video, values in figures.items():
            curve = getattr(values, name)
            if curve:  # a video is not compared with its own faces
                axis.plot(np.arange(len(curve)) * (IDENTITY_EVERY if name == "identity" else 1), curve, label=video)
        axis.set(xlabel="frame", ylabel=f"{name}, {unit}")
        if axis.lines:
            axis.legend()
    write_whole(path, lambda partial: sheet.savefig(partial))


def frames_of(path: str, count: int | None) -> Iterator[np.ndarray]:
    """The pictures of a video, behind a progress bar."""
    with open_frames(path) as source:
        if not source.is_video:
            raise InputError(f"{path} is a photo: a video is needed.")
        for frame in islice(tqdm(source, desc=source.name, total=source.expected_frames, disable=None), count):
            yield frame.rgb


def main() -> None:
    """Print a table; write JSON and a plot when asked."""
    parser = cli.OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", help="a video")
    parser.add_argument("result", nargs="?", help="what was made of it")
    parser.add_argument("--frames", type=int, help="look at this many frames (default: all)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--plot", type=Path, help="draw curves into this picture (.png, .svg or .pdf)")
    options = parser.parse_args()
    if options.frames is not None and options.frames < 2:
        raise InputError(f"--frames is {options.frames}: give at least 2, as neighbours are compared.")
    if options.plot is not None and options.plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"--plot is {options.plot}: give it a name that ends in .png, .svg or .pdf.")
    videos = [path for path in (options.video, options.result) if path is not None]
    found = evaluate(*(frames_of(path, options.frames) for path in videos))
    figures = {path: values for path, values in zip(videos, found, strict=False) if values is not None}
    print("| video | flicker | sharpness | identity |\n| --- | ---: | ---: | ---: |")
    for path, values in figures.items():
        cells = ["" if mean is None else f"{mean:.2f}" for mean in values.means().values()]
        print(f"| {path} | {' | '.join(cells)} |")
    if options.json:
        content = {path: values.means() | {"frames": asdict(values)} for path, values in figures.items()}
        write_whole(options.json, lambda path: path.write_text(json.dumps(content, indent=2) + "\n"))
    if options.plot:
        plot(options.plot, figures)


if __name__ == "__main__":
    cli.run(main)
