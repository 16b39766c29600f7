"""What style_transfer.py can be told. One dataclass owns each default; the command line is derived from its fields."""

from dataclasses import dataclass
from pathlib import Path

from model.common.cli import option
from model.common.devices import DEVICES, PRECISIONS
from model.common.errors import InputError
from model.faces.crop import DEFAULT_PADDING
from model.inference.batch import MEDIA_SUFFIXES
from model.inference.degrees import DegreeCurve, parse_degree
from model.inference.live import camera_number, check_options
from model.inference.people import Choice, parse_styles
from model.parsing.maps import RAFT_PATH
from model.parsing.smooth import RADIUS


@dataclass
class Options:
    """Options of the command line, with the published names."""

    content: list[str] = option(
        [], "photos, videos, folders or glob patterns, or webcam; nothing: the sample portrait", nargs="+"
    )
    ckpt: str = option("starter", "preset (see --list_styles) or file of a VToonify model")
    style_id: str | None = option(None, "style of a D model, as a number or by name; nothing: the preset's own")
    style_degree: str | None = option(
        None, "style degree of a D model, 0 (photo) to 1, or a curve as 0@0s,1@3s; nothing: the preset's own"
    )
    color_transfer: bool = option(False, "take the colours of the style, too (D models)")
    output_path: str = option("output", "folder for the results; it is made")
    scale_image: bool = option(False, "scale the face to the model's size and crop around it (the default)")
    no_scale_image: bool = option(False, "take the whole frame at its own size instead")
    padding: list[int] = option(
        list(DEFAULT_PADDING),
        "room left, right, above and below the eyes, in pixels at 64 pixels between the eyes",
        nargs=4,
        metavar=("LEFT", "RIGHT", "TOP", "BOTTOM"),
    )
    batch_size: int = option(0, "frames at a time; 0: as many as fit on CUDA, 1 elsewhere")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "arithmetic; auto: bf16 where the hardware has units for it", choices=PRECISIONS)
    tile: bool = option(False, "render in strips: less memory, the same picture; large frames always are")
    compile: bool = option(False, "compile the network for the crop's size: minutes at first, faster for long clips")
    cpu: bool = option(False, "the same as --device cpu")
    backbone: str | None = option(
        None, "insist on a model of this variant; it is read from the checkpoint", choices=["dualstylegan", "toonify"]
    )
    video: bool = option(False, "insist that the contents are videos; they are recognised without it")
    parsing_map_path: str | None = option(None, "smoothed parsing maps of a video, from smooth_parsing_map.py")
    smooth: bool = option(False, "smooth the parsing maps of videos over time on the way")
    raft_path: str = option(RAFT_PATH, "optical flow network for --smooth")
    window_size: int = option(RADIUS, "neighbours on each side for --smooth")
    style_encoder_path: str | None = option(None, "other pSp encoder than the preset's")
    exstyle_path: str | None = option(None, "other exemplar codes than the preset's")
    faceparsing_path: str | None = option(None, "other face parser than the preset's")
    crop: str = option("fixed", "in videos: fixed, or follow the face as it moves", choices=["fixed", "follow"])
    lost: str | None = option(
        None,
        "with --crop follow, where no face is seen: keep the last crop, or pass the frame on unstylised; "
        "nothing: keep, with --faces pass",
        choices=["keep", "pass"],
    )
    full_frame: int = option(
        0, "put the crop back into the whole frame, enlarged so many times; 0: the crop alone", choices=[0, 1, 2, 4]
    )
    faces: str = option("one", "who is stylised: one, all, or the N most prominent; more than one need --full_frame")
    styles: str | None = option(
        None, "style and degree of each person, from the most prominent on: 1=film@0.5,2=ink or 2=PRESET:STYLE@DEGREE"
    )
    virtual_camera: bool = option(False, "show the webcam's cartoon to other programs as a camera (pyvirtualcam)")
    steady: str = option(
        "auto", "take noise out of videos first, so that they flicker less; auto: not for published models",
        choices=["auto", "on", "off"],
    )  # fmt: skip
    compare: bool = option(False, "write input and result side by side, as NAME_compare_X")
    preview: bool = option(False, "stylise one frame only, as NAME_preview_X.jpg")
    resume: bool = option(
        False, "leave out what manifest.jsonl in the output folder notes as done, and go on with what is half done"
    )
    list_styles: bool = option(False, "list the presets and stop")

    @property
    def degree(self) -> float | DegreeCurve | None:
        """The style degree, or what it is over time; None for the preset's own. Raises InputError for anything else."""
        return None if self.style_degree is None else parse_degree(self.style_degree)

    @property
    def camera(self) -> int | None:
        """The number of the camera that is the content; None for files. Raises InputError for anything else."""
        return camera_number(self.content)

    @property
    def most_faces(self) -> int | None:
        """How many faces are stylised at most; None for all. Raises InputError for anything else."""
        if self.faces in ("one", "all"):
            return 1 if self.faces == "one" else None
        if not self.faces.isdigit() or int(self.faces) < 1:
            raise InputError(f"--faces is {self.faces!r}: give one, all, or a number from 1 up.")
        return int(self.faces)

    @property
    def choices(self) -> dict[int, Choice]:
        """What is said of each person, by number. Raises InputError for anything else."""
        return parse_styles(self.styles) if self.styles else {}

    def check(self) -> None:
        """Raise InputError for values that cannot work, before anything is loaded."""
        self.degree  # noqa: B018 - read for its errors
        if min(self.padding) < 0:
            raise InputError(f"--padding has a negative number ({min(self.padding)}): give four numbers from 0 up.")
        if self.batch_size < 0:
            raise InputError(f"--batch_size is {self.batch_size}: give 1 or more, or 0 for the default.")
        if self.scale_image and self.no_scale_image:
            raise InputError("--scale_image and --no_scale_image contradict each other: give one of them.")
        if self.window_size < 1:
            raise InputError(f"--window_size is {self.window_size}: give 1 or more.")
        if self.parsing_map_path and (self.smooth or self.preview):
            other = "--smooth" if self.smooth else "--preview"
            raise InputError(f"--parsing_map_path and {other} exclude each other: give one of them.")
        if self.full_frame and self.no_scale_image:
            raise InputError("--full_frame and --no_scale_image exclude each other: that is the whole frame.")
        if self.parsing_map_path and self.crop == "follow":
            raise InputError("--parsing_map_path is for --crop fixed: use --smooth, or leave --crop follow out.")
        if self.camera is not None:
            check_options(self)
        elif self.virtual_camera:
            raise InputError("--virtual_camera is for --content webcam: leave one of them out.")
        if self.lost and self.crop != "follow" and self.camera is None:
            raise InputError(f"--lost {self.lost} is for --crop follow: add that, or leave it out.")
        self.choices  # noqa: B018 - read for its errors
        if self.most_faces != 1:
            if not self.full_frame:
                raise InputError(f"--faces {self.faces} needs --full_frame 1, 2 or 4: several crops are no picture.")
            unfit = [name for name in ("parsing_map_path", "smooth", "compile") if getattr(self, name)]
            if unfit:
                raise InputError(f"--{unfit[0]} is for one face: leave it or --faces {self.faces} out.")
            last = max(self.choices, default=0)
            if self.most_faces is not None and last > self.most_faces:
                raise InputError(f"--styles names person {last}, but --faces is {self.faces}: raise that number.")
        elif self.styles:
            raise InputError("--styles is for several people: add --faces all, or give --style_id and --style_degree.")
        if self.tile and self.compile:
            raise InputError("--tile and --compile exclude each other: give one of them.")
        if self.cpu and self.device not in ("auto", "cpu"):
            raise InputError(f"--cpu and --device {self.device} contradict each other: give one of them.")
        folder = Path(self.output_path)
        if folder.suffix.lower() in MEDIA_SUFFIXES and not folder.is_dir():
            raise InputError(f"--output_path {folder} is the name of a file: name the folder for the results.")
