"""How much a video flickers: what is left between neighbouring frames once the motion is taken out.

    python -m model.tools.flicker clip.mp4 --model starter
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, pairwise

import cv2
import numpy as np

from model.common import cli
from model.common.errors import InputError
from model.common.tensors import pixel_grid
from model.effects.flow import dense_flow
from model.inference.clip import Look, stylised
from model.inference.stylizer import Stylizer
from model.media.files import open_frames

CONSISTENT = 1.0
"""Flow is believed where going there and back ends within this many pixels of the start."""


@dataclass(frozen=True)
class WarpedError:
    """Mean absolute differences in levels of 255 between neighbouring frames, after warping."""

    source: float
    result: float

    @property
    def ratio(self) -> float:
        """The result's error as a multiple of the source's: 1 is as steady as the video was; NaN for a still one."""
        return self.result / self.source if self.source else float("nan")


def warped_error(frames: Iterable[np.ndarray], results: Iterable[np.ndarray]) -> WarpedError:
    """Error of a video RGB uint8 `[H, W, 3]` and of what was made of it, uint8 `[kH, kW, 3]`.

    Both are measured at the result's size with the motion of the source, which is the same for both.
    """
    pairs = pairwise(zip(frames, results, strict=True))
    errors = [error for before, after in pairs if (error := pair_error(*before, *after)) is not None]
    return WarpedError(*np.mean(errors, axis=0).tolist()) if errors else WarpedError(0.0, 0.0)


def pair_error(
    first: np.ndarray, drawn_first: np.ndarray, second: np.ndarray, drawn_second: np.ndarray
) -> tuple[float, float] | None:
    """Errors between two neighbouring frames, of the video and of the result, as `warped_error` measures them.

    None where nothing of one frame is found in the other.
    """
    flow, valid = motion(first, second)
    size = drawn_first.shape[1::-1]
    scale = np.float32([size[0] / first.shape[1], size[1] / first.shape[0]])
    flow = cv2.resize(flow, size) * scale
    valid = cv2.resize(valid.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    if not valid.any():
        return None
    enlarged = [cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in (first, second)]
    return difference(*enlarged, flow, valid), difference(drawn_first, drawn_second, flow, valid)


def motion(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of `first` is in `second`, as displacements `[H, W, 2]` in pixels, and where that is believed.

    Pixels `[H, W]` are believed that stay in the picture and come back when the flow of `second` leads on from there.
    """
    there, back = dense_flow(first, second), dense_flow(second, first)
    height, width = first.shape[:2]
    target = pixel_grid(height, width) + there
    inside = ((target >= 0) & (target <= (width - 1, height - 1))).all(-1)
    astray = np.linalg.norm(there + cv2.remap(back, target, None, cv2.INTER_LINEAR), axis=-1)
    return there, inside & (astray < CONSISTENT)


def difference(first: np.ndarray, second: np.ndarray, flow: np.ndarray, valid: np.ndarray) -> float:
    """Mean absolute difference of `first` and `second` warped back by `flow`, over the `valid` pixels."""
    warped = cv2.remap(second, pixel_grid(*valid.shape) + flow, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return float(cv2.absdiff(first, warped)[valid].mean())


def video_errors(stylizer: Stylizer, path: str, frames: int | None = None) -> dict[str | None, WarpedError]:
    """Errors of a video's crop and of its cartoon, by style, at degree 1; of the first `frames` where that is given.

    Raises InputError for no video or no face.
    """
    with open_frames(path) as source:
        portrait = stylizer.fit_source(source)
        degree = 1.0 if stylizer.network.has_degree else None
        errors = {}
        for style in stylizer.exemplars or [None]:
            crops = (portrait.crop.trim(portrait.crop.apply(frame.rgb), factor=1) for frame in islice(source, frames))
            drawn = stylised(stylizer, islice(source, frames), portrait, Look(style=style, degree=degree))
            errors[style] = warped_error(crops, (frame.rgb for frame in drawn))
    return errors


def main() -> None:
    """Print a table of the errors."""
    parser = cli.OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", help="clips with a face")
    parser.add_argument("--model", default="starter", help="preset or file of a VToonify model (default: starter)")
    parser.add_argument("--frames", type=int, help="measure this many frames of each clip (default: all)")
    options = parser.parse_args()
    if options.frames is not None and options.frames < 2:
        raise InputError(f"--frames is {options.frames}: give at least 2, as neighbours are compared.")
    stylizer = Stylizer.from_preset(options.model)
    print("| video | style | input | result | ratio |\n|---|---|---|---|---|")
    for video in options.videos:
        for style, error in video_errors(stylizer, video, options.frames).items():
            print(f"| {video} | {style or ''} | {error.source:.2f} | {error.result:.2f} | {error.ratio:.2f} |")


if __name__ == "__main__":
    cli.run(main)
