"""What of a large job is done, noted in the folder of the results."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import torch

from model.common.errors import InputError
from model.common.hub import CHECKPOINTS
from model.inference.options import Options
from model.inference.stylizer import Portrait, Stylizer

FILE_NAME = "manifest.jsonl"

OF_THE_MACHINE = ("content", "output_path", "resume", "device", "cpu", "precision", "batch_size", "tile", "compile")
"""Options that don't change what the result shows."""


class Manifest:
    """One line of JSON for each content that is done, in `folder`; several processes may add lines."""

    def __init__(self, folder: Path):
        self._path = folder / FILE_NAME
        self._done: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    self._done[entry["content"]] = entry
                except (ValueError, KeyError, TypeError):
                    continue  # a line that was being written when the power went

    def has(self, content: str, options: Options) -> bool:
        """Whether `content` is done: the same file, with the same options, and its result is still there."""
        entry = self._done.get(content)
        if entry is None or any(entry.get(name) != fact for name, fact in facts_of(content, options).items()):
            return False
        return (self._path.parent / entry["result"]).is_file()

    def add(self, content: str, options: Options, result: Path) -> None:
        """Note that `result`, a file in the folder, was made of `content`."""
        entry = facts_of(content, options) | {"result": result.name}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def facts_of(content: str, options: Options) -> dict[str, Any]:
    """What a result is made of: content, its state, options that change the look. InputError as `state_of`."""
    look = {name: value for name, value in asdict(options).items() if name not in OF_THE_MACHINE}
    size, changed = state_of(content) or (None, None)  # numbered photos: their names are what is known
    return {"content": content, "size": size, "changed": changed, "look": look}


def ingredients(content: str, options: Options, fitted: list[tuple[Stylizer, Portrait]]) -> dict[str, Any]:
    """All that a result of `fitted` people in `content` depends on, as JSON can hold it; InputError as `state_of`."""
    files = [CHECKPOINTS / file for stylizer, _ in fitted for file in stylizer.preset.files]
    given = [value for name, value in vars(options).items() if name.endswith("_path") and name not in OF_THE_MACHINE]
    return facts_of(content, options) | {
        "files": {str(file): state_of(file) for file in [*files, *filter(None, given)]},
        "crops": [asdict(portrait.crop) for _, portrait in fitted],
        "libraries": [torch.__version__, av.__version__],  # another one may round otherwise
    }


def state_of(path: str | Path) -> tuple[int, int] | None:
    """Size in bytes and time of the last change in ns; None where there is no such file. InputError if none is told."""
    try:
        state = Path(path).stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the permissions.") from error
    return state.st_size, state.st_mtime_ns
