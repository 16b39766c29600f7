"""Weight files that are fetched when they are missing: the authors' from the Hugging Face hub, VGG-16 by torch.hub."""

import socket
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from model.common.errors import InputError
from model.common.files import publish

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoint"
REPOSITORY = "PKUWilliamYang/VToonify"  # the authors'; checkpoint/NAME here is models/NAME there
EXEMPLAR_FILE = "exstyle_code.npy"  # beside a VToonify-D model, the codes of its exemplars
PARSER_FILE, FLOW_FILE = "faceparsing.pth", "raft-things.pth"  # face parser and optical flow; RAFT is on no hub
SHIPPED = (
    "exemplars",
    "mobile",
    "starter",
    "starter_pd",
)  # folders of checkpoint/ with what come with this project, on no hub
FETCHING = ".fetching"  # folder of checkpoint/ for files that are being fetched; a broken download is resumed from it
ANSWER_WITHIN = 5.0  # seconds for a server to answer; both libraries would try for minutes where there is no network


class NotFetched(InputError):
    """A file that is missing and can't be had; `reason` is the sentence without what only the server's owner can do."""

    def __init__(self, reason: str, advice: str):
        super().__init__(f"{reason}: {advice}.")
        self.reason = reason


def ensure_file(name: str, folder: str | Path = CHECKPOINTS) -> Path:
    """Path of checkpoint/NAME, which is fetched first, with a progress bar, if it is not on disk.
    name: path below `folder`; an absolute path must exist. Raises InputError, with where to get and put the file."""
    folder, target = Path(folder), Path(folder, name)
    if target.is_file():
        return target
    if not target.is_relative_to(folder):
        raise InputError(f"{target} does not exist: put the file there or give another path.")
    inside = target.relative_to(folder)
    if inside.parts[0] in SHIPPED:
        raise InputError(f"{target} is missing although it comes with this project: restore it from the repository.")
    # Imported here: it takes longer to import than all of this project's modules, and is rarely needed.
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HTTPError, XetDownloadError

    remote = f"models/{inside.as_posix()}"
    if isinstance(cached := try_to_load_from_cache(REPOSITORY, remote), str):
        return Path(cached)
    url = hf_hub_url(REPOSITORY, remote)
    try:
        get_hf_file_metadata(url, token=False, timeout=ANSWER_WITHIN)
        fetched = hf_hub_download(REPOSITORY, remote, local_dir=folder / FETCHING, token=False)
        target.parent.mkdir(parents=True, exist_ok=True)
        publish(Path(fetched), target)
        return target
    except (HTTPError, XetDownloadError, OSError, ValueError) as error:
        if target.is_file():  # another process fetched it and took it away from here
            return target
        raise _not_fetched(inside.as_posix(), error, url, target) from error


def fetched_bytes(folder: str | Path = CHECKPOINTS) -> int:
    """Bytes on disk of the files that `ensure_file` is fetching at the moment."""
    total = 0
    for path in (Path(folder) / FETCHING).rglob("*"):
        with suppress(FileNotFoundError):  # it was finished, and moved, just now
            total += path.stat().st_size if path.is_file() else 0
    return total


def vgg_on_disk(layers: int) -> Path | None:
    """Path of torchvision's VGG-16 or VGG-19 in the cache of `torch.hub`, None where it is not there."""
    import torch
    from torchvision.models import VGG16_Weights, VGG19_Weights

    weights = {16: VGG16_Weights, 19: VGG19_Weights}[layers].IMAGENET1K_V1
    path = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
    return path if path.is_file() else None


def ensure_vgg(without: str = "--perc_loss 0") -> Path:
    """Path of torchvision's VGG-16 (528 MB) in the cache of `torch.hub`; fetched first if it is not there. InputError
    when it can't be had, which names the options that do `without`."""
    import torch
    from torchvision.models import VGG16_Weights

    url = VGG16_Weights.IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if path.is_file():
        return path
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(ANSWER_WITHIN)  # torch.hub sets none
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2])
    except (OSError, HTTPException, RuntimeError) as error:
        what = f"{path.name} (VGG-16, for the perceptual loss)"
        raise _not_fetched(what, error, url, path, f", or go on with {without}") from error
    finally:
        socket.setdefaulttimeout(previous)
    return path


def _not_fetched(what: str, error: Exception, url: str, target: Path, otherwise: str = "") -> NotFetched:
    """A clause about the failure in place of the message of urllib, torch.hub or huggingface_hub, and what to do."""
    status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "code", None)
    if "HF_HUB_OFFLINE" in str(error):
        reason = "HF_HUB_OFFLINE is set"
    elif isinstance(status, int):
        reason = f"the server answered {status}"
    elif isinstance(error, RuntimeError):  # torch.hub compares the beginning of the hash
        reason = "what came was damaged"
    else:
        own = None if isinstance(error, ConnectionError | TimeoutError) else getattr(error, "strerror", None)
        reason = own or "no connection to the server"
    missing = f"{what} is not on this machine and could not be fetched ({reason})"
    return NotFetched(missing, f"download {url} and put it at {target}{otherwise}")
