"""What the teacher networks share: codes, photos, the photos' own style codes and parsing maps.

Sample n is a pure function of (seed, n, progress), so batches are equal however they are split over processes, and a
resumed run sees what an uninterrupted one would have seen. `progress` is the share of the run that is done, in [0, 1];
it is None for samples that are stored: what depends on progress is then drawn as over a whole run.
"""

from collections import namedtuple
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.bisenet import PARSER_GAIN
from model.ops import blur_downsample
from model.stylegan2 import Generator
from model.training.data.sampling import Sample, apply_affine, draw, layer_noise, photo_side

TRUNCATION = 0.5  # codes are pulled towards zero: w ← 0.5·w


# What B photos are rendered from: Draws, number of the editing direction [B] int64 on the CPU (-1 where there is none),
# truncated code [B, layers, D], and noise of every synthesis layer [B, 1, H, W].
Latent = namedtuple("Latent", "draws attribute w_plus noise")


class NetworkTeacher(nn.Module):
    """Frozen networks that turn random codes into samples; a subclass has `styles`, their names, and two methods:
    `sample(numbers, progress)` for distillation and `sample_features(numbers, progress)` for pre-training.
    Photo and cartoon share one draw of the generator's noise, so that the cartoon's fine texture can be learnt from the
    photo's. The published program draws it anew for each.

    Args:
        photos, cartoons: the generators; the second is the one that students are put on.
        style_encoder: pSp; None: a photo's style code is the one that it was made from.
        parser: face parser; None: samples have no parsing maps.
        directions: editing directions in w+, `[N, layers, D]`; None: no edits.
        dtype: what networks compute in, but for the mapping network; results have the precision of the weights.
    """

    def __init__(
        self, photos: Generator, cartoons: nn.Module, seed: int, *, style_encoder: nn.Module | None = None,
        parser: nn.Module | None = None, directions: np.ndarray | None = None, dtype: torch.dtype = torch.float32,
    ):  # fmt: skip
        super().__init__()
        self.photos, self.cartoons, self.style_encoder, self.parser = photos, cartoons, style_encoder, parser
        self.config, self.seed, self.dtype = photos.config, seed, dtype
        # The w+ layers that tell structure (0-6 of 18), and colour (7-17).
        self.structure, self.colour = slice(self.config.structure_layers), slice(self.config.structure_layers, None)
        directions = None if directions is None else torch.as_tensor(directions, dtype=self.precision)
        self.register_buffer("directions", directions, persistent=False)
        self.eval().requires_grad_(False)

    @property
    def precision(self) -> torch.dtype:
        """Dtype of the weights, and so of the results."""
        return next(self.photos.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the teacher computes."""
        return next(self.photos.parameters()).device

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def latent(self, numbers: Sequence[int]) -> Latent:
        """Code of each sample: 0.5·(w + d), with a random direction d on the middle layers (3-6 of 18)."""
        draws = draw(self.seed, numbers, self.config)
        w_plus = self.truncated_code(draws.z)
        attribute = torch.full((len(numbers),), -1)
        if self.directions is not None:
            attribute = torch.from_numpy((draws.attribute * len(self.directions)).astype(np.int64))
            middle = slice(self.config.structure_layers // 2, self.config.structure_layers)
            w_plus[:, middle] += TRUNCATION * self.directions[attribute.to(self.device), middle]
        return Latent(draws, attribute, w_plus, layer_noise(self.config, draws.noise_seeds, self.device))

    def truncated_code(self, z: Tensor) -> Tensor:
        """0.5·w of `z [B, D]`, repeated to `[B, layers, D]`."""
        w = self.photos.mapping(z.to(self.device, self.precision))
        return TRUNCATION * w[:, None].repeat(1, self.config.w_layers, 1)

    def render(self, generator: nn.Module, *codes: Tensor, noise: list[Tensor]) -> Tensor:
        """Pictures `[B, 3, S, S]`, clamped to [-1, 1]."""
        with self.autocast():
            pictures = generator(*codes, noise=noise)
        return pictures.to(self.precision).clamp_(-1, 1)

    def colour_code(self, w_plus: Tensor, photo: Tensor) -> Tensor:
        """The w+ layers of colour `[B, 11, D]` that the style encoder sees in `photo [B, 3, S, S]`; without an encoder
        those of the code `w_plus [B, layers, D]` that the photo was made from."""
        if self.style_encoder is None:
            return w_plus[:, self.colour]
        with self.autocast():
            side = self.style_encoder.config.face_size
            codes = self.style_encoder.style_codes(F.adaptive_avg_pool2d(photo, side))
        return self.photos.mapping(codes[:, self.colour].to(self.precision))

    def shown(self, photo: Tensor) -> Tensor:
        """The photo at the size that inputs are made of."""
        side = photo_side(self.config)
        if photo.shape[-1] == side:
            return photo
        return F.interpolate(photo, (side, side), mode="bicubic", align_corners=False, antialias=True).clamp_(-1, 1)

    def parse(self, photo: Tensor) -> Tensor | None:
        """Parsing logits of the photo at half its size, `[B, C, S/2, S/2]`; None without a parser."""
        if self.parser is None:
            return None
        with self.autocast():
            logits = self.parser(PARSER_GAIN * blur_downsample(photo))
        return logits.to(self.precision)

    def moved_sample(self, latent: Latent, photo: Tensor, cartoon: Tensor, *labels: Tensor) -> Sample:
        """Sample of distillation: photo and cartoon under the same affine transform, then the photo is parsed. `labels`
        are `w_plus`, `degree` and `style` of a Sample. A third of all samples is not moved."""
        affine, offset = latent.draws.affine, latent.draws.offset
        if moved := [i for i, matrix in enumerate(affine) if not torch.equal(matrix, torch.eye(3))]:
            both = apply_affine(torch.cat([photo[moved], cartoon[moved]], dim=1), affine[moved])
            photo[moved], cartoon[moved] = both.clamp_(-1, 1).chunk(2, dim=1)  # the filter overshoots at edges
        photo = self.shown(photo)
        return Sample(photo, self.parse(photo), *labels, latent.attribute, affine, cartoon=cartoon, offset=offset)

    def feature_sample(self, latent: Latent, features: tuple[Tensor, Tensor], *labels: Tensor) -> Sample:
        """Sample of pre-training: the photo of the code, and a teacher's feature and skip image; nothing is moved."""
        photo = self.shown(self.render(self.photos, latent.w_plus, noise=latent.noise))
        feature, skip = (tensor.to(self.precision) for tensor in features)
        affine = torch.eye(3).repeat(len(photo), 1, 1)
        return Sample(photo, self.parse(photo), *labels, latent.attribute, affine, feature=feature, skip=skip)
