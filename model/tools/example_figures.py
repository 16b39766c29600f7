"""Measure pictures as styles: how fast, how faithful to the picture, how true to the person, how steady.

    python -m model.tools.example_figures
    python -m model.tools.example_figures --style_image het.png --content target.png --beside published_result.png

Speed: frames a second of the engine alone, and from file to file, at the exemplar's size. Fidelity: mean distance of 7
x 7 patches of the result to the nearest ones of the exemplar, in levels of 255 (0: all of it is copied). Person:
distance of landmarks of result and photo in parts of the eye distance, and of dlib's face descriptors (below 0.6: the
same person). Jitter: of a clip, as `model.tools.metrics` measures it, relative to the input's own."""

import resource
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.tables import markdown_table
from model.faces.detect import find_landmarks
from model.faces.landmarks import face_size
from model.inference.stylizer import Stylizer
from model.media.files import open_frames, open_sink
from model.media.sample import SAMPLE_NAME, PanSource, sample_portrait
from model.styles.base import Crop
from model.styles.catalog import EXEMPLARS
from model.styles.example import engine
from model.styles.example.exemplar import Exemplar
from model.tools.metrics import descriptor, flicker_between

PATCH, STRIDE, SAMPLES = 7, 2, 4000  # side of patches, steps between those of the exemplar, and how many of the result
ROUNDS, FRAMES = 12, 60  # frames that the engine is timed with, and that are written into a file
SIZE = 768, 1024  # width and height of what the engine is timed with


@dataclass
class Options:
    style_image: list[str] = option([], "pictures; nothing: the exemplars that come with the project", nargs="+")
    content: str | None = option(None, "a portrait; nothing: the sample portrait")
    beside: str | None = option(
        None, "somebody else's result of the first picture and the portrait, to be measured, too"
    )
    clips: list[str] = option([], "clips whose jitter is measured", nargs="+")
    device: str = option("auto", "where to compute", choices=["auto", "cpu", "cuda"])


def patches(rgb: np.ndarray, stride: int) -> torch.Tensor:
    """Patches of RGB uint8 `[H, W, 3]`, every `stride` pixels: float32 `[N, 147]`."""
    x = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None]
    return torch.nn.functional.unfold(x, PATCH, stride=stride)[0].T


def fidelity(result: np.ndarray, exemplar: np.ndarray) -> float:
    """Mean distance, root mean square in levels, of patches of a result to the nearest ones of the exemplar."""
    known, own = patches(exemplar, STRIDE), patches(result, 1)
    own = own[torch.randperm(len(own), generator=torch.Generator().manual_seed(0))[:SAMPLES]]
    nearest = torch.cat([torch.cdist(part, known).min(dim=1).values for part in own.split(256)])
    return float(nearest.mean()) / PATCH / 3**0.5


def likeness(result: np.ndarray, photo: np.ndarray) -> tuple[float, float]:
    """How far landmarks are from the photo's, in eye distances, and how different dlib finds the faces; NaN without
    one."""
    size = photo.shape[1::-1]
    result = cv2.resize(result, size, interpolation=cv2.INTER_AREA)
    found, wanted = find_landmarks(result), find_landmarks(photo)
    if found is None or wanted is None:
        return np.nan, np.nan
    away = np.linalg.norm(found - wanted, axis=1).mean() / face_size(wanted)
    return float(away), float(np.linalg.norm(descriptor(result) - descriptor(photo)))


def engine_rate(stylizer: Stylizer, exemplar: Exemplar, rgb: np.ndarray, landmarks: np.ndarray) -> float:
    """Frames a second of SIZE, with all that is found in each, but without reading, tracking and writing."""
    portrait = stylizer.fit(rgb, landmarks=landmarks)
    matrix, scale = portrait.crop.matrix, np.divide(SIZE, (portrait.crop.width, portrait.crop.height))
    points = (cv2.transform(landmarks[None], matrix)[0] * scale).astype(np.float32)
    picture = cv2.resize(portrait.crop.apply(rgb), SIZE)
    renderer = stylizer.style.renderer(None, exemplar=exemplar.name)
    renderer.start([Crop(picture, points, Fraction(0))])()
    begun = time.perf_counter()
    for number in range(1, ROUNDS + 1):
        moved = np.roll(picture, number % 3, axis=1)
        renderer.start([Crop(moved, points + np.float32((number % 3, 0)), Fraction(number, 25))])()
    return ROUNDS / (time.perf_counter() - begun)


