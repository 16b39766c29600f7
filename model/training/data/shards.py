"""Stored pairs: tar shards in the layout that WebDataset reads.

A pair KEY is a few members KEY.PART. KEY.json holds facts about it, among them its kind and the name of its style:

    drawn      photo.jpg, full.jpg (the cartoon at style degree 1), partial.jpg (at a degree in between), json: `degree`
               of the partial cartoon, `landmarks` and `landmarks_full` (`[68, 2]`, (x, y) in pixels of the photo and of
               the full cartoon), `source` (name of the photo). A json without a kind is of this one.
    painted    photo.jpg, full.jpg, json: `landmarks` of both, `own_colours` (whether they are the style's and not the
               photo's), `source`; degrees in between are blends
    keyframe   photo.jpg (a frame of a clip), full.jpg (the same, painted by hand), json: `frame` (its number)
    stylised   photo.jpg, cartoon.jpg, parsing.npz (not where the network has no parser), code.npy, json
    features   photo.jpg, parsing.npz (likewise), code.npy, target.npz, json; for encoder pre-training

The last two are samples of a network teacher; `model.training.data.teacher_pairs` says what is in their parts.
"""

import io
import json
import tarfile
from collections import namedtuple
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from braceexpand import braceexpand

from model.common.errors import InputError
from model.common.files import write_whole

PICTURES = ("photo", "full", "partial")  # of pairs that no network made, as NAME.jpg, those that are there
SAMPLE_FACTS = {"style", "degree", "attribute", "affine", "size", "code", "classes"}
KINDS = {  # the members of each kind of pair beside its json, and what training needs to find in that
    "drawn": (("photo.jpg", "full.jpg", "partial.jpg"), {"style", "degree", "landmarks", "landmarks_full"}),
    "painted": (("photo.jpg", "full.jpg"), {"style", "landmarks", "own_colours"}),
    "keyframe": (("photo.jpg", "full.jpg"), {"style", "frame"}),
    "stylised": (("photo.jpg", "cartoon.jpg", "code.npy"), SAMPLE_FACTS | {"offset"}),
    "features": (("photo.jpg", "target.npz", "code.npy"), SAMPLE_FACTS),
}
HELD_OUT_EVERY = 50  # one photo in so many is kept for previews and the held-out error, never trained on
JPEG_FLAGS = [cv2.IMWRITE_JPEG_QUALITY, 95]
JPEG_FLAGS += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # halved chroma bleeds


Result = namedtuple("Result", "key parts skipped", defaults=[""])  # encoded parts of one pair, or why there are none


@dataclass(frozen=True)
class StoredPair:
    """Where the parts of one pair lie: part → (offset, length) in bytes of its shard. `source` is the same for all
    pairs of one photo, whatever the style and framing."""

    shard: Path
    key: str
    kind: str
    style: str
    source: str
    parts: dict[str, tuple[int, int]]

    def read(self, part: str) -> bytes:
        """Bytes of one member. InputError when the shard is gone."""
        try:
            with self.shard.open("rb") as file:
                file.seek(self.parts[part][0])
                return file.read(self.parts[part][1])
        except OSError as error:
            raise InputError(f"{self.shard} can't be read any more ({error.strerror}).") from error

    def picture(self, name: str) -> np.ndarray:
        """NAME.jpg, RGB uint8 `[S, S, 3]`, of a key frame `[H, W, 3]`. InputError when it can't be decoded."""
        data = np.frombuffer(self.read(f"{name}.jpg"), np.uint8)
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if bgr is None:
            raise damaged(self.shard, f"{self.key}.{name}.jpg is no picture")
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def facts(self) -> dict:
        """Contents of KEY.json, which `index_shard` has checked."""
        return json.loads(self.read("json"))


def damaged(shard: Path, reason: str) -> InputError:
    """The error that something in `shard` is wrong."""
    return InputError(f"{shard} is not a readable shard of pairs ({reason}): delete it and draw or fetch it again.")


def index_shard(shard: Path) -> list[StoredPair]:
    """List the pairs in one shard, in its order. InputError when it is damaged, cut off, or a pair lacks a part."""
    found, texts = {}, {}
    try:
        with tarfile.open(shard, "r:") as tar:  # a compressed one would have no offsets to read from
            for member in tar:
                key, _, part = member.name.partition(".")
                found.setdefault(key, {})[part] = (member.offset_data, member.size)
                if part == "json":
                    texts[key] = tar.extractfile(member).read()
            # tarfile takes a damaged header for the end, which is marked with zeros.
            tar.fileobj.seek(tar.offset)
            if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise damaged(shard, "its end is missing")
    except (tarfile.TarError, OSError) as error:
        raise damaged(shard, str(error)) from error
    return [_check_pair(shard, key, parts, texts.get(key)) for key, parts in found.items()]


