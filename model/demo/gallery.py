"""The styles that visitors choose from, each with a picture of the sample portrait in it."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from model import checkpoints
from model.common import cli
from model.common.errors import InputError
from model.common.hub import CHECKPOINTS
from model.inference.stylizer import Stylizer
from model.media.sample import sample_portrait
from model.styles.presets import PRESETS, Preset, describe_checkpoint

SIDE = 256
"""Side of a picture in pixels."""

CLOSE = (104, 104, 104, 104)
"""Padding around the eyes for a picture in which the face is large."""

PICTURES = ".pictures"
"""Folder of the checkpoint folder that keeps the pictures of models that are slow to draw them."""

MANY = 12
"""Models with more styles than this are one entry with a list of styles; others have one entry a style."""


@dataclass(frozen=True)
class Entry:
    """One picture of the gallery: a model, or one style of it."""

    key: str
    """Its name for the API, unique."""
    title: str
    preset: Preset
    ckpt: str
    """What `Stylizer.from_preset` calls the model."""
    style: str | None
    """Name of the exemplar; None: the model's own, or there is none."""
    on_disk: bool

    @property
    def caption(self) -> str:
        """What stands under the picture."""
        return self.title if self.on_disk else f"⤓ {self.title}"


def list_entries(folder: Path = CHECKPOINTS) -> list[Entry]:
    """All styles: those on disk first, the starters' before all; then those that would have to be fetched."""
    entries = [entry for preset in PRESETS for entry in _of_preset(preset, folder)]
    known = {(folder / preset.file).resolve() for preset in PRESETS}
    for path in sorted(folder.glob("*/vtoonify*.pt")):
        if path.resolve() not in known:  # the user has trained it
            entries += _of_own_model(path)
    return sorted(entries, key=lambda entry: not entry.on_disk)


def find_entry(entries: Sequence[Entry], key: str) -> Entry:
    """The entry of that key. Raises InputError when there is none."""
    for entry in entries:
        if entry.key == key:
            return entry
    raise InputError(f"There is no style {key!r}: choose one of {', '.join(entry.key for entry in entries)}.")


def _of_preset(preset: Preset, folder: Path) -> list[Entry]:
    on_disk = all((folder / file).is_file() for file in preset.files)
    if not preset.style_names:
        return [Entry(preset.name, preset.name, preset, preset.name, None, on_disk)]
    prefix = "" if preset is PRESETS[0] else f"{preset.name}-"
    title = f"{preset.mark} {{}}".format if preset.mark else str.capitalize
    return [
        Entry(prefix + name, title(name), preset, preset.name, name, on_disk) for name in preset.style_names
    ]


def _of_own_model(path: Path) -> list[Entry]:
    name = path.parent.name
    try:
        preset = describe_checkpoint(path)
        exemplars = list(checkpoints.load_exemplars(preset.exemplars)) if preset.exemplars else []
    except InputError:
        return []  # half copied, or something else: no visitor can mend it
    if not 0 < len(exemplars) <= MANY:
        return [Entry(name, name, preset, str(path), None, True)]
    stems = [Path(exemplar).stem for exemplar in exemplars]
    return [
        Entry(f"{name}-{stem}", f"{name}: {stem}", preset, str(path), exemplar, True)
        for stem, exemplar in zip(stems, exemplars, strict=True)
    ]


class Gallery:
    """Pictures of the entries, made when there is time and kept in the checkpoint folder."""

    def __init__(self, entries: Sequence[Entry], folder: Path = CHECKPOINTS):
        self.entries, self._folder = list(entries), folder
        sample = cv2.cvtColor(thumbnail(sample_portrait()[:360]), cv2.COLOR_RGB2GRAY).astype(np.float32)
        faint = (128 + 0.35 * (sample - 96)).clip(0, 255).astype(np.uint8)
        self._placeholder = cv2.cvtColor(faint, cv2.COLOR_GRAY2RGB)
        self._pictures: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        for entry in self.entries:
            file = self._file(entry)
            if file is not None and file.is_file() and (kept := cv2.imread(str(file))) is not None:
                self._pictures[entry.key] = cv2.cvtColor(kept, cv2.COLOR_BGR2RGB)

    def pictures(self) -> list[tuple[np.ndarray, str]]:
        """A picture RGB uint8 `[256, 256, 3]` and a caption for each entry; grey where it has not been drawn yet."""
        return [(self._pictures.get(entry.key, self._placeholder), entry.caption) for entry in self.entries]

    def is_drawn(self, entry: Entry) -> bool:
        """Whether the entry has its picture."""
        return entry.key in self._pictures

    def _file(self, entry: Entry) -> Path | None:
        """Where the picture of an entry is kept: another file for another model under the same name."""
        model = self._folder / entry.preset.file
        if not model.is_file():
            return None
        state = model.stat()
        return self._folder / PICTURES / f"{entry.key}-{state.st_size:x}-{state.st_mtime_ns:x}.png"

    def draw(self, entry: Entry, stylizer: Stylizer) -> None:
        """Make the picture of an entry with its model, unless there is one; keep it for the next start, if possible."""
        with self._lock:
            if self.is_drawn(entry):
                return
            sample = sample_portrait()
            (cartoon,) = stylizer.render([sample], stylizer.fit(sample, CLOSE), style=entry.style)
            picture = self._pictures[entry.key] = thumbnail(cartoon)
        if (file := self._file(entry)) is not None:
            with suppress(OSError):  # of a folder that cannot be written
                file.parent.mkdir(exist_ok=True)
                partial = file.with_suffix(".partial.png")
                cv2.imwrite(str(partial), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
                partial.replace(file)

    def draw_missing(self, load: Callable[[str], Stylizer]) -> None:
        """Draw all styles on disk that have no picture yet; a model that does not load keeps the grey one."""
        for entry in self.entries:
            if entry.on_disk and not self.is_drawn(entry):
                try:
                    self.draw(entry, load(entry.ckpt))
                except InputError as error:
                    cli.say(error)


def thumbnail(rgb: np.ndarray) -> np.ndarray:
    """The upper middle square of a picture, `[256, 256, 3]`."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    left = (width - side) // 2
    return cv2.resize(rgb[:side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
