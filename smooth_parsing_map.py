"""Smooth the face-parsing maps of a video over time, so that its cartoon flickers less.

    python smooth_parsing_map.py --video_path clip.mp4
    python style_transfer.py --content clip.mp4 --ckpt cartoon --parsing_map_path output/clip_parsingmap.npz

Each frame's map is averaged with those of its neighbours, which are brought into place by optical flow. Memory depends
on the window, not on the length of the video. `style_transfer.py --smooth` does both in one pass.
"""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.devices import DEVICES, PRECISIONS, pick_device, pick_precision
from model.common.errors import InputError
from model.common.hub import ensure_file
from model.faces.crop import DEFAULT_PADDING, FaceCrop
from model.faces.search import search_face
from model.media.files import FrameSource, open_frames
from model.media.threads import ahead
from model.parsing.maps import RAFT_PATH, SUFFIX, About, MapSink, Smoother, load_flow, write_published
from model.parsing.smooth import RADIUS


@dataclass
class Options:
    """Options of the command line, with the published names."""

    window_size: int = option(RADIUS, "neighbours on each side that take part")
    faceparsing_path: str = option("checkpoint/faceparsing.pth", "face parser")
    raft_path: str = option(RAFT_PATH, "optical flow network")
    video_path: str | None = option(None, "video whose maps are smoothed")
    output_path: str = option("output", "folder for NAME_parsingmap.npz; it is made")
    format: str = option("npz", "npz: small, one map after the other; npy: one large array, as published",
                         choices=["npz", "npy"])  # fmt: skip
    padding: list[int] = option(
        list(DEFAULT_PADDING), "room around the eyes, as for style_transfer.py", nargs=4,
        metavar=("LEFT", "RIGHT", "TOP", "BOTTOM"),
    )  # fmt: skip
    no_scale_image: bool = option(False, "take the whole frame at its own size, as for style_transfer.py")
    resume: bool = option(False, "go on with a file that Ctrl-C left behind")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "arithmetic; auto: bf16 where the hardware has units for it", choices=PRECISIONS)

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if self.video_path is None:
            raise InputError("--video_path is missing: name the video whose maps are to be smoothed.")
        if self.window_size < 1:
            raise InputError(f"--window_size is {self.window_size}: give 1 or more.")


def make_smoother(options: Options) -> Smoother:
    """The networks that the options name."""
    device = pick_device(options.device)
    dtype = pick_precision(options.precision, device)
    parser = checkpoints.load_parser(ensure_file(Path(options.faceparsing_path).absolute()))
    parser = parser.eval().requires_grad_(False).to(device)
    return Smoother(parser, load_flow(options.raft_path, device), device, dtype, options.window_size)


def smooth(source: FrameSource, options: Options) -> Path:
    """Write the maps of a video; returns their file."""
    if not source.is_video:
        raise InputError(f"{source.path} is a photo: smoothing needs a video.")
    crop = FaceCrop.whole_frame(source.size)
    if not options.no_scale_image:
        crop = FaceCrop.from_landmarks(search_face(source)[1], source.size, tuple(options.padding))
    path = Path(options.output_path) / f"{source.name}{SUFFIX}.npz"
    smoother = make_smoother(options)
    sink = MapSink(path, About.of(crop, options.window_size), options.resume)
    expected = source.expected_frames
    try:
        with sink, ahead(source) as frames, tqdm(initial=sink.done, total=expected, unit="frame", disable=None) as bar:
            for logits in smoother.maps((crop.apply(frame.rgb) for frame in frames), start=sink.done):
                sink.write(logits)
                bar.update()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{sink.done} maps are in {sink.partial}; --resume goes on from there.") from None
    if options.format == "npy":
        published = path.with_suffix(".npy")
        write_published(published, path)
        path.unlink()
        return published
    return path


def main() -> None:
    """Parse the command line and smooth one video."""
    options = cli.parse(Options, __doc__)
    options.check()
    with open_frames(options.video_path) as source:
        print(f"{options.video_path} → {smooth(source, options)}")
        if source.warning:
            cli.say(source.warning)


if __name__ == "__main__":
    cli.run(main)
