"""From frames to cartoon frames: the one assembly of crop, parser, style encoder and VToonify.

    stylizer = Stylizer.from_preset("starter")
    portrait = stylizer.fit(frame)
    for out in stylizer.render(frames, portrait):
        ...
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby, islice
from threading import Lock
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from model import checkpoints
from model.common.devices import pick_device, pick_precision
from model.common.errors import InputError
from model.common.hub import ensure_file
from model.common.tensors import to_tensor
from model.effects.grayscale import keep_grey
from model.faces.crop import DEFAULT_PADDING, FaceCrop, align_face
from model.faces.detect import find_landmarks
from model.faces.search import Portrait, search_face
from model.folded import FoldedVToonify
from model.media.frames import Frame, FrameSource
from model.styles.presets import Preset, choose_preset, resolve_style, style_rows
from model.styles.renderer import Promise, Renderer
from model.vtoonify import VToonify

KEPT_STYLES = 4
"""Styles that stay folded, for several people in one clip."""

FrameLike = TypeVar("FrameLike", Frame, np.ndarray)


class Stylizer:
    """A loaded model with its helpers. Build it with `from_preset`."""

    def __init__(
        self,
        preset: Preset,
        network: VToonify,
        exemplars: dict[str, np.ndarray] | None = None,
        style_encoder: nn.Module | None = None,
        parser: nn.Module | None = None,
        device: str = "auto",
        precision: str = "auto",
        tile: bool = False,
        compile: bool = False,
    ):
        self.preset = preset
        self.tile, self.compile = tile, compile
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.network = self._place(network)
        self.exemplars = exemplars
        self.style_encoder = self._place(style_encoder)
        self.parser = self._place(parser)
        self._folds: deque[_Fold] = deque(maxlen=KEPT_STYLES)
        self._folding = Lock()

    @classmethod
    def from_preset(
        cls,
        name: str = "starter",
        *,
        device: str = "auto",
        precision: str = "auto",
        exstyle_path: str | None = None,
        style_encoder_path: str | None = None,
        faceparsing_path: str | None = None,
        tile: bool = False,
        compile: bool = False,
    ) -> "Stylizer":
        """Load a preset by name, or a checkpoint by path; missing published files are fetched.

        Args:
            name: preset (`--list_styles` lists them) or path of a VToonify checkpoint.
            device: auto, cpu, cuda or mps.
            precision: auto, bf16, fp16 or fp32.
            exstyle_path, style_encoder_path, faceparsing_path: other files than the preset's; a model that needs no
                such file leaves them aside.
            tile: render pictures in strips, with less memory and the same result; those of large frames always are.
            compile: compile the network for the size of the crop: minutes at first, faster for long clips.

        Raises InputError: unknown preset, missing or wrong file, device not there.
        """
        pick_precision(precision, pick_device(device))
        if tile and compile:
            raise InputError("--tile and --compile exclude each other: give one of them.")
        preset = choose_preset(name)
        helpers = [
            (exstyle_path, preset.exemplars, checkpoints.load_exemplars),
            (style_encoder_path, preset.style_encoder, checkpoints.load_style_encoder),
            (faceparsing_path, preset.parser, checkpoints.load_parser),
        ]
        network = checkpoints.load_vtoonify(ensure_file(preset.file))
        network.keep_what_renders()
        config = network.config
        if (config.backbone, config.parsing_channels > 0) != (preset.backbone, preset.parser is not None):
            raise InputError(f"{preset.file} holds another kind of model than {name}: delete it, or give its path.")
        loaded = [own and load(path or ensure_file(own)) for path, own, load in helpers]
        return cls(preset, network, *loaded, device=device, precision=precision, tile=tile, compile=compile)

    def _place(self, network: nn.Module | None) -> nn.Module | None:
        return None if network is None else network.eval().requires_grad_(False).to(self.device)

    @property
    def backbone(self) -> str:
        """`dualstylegan` (variant D) or `toonify` (variant T)."""
        return self.network.config.backbone

    @property
    def scale(self) -> int:
        """Output side divided by input side."""
        return self.network.config.scale

    def fit(
        self,
        frame: Frame | np.ndarray,
        padding: tuple[int, int, int, int] = DEFAULT_PADDING,
        scale_image: bool = True,
        landmarks: np.ndarray | None = None,
    ) -> Portrait:
        """Find the face in a frame and encode its style, once for a clip.

        Args:
            frame: RGB uint8 `[H, W, 3]`, or a Frame.
            padding: left, right, top, bottom around the point between the eyes, in pixels at an eye distance of 64.
            scale_image: scale the face to the size the model was trained on and crop; else take the whole frame.
            landmarks: `[68, 2]` when they are known already.

        Raises InputError when there is no face, and the model or the crop needs one.
        """
        rgb = rgb_of(frame)
        if landmarks is None and self._needs_face(scale_image):
            landmarks = find_landmarks(rgb)
            if landmarks is None:
                raise InputError("No face was found in the picture: choose one with a visible face.")
        crop = FaceCrop.whole_frame(rgb.shape[:2])
        if scale_image:
            crop = self.crop_around(landmarks, rgb.shape[:2], padding)
        rows = None if self.style_encoder is None else self._encode_face(rgb, landmarks)
        return Portrait(crop, rows, landmarks, frame.time if isinstance(frame, Frame) else None)

    def crop_around(
        self,
        landmarks: np.ndarray,
        frame_size: tuple[int, int],
        padding: tuple[int, int, int, int] = DEFAULT_PADDING,
    ) -> FaceCrop:
        """The crop that `fit` takes around a face in a frame `(h, w)`. Raises InputError when nothing is left of it."""
        return FaceCrop.from_landmarks(landmarks, frame_size, padding, self.network.config.eye_distance)

    def fit_source(
        self,
        source: FrameSource,
        padding: tuple[int, int, int, int] = DEFAULT_PADDING,
        scale_image: bool = True,
    ) -> Portrait:
        """As `fit`, on the first frame of `source` in which a face is found; the frames before it are kept."""
        frame, landmarks = self.find_face(source, scale_image)
        return self.fit(frame, padding, scale_image, landmarks)

    def find_face(self, source: FrameSource, scale_image: bool = True) -> tuple[Frame, np.ndarray | None]:
        """The first frame of `source` with a face, and its landmarks `[68, 2]`; the very first where none is needed.

        Raises InputError when there is no face.
        """
        return search_face(source) if self._needs_face(scale_image) else (source.first, None)

    def _needs_face(self, scale_image: bool) -> bool:
        return scale_image or self.style_encoder is not None

    @torch.no_grad()
    def _encode_face(self, rgb: np.ndarray, landmarks: np.ndarray) -> Tensor:
        # The landmarks of the whole frame serve here too: a second detection on a small crop may fail.
        face = to_tensor(align_face(rgb, landmarks)[None], self.device)
        return self.network.zplus_to_wplus(self.style_encoder.style_codes(face))

    def style_name(self, style: int | str | None = None) -> str | None:
        """Name of the exemplar that `style` (index, name, or None for the default) stands for.

        None in variant T, which has one style, whatever is asked for, as in the published program. Raises InputError
        for a style that the model does not have.
        """
        if self.exemplars is None:
            return None
        if style is None:
            style = self.preset.default_style
            if self.preset.style is None and style >= len(self.exemplars):
                style = 0  # somebody's own model with fewer styles
        return resolve_style(self.exemplars, style)[0]

    def degree(self, degree: float | None = None) -> float | None:
        """The degree in [0, 1] that is rendered when `degree` is asked for; None in variant T, which has none.

        A model trained for one degree renders that unless told otherwise. Raises InputError outside [0, 1].
        """
        if not self.network.has_degree:
            return None
        if degree is None:
            return self.preset.default_degree if self.preset.degree is None else self.preset.degree
        if not 0 <= degree <= 1:
            raise InputError(f"The style degree is {degree}: give a number from 0 (photo) to 1 (full style).")
        return degree

    @torch.no_grad()
    def style_code(self, portrait: Portrait, style: int | str | None = None, color_transfer: bool = False) -> Tensor:
        """w+ rows `[1, rows, D]` for a portrait in a style."""
        name = self.style_name(style)
        if name is None:
            return style_rows(self.network, portrait.photo_rows, None)
        exemplar = torch.from_numpy(self.exemplars[name]).to(self.device, torch.float32)
        transfer = color_transfer or self.preset.colour_transfer
        return style_rows(self.network, portrait.photo_rows, exemplar, transfer)

    def render(
        self,
        frames: Iterable[FrameLike],
        portrait: Portrait,
        *,
        style: int | str | None = None,
        degree: float | Callable[[Fraction], float] | None = None,
        color_transfer: bool = False,
        batch_size: int | None = None,
        parsing_maps: Iterable[np.ndarray] | None = None,
    ) -> Iterator[FrameLike]:
        """Yield the stylised crops of frames, `scale` times as large, in order.

        At most a batch is taken ahead, on CUDA two: one is computed while the one before is fetched.

        Args:
            frames: Frames, or RGB uint8 arrays `[H, W, 3]`; the results are of the same kind.
            portrait: from `fit`.
            style: index or name of the exemplar (variant D).
            degree: style degree in [0, 1], or a function that gives it for the time of a Frame in seconds (variant D).
            color_transfer: take the exemplar's colours, too (variant D).
            batch_size: frames at a time; None takes as many as fit on CUDA, and 1 elsewhere. Fewer are taken when the
                memory does not suffice.
            parsing_maps: smoothed parsing logits `[19, H, W]`, one a frame, instead of parsing each frame.

        Raises InputError for a style or degree that the model does not have at once; for a frame or a parsing map
        that does not fit, or too little memory, when it is its turn.
        """
        code = self.style_code(portrait, style, color_transfer)
        degree_of = self._degree_of(degree)
        parser = self.parser if self.network.config.parsing_channels and parsing_maps is None else None
        renderer = Renderer(parser, self.device, self.dtype, batch_size, self.tile, self.compile)
        maps = None if parsing_maps is None else iter(parsing_maps)
        in_flight = 1 if self.device.type == "cuda" else 0

        def finished(batch: list[FrameLike], crops: np.ndarray, promise: Promise) -> Iterator[FrameLike]:
            for frame, crop, picture in zip(batch, crops, promise(), strict=True):
                if self.preset.keeps_grey:
                    picture = keep_grey(picture, crop)
                picture = portrait.crop.trim(picture, self.scale)
                yield replace(frame, rgb=picture) if isinstance(frame, Frame) else picture

        def results(frames: Iterator[FrameLike]) -> Iterator[FrameLike]:
            started: deque[tuple[list[FrameLike], np.ndarray, Promise]] = deque()
            while taken := list(islice(frames, renderer.batch)):
                for frame_degree, group in groupby(taken, degree_of):
                    batch = list(group)
                    crops = np.stack([portrait.crop.apply(rgb_of(frame)) for frame in batch])
                    logits = None if maps is None else take_logits(maps, crops, self.network.config.parsing_channels)
                    renderer.use(self._fold(code, frame_degree))
                    started.append((batch, crops, renderer.start(crops, logits)))
                    if len(started) > in_flight:
                        yield from finished(*started.popleft())
            for one in started:
                yield from finished(*one)
            if maps is not None and next(maps, None) is not None:
                raise InputError("There are more parsing maps than frames: they were made for another clip.")

        return results(iter(frames))

    def _degree_of(
        self, degree: float | Callable[[Fraction], float] | None
    ) -> Callable[[Frame | np.ndarray], float | None]:
        """The degree of a frame. Raises InputError outside [0, 1]: at once, unless it changes with time."""
        if not callable(degree) or not self.network.has_degree:
            constant = self.degree(None if callable(degree) else degree)
            return lambda frame: constant
        if self.compile:
            raise InputError("--compile is for one style degree, not for one that changes: leave one of them out.")
        return lambda frame: self.degree(degree(frame.time or Fraction(0)))

    def _fold(self, w_plus: Tensor, degree: float | None) -> nn.Module:
        """The network with style and degree built in; the last few styles are kept, and only what changes is made.

        Several threads may render with one Stylizer.
        """
        with self._folding:
            known = next((fold for fold in self._folds if torch.equal(fold.w_plus, w_plus)), None)
            if known is None:
                folded = FoldedVToonify(self.network, w_plus, degree)
                known = _Fold(w_plus, degree, folded.to(self.dtype, memory_format=torch.channels_last))
                self._folds.appendleft(known)
            elif known.degree != degree:
                folded = known.network.at_degree(self.network, degree)
                known.degree, known.network = degree, folded.to(self.dtype, memory_format=torch.channels_last)
            return known.network


@dataclass
class _Fold:
    """A folded network, and what is folded into it."""

    w_plus: Tensor
    degree: float | None
    network: nn.Module


def rgb_of(frame: Frame | np.ndarray) -> np.ndarray:
    """The picture of a frame. Raises ValueError for an array of another kind."""
    rgb = frame.rgb if isinstance(frame, Frame) else frame
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"frames are RGB uint8 [H, W, 3], not {rgb.dtype} {list(rgb.shape)}")
    return rgb


def take_logits(maps: Iterator[np.ndarray], crops: np.ndarray, channels: int) -> Tensor:
    """The next parsing maps, one for each crop `[B, H, W, 3]`: float `[B, channels, H, W]`.

    Raises InputError when they run out or have another size.
    """
    logits = [np.asarray(one, np.float32) for one in islice(maps, len(crops))]
    if len(logits) < len(crops):
        raise InputError("There are fewer parsing maps than frames: they were made for another clip.")
    expected = (channels, *crops.shape[1:3])
    for one in logits:
        if one.shape != expected:
            raise InputError(f"The parsing maps are {one.shape}, but the crop needs {expected}: make them anew.")
    return torch.from_numpy(np.stack(logits))
