"""VToonify networks as a style: loading, style codes, and the renderer of their crops."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from threading import Lock
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from model import checkpoints
from model.common.devices import pick_device, pick_precision
from model.common.errors import InputError
from model.common.hub import ensure_file
from model.common.tensors import to_tensor
from model.effects import in_good_light, keep_grey, light_gain
from model.faces.landmarks import align_face
from model.folded import FoldedVToonify
from model.parsing.smooth import Smoother, load_flow
from model.styles.base import Crop, Degree, MapsOf, Pending, Style, constant_or_curve
from model.styles.names import resolve_style
from model.styles.presets import VToonifyPreset
from model.styles.renderer import Renderer
from model.vtoonify import VToonify

KEPT_STYLES = 4  # styles whose folded networks are kept, for several people in one clip


class VToonifyStyle(Style):
    """A VToonify model with its exemplars, style encoder and face parser. Build it with `load`."""

    def __init__(
        self, preset: VToonifyPreset, network: VToonify, exemplars: dict[str, np.ndarray] | None = None,
        style_encoder: nn.Module | None = None, parser: nn.Module | None = None, device: str = "auto",
        precision: str = "auto", tile: bool = False, compile: bool = False,
    ):  # fmt: skip
        self.preset, self.exemplars = preset, exemplars
        self.tile, self.compile = tile, compile
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.network = self._place(network)
        self.style_encoder = self._place(style_encoder)
        self.parser = self._place(parser)
        self._folds: deque[_Fold] = deque(maxlen=KEPT_STYLES)
        self._folding = Lock()
        self.name, self.licence = preset.name, preset.licence
        self.backbone, self.letter = network.config.backbone, network.config.backbone[0]
        self.parsing_channels = network.config.parsing_channels
        self.scale, self.eye_distance = network.config.scale, network.config.eye_distance
        self.exemplar_names = list(exemplars or ())
        self.denoises = preset.steady
        self.needs_code = style_encoder is not None
        self.in_flight = int(self.device.type == "cuda")
        uses = ["degree", "exemplars"] * network.has_degree + ["code"] * self.needs_code + ["parser"] * bool(parser)
        self.uses = frozenset(uses)

    @classmethod
    def load(
        cls, preset: VToonifyPreset, *, device: str = "auto", precision: str = "auto", exstyle_path: str | None = None,
        style_encoder_path: str | None = None, faceparsing_path: str | None = None, tile: bool = False,
        compile: bool = False,
    ) -> Self:  # fmt: skip
        """Load a preset. Arguments and errors as in `Stylizer.from_preset`."""
        pick_precision(precision, pick_device(device))
        if tile and compile:
            raise InputError("--tile and --compile exclude each other: give one of them.")
        helpers = [
            (exstyle_path, preset.exemplars, checkpoints.load_exemplars),
            (style_encoder_path, preset.style_encoder, checkpoints.load_style_encoder),
            (faceparsing_path, preset.parser, checkpoints.load_parser),
        ]
        network = checkpoints.load_vtoonify(ensure_file(preset.file))
        network.keep_what_renders()
        config = network.config
        if (config.backbone, config.parsing_channels > 0) != (preset.backbone, preset.parser is not None):
            raise InputError(
                f"{preset.file} holds another kind of model than {preset.name}: delete it, or give its path."
            )
        loaded = [own and load(path or ensure_file(own)) for path, own, load in helpers]
        return cls(preset, network, *loaded, device=device, precision=precision, tile=tile, compile=compile)

    def _place(self, network: nn.Module | None) -> nn.Module | None:
        return None if network is None else network.eval().requires_grad_(False).to(self.device)

    @torch.no_grad()
    def encode(self, rgb: np.ndarray, landmarks: np.ndarray | None) -> Tensor | None:
        """Style code of the face in w+, `[1, layers, D]`; None without a style encoder."""
        if self.style_encoder is None:
            return None
        # The landmarks of the whole frame serve here too: a second detection on a small crop may fail.
        side = self.style_encoder.config.face_size
        face = to_tensor(align_face(rgb, landmarks, side)[None], self.device)
        return self.network.zplus_to_wplus(self.style_encoder.style_codes(face))

    def exemplar_name(self, exemplar: int | str | None = None) -> str | None:
        """As `Style.exemplar_name`. Variant T has one style, whatever is asked for, as in the published program."""
        if self.exemplars is None:
            return None
        if exemplar is None:
            exemplar = self.preset.default_style
            if self.preset.style is None and exemplar >= len(self.exemplars):
                exemplar = 0  # somebody's own model with fewer styles
        return resolve_style(self.exemplars, exemplar)

    def degree(self, degree: float | None = None) -> float | None:
        """As `Style.degree`. A model trained for one degree renders that unless told otherwise."""
        if not self.network.has_degree:
            return None
        if degree is None:
            return self.preset.default_degree if self.preset.degree is None else self.preset.degree
        if not 0 <= degree <= 1:
            raise InputError(f"The style degree is {degree}: give a number from 0 (photo) to 1 (full style).")
        return degree

    def doubts(self, exemplar: int | str | None, degree: Degree) -> Iterator[str]:
        chosen, preset = self.exemplar_name(exemplar), self.preset
        if preset.style is not None and chosen != self.exemplar_name():
            yield f"{preset.name} was trained for style {preset.style} alone: the look may suffer"
        if preset.degree not in (None, degree if callable(degree) else self.degree(degree)):
            yield f"{preset.name} was trained for degree {preset.degree} alone: the look may suffer"

    def smoothed_parsing(self, flow_path: str, radius: int) -> MapsOf:
        return Smoother(self.parser, load_flow(flow_path, self.device), self.device, self.dtype, radius).maps

    def style_code(
        self, photo_code: Tensor | None, exemplar: int | str | None = None, color_transfer: bool = False
    ) -> Tensor:
        """The w+ code `[1, layers, D]` that a person is rendered with."""
        name = self.exemplar_name(exemplar)
        code = None if name is None else self.exemplars[name]
        return mix_codes(self.network, photo_code, code, color_transfer or self.preset.colour_transfer)

    def renderer(
        self, code: Tensor | None, *, exemplar: int | str | None = None, degree: Degree = None,
        batch_size: int | None = None, color_transfer: bool = False,
    ) -> "VToonifyRenderer":  # fmt: skip
        return VToonifyRenderer(self, self.style_code(code, exemplar, color_transfer), degree, batch_size)

    def fold(self, w_plus: Tensor, degree: float | None) -> nn.Module:
        """The network with style and degree built in. The last few styles are kept; several threads may call it."""
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


class VToonifyRenderer:
    """Renders crops of one person in one style; see `CropRenderer`."""

    def __init__(self, style: VToonifyStyle, w_plus: Tensor, degree: Degree, batch_size: int | None):
        self._style, self._w_plus = style, w_plus
        self._face: np.ndarray | None = None  # the last landmarks in a crop
        if callable(degree) and style.network.has_degree and style.compile:
            raise InputError("--compile is for one style degree, not for one that changes: leave one of them out.")
        self._degree_at = constant_or_curve(style, degree)
        self._channels = style.parsing_channels
        parser = style.parser if self._channels else None
        self._renderer = Renderer(parser, style.device, style.dtype, batch_size, style.tile, style.compile)

    @property
    def batch(self) -> int:
        return self._renderer.batch

    def start(self, crops: Sequence[Crop]) -> Pending[np.ndarray]:
        groups = groupby(crops, lambda crop: (self._degree_at(crop.time), crop.rgb.shape))
        parts = [self._start_at(degree, list(group)) for (degree, _), group in groups]
        return lambda: [picture for part in parts for picture in part()]

    def _start_at(self, degree: float | None, crops: list[Crop]) -> Pending[np.ndarray]:
        self._renderer.use(self._style.fold(self._w_plus, degree))
        if not self._style.preset.corrected:
            return self._renderer.start(np.stack([crop.rgb for crop in crops]), self._parsing(crops))
        pictures, finish = zip(*map(self._prepared, crops), strict=True)
        pending = self._renderer.start(np.stack(pictures), self._parsing(crops))
        return lambda: [last(picture) for last, picture in zip(finish, pending(), strict=True)]

    def _prepared(self, crop: Crop) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """What the network is shown of a crop, and what is done to the picture that it draws."""
        if crop.landmarks is not None:  # else the face is where it was, as windows follow faces
            self._face = crop.landmarks
        lit, put_back = in_good_light(crop.rgb, light_gain(crop.rgb, self._face))
        return lit, lambda picture: keep_grey(put_back(picture), crop.rgb)

    def _parsing(self, crops: list[Crop]) -> Tensor | None:  # [B, C, h, w]; None where the crops have none
        if not self._channels or crops[0].parsing is None:
            return None
        for crop in crops:
            expected = (self._channels, *crop.rgb.shape[:2])
            if crop.parsing.shape != expected:
                raise InputError(f"The parsing maps are {crop.parsing.shape}, not {expected}: make them anew.")
        return torch.from_numpy(np.stack([np.asarray(crop.parsing, np.float32) for crop in crops]))


@dataclass
class _Fold:  # a folded network, and what is folded into it
    w_plus: Tensor
    degree: float | None
    network: nn.Module


@torch.no_grad()
def mix_codes(
    network: VToonify, photo: Tensor | None, exemplar: Tensor | np.ndarray | None, color_transfer: bool = False
) -> Tensor:
    """The w+ code `[1, layers, D]` that frames are rendered with (VToonify, Sec. 4.3), on the network's device.

    Variant T takes the photo's code as it is; without one, that of z+ = 0 stands for the mean code. Variant D takes
    structure, layers 0-6, from the exemplar, and colour, the other layers, from the photo; with `color_transfer` or
    without a photo's code, from the exemplar, too.

    photo: code of the portrait in w+, `[1, layers, D]`; None for a model without a style encoder.
    exemplar: code of the exemplar in z+, `[1, layers, D]`; it goes through the mapping network layer by layer.
    """
    generator, weight = network.config.generator, next(network.parameters())
    if not network.has_degree and photo is not None:
        return photo
    if not network.has_degree:
        return network.zplus_to_wplus(weight.new_zeros(1, generator.w_layers, generator.style_dim))
    if exemplar is None:
        raise InputError("A model of variant D needs exemplar style codes (--exstyle_path).")
    z_plus = torch.as_tensor(exemplar, dtype=weight.dtype, device=weight.device)
    wanted = [1, generator.w_layers, generator.style_dim]
    if list(z_plus.shape) != wanted:
        raise InputError(f"The exemplar style code has shape {list(z_plus.shape)}, but the model takes {wanted}.")
    w_plus = network.zplus_to_wplus(z_plus)
    if color_transfer or photo is None:
        return w_plus
    first = generator.structure_layers
    return torch.cat([w_plus[:, :first], photo[:, first:].to(w_plus)], dim=1)
