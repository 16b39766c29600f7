"""Parsing maps of a video, smoothed along the optical flow while it is read (VToonify, Sec. 4.4), and their files.

Frame i is smoothed once frame i + radius is known, so that memory depends on the window, not on the length. Each
ordered pair of frames needs one flow, from the frame to its neighbour; none serves twice.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from model import checkpoints
from model.bisenet import PARSER_GAIN
from model.common.errors import InputError
from model.common.hub import ensure_file
from model.common.tensors import to_tensor
from model.common.weight_files import write_whole
from model.faces.crop import FaceCrop
from model.ops import blur_downsample
from model.parsing.smooth import RADIUS, Neighbour, enlarge, open_parsing_maps, smooth_one, window
from model.raft import RAFT

SUFFIX = "_parsingmap"
"""Between a video's name and the ending of its file of maps, as the published program has it."""

RAFT_PATH = "checkpoint/raft-things.pth"
"""Where the optical flow network is expected."""

ABOUT, COMPLETE = "about", "complete"
"""Members of a file of maps beside the maps: what they are of, and that none is missing."""

DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)
"""What reading a broken archive raises."""


def load_flow(path: str, device: torch.device) -> RAFT:
    """The optical flow network in the file `path`, ready to be used. Raises InputError where it is not there."""
    return checkpoints.load_optical_flow(ensure_file(Path(path).absolute())).eval().requires_grad_(False).to(device)


class Smoother:
    """Parses the frames of a video and smooths the logits over time.

    Args:
        parser: BiSeNet, on `device`.
        flow: RAFT, or anything that gives the flow `[1, 2, H, W]` from one picture `[1, 3, H, W]` to another.
        radius: frames on each side that take part.
        dtype: arithmetic of the parser, and on CUDA of the flow; sums are float32.
    """

    def __init__(
        self,
        parser: nn.Module,
        flow: Callable[[Tensor, Tensor], Tensor],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        radius: int = RADIUS,
    ):
        self.parser, self.flow, self.device, self.dtype, self.radius = parser, flow, device, dtype, radius

    @torch.no_grad()
    def maps(self, crops: Iterable[np.ndarray], start: int = 0) -> Iterator[np.ndarray]:
        """Smoothed logits float16 `[19, H, W]` of crops RGB uint8 `[H, W, 3]`, from frame `start` on, in order."""
        source, read, finished = iter(crops), 0, False
        seen: dict[int, tuple[Tensor, Tensor]] = {}
        done = start
        while True:
            while not finished and read <= done + self.radius:
                crop = next(source, None)
                finished = crop is None
                if crop is not None:
                    if read >= start - self.radius:
                        seen[read] = self._look(crop)
                    read += 1
            if done >= read:
                return
            yield self._smooth(seen, done, read)
            seen.pop(done - self.radius, None)
            done += 1

    def _look(self, crop: np.ndarray) -> tuple[Tensor, Tensor]:
        """A frame `[3, 2H, 2W]` and its logits `[19, 2H, 2W]`, which are kept in half precision."""
        frame = enlarge(to_tensor(crop[None], self.device))
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self.parser(PARSER_GAIN * frame)
        return frame[0], logits[0].half()

    def _smooth(self, seen: dict[int, tuple[Tensor, Tensor]], index: int, count: int) -> np.ndarray:
        frame, logits = seen[index]
        sources = window(index, count, self.radius)
        flows: dict[int, Tensor] = {}  # near the ends a neighbour stands for several

        def neighbours() -> Iterator[Neighbour]:
            for place, source in enumerate(sources):
                if place == self.radius:
                    continue
                flow = flows[source] if source in flows else self._flow(frame, seen[source][0])
                if sources.count(source) > 1:
                    flows[source] = flow
                yield Neighbour(seen[source][0], seen[source][1].float(), flow, place - self.radius)

        smoothed = smooth_one(frame, logits.float(), neighbours(), self.radius)
        return blur_downsample(smoothed[None])[0].half().cpu().numpy()

    def _flow(self, frame: Tensor, neighbour: Tensor) -> Tensor:
        half = self.device.type == "cuda" and self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype, enabled=half):
            return self.flow(frame[None], neighbour[None])[0].float()


