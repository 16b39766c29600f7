"""What of a large job is done, noted in the folder of the results."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.errors import InputError

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

    def has(self, content: str, options: Any) -> bool:
        """Whether `content` is done: the same file, with the same options, and its result is still there."""
        entry = self._done.get(content)
        if entry is None or any(entry.get(name) != fact for name, fact in self._facts(content, options).items()):
            return False
        return (self._path.parent / entry["result"]).is_file()

    def add(self, content: str, options: Any, result: Path) -> None:
        """Note that `result`, a file in the folder, was made of `content`."""
        entry = self._facts(content, options) | {"result": result.name}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    @staticmethod
    def _facts(content: str, options: Any) -> dict[str, Any]:
        look = {name: value for name, value in asdict(options).items() if name not in OF_THE_MACHINE}
        try:
            state = Path(content).stat()
            size, changed = state.st_size, state.st_mtime_ns
        except FileNotFoundError:  # numbered photos: their names are what is known
            size = changed = None
        except OSError as error:
            raise InputError(f"cannot read {content}: {error.strerror}; check the permissions.") from error
        return {"content": content, "size": size, "changed": changed, "look": look}
