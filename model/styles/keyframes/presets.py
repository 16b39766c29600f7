"""Painted frames of a clip as a preset. Free of torch and Numba."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.common.errors import InputError
from model.styles.base import Preset, Style


@dataclass(frozen=True)
class KeyframesPreset(Preset):
    """Pictures that were painted over frames of a clip, by the numbers of these, which count from 0."""

    paintings: tuple[tuple[int, Path], ...]

    name, variant, licence = "keyframes", "keyframes", "of whoever painted the frames"
    colour_transfer = single_style = True

    @property
    def files(self) -> Sequence[str]:
        return [str(path.absolute()) for _, path in self.paintings]

    def load(self, device: str = "auto", **settings: Any) -> Style:
        from model.styles.keyframes.style import KeyframeStyle

        return KeyframeStyle(dict(self.paintings), device)


def parse_keyframes(words: Sequence[str]) -> KeyframesPreset:
    """`0=a.png`, `120=b.png` → the preset of these paintings. InputError for anything else."""
    paintings: dict[int, Path] = {}
    for word in words:
        number, equals, path = word.partition("=")
        if not (equals and number.isdecimal() and path):
            raise InputError(f"--keyframe has the part {word!r}: write FRAME=PICTURE, as in 0=painted.png.")
        if int(number) in paintings:
            raise InputError(f"--keyframe names frame {int(number)} twice: give one picture for it.")
        paintings[int(number)] = Path(path)
    return KeyframesPreset(tuple(sorted(paintings.items())))
