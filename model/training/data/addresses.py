"""Where shards of pairs are: folders, files, addresses on the network, patterns of these, lists of all of them.

What lies on the network is fetched whole into a cache, so that its pairs are read at random like those on disk, and
training from a list is exactly reproducible.
"""

import hashlib
import os
import re
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from filelock import FileLock

from model.common.errors import InputError

Check = Callable[[Path], object]
"""Reads a shard and raises InputError when it is damaged."""

SERIES = re.compile(r"\{(\d+)\.\.(\d+)\}")
"""The part of a pattern that stands for a series of numbers, `{00000..00026}`."""

ANSWER_WITHIN = 30.0
"""Seconds of silence after which a server is given up."""

HINT = "give a folder of pairs-*.tar, a .tar file, its http(s) address or a list of such"


def find_shards(sources: Sequence[str | Path], check: Check) -> list[Path]:
    """The shards on this machine that `sources` name, in order; those on the network are fetched if need be.

    A source is a folder with pairs-*.tar, a .tar file, its http(s) address, either of these with series of numbers in
    braces, or a text file with one such source on each line, relative to its own folder.
    Raises InputError when something is missing or can't be fetched.
    """
    return [shard for source in sources for shard in _resolve(str(source), check)]


def _resolve(source: str, check: Check, base: Path | None = None) -> Iterator[Path]:
    """Shards of one source. `base` is the folder of the list it stands in, if it does."""
    if is_address(source):
        for address in expand(source):
            yield fetch(address, check)
        return
    path = (base or Path()) / source
    if path.is_dir():
        yield from _in_folder(path)
    elif path.is_file() and path.suffix != ".tar" and base is None:
        for line in _lines(path):
            yield from _resolve(line, check, path.parent)
    else:
        shards = [path] if path.exists() else [Path(name) for name in expand(str(path))]
        for shard in shards:
            if not shard.is_file():
                raise InputError(f"{shard} does not exist: {HINT}.")
            if shard.suffix != ".tar":
                raise InputError(f"{shard} is no shard of pairs: {HINT}.")
        yield from shards


def _in_folder(folder: Path) -> list[Path]:
    shards = sorted(folder.glob("pairs-*.tar"))
    if not shards:
        raise InputError(f"{folder} holds no pairs in files pairs-*.tar: write some with generate_data.py first.")
    return shards


def _lines(path: Path) -> list[str]:
    """Sources in a list; empty lines and those that start with # don't count."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no list of shards: {HINT}.") from error
    sources = [line for line in lines if line and not line.startswith("#")]
    if not sources:
        raise InputError(f"{path} lists no shards: write one path or address on each line.")
    return sources


def is_address(source: str) -> bool:
    """Whether `source` lies on the network."""
    return source.startswith(("http://", "https://"))


def expand(pattern: str) -> list[str]:
    """`pattern` with every `{first..last}` replaced by each number of the series, as wide as `first` is written.

    Raises InputError for braces that hold something else, and for a series without a number.
    """
    series = SERIES.search(pattern)
    if series is None:
        if "{" in pattern:
            raise InputError(f"{pattern} is a pattern that says nothing: write numbers as in {{00000..00026}}.")
        return [pattern]
    first, last = series.groups()
    if int(first) > int(last):
        raise InputError(f"{pattern} matches nothing: write the smaller number first.")
    numbers = (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
    rests = expand(pattern[series.end() :])
    return [pattern[: series.start()] + number + rest for number in numbers for rest in rests]


def cache_folder() -> Path:
    """Where fetched shards are kept; nothing in it is needed for good."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vtoonify" / "shards"


def fetch(address: str, check: Check) -> Path:
    """The shard at `address` in the cache, whole and readable; of several processes, one fetches it.

    A shard that has changed at the same address is not noticed: delete it from the cache. Raises InputError.
    """
    name = PurePosixPath(urlsplit(address).path).name
    if not name.endswith(".tar"):
        raise InputError(f"{address} is no address of a .tar file: {HINT}.")
    target = cache_folder() / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}-{name}"
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            if not target.is_file():  # another process may have been first
                _download(address, target, check)
    except OSError as error:
        raise InputError(f"{target} can't be written ({error.strerror or error}).") from error
    return target


def _download(address: str, target: Path, check: Check) -> None:
    """Fetch `address` and put it at `target` if it is a readable shard."""
    # Imported here: torch is slow to import, and the processes that draw pairs have no other need of it.
    from torch.hub import download_url_to_file

    partial = target.with_suffix(".fetching")
    print(f"fetching {address}", file=sys.stderr)
    try:
        with _patience(ANSWER_WITHIN):
            download_url_to_file(address, str(partial), progress=True)
        check(partial)
        partial.replace(target)
    except InputError as error:
        raise InputError(
            f"{address} is not a readable shard of pairs: check the address, or fetch it again."
        ) from error
    except (HTTPException, URLError, ssl.SSLError, TimeoutError, ConnectionError, ValueError) as error:
        raise InputError(
            f"{address} could not be fetched ({_reason(error)}): check address and connection, or fetch the file in "
            "another way and give its path."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Within the block, new connections that are silent for so long fail."""
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)


def _reason(error: Exception) -> str:
    """One clause in place of the library's message."""
    if isinstance(error, HTTPError):
        return f"the server answered {error.code}"
    if isinstance(error, URLError) and isinstance(error.reason, OSError):
        return error.reason.strerror or "no answer"
    return "the connection broke"
