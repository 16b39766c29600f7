"""Files of the checkpoint folder, fetched from the authors' repository on the Hugging Face hub where missing."""

from contextlib import suppress
from pathlib import Path

from model.common.errors import InputError

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoint"

REPOSITORY = "PKUWilliamYang/VToonify"
"""Where the authors of VToonify publish its weights; checkpoint/NAME here is models/NAME there."""

SHIPPED = ("starter", "starter_pd")
"""Folders of checkpoint/ with models that come with this project and are on no hub."""

FETCHING = ".fetching"
"""Folder of checkpoint/ that holds what is half fetched, to be resumed."""

ANSWER_WITHIN = 5.0
"""Seconds for the hub to answer at all. Its library would try for minutes where there is no network."""


def ensure_file(name: str, folder: str | Path = CHECKPOINTS) -> Path:
    """Path of checkpoint/NAME, which is fetched first if it is not on disk.

    Args:
        name: path below `folder`, such as "vtoonify_d_cartoon/vtoonify_s_d.pt"; an absolute path must exist.

    Raises InputError, with where to get the file and where to put it, when it can't be had.
    """
    folder = Path(folder)
    target = folder / name
    if target.is_file():
        return target
    if not target.is_relative_to(folder):
        raise InputError(f"{target} does not exist: put the file there or give another path.")
    inside = target.relative_to(folder)
    if inside.parts[0] in SHIPPED:
        raise InputError(f"{target} is missing although it comes with this project: restore it from the repository.")
    return _fetch(f"models/{inside.as_posix()}", target, folder / FETCHING)


def fetched_bytes(folder: str | Path = CHECKPOINTS) -> int:
    """How much of files that are being fetched is there already."""
    total = 0
    for path in (Path(folder) / FETCHING).rglob("*"):
        with suppress(FileNotFoundError):  # it was finished, and moved, just now
            total += path.stat().st_size if path.is_file() else 0
    return total


def _fetch(remote: str, target: Path, fetching: Path) -> Path:
    """Fetch `remote` with a progress bar and move it to `target`, or use the copy in the hub's own cache."""
    # Imported here: it takes longer to import than all of this project's modules, and is rarely needed.
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HTTPError, XetDownloadError

    cached = try_to_load_from_cache(REPOSITORY, remote)
    if isinstance(cached, str):
        return Path(cached)
    url = hf_hub_url(REPOSITORY, remote)
    try:
        get_hf_file_metadata(url, token=False, timeout=ANSWER_WITHIN)
        fetched = hf_hub_download(REPOSITORY, remote, local_dir=fetching, token=False)
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(fetched).replace(target)
    except (HTTPError, XetDownloadError, OSError, ValueError) as error:
        raise InputError(
            f"{remote.removeprefix('models/')} is not on this machine and could not be fetched ({_reason(error)}): "
            f"download {url} and put it at {target}."
        ) from error


def _reason(error: Exception) -> str:
    """One clause in place of the library's paragraph."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if (response := getattr(error, "response", None)) is not None:
        return f"the server answered {response.status_code}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "no connection to the server"
