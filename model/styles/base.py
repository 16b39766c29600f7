"""What a style must offer, so that photos, clips, the webcam and the page can use it."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from model.common.sizes import DEFAULT_PADDING

Item = TypeVar("Item")
Result = TypeVar("Result")
Pending = Callable[[], Sequence[Result]]  # results that are being computed: calling it waits until they are there
MapsOf = Callable[[Iterator[np.ndarray]], Iterable[np.ndarray]]  # crops uint8 [H, W, 3] -> parsing maps [C, H, W]
Degree = float | Callable[[Fraction], float] | None  # in [0, 1], or a function of seconds; None: the style's own


@dataclass(frozen=True, eq=False)
class Crop:
    """What a style is given of one frame: RGB uint8 `[h, w, 3]`, h and w multiples of 8, and what is known of it."""

    rgb: np.ndarray
    landmarks: np.ndarray | None = None  # float32 [68, 2] in pixels of `rgb`; None where no face is known
    time: Fraction | None = None  # seconds since the clip's start; None for a photo
    parsing: np.ndarray | None = None  # parsing logits [19, h, w]; None: a style that needs some finds them itself
    is_cut: bool = False  # whether the frame begins a new shot, with which those before have nothing to do


class CropRenderer(Protocol):
    """Renders the crops of one person in one style."""

    batch: int  # how many crops `start` takes best at a time; it may change from call to call

    def start(self, crops: Sequence[Crop]) -> Pending[np.ndarray]:
        """Begin to render crops; the pending results are RGB uint8 `[scale·h, scale·w, 3]`, in order.

        Raises InputError for crops that don't fit the style, and where the memory does not suffice.
        """


class Style(ABC):
    """A loaded style. A subclass sets the attributes and offers the methods."""

    name: str  # as messages call it
    licence: str  # of its weights or pictures, in a few words
    letter: str  # what file names of results end in
    scale: int  # side of a result divided by the side of its crop
    eye_distance: float  # pixels between the eyes in the crops it wants
    backbone: str | None = None  # of a VToonify model: what --backbone insists on
    parsing_channels = 0  # of the parsing maps it is given beside each crop; 0: it takes none
    padding: tuple[int, int, int, int] = (
        DEFAULT_PADDING  # room left, right, above and below the eyes, at 64 px between them
    )
    # Of degree, exemplars, code (of the photo), parser, strokes, boil, patches, picture (as the style): what options
    # `need`.
    uses: frozenset[str] = frozenset()
    exemplar_names: Sequence[str] = ()  # the looks to choose from, if there are several
    denoises = False  # whether a video's noise is taken out of its crops first, unless told otherwise
    needs_code = False  # whether `encode` needs a face
    needs_landmarks = False  # whether each crop has to come with landmarks
    wanted_frames: Sequence[int] = ()  # of a clip, counted from 0, that it has to be shown by `learn` before it renders
    in_flight = 0  # batches that are computed in the background while the one before is fetched

    def encode(self, rgb: np.ndarray, landmarks: np.ndarray | None) -> Any:
        """What the style has to know of a person, from one frame `[H, W, 3]`; it is handed back to `renderer`."""
        return None

    def learn(self, crops: dict[int, "Crop"]) -> None:  # noqa: B027 - most styles want none
        """Take notice of the crops of `wanted_frames`, by number. InputError where they don't fit what it has."""

    @abstractmethod
    def exemplar_name(self, exemplar: int | str | None = None) -> str | None:
        """Full name of an exemplar (index, name; None: the default), None without a choice. InputError if unknown."""

    @abstractmethod
    def degree(self, degree: float | None = None) -> float | None:
        """The degree that `degree` stands for; None where the style has none. InputError outside [0, 1]."""

    def doubts(self, exemplar: int | str | None, degree: Degree) -> Iterator[str]:
        """Sentences for who chose an exemplar and degree that the style was not made for. InputError if unknown."""
        yield from ()

    def smoothed_parsing(self, flow_path: str, radius: int) -> MapsOf:
        """Parsing maps of a clip's crops, smoothed over `radius` neighbours on each side along the optical flow of the
        network in `flow_path`. For styles with `parsing_channels`; InputError where the file can't be had."""
        raise NotImplementedError

    def live(self) -> "Style":
        """This style for a camera: what takes its time is left out, or goes on beside."""
        return self

    @abstractmethod
    def renderer(
        self, code: Any, *, exemplar: int | str | None = None, degree: Degree = None, batch_size: int | None = None,
        **effects: Any,
    ) -> CropRenderer:  # fmt: skip
        """A renderer for one person with a `code` from `encode`; batch_size None: as many crops at a time as is best.

        effects: options of the look that the style `uses`, by name. InputError for an exemplar or a degree that does
        not exist.
        """


class Preset(ABC):
    """Something that has a name: a style, or several of one model or kind. It is free of torch; `load` is not."""

    name: str
    licence: str  # of its weights or pictures, in a few words
    style_names: Sequence[str] = ()  # of the looks to choose from, where they tell something
    mark = ""  # tells its looks from those of the same names in another one
    single_style = False  # whether there is one look, whatever is asked for
    colour_transfer = False  # whether results take the colours of the style anyway
    fetched = True  # whether files that are not there are fetched; if not, `load` says where they are
    variant: str  # what kind it is, in a word for lists

    @property
    def source(self) -> str:
        """What `catalog.choose_preset` makes this preset of: a name or a path."""
        return self.name

    @property
    def files(self) -> Sequence[str]:
        """All files that it needs, below the checkpoint folder unless absolute."""
        return ()

    @property
    def choices(self) -> tuple[str, str, str]:
        """Its looks, degrees and colours, in words for lists."""
        return ", ".join(self.style_names), "0-1 (1)", "of the style"

    @abstractmethod
    def load(self, device: str = "auto", **settings: Any) -> Style:
        """The style. settings: precision and so on, which a kind without a use for them leaves aside. InputError where
        it can't be had."""


@dataclass(frozen=True)
class FilePreset(Preset):
    """One look, in a file of one's own."""

    path: Path
    colour_transfer = single_style = True

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def source(self) -> str:
        return str(self.path)

    @property
    def files(self) -> Sequence[str]:
        return [str(self.path.absolute())]


def constant_or_curve(style: Style, degree: Degree) -> Callable[[Fraction | None], float | None]:
    """The degree at a time, None in a photo, as the style allows it. InputError for one outside [0, 1]: a constant one
    at once, one of a curve when it is its turn."""
    if callable(degree) and style.degree() is not None:
        return lambda time: style.degree(degree(time or Fraction(0)))
    constant = style.degree(None if callable(degree) else degree)
    return lambda time: constant


def in_batches(
    items: Iterator[Item], batch: Callable[[], int], start: Callable[[list[Item]], Pending[Result]], in_flight: int
) -> Iterator[tuple[Item, Result]]:
    """Items with their results, in order, computed in batches; no more items are taken than are needed for that.

    batch: how many items to take next; start: begins to work on some; in_flight: batches that are begun before the
    results of the first of them are fetched.
    """
    waiting: deque[tuple[list[Item], Pending[Result]]] = deque()
    while taken := list(islice(items, batch())):
        waiting.append((taken, start(taken)))
        if len(waiting) > in_flight:
            done, pending = waiting.popleft()
            yield from zip(done, pending(), strict=True)
    for done, pending in waiting:
        yield from zip(done, pending(), strict=True)
