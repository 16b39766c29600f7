"""The styles that visitors choose from, each with a picture of the sample portrait in it."""

import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from model.common import cli
from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.common.hub import CHECKPOINTS
from model.inference.stylizer import Stylizer
from model.media.sample import sample_portrait
from model.styles.base import Preset
from model.styles.catalog import PRESETS, preset_with
from model.styles.presets import VToonifyPreset, describe_checkpoint

SIDE = 256  # of a picture, in pixels
NAMES = {preset.name for preset in PRESETS}
CLOSE = (104, 104, 104, 104)  # padding around the eyes for a picture in which the face is large
PICTURES = ".pictures"  # folder of the checkpoint folder that keeps the pictures, as some models are slow to draw them


@dataclass(frozen=True)
class Entry:
    """One picture of the gallery: a model, or one style of it."""

    key: str  # its name for the API, unique
    title: str
    preset: Preset
    style: str | None  # the exemplar; None where it is the model's own or there is a choice
    on_disk: bool  # whether nothing has to be fetched


def list_entries(folder: Path = CHECKPOINTS) -> list[Entry]:
    """All styles: those on disk first, the painters' before all; then those that would have to be fetched."""
    entries = []
    for preset in PRESETS:
        on_disk = all((folder / file).is_file() for file in preset.files)
        for style in preset.style_names:
            is_first = preset_with(style) == preset.name
            key = style if is_first else f"{preset.name}-{style}"
            title = style.capitalize() if is_first else f"{style.capitalize()} ({preset.mark or preset.name})"
            entries.append(Entry(key, title, preset, style, on_disk))
        if not preset.style_names and (isinstance(preset, VToonifyPreset) or (preset.single_style and on_disk)):
            key = f"{preset.name}-{preset.variant.lower()}" if preset_with(preset.name) else preset.name
            entries.append(Entry(key, _title(preset), preset, None, on_disk))
    known = {(folder / file).resolve() for preset in PRESETS for file in preset.files}
    for path in sorted(folder.glob("*/vtoonify*.pt")):
        if path.resolve() not in known:  # the user has trained it
            with suppress(InputError):  # half copied, or something else: no visitor can mend it
                name = path.parent.name
                entries.append(Entry(name, name, describe_checkpoint(path), None, True))
    return sorted(entries, key=lambda entry: not entry.on_disk)


def _title(preset: Preset) -> str:
    """`cartoon-s026-d0.5` as a visitor reads it: Cartoon 26."""
    if not isinstance(preset, VToonifyPreset) or preset.name not in NAMES:
        return preset.name.capitalize()
    title = preset.name.split("-")[0].capitalize()
    if preset.style is not None:
        return f"{title} {preset.style}"
    kind = "one style" if preset.backbone == "toonify" else f"{preset.styles} styles" if preset.styles else "styles"
    return f"{title}, {kind}{', in their colours' if preset.colour_transfer else ''}"


class Gallery:
    """Pictures of the entries, kept in the checkpoint folder `folder`; `load` gives the model of a preset's file."""

    def __init__(self, entries: Sequence[Entry], load: Callable[[str], Stylizer], folder: Path = CHECKPOINTS):
        self.entries, self._load, self._folder = list(entries), load, folder
        faint = ImageOps.grayscale(thumbnail(sample_portrait()[:360]))
        self._placeholder = faint.point(lambda level: 94 + 0.35 * level).convert("RGB")
        self._pictures: dict[str, Image.Image] = {}
        for entry in self.entries:
            with suppress(OSError):  # not drawn yet, or half written
                self._pictures[entry.key] = Image.open(self._file(entry)).convert("RGB")

    def entry(self, key: str) -> Entry:
        """The entry of that key. Raises InputError when there is none."""
        entries = {entry.key: entry for entry in self.entries}
        if key not in entries:
            raise InputError(f"There is no style {key!r}: choose one of {', '.join(entries)}.")
        return entries[key]

    def picture(self, entry: Entry) -> Image.Image:
        """A picture of 256 × 256 pixels; grey where it has not been drawn yet."""
        return self._pictures.get(entry.key, self._placeholder)

    @property
    def is_complete(self) -> bool:
        """Whether all styles on disk have been drawn."""
        return all(entry.key in self._pictures for entry in self.entries if entry.on_disk)

    def _file(self, entry: Entry) -> Path:
        """Where its picture is kept: another file for another model of that name. Raises OSError without a model."""
        states = [(self._folder / file).stat() for file in entry.preset.files]
        mark = "".join(f"-{state.st_size:x}-{state.st_mtime_ns:x}" for state in states)
        return self._folder / PICTURES / f"{entry.key}-{zlib.crc32(mark.encode()):08x}.png"

    def draw(self, entry: Entry) -> None:
        """Make the picture of an entry, unless there is one, and keep it for the next start, if possible."""
        if entry.key in self._pictures:
            return
        stylizer, sample = self._load(entry.preset.source), sample_portrait()
        (cartoon,) = stylizer.render([sample], stylizer.fit(sample, CLOSE), style=entry.style)
        picture = self._pictures[entry.key] = thumbnail(cartoon)
        with suppress(OSError, InputError):  # of a folder that cannot be written
            write_whole(self._file(entry), bytes_of(picture.save, "PNG"))

    def try_to_draw(self, entry: Entry) -> None:
        """As `draw`; a model that does not load keeps the grey picture."""
        try:
            self.draw(entry)
        except InputError as error:
            cli.say(error)


def thumbnail(rgb: np.ndarray) -> Image.Image:
    """The upper middle square of a picture."""
    return ImageOps.fit(Image.fromarray(rgb), (SIDE, SIDE), centering=(0.5, 0))
