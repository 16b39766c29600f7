"""One object for whoever needs a face's code, whichever encoder its file holds: e4e, pSp, or a small one of one's
own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from model import checkpoints
from model.common.errors import InputError
from model.e4e import E4EEncoder
from model.psp import PSPEncoder
from model.stylegan2 import Generator
from model.training.own.invert import resized


@dataclass(frozen=True, eq=False)
class FaceEncoder:
    """An encoder with the generator whose codes it makes; both in evaluation mode, on the same device."""

    network: PSPEncoder
    generator: Generator
    name: str = "the encoder"  # of its file, for messages

    @classmethod
    def load(cls, path: str | Path, generator: Generator) -> Self:
        """The encoder in `path`, on the generator's device. InputError where their codes differ in size."""
        is_e4e = checkpoints.read_encoder_kind(path) == checkpoints.E4E
        network = (checkpoints.load_e4e if is_e4e else checkpoints.load_style_encoder)(path)
        own, wanted = network.config, generator.config
        if (own.code_count, own.code_size) != (wanted.w_layers, wanted.style_dim):
            has, fits = f"{own.code_count} x {own.code_size}", f"{wanted.w_layers} x {wanted.style_dim}"
            raise InputError(f"{path} makes codes of {has} numbers, where {fits} fit the generator: give its encoder.")
        return cls(network.requires_grad_(False).to(next(generator.parameters()).device), generator, str(path))

    @property
    def makes_w(self) -> bool:
        """Whether codes are in w+ from the start, as e4e's; then there are none in z+."""
        return isinstance(self.network, E4EEncoder)

    @torch.no_grad()
    def w_codes(self, faces: Tensor) -> Tensor:
        """Codes in w+, `[B, layers, D]`, of `faces [B, 3, S, S]`, RGB in [-1, 1], aligned as in FFHQ."""
        codes = self._codes(faces)
        return codes if self.makes_w else self.generator.mapping(codes)

    @torch.no_grad()
    def z_codes(self, faces: Tensor) -> Tensor:
        """Codes in z+, `[B, layers, D]`, faces as in `w_codes`. InputError with an e4e."""
        if self.makes_w:
            raise InputError(f"{self.name} is an e4e, whose codes are in w+: codes in z+ need a pSp (encoder.pt).")
        return self._codes(faces)

    def _codes(self, faces: Tensor) -> Tensor:
        device = next(self.network.parameters()).device
        return self.network.style_codes(resized(faces.to(device), self.network.config.face_size))
