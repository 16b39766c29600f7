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
from model.faces.crop import DEFAULT_PADDING, FaceCrop, window_around
from model.faces.detect import search_face
from model.media.files import FrameSource, open_frames
from model.media.threads import ahead
from model.parsing.maps import MapSink, write_published
from model.parsing.smooth import RADIUS, RAFT_PATH, Smoother, find_weights, load_flow


@dataclass
class Options:
    """Options of the command line, with the published names."""

    window_size: int = option(RADIUS, "neighbours on each side that take part", least=1)
    faceparsing_path: str = option("faceparsing.pth", "face parser; a bare name is a file of checkpoint/")
    raft_path: str = option(RAFT_PATH, "optical flow network; a bare name is a file of checkpoint/")
    video_path: str | None = option(None, "video whose maps are smoothed")
    output_path: str = option("output", "folder for NAME_parsingmap.npz; it is made")
    format: str = option("npz", "npz: small, map after map; npy: one large array, as published", choices=["npz", "npy"])
    padding: list[int] = option(
        list(DEFAULT_PADDING), "room around the eyes, as for style_transfer.py", nargs=4, least=0,
        metavar=("LEFT", "RIGHT", "TOP", "BOTTOM"),
    )  # fmt: skip
    no_scale_image: bool = option(False, "take the whole frame at its own size, as for style_transfer.py")
    resume: bool = option(False, "go on with a file that Ctrl-C left behind")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "number format; auto: bf16 where the hardware has units for it", choices=PRECISIONS)


def smooth(source: FrameSource, options: Options) -> Path:
    """Write the maps of a video; returns their file. Raises InputError for a photo, and where no face is found."""
    if not source.is_video:
        raise InputError(f"{source.path} is a photo: smoothing needs a video.")
    crop = FaceCrop.whole_frame(source.size)
    if not options.no_scale_image:
        crop = window_around(search_face(source)[1], source.size, tuple(options.padding))
    device = pick_device(options.device)
    dtype = pick_precision(options.precision, device)
    parser = checkpoints.load_parser(find_weights(options.faceparsing_path)).requires_grad_(False).to(device)
    smoother = Smoother(parser, load_flow(options.raft_path, device), device, dtype, options.window_size)
    path = Path(options.output_path) / f"{source.name}_parsingmap.npz"
    sink = MapSink(path, crop, options.window_size, options.resume)
    bar = {"initial": sink.done, "total": source.expected_frames, "unit": "frame", "disable": None}
    try:
        with sink, ahead(source) as frames:
            crops = (crop.apply(frame.rgb) for frame in frames)
            for logits in tqdm(smoother.maps(crops, start=sink.done), **bar):
                sink.write(logits)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{sink.done} maps are in {sink.partial}; --resume goes on from there.") from None
    if options.format == "npz":
        return path
    published = path.with_suffix(".npy")
    write_published(published, path)
    path.unlink()
    return published


def main() -> None:
    """Parse the command line and smooth one video."""
    options = cli.parse(Options, __doc__)
    if options.video_path is None:
        raise InputError("--video_path is missing: name the video whose maps are to be smoothed.")
    cli.check_ranges(options)
    with open_frames(options.video_path) as source:
        print(f"{options.video_path} → {smooth(source, options)}")
        if source.warning:
            cli.say(source.warning)


if __name__ == "__main__":
    cli.run(main)
