"""Reads TensorFlow's checkpoints (`NAME.index` and `NAME.data-00000-of-00001`) without TensorFlow, and without trust.

The index is a sorted table as LevelDB writes it: blocks of entries, of whose keys only what differs from the one before
is there, then a block of where the blocks are, then a footer. Values are protocol buffers: kind, shape, place in the
data file.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from model.common.errors import InputError

MAGIC = bytes.fromhex("57fb808b247547db")  # which ends the index
FOOTER, TRAILER = 48, 5  # bytes: at the end of the file; behind each block (compression and checksum)
KINDS = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}  # of numbers, as far as networks have them
KIND, SHAPE, SHARD, OFFSET, SIZE, SLICES = 1, 2, 3, 4, 5, 7  # fields of an entry
Fields = dict[int, list[int | bytes]]


def checkpoint_prefix(path: str | Path) -> Path:
    """What a checkpoint is called without the endings of its two files, one of which `path` may name."""
    path = Path(path)
    name = path.name.removesuffix(".index").removesuffix(".meta").partition(".data-")[0]
    return path.with_name(name)


def read_checkpoint(path: str | Path, expected: str) -> dict[str, np.ndarray]:
    """All arrays of numbers in a checkpoint, by name. path: as `checkpoint_prefix` takes it. expected: what it should
    be, for the InputError where it is not."""
    prefix = checkpoint_prefix(path)
    index, data = prefix.with_name(prefix.name + ".index"), prefix.with_name(prefix.name + ".data-00000-of-00001")
    for file in (index, data):
        if not file.is_file():
            raise InputError(
                f"{file} does not exist: {expected} was expected, in two files, {index.name}, {data.name}."
            )
    try:
        return dict(_arrays(index.read_bytes(), data.read_bytes()))
    except OSError as error:
        raise InputError(f"{prefix} ({expected}) can't be read: {error.strerror or error}.") from error
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{index} is not {expected}: it is damaged or of another kind ({error}).") from error


def _arrays(index: bytes, data: bytes) -> Iterator[tuple[str, np.ndarray]]:
    if index[-len(MAGIC) :] != MAGIC:
        raise ValueError("no table")
    footer = index[-FOOTER:]
    _, place = _numbers(footer, 0, 2)  # of a block that is not needed
    blocks, _ = _numbers(footer, place, 2)
    for _, handle in _entries(index, *blocks):
        for name, value in _entries(index, *_numbers(handle, 0, 2)[0]):
            if name and (array := _array(_fields(value), data)) is not None:  # the entry without a name is a header
                yield name.decode(), array


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place


def _numbers(data: bytes, place: int, count: int) -> tuple[list[int], int]:
    found = []
    for _ in range(count):
        value, place = _number(data, place)
        found.append(value)
    return found, place


def _entries(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block."""
    block = table[offset : offset + size + TRAILER]
    if len(block) != size + TRAILER or size < 4:
        raise ValueError("it is cut off")
    if block[size]:
        raise ValueError("it is compressed")
    restarts = int.from_bytes(block[size - 4 : size], "little")
    place, end, key = 0, size - 4 * (restarts + 1), b""
    while place < end:
        (shared, own, length), place = _numbers(block, place, 3)
        key = key[:shared] + block[place : place + own]
        value = block[place + own : place + own + length]
        place += own + length
        yield key, value


def _fields(message: bytes) -> Fields:
    """Numbers and bytes of a protocol buffer, by field."""
    found: Fields = {}
    place = 0
    while place < len(message):
        tag, place = _number(message, place)
        if tag & 7 == 0:
            value, place = _number(message, place)
        elif tag & 7 == 2:
            size, place = _number(message, place)
            value, place = message[place : place + size], place + size
        elif tag & 7 == 5:  # a checksum
            value, place = int.from_bytes(message[place : place + 4], "little"), place + 4
        else:
            raise ValueError("unknown kind of field")
        found.setdefault(tag >> 3, []).append(value)
    return found


def _array(entry: Fields, data: bytes) -> np.ndarray | None:
    """The numbers of an entry; None for text and the like."""
    kind = KINDS.get(entry.get(KIND, [0])[0])
    if kind is None:
        return None
    if SLICES in entry or entry.get(SHARD, [0])[0]:
        raise ValueError("it is in several parts")
    sides = [_fields(side).get(1, [0])[0] for side in _fields(entry.get(SHAPE, [b""])[0]).get(2, [])]
    offset, size = (entry.get(field, [0])[0] for field in (OFFSET, SIZE))
    dtype = np.dtype(kind)
    if size != int(np.prod(sides, dtype=object)) * dtype.itemsize or offset + size > len(data):
        raise ValueError("its data file is of another size")
    return np.frombuffer(data, dtype, size // dtype.itemsize, offset).reshape(sides)
