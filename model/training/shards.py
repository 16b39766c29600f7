"""Stored pairs (photo, cartoon): tar shards in the layout that WebDataset reads.

A pair KEY is four members: KEY.photo.jpg, KEY.full.jpg (the cartoon at style degree 1), KEY.partial.jpg (at a degree
in between) and KEY.json: `style`, `degree` (of the partial cartoon), `landmarks` and `landmarks_full` (`[68, 2]`,
(x, y) in pixels of the photo and of the full cartoon), and what else its maker wants to be remembered.
"""

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from model.errors import InputError

PICTURES = ("photo", "full", "partial")
PARTS = (*(f"{name}.jpg" for name in PICTURES), "json")
NEEDED_FACTS = {"style", "degree", "landmarks", "landmarks_full"}

JPEG_FLAGS = [
    cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
]  # fmt: skip
"""Thin coloured lines would bleed with the usual halved chroma."""

PREVIEW_ROWS, PREVIEW_SIZE = 12, 256


@dataclass(frozen=True)
class StoredPair:
    """Where the parts of one pair lie: part → (offset, length) in bytes of its shard."""

    shard: Path
    key: str
    parts: dict[str, tuple[int, int]]

    def read(self, part: str) -> bytes:
        """Bytes of one of `PARTS`. InputError when the shard is gone."""
        offset, length = self.parts[part]
        try:
            with self.shard.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise InputError(f"{self.shard} can't be read any more ({error.strerror}).") from error

    def picture(self, name: str) -> np.ndarray:
        """One of `PICTURES`, RGB uint8 `[S, S, 3]`. InputError when it can't be decoded."""
        data = np.frombuffer(self.read(f"{name}.jpg"), np.uint8)
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if bgr is None:
            raise _damaged(self.shard, f"{self.key}.{name}.jpg is no picture")
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def facts(self) -> dict:
        """Contents of KEY.json. InputError when it lacks what training needs."""
        try:
            facts = json.loads(self.read("json"))
        except ValueError as error:
            raise _damaged(self.shard, f"{self.key}.json is no JSON") from error
        if not isinstance(facts, dict) or not facts.keys() >= NEEDED_FACTS:
            raise _damaged(self.shard, f"{self.key}.json lacks one of {', '.join(sorted(NEEDED_FACTS))}")
        return facts


def _damaged(shard: Path, reason: str) -> InputError:
    return InputError(f"{shard} is not a readable shard of pairs ({reason}): delete it and draw it again.")


def index_shard(shard: Path) -> list[StoredPair]:
    """List the pairs in one shard, in its order. InputError when it is damaged or a pair lacks a part."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(shard, "r:") as tar:  # a compressed one would have no offsets to read from
            for member in tar:
                key, _, part = member.name.partition(".")
                found.setdefault(key, {})[part] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise _damaged(shard, str(error)) from error
    for key, parts in found.items():
        if missing := [part for part in PARTS if part not in parts]:
            raise _damaged(shard, f"{key}.{missing[0]} is missing")
    return [StoredPair(shard, key, parts) for key, parts in found.items()]


def index_shards(folder: str | Path) -> list[StoredPair]:
    """List the pairs in all `pairs-*.tar` of `folder`; InputError when there are none or a shard is damaged."""
    pairs = [pair for shard in sorted(Path(folder).glob("pairs-*.tar")) for pair in index_shard(shard)]
    if not pairs:
        raise InputError(f"{folder} holds no pairs in files pairs-*.tar: write some with generate_data.py first.")
    return pairs


def list_styles(pairs: Iterable[StoredPair]) -> list[str]:
    """Names of the styles in `pairs`, sorted."""
    return sorted({pair.facts()["style"] for pair in pairs})


def encode_pair(photo: np.ndarray, full: np.ndarray, partial: np.ndarray, facts: dict) -> dict[str, bytes]:
    """Part → bytes of a pair of RGB uint8 pictures `[S, S, 3]`; `facts` as the module describes them."""
    members = {}
    for name, rgb in zip(PICTURES, (photo, full, partial), strict=True):
        members[f"{name}.jpg"] = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), JPEG_FLAGS)[1].tobytes()
    return members | {"json": json.dumps(facts).encode()}


def write_shard(path: Path, pairs: Iterable[tuple[str, dict[str, bytes]]]) -> None:
    """Write pairs (key, parts) as they come; the file gets its name when all are in, before that none is left behind.

    Raises InputError when the place can't be written or the disk is full.
    """
    temporary = path.with_suffix(".tar.part")  # readers look for pairs-*.tar
    try:
        with tarfile.open(temporary, "w") as tar:
            for key, parts in pairs:
                for part, data in parts.items():
                    member = tarfile.TarInfo(f"{key}.{part}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path} can't be written ({error.strerror or error}).") from error
    finally:
        temporary.unlink(missing_ok=True)


def preview_sheet(shards: list[Path]) -> np.ndarray | None:
    """Photo, full and partial cartoon of the first pairs of each shard, RGB uint8; None when the shards are empty."""
    each = -(-PREVIEW_ROWS // max(len(shards), 1))
    pairs = [pair for shard in shards for pair in index_shard(shard)[:each]]
    rows = []
    for pair in pairs[:PREVIEW_ROWS]:
        size = (PREVIEW_SIZE, PREVIEW_SIZE)
        small = [cv2.resize(pair.picture(name), size, interpolation=cv2.INTER_AREA) for name in PICTURES]
        rows.append(np.hstack(small))
    return np.vstack(rows) if rows else None
