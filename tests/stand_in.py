"""A teacher that draws at once: blobs instead of faces, in the sizes of a 64 px generator."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from model.training.data.sampling import Sample
from model.training.data.shards import write_shard
from model.training.data.teacher_pairs import encode_sample, one_of

SIZE, ROWS, DIM, CLASSES = 64, 10, 8, 5
STYLES = ["pine", "rust"]


class StandIn:
    """Samples are functions of (seed, number), as a teacher's are. `parser`: whether there are parsing maps."""

    style_encoder = directions = None

    def __init__(self, seed: int = 0, parser: bool = True, styles: Sequence[str] = STYLES):
        self.seed, self.styles = seed, list(styles)
        self.parser = "present" if parser else None
        self.asked: list[list[int]] = []

    def sample(self, numbers: Sequence[int], progress: None, distill: bool = True) -> Sample:
        self.asked.append(list(numbers))
        items = [self._draw_one(np.random.default_rng((self.seed, n)), distill) for n in numbers]
        parts = {name: torch.stack([item[name] for item in items]) for name in items[0]}
        return Sample(**parts | ({} if self.parser else {"logits": None}))

    def sample_features(self, numbers: Sequence[int], progress: None) -> Sample:
        return self.sample(numbers, progress, distill=False)

    def _draw_one(self, rng: np.random.Generator, distill: bool) -> dict[str, torch.Tensor]:
        def blobs(channels, size, gain):
            coarse = torch.from_numpy(rng.standard_normal((1, channels, 4, 4), dtype=np.float32))
            return gain * F.interpolate(coarse, (size, size), mode="bicubic")[0]

        item = {
            "photo": blobs(3, SIZE, 0.5).clamp(-1, 1),
            "logits": blobs(CLASSES, SIZE // 2, 4.0),
            "w_plus": torch.from_numpy(rng.standard_normal((ROWS, DIM), dtype=np.float32)),
            "degree": torch.tensor(rng.random(), dtype=torch.float32),
            "style": torch.tensor(rng.integers(len(self.styles))),
            "attribute": torch.tensor(rng.integers(-1, 4)),
            "affine": torch.from_numpy(rng.standard_normal((3, 3), dtype=np.float32)),
        }
        if distill:
            offset = torch.from_numpy(rng.integers(0, SIZE // 8 + 1, 2))
            return item | {"cartoon": blobs(3, SIZE, 0.5).clamp(-1, 1), "offset": offset}
        return item | {"feature": blobs(6, 8, 2.0), "skip": blobs(3, 8, 0.5)}


def write_samples(
    shard: Path, teacher: StandIn, numbers: Sequence[int], pretrain: bool = False, leave_out: str = "", **changed: bytes
) -> None:
    """A shard of `teacher`'s samples, perhaps without one part, or with others in place of them."""
    sample, pairs = (teacher.sample_features if pretrain else teacher.sample)(numbers, None), {}
    for i, number in enumerate(numbers):
        pairs[f"{number:06d}"] = encode_sample(one_of(sample, i), teacher.styles, {"number": number}) | changed
        pairs[f"{number:06d}"].pop(leave_out, None)
    write_shard(shard, pairs.items())
