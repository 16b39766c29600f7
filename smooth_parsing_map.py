"""Smooth the face-parsing maps of a video over time, so that its cartoon flickers less.

    python smooth_parsing_map.py --video_path clip.mp4
    python style_transfer.py --content clip.mp4 --ckpt cartoon --parsing_map_path output/clip_parsingmap.npz

Each frame's map is averaged with those of its neighbours, which are brought into place by optical flow. Memory depends
on the window, not on the length of the video. `style_transfer.py --smooth` does both in one pass.
"""

from dataclasses import dataclass

from model.common import cli
from model.common.cli import option
from model.common.devices import DEVICES, PRECISIONS
from model.common.errors import InputError
from model.common.hub import FLOW_FILE, PARSER_FILE
from model.common.sizes import DEFAULT_PADDING, SMOOTHING_RADIUS


@dataclass
class Options:
    """Options of the command line, with the published names."""

    window_size: int = option(SMOOTHING_RADIUS, "neighbours on each side that take part", least=1)
    faceparsing_path: str = option(PARSER_FILE, "face parser; a bare name is a file of checkpoint/")
    raft_path: str = option(FLOW_FILE, "optical flow network; a bare name is a file of checkpoint/")
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


def main() -> None:
    """Parse the command line and smooth one video."""
    options = cli.parse(Options, __doc__)
    if options.video_path is None:
        raise InputError("--video_path is missing: name the video whose maps are to be smoothed.")
    from model.media.files import open_frames  # what loads torch is imported when all else is known to be right

    with open_frames(options.video_path) as source:
        from model.parsing.clip import smooth

        print(f"{options.video_path} → {smooth(source, options)}")
        if source.warning:
            cli.say(source.warning)


if __name__ == "__main__":
    cli.run(main)