def _check_pair(shard: Path, key: str, parts: dict[str, tuple[int, int]], text: bytes | None) -> StoredPair:
    """The pair of these members and KEY.json; InputError when it isn't whole."""
    if text is None:
        raise damaged(shard, f"{key}.json is missing")
    try:
        facts = {"kind": "drawn"} | json.loads(text)
    except (ValueError, TypeError) as error:  # a list, say
        raise damaged(shard, f"{key}.json is no JSON of a pair") from error
    kind = facts["kind"]
    if kind not in list(KINDS):  # which asks for no hash
        raise damaged(shard, f"{key}.json tells of an unknown kind, {kind!r}")
    members, wanted = KINDS[kind]
    if lacking := wanted - facts.keys():
        raise damaged(shard, f"{key}.json lacks {', '.join(sorted(lacking))}")
    for part in (*members, *(["parsing.npz"] if facts.get("classes") else [])):
        if part not in parts:
            raise damaged(shard, f"{key}.{part} is missing")
    return StoredPair(shard, key, kind, str(facts["style"]), str(facts.get("source", f"{shard}/{key}")), parts)


def index_pairs(sources: Sequence[str | Path]) -> list[StoredPair]:
    """List the pairs of `sources`, in order: folders with pairs-*.tar, .tar files, patterns (pairs-{00000..00026}.tar).
    Raises InputError when a source is missing or can't be read, or there are no pairs."""
    pairs = [pair for source in sources for shard in _find_shards(str(source)) for pair in index_shard(shard)]
    if not pairs:
        raise InputError(f"{', '.join(map(str, sources))} holds no pairs: write some with generate_data.py first.")
    return pairs


def _find_shards(source: str) -> list[Path]:
    if Path(source).is_dir():
        return sorted(Path(source).glob("pairs-*.tar"))
    try:
        names = [source] if Path(source).exists() else list(braceexpand(source, escape=False))
    except ValueError as error:
        raise InputError(f"{source} is no pattern: write numbers in braces as in {{00000..00026}}.") from error
    for name in names:
        if not Path(name).is_file() or not name.endswith(".tar"):
            reason = "is no shard of pairs" if Path(name).exists() else "does not exist"
            raise InputError(f"{name} {reason}: give a folder of pairs-*.tar, or .tar files.")
    return [Path(name) for name in names]


def list_styles(pairs: Iterable[StoredPair]) -> list[str]:
    """Names of the styles in `pairs`, sorted."""
    return sorted({pair.style for pair in pairs})


def kind_of(pairs: Sequence[StoredPair]) -> str:
    """The kind of all `pairs`, one of KINDS. InputError when they are mixed."""
    (kind, shard), *others = {pair.kind: pair.shard for pair in pairs}.items()
    for other, odd in others:
        raise InputError(f"{shard} holds {kind} pairs and {odd} {other} ones: give --pairs of one kind.")
    return kind


def split_held_out(pairs: Sequence[StoredPair]) -> tuple[list[StoredPair], list[StoredPair]]:
    """Split into pairs for training and pairs held out: those of every 50th photo, or of a single photo every 50th."""
    photos = [pair.source for pair in pairs]
    if len(set(photos)) == 1:
        photos = range(len(pairs))
    held_out, split = set(list(dict.fromkeys(photos))[::HELD_OUT_EVERY]), ([], [])
    for photo, pair in zip(photos, pairs, strict=True):
        split[photo in held_out].append(pair)
    return split


def encode_picture(rgb: np.ndarray) -> bytes:
    """A JPEG of RGB uint8 `[H, W, 3]`."""
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), JPEG_FLAGS)[1].tobytes()


def encode_pair(photo: np.ndarray, full: np.ndarray, partial: np.ndarray | None, facts: dict) -> dict[str, bytes]:
    """Part → bytes of a pair of RGB uint8 pictures `[S, S, 3]`; `facts` as the module describes them. partial: None for
    pairs that have none."""
    pictures = zip(PICTURES, (photo, full, partial), strict=True)
    parts = {f"{name}.jpg": encode_picture(rgb) for name, rgb in pictures if rgb is not None}
    return parts | {"json": json.dumps(facts).encode()}


def write_shard(path: Path, pairs: Iterable[tuple[str, dict[str, bytes]]]) -> None:
    """Write pairs (key, parts) as they come; the file is there when all are in. InputError when it can't be."""

    def write(partial: Path) -> None:
        with tarfile.open(partial, "w") as tar:
            for key, parts in pairs:
                for part, data in parts.items():
                    member = tarfile.TarInfo(f"{key}.{part}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))

    write_whole(path, write)
