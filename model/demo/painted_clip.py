"""A visitor's video of which frames are painted over: where the face is in it, the frames, and their paintings.

It knows nothing of web pages.
"""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.common.errors import InputError
from model.faces.crop import Window
from model.inference.look import Look
from model.inference.scene import Person, Scene
from model.inference.stylizer import Stylizer
from model.media.files import open_frames
from model.styles.base import Crop
from model.styles.keyframes.paintings import Note, check_painting, read_note, read_painting, write_crop
from model.styles.keyframes.presets import KeyframesPreset
from model.styles.keyframes.suggest import View, difference, suggested

if TYPE_CHECKING:
    from model.demo.studio import Content

MOST_VIEWS = 50  # frames that are compared with each other: two seconds of work
STEP = 5  # of the frames that are compared, where a file does not tell how many it has
MOST_SUGGESTED, MOST_PAINTED = 3, 8
UNLIKE, FEW = (
    1.0,
    0.1,
)  # `difference` of a frame that should be painted itself, and the share of such frames that is left
SAMPLES = 9  # frames, evenly spaced, of which three are the preview
STEADY = "off"  # noise is not in the way of who paints, and a clip is looked through six times as fast with it
NUMBER_IN_NAME = re.compile(r"_key_(\d+)")
ADVICE = "paint over the frame that is downloaded here"


@dataclass(frozen=True, eq=False)
class Place:
    """Where the face is in a frame: the window around it, landmarks `[68, 2]` in what it shows (None: unseen), time."""

    window: Window
    landmarks: np.ndarray | None
    time: Fraction | None