@dataclass(frozen=True)
class About:
    """What a file of parsing maps was made of: the crop, the window, and the classes."""

    scale: float
    left: int
    right: int
    top: int
    bottom: int
    frame_size: tuple[int, int]
    window_size: int
    channels: int = 19

    @classmethod
    def of(cls, crop: FaceCrop, radius: int) -> Self:
        return cls(**asdict(crop), window_size=radius)

    def fits(self, crop: FaceCrop) -> bool:
        """Whether it is the same crop of frames of the same size."""
        return all(getattr(self, name) == value for name, value in asdict(crop).items())


class MapSink:
    """Writes maps one by one into `path`, a zip archive of .npy files that `numpy.load` reads.

    Until all are written it lies beside under a partial name. Leaving the block by Ctrl-C keeps that, and with `resume`
    `done` maps of it need not be made again; any other exception removes it.
    """

    def __init__(self, path: Path, about: About, resume: bool = False):
        self.path, self.about = path, about
        self.partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self.done = 0
        if resume and self.partial.is_file():
            with ParsingMaps(self.partial, whole=False) as earlier:
                if earlier.about != about:
                    raise InputError(
                        f"{self.partial} was made of another video or crop: delete it, or leave --resume out."
                    )
                self.done = len(earlier)

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = "a" if self.done else "w"
            self._archive = zipfile.ZipFile(self.partial, mode, zipfile.ZIP_DEFLATED, compresslevel=1)
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}.") from error
        if not self.done:
            self._store(ABOUT, np.array(json.dumps(asdict(self.about))))
        return self

    def write(self, logits: np.ndarray) -> None:
        """Add one map, float16 `[19, H, W]`."""
        self._store(f"{self.done:06d}", logits)
        self.done += 1

    def _store(self, name: str, array: np.ndarray) -> None:
        with self._archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, array, allow_pickle=False)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._store(COMPLETE, np.array(self.done))
        self._archive.close()
        if kind is None:
            self.partial.replace(self.path)
        elif not issubclass(kind, KeyboardInterrupt):
            self.partial.unlink(missing_ok=True)


class ParsingMaps:
    """The maps in a file, read one by one. Raises InputError for another kind of file, or one that breaks off."""

    def __init__(self, path: str | Path, whole: bool = True):
        self.path = path
        try:
            self._archive = np.load(path, allow_pickle=False)
            names = set(self._archive.files)
            about = json.loads(str(self._archive[ABOUT]))
            self.about = About(**(about | {"frame_size": tuple(about["frame_size"])}))
        except (*DAMAGE, TypeError, AttributeError) as error:
            raise InputError(f"{path} holds no parsing maps: write them with smooth_parsing_map.py.") from error
        self._count = len(names - {ABOUT, COMPLETE})
        if whole and COMPLETE not in names:
            raise InputError(f"{path} breaks off after {self._count} parsing maps: go on with --resume.")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[np.ndarray]:
        for number in range(self._count):
            try:
                yield self._archive[f"{number:06d}"]
            except DAMAGE as error:
                raise InputError(f"{self.path} is damaged at parsing map {number + 1}: make it anew.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._archive.close()


def open_maps(path: str | Path, channels: int, crop: FaceCrop) -> Iterable[np.ndarray]:
    """The parsing maps of a clip `[channels, H, W]`: of `smooth_parsing_map.py`, or the published program's .npy file.

    Raises InputError for maps that are not of this crop.
    """
    if not zipfile.is_zipfile(path):
        return open_parsing_maps(path, channels, (crop.height, crop.width))
    maps = ParsingMaps(path)
    if maps.about.channels != channels or not maps.about.fits(crop):
        raise InputError(f"{path} was made of another crop or video: make it anew, with the same --padding.")
    return maps


def write_published(path: Path, maps: Path) -> None:
    """Write the file `maps` as the array float32 `[N, 19, H, W]` of the published program."""
    with ParsingMaps(maps) as source:
        about = source.about
        shape = (len(source), about.channels, about.bottom - about.top, about.right - about.left)

        def write(partial: Path) -> None:
            array = np.lib.format.open_memmap(partial, "w+", np.float32, shape)
            for number, logits in enumerate(source):
                array[number] = logits
            array.flush()

        write_whole(path, write)
