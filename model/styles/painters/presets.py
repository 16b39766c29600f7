"""Painters as presets: those that come with the project, and values of one's own. Free of torch and Numba."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.styles.base import FilePreset, Preset, Style

SHIPPED = Path(__file__).parent
FIRST = ("comic", "oil")


def painter_names() -> list[str]:
    """Names of the painters that come with the project, the boldest first."""
    return sorted((path.stem for path in SHIPPED.glob("*.toml")), key=lambda name: (name not in FIRST, name))


class PaintersPreset(Preset):
    """The painters that come with the project."""

    name, variant, colour_transfer = "painters", "painter", True
    licence = "Apache License 2.0 (the matte that cuts people out: CC BY-NC-SA 4.0)"

    @property
    def style_names(self) -> Sequence[str]:
        return painter_names()

    def load(self, device: str = "auto", **settings: Any) -> Style:
        from model.styles.painters.style import PainterStyle
        from model.styles.painters.values import load_painter

        return PainterStyle({name: load_painter(name) for name in self.style_names}, self.name, self.licence, device)


class PainterPreset(FilePreset):
    """A painter with values of one's own, in a .toml file."""

    variant, licence = "painter", "of whoever wrote the values"

    def load(self, device: str = "auto", **settings: Any) -> Style:
        from model.styles.painters.style import PainterStyle
        from model.styles.painters.values import load_painter

        return PainterStyle({self.name: load_painter(self.path)}, self.name, self.licence, device)


PAINTERS = PaintersPreset()