@dataclass(eq=False)
class PaintedClip:
    """A video in a folder of its own. `look_through` comes first; then frames can be had, and paintings be taken."""

    content: "Content"
    folder: Path
    device: str = "auto"
    places: list[Place] = field(default_factory=list)  # of all frames
    suggested: list[int] = field(default_factory=list)
    offered: list[int] = field(default_factory=list)  # numbers of the frames to be painted
    paintings: dict[int, Path] = field(default_factory=dict)
    aside: dict[int, Path] = field(default_factory=dict)  # of frames that are offered no more
    stylizer: Stylizer | None = None  # the paintings as a style

    def look_through(self, person: Person) -> Iterator[float]:
        """Follow the face of `person` through the clip; yields the time of each frame in seconds. Then there are
        suggestions."""
        source, views, places = self.content.source, [], []
        step = max(1, source.expected_frames // MOST_VIEWS) if source.expected_frames else STEP
        scene = Scene([person], Look(steady=STEADY), None, 0)
        for number, frame in enumerate(source):
            (view,) = scene.see(frame).views
            places.append(Place(view.window, view.crop.landmarks, frame.time))
            if view.crop.landmarks is not None and (number % step == 0 or not views):
                views.append(View.of(number, view.crop))
            yield float(frame.time or 0)
        if not views:
            raise InputError(f"No face could be followed in {self.content.name}: choose a video with a visible face.")
        self.suggested = worth_painting(views[:: -(-len(views) // MOST_VIEWS)])
        self.places = places
        self.crops([*self.suggested, *self._samples])

    @property
    def last(self) -> int:
        """The number of the last frame; they count from 0."""
        return len(self.places) - 1

    @property
    def _samples(self) -> list[int]:
        return np.linspace(0, self.last, min(SAMPLES, len(self.places))).round().astype(int).tolist()

    def crops(self, numbers: Iterable[int]) -> dict[int, Crop]:
        """What a painter is given of these frames. InputError for a frame that there is not."""
        files = {number: self.folder / f"crop_{number}.npy" for number in sorted(set(numbers))}
        if beyond := [number for number in files if number > self.last]:
            raise InputError(f"{self.content.name} has the frames 0 to {self.last}: there is no frame {beyond[0]}.")
        missing = {number for number, file in files.items() if not file.is_file()}
        if missing:
            with open_frames(self.content.source.path) as source:  # another loop may be running
                for number, frame in zip(range(max(missing) + 1), source, strict=False):
                    if number in missing:
                        np.save(files[number], self.places[number].window.apply(frame.rgb))
        places = {number: self.places[number] for number in files}
        return {n: Crop(np.load(files[n]), place.landmarks, place.time) for n, place in places.items()}

    def caption(self, number: int) -> str:
        """What a frame is called: number and time."""
        return f"frame {number} · {float(self.places[number].time or 0):.2f} s"

    def offer(self, numbers: Sequence[int]) -> None:
        """These frames are to be painted; paintings of others are put aside, and taken up again with their frames.
        InputError where that cannot be."""
        numbers = sorted(set(numbers))
        if not 1 <= len(numbers) <= MOST_PAINTED:
            raise InputError(f"{len(numbers)} frames are named: name 1 to {MOST_PAINTED}.")
        for number, crop in self.crops(numbers).items():
            if crop.landmarks is None:
                raise InputError(f"Frame {number} shows no face: choose another one.")
        self.offered = numbers
        painted = self.aside | self.paintings
        kept = {number: path for number, path in painted.items() if number in numbers}
        self.aside = {number: path for number, path in painted.items() if number not in numbers}
        if kept != self.paintings:
            self._use(kept)

    def files(self) -> list[Path]:
        """PNG files of the offered frames, to be painted over."""
        paths = []
        for number, crop in self.crops(self.offered).items():
            paths.append(self.folder / f"{self.content.source.name}_key_{number:06d}.png")
            if not paths[-1].is_file():
                write_crop(paths[-1], crop, Note.of(self.content.name, number, crop))
        return paths

    def take(self, paths: Sequence[Path], chosen: int | None = None) -> list[int]:
        """Painted frames were brought: returns their numbers, which the note in a picture tells, or else `chosen`.

        Raises InputError where one of them does not fit; then none is taken.
        """
        numbers = [self._number(path, chosen) for path in paths]
        if twice := [path for n, path in enumerate(paths) if numbers[n] in numbers[:n]]:
            raise InputError(f"{twice[0]} is of the same frame as another picture: bring one for each frame.")
        crops = self.crops(numbers)
        brought = {}
        for number, path in zip(numbers, paths, strict=True):
            check_painting(path, read_painting(path), number, crops[number], ADVICE)
            brought[number] = path
        self.offer([*self.offered, *numbers])
        kept = self.folder / f"painted_{len(list(self.folder.glob('painted_*')))}"
        kept.mkdir()
        brought = {n: Path(shutil.copy(path, kept / f"{n}{path.suffix}")) for n, path in brought.items()}
        self._use(self.paintings | brought)
        return numbers

    def _number(self, path: Path, chosen: int | None) -> int:
        """The number of the frame that a picture was painted over."""
        note, in_name = read_note(path), NUMBER_IN_NAME.search(path.stem)
        if note is not None:
            if note.frame > self.last:
                raise InputError(f"{path} was painted over a frame of another clip ({note.clip}): {ADVICE}.")
            return note.frame
        if chosen is not None:
            return chosen
        if in_name and int(in_name[1]) <= self.last:
            return int(in_name[1])
        if len(self.offered) == 1:
            return self.offered[0]
        raise InputError(f"{path} does not tell which frame it is of: choose the frame, and bring it again.")

    def _use(self, paintings: dict[int, Path]) -> None:
        stylizer = None
        if paintings:
            stylizer = Stylizer(KeyframesPreset(tuple(sorted(paintings.items()))).load(self.device))
            stylizer.style.learn(self.crops(paintings))
        self.paintings, self.stylizer = paintings, stylizer

    def preview(self, boil: float = 0.0) -> dict[int, np.ndarray]:
        """Three painted frames by number, RGB uint8: from each third of the clip the one farthest from what was
        painted. InputError where nothing was."""
        if self.stylizer is None:
            raise InputError("No frame is painted yet: bring a painted one.")
        thirds = [part.tolist() for part in np.array_split(self._samples, 3) if len(part)]
        numbers = [max(part, key=lambda n: min(abs(n - key) for key in self.paintings)) for part in thirds]
        crops = self.crops(numbers)
        renderer = self.stylizer.style.renderer(None, boil=boil)
        pictures = renderer.start([replace(crop, is_cut=True) for crop in crops.values()])()  # each by itself
        return {n: self.places[n].window.trim(picture, 1) for n, picture in zip(crops, pictures, strict=True)}


def worth_painting(views: Sequence[View]) -> list[int]:
    """The numbers of one to three frames: as few as most others are like."""
    for count in range(1, MOST_SUGGESTED + 1):
        numbers = suggested(views, count)
        chosen = [view for view in views if view.number in numbers]
        unlike = [min(difference(view, other) for other in chosen) > UNLIKE for view in views]
        if np.mean(unlike) <= FEW:
            break
    return numbers