def file_rate(stylizer: Stylizer, exemplar: Exemplar, rgb: np.ndarray) -> float:
    """Frames a second from one video file to another, as style_transfer.py works."""
    from model.inference.clip import stylised
    from model.inference.job import deliver
    from model.inference.look import Look
    from model.inference.scene import People

    with tempfile.TemporaryDirectory() as folder:
        clip, result = Path(folder, "clip.mp4"), Path(folder, "result.mp4")
        with PanSource(Path(SAMPLE_NAME), rgb, FRAMES / 25) as source, open_sink(clip, source) as sink:
            for frame in source:
                sink.write(frame)
        look = Look(style_id=exemplar.name)
        with open_frames(clip) as source:
            shown, landmarks = stylizer.find_face(source)
            person = People(stylizer, look).person(1, shown, landmarks)
            begun = time.perf_counter()
            deliver(source, open_sink(result, source), lambda frames: stylised(frames, [person], look))
        return FRAMES / (time.perf_counter() - begun)


def jitter(stylizer: Stylizer, exemplar: Exemplar, clip: str) -> float:
    """The jitter of a clip's result by the input's own, in the crop around the face."""
    from model.inference.clip import stylised
    from model.inference.look import Look
    from model.inference.scene import People

    with open_frames(clip) as source:
        shown, landmarks = stylizer.find_face(source)
        look = Look(style_id=exemplar.name, crop="fixed")
        person = People(stylizer, look).person(1, shown, landmarks)
        crop = person.portrait.crop
        before, ratios = None, []
        for frame, result in zip(
            islice(source, FRAMES), stylised(islice(source, FRAMES), [person], look), strict=False
        ):
            now = [crop.show(frame.rgb), result.rgb]
            if before is not None:
                ratios.append([each for _, each in flicker_between(before, now)])
            before = now
    own, made = np.nanmean(ratios, axis=0)
    return float(made / own)


def rows_of(options: Options) -> Iterable[tuple[str, ...]]:
    """The table's rows, one for each picture."""
    rgb = sample_portrait()
    if options.content:
        with open_frames(options.content) as source:
            rgb = source.first.rgb
    landmarks = find_landmarks(rgb)
    if landmarks is None:
        raise InputError(f"No face was found in {options.content}: choose a portrait with a visible face.")
    for number, (source, name) in enumerate(_pictures(options)):
        stylizer = Stylizer.from_preset(source, device=options.device)
        exemplar = stylizer.style.exemplar(name)
        begun = time.perf_counter()
        exemplar.guides, exemplar.table  # noqa: B018 - made by their first readers
        table = time.perf_counter() - begun
        engine.warm_up(exemplar)
        portrait = stylizer.fit(rgb, exemplar.padding, landmarks=landmarks)
        (result,) = stylizer.render([rgb], portrait, style=name)
        results = [(exemplar.name, result, table)]
        if options.beside and number == 0:
            with open_frames(options.beside) as other:
                results.append((Path(options.beside).stem, other.first.rgb, None))
        for label, picture, seconds in results:
            away, other = likeness(picture, portrait.crop.show(rgb) if seconds is not None else rgb)
            figures = [f"{fidelity(picture, exemplar.picture):.1f}", f"{away:.3f}", f"{other:.2f}"]
            if seconds is None:
                yield label, "", "", "", *figures, ""
                continue
            rates = engine_rate(stylizer, exemplar, rgb, landmarks), file_rate(stylizer, exemplar, rgb)
            ratios = [jitter(stylizer, exemplar, clip) for clip in options.clips]
            steady = " ".join(f"{ratio:.2f}" for ratio in ratios)
            yield label, f"{rates[0]:.1f}", f"{rates[1]:.1f}", f"{seconds:.2f}", *figures, steady


def _pictures(options: Options) -> list[tuple[str, str | None]]:
    """What is measured: what to load, and which look of it."""
    if options.style_image:
        return [(path, None) for path in options.style_image]
    return [(EXEMPLARS.source, name) for name in EXEMPLARS.style_names]


def main() -> None:
    options = cli.parse(Options, __doc__)
    columns = "exemplar", "engine/s", "files/s", "table s", "fidelity", "landmarks", "identity", "jitter"
    rows = list(rows_of(options))
    print(markdown_table(columns, rows, text_columns=1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{torch.get_num_threads()} threads, {SIZE[0]} x {SIZE[1]} pixels; memory at most {peak:.0f} MB")


if __name__ == "__main__":
    cli.run(main)
