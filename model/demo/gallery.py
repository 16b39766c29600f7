"""The styles that visitors choose from, each with a picture of the sample portrait in it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from model import checkpoints
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
    entries += [entry for path in _own_models(folder) for entry in _of_model(path)]
    return sorted(entries, key=lambda entry: not entry.on_disk)


def find_entry(entries: Sequence[Entry], key: str) -> Entry:
    """The entry of that key. Raises InputError when there is none."""
    for entry in entries:
        if entry.key == key:
            return entry
    raise InputError(f"There is no style {key!r}: choose one of {', '.join(entry.key for entry in entries)}.")


def _of_preset(preset: Preset, folder: Path) -> list[Entry]:
    on_disk = all((folder / file).is_file() for file in preset.files)
    if preset.style_names:
        prefix = "" if preset is PRESETS[0] else f"{preset.name}-"
        titles = [f"{preset.mark} {name}" if preset.mark else name.capitalize() for name in preset.style_names]
        return [Entry(f"{prefix}{name}", title, preset, preset.name, name, on_disk)
                for name, title in zip(preset.style_names, titles, strict=True)]
    return [Entry(preset.name, preset.name, preset, preset.name, None, on_disk)]


def _own_models(folder: Path) -> list[Path]:
    """Models in the checkpoint folder that are nobody's preset: the user has trained them."""
    known = {(folder / preset.file).resolve() for preset in PRESETS}
    return sorted(path for path in folder.glob("*/vtoonify*.pt") if path.resolve() not in known)


def _of_model(path: Path) -> list[Entry]:
    name = path.parent.name
    try:
        preset = describe_checkpoint(path)
        exemplars = list(checkpoints.load_exemplars(preset.exemplars)) if preset.exemplars else [None]
    except InputError:
        return []  # half copied, or something else: no visitor can mend it
    if len(exemplars) > MANY:
        return [Entry(name, name, preset, str(path), None, True)]
    titles = [name if style is None else f"{name}: {Path(style).stem}" for style in exemplars]
    return [Entry(title.replace(": ", "-"), title, preset, str(path), style, True)
            for title, style in zip(titles, exemplars, strict=True)]


class Gallery:
    """Pictures of the entries, made when there is time and kept in the checkpoint folder."""

    def __init__(self, entries: Sequence[Entry], folder: Path = CHECKPOINTS):
        self.entries, self._folder = list(entries), folder / PICTURES
        self._sample = thumbnail(sample_portrait()[:360])
        self._pictures: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()

    def pictures(self) -> list[tuple[np.ndarray, str]]:
        """A picture RGB uint8 `[256, 256, 3]` and a caption for each entry; grey where it has not been drawn yet."""
        return [(self._picture(entry), entry.caption) for entry in self.entries]

    def _picture(self, entry: Entry) -> np.ndarray:
        picture = self._pictures.get(entry.key)
        if picture is None and (kept := self._kept(entry)) is not None and kept.is_file():
            picture = self._pictures[entry.key] = cv2.cvtColor(cv2.imread(str(kept)), cv2.COLOR_BGR2RGB)
        return placeholder(self._sample, entry.on_disk) if picture is None else picture

    def _kept(self, entry: Entry) -> Path | None:
        """Where the picture of an entry is kept: another file for another model under the same name."""
        file = self._folder.parent / entry.preset.file
        if not file.is_file():
            return None
        state = file.stat()
        return self._folder / f"{entry.key}-{state.st_size:x}-{state.st_mtime_ns:x}.png"

    def is_drawn(self, entry: Entry) -> bool:
        """Whether the entry has its picture."""
        kept = self._kept(entry)
        return entry.key in self._pictures or (kept is not None and kept.is_file())

    def draw(self, entry: Entry, stylizer: Stylizer) -> None:
        """Make the picture of an entry with its model, unless there is one."""
        with self._lock:
            if self.is_drawn(entry):
                return
            sample = sample_portrait()
            (cartoon,) = stylizer.render([sample], stylizer.fit(sample, CLOSE), style=entry.style)
            picture = self._pictures[entry.key] = thumbnail(cartoon)
            kept = self._kept(entry)
            if kept is not None:
                _keep(kept, picture)


def _keep(path: Path, picture: np.ndarray) -> None:
    """Write a picture for the next start; where the folder can't be written, it is drawn anew then."""
    try:
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(".partial.png")
        cv2.imwrite(str(partial), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        partial.replace(path)
    except OSError:
        return


def thumbnail(rgb: np.ndarray) -> np.ndarray:
    """The upper middle square of a picture, `[256, 256, 3]`."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    left = (width - side) // 2
    square = rgb[:side, left : left + side]
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def placeholder(sample: np.ndarray, on_disk: bool) -> np.ndarray:
    """The sample portrait, faint and grey: a style nobody has drawn here yet; with an arrow, if it must be fetched."""
    grey = cv2.cvtColor(cv2.cvtColor(sample, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    picture = (128 + 0.35 * (grey.astype(np.float32) - 96)).clip(0, 255).astype(np.uint8)
    if not on_disk:
        middle, reach = SIDE // 2, SIDE // 6
        ends = (middle, middle - reach), (middle, middle + reach)
        cv2.arrowedLine(picture, *ends, (255, 255, 255), 6, cv2.LINE_AA, tipLength=0.4)
        floor = middle + reach + 14
        cv2.line(picture, (middle - reach, floor), (middle + reach, floor), (255, 255, 255), 6, cv2.LINE_AA)
    return picture
