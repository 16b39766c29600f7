"""What style_transfer.py can be told. One dataclass owns each default; the command line is derived from its fields."""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from model.common.cli import free_options, option
from model.common.devices import DEVICES, PRECISIONS
from model.common.errors import InputError
from model.common.hub import CHECKPOINTS, FLOW_FILE
from model.common.sizes import SMOOTHING_RADIUS
from model.inference.look import Choice, Look, parse_styles
from model.styles.base import Preset
from model.styles.catalog import DEFAULT, PRESETS, choose_preset, preset_with
from model.styles.keyframes.presets import parse_keyframes
from model.styles.names import did_you_mean, resolve_style
from model.styles.translators.presets import ADAIN, is_own_adain, parse_pictures

NOT_LIVE = (  # for files only
    "video", "no_scale_image", "parsing_map_path", "smooth", "preview", "resume", "styles", "keep_audio", "sheet",
    "keyframe", "export_keyframe", "suggest_keyframes",
)  # fmt: skip
ONE_FACE = (
    "parsing_map_path",
    "smooth",
    "compile",
    "keyframe",
    "export_keyframe",
    "suggest_keyframes",
)  # for one face only


@dataclass
class Options(Look):
    """Options of the command line, with the published names; those of `Look` are among them."""

    content: list[str] = option(
        [], "photos, videos, folders or glob patterns, or webcam; nothing: the sample portrait", nargs="+", free=True,
        bare=True,
    )  # fmt: skip
    ckpt: str | None = option(
        None,
        f"preset (see --list_styles) or file of a VToonify model; nothing: the one that --style_id is of, or {DEFAULT}",
    )
    style_image: str | None = option(
        None, "a picture of a face as the style: the portrait is painted as in it; with --ckpt adain, or a file "
        "of one's own, any picture, or several with weights: one.jpg@2,other.jpg@1",
    )  # fmt: skip
    keyframe: list[str] = option(
        [], "frames of a video that were painted over, as its style: 0=painted.png 120=second.png", nargs="+",
        metavar="FRAME=PICTURE",
    )  # fmt: skip
    export_keyframe: list[int] = option(
        [], "write frames of a video to be painted over, by number from 0 on, and stop", nargs="+", least=0,
        metavar="FRAME",
    )  # fmt: skip
    suggest_keyframes: int = option(
        0, "name so many frames of a video that are worth painting, and stop", least=0, most=50
    )
    output_path: str = option("output", "folder for the results; it is made", free=True)
    scale_image: bool = option(False, "scale the face to the model's size and crop around it (the default)")
    device: str = option("auto", "where to compute", choices=DEVICES, free=True)
    precision: str = option(
        "auto", "arithmetic; auto: bf16 where the hardware has units for it", choices=PRECISIONS, free=True
    )
    tile: bool = option(False, "render in strips: less memory, the same picture; large frames always are", free=True)
    compile: bool = option(
        False, "compile the network for the crop's size: minutes at first, faster for long clips", free=True
    )
    cpu: bool = option(False, "the same as --device cpu", free=True)
    backbone: str | None = option(
        None, "insist on a model of this variant; it is read from the checkpoint", choices=["dualstylegan", "toonify"]
    )
    video: bool = option(False, "insist that the contents are videos; they are recognised without it")
    parsing_map_path: str | None = option(None, "smoothed parsing maps of a video, from smooth_parsing_map.py")
    smooth: bool = option(False, "smooth the parsing maps of videos over time on the way", needs="parser")
    raft_path: str = option(FLOW_FILE, "optical flow network for --smooth; a bare name is a file of checkpoint/")
    window_size: int = option(SMOOTHING_RADIUS, "neighbours on each side for --smooth", least=1)
    style_encoder_path: str | None = option(None, "other pSp encoder than the preset's", needs="code")
    exstyle_path: str | None = option(None, "other exemplar codes than the preset's", needs="exemplars")
    faceparsing_path: str | None = option(None, "other face parser than the preset's", needs="parser")
    faces: str = option("one", "who is stylised: one, all, or the N most prominent; more than one need --full_frame")
    styles: str | None = option(
        None, "style and degree of each person, from the most prominent on: 1=film@0.5,2=ink or 2=PRESET:STYLE@DEGREE"
    )
    virtual_camera: bool = option(False, "show the webcam's cartoon to other programs as a camera (pyvirtualcam)")
    keep_audio: bool = option(
        False, "keep Opus, MP3, AC-3, ALAC and FLAC as they are, though some players of mp4 stay silent"
    )
    preview: bool = option(False, "stylise one frame only, as NAME_preview_X.jpg")
    sheet: bool = option(
        False, "one sheet of each portrait in every style that needs no download; what is made where nothing is named"
    )
    resume: bool = option(
        False, "leave out what manifest.jsonl in the output folder notes as done, and go on with what is half done",
        free=True,
    )  # fmt: skip
    list_styles: bool = option(False, "list the presets and stop")

    @property
    def preset(self) -> str | Preset:
        """What --ckpt, --style_image, --style_id and --keyframe name together, as `choose_preset` takes it."""
        if self.keyframe or self.only_keyframes:
            return parse_keyframes(self.keyframe)
        if self.ckpt == ADAIN.name:
            return parse_pictures(self.style_image)
        if self.style_image and is_own_adain(self.ckpt):
            return parse_pictures(self.style_image, Path(self.ckpt))
        return self.style_image or self.ckpt or (self.style_id and preset_with(self.style_id)) or DEFAULT

    @property
    def only_keyframes(self) -> bool:
        """Whether frames are to be exported or suggested, and nothing is stylised."""
        return bool(self.export_keyframe or self.suggest_keyframes)

    @property
    def makes_sheet(self) -> bool:
        """Whether a sheet is asked for, or nothing at all."""
        return self.sheet or not (self.content or self.keyframe or self.ckpt or self.style_id or self.style_image)

    @property
    def camera(self) -> int | None:
        """The number of the camera that `webcam` or `webcam:1` names; None for files. InputError for anything else.

        A file or folder of that name goes before a camera.
        """
        named = [name for name in self.content if name.partition(":")[0] == "webcam" and not Path(name).exists()]
        if not named:
            return None
        if len(self.content) > 1:
            raise InputError(f"{named[0]} is a camera and goes alone: leave the other contents out.")
        number = named[0].removeprefix("webcam").removeprefix(":") or "0"
        if not number.isdecimal():
            raise InputError(f"{named[0]} names no camera: write webcam, or webcam:1 for the second one.")
        return int(number)

    @property
    def most_faces(self) -> int | None:
        """How many faces are stylised at most; None for all. Raises InputError for anything else."""
        if self.faces in ("one", "all"):
            return 1 if self.faces == "one" else None
        if not self.faces.isdecimal() or int(self.faces) < 1:
            raise InputError(f"--faces is {self.faces!r}: give one, all, or a number from 1 up.")
        return int(self.faces)

    @property
    def choices(self) -> dict[int, Choice]:
        """What --styles says of each person, by number. Raises InputError for anything else."""
        choices = parse_styles(self.styles) if self.styles else {}
        if choices:
            known = choose_preset(self.preset).style_names
            for number, choice in choices.items():
                if choice.preset is None and choice.style not in known and choice.style is not None:
                    choices[number] = replace(choice, preset=preset_with(choice.style))
        return choices

    def facts(self, content: str) -> dict[str, Any]:
        """All that the result of a file depends on, as JSON can hold it: the file, the look, the models' files.

        Raises InputError where the state of a file can't be read.
        """
        free = free_options(type(self))
        given = {name: value for name, value in asdict(self).items() if name not in free}
        named = [value for name, value in given.items() if name.endswith("_path") and value]
        files = [path if Path(path).exists() else CHECKPOINTS / path for path in named]  # as they are loaded
        for preset in {self.preset, *(choice.preset for choice in self.choices.values())} - {None}:
            files += [CHECKPOINTS / file for file in choose_preset(preset).files]
        return {
            "content": content,
            "state": _state_of(content),  # numbered photos have none: their names are what is known
            "look": given,
            "files": {str(file): _state_of(file) for file in sorted(map(str, files))},
        }

    @property
    def follows(self) -> bool:
        return super().follows and not self.parsing_map_path

    def check(self) -> None:
        """Raise InputError for values that cannot work, before anything is loaded."""
        super().check()
        is_live, most, one = self.camera is not None, self.most_faces, "each other: give one of them."
        unfit, single = (next((name for name in names if getattr(self, name)), None) for names in (NOT_LIVE, ONE_FACE))
        for is_wrong, told in (
            (self.scale_image and self.no_scale_image, f"--scale_image and --no_scale_image contradict {one}"),
            (self.parsing_map_path and self.smooth, f"--parsing_map_path and --smooth exclude {one}"),
            (self.parsing_map_path and self.preview, f"--parsing_map_path and --preview exclude {one}"),
            (self.parsing_map_path and self.crop == "follow", "--parsing_map_path is for --crop fixed: use --smooth."),
            (self.tile and self.compile, f"--tile and --compile exclude {one}"),
            (
                self.style_image and self.ckpt not in (None, ADAIN.name) and not is_own_adain(self.ckpt),
                f"--style_image and --ckpt exclude {one}",
            ),
            (
                self.style_image
                and any(os.path.realpath(name) == os.path.realpath(self.style_image) for name in self.content),
                f"{self.style_image} is both content and style: name another picture for one of them.",
            ),
            (
                self.keyframe and (self.ckpt or self.style_id or self.style_image),
                f"--keyframe is a style of its own, and excludes --ckpt, --style_id and --style_image: {one}",
            ),
            (
                self.export_keyframe and self.suggest_keyframes,
                f"--export_keyframe and --suggest_keyframes exclude {one}",
            ),
            (
                self.keyframe and self.only_keyframes,
                f"--keyframe and --{'export_keyframe' if self.export_keyframe else 'suggest_keyframes'} exclude {one}",
            ),
            (self.style_image and self.style_id, f"--style_image and --style_id exclude {one}"),
            (self.cpu and self.device not in ("auto", "cpu"), f"--cpu and --device {self.device} contradict {one}"),
            (self.virtual_camera and not is_live, "--virtual_camera is for --content webcam: leave one of them out."),
            (self.lost and not is_live and not self.follows, f"--lost {self.lost} is for --crop follow: leave it out."),
            (is_live and unfit, f"--{unfit} is for files, not for a webcam: leave one of them out."),
            (is_live and most != 1, f"--faces {self.faces} is for files: a webcam shows one person in style."),
            (most == 1 and self.styles, "--styles is for several people: add --faces all, or give --style_id instead."),
            (most != 1 and not self.full_frame, f"--faces {self.faces} needs --full_frame: crops are no picture."),
            (most != 1 and single, f"--{single} is for one face: leave it or --faces {self.faces} out."),
        ):
            if is_wrong:
                raise InputError(told)
        if self.style_id and not (self.ckpt or preset_with(self.style_id) or self.style_id.isdecimal()):
            known = [name for preset in PRESETS for name in preset.style_names]
            close = did_you_mean(self.style_id, dict.fromkeys(known))
            raise InputError(f"There is no style {self.style_id!r}{close}; --list_styles shows them all.")
        if isinstance(self.preset, str) and not Path(self.preset).exists():
            preset = choose_preset(self.preset)
            if preset.style_names and self.style_id is not None and not self.exstyle_path:
                resolve_style(preset.style_names, self.style_id)
        last = max(self.choices, default=0)
        if most is not None and last > most:
            raise InputError(f"--styles names person {last}, but --faces is {self.faces}: raise that number.")


def _state_of(path: str | Path) -> list[int] | None:
    """Size in bytes and time of the last change in ns; None where there is no such file. InputError if none is told."""
    try:
        state = Path(path).stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the permissions.") from error
    return [state.st_size, state.st_mtime_ns]
