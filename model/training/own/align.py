"""Cut faces out of the pictures of a folder, all framed alike, as generators of faces know them (FFHQ).

    python -m model.training.own.align --data drawings --out aligned
    python -m model.training.own.align --data drawings --out aligned --points points.json

Look at overlay.jpg: the points have to lie on eyes, brows, nose and mouth. Pictures that cannot be used are left out,
and named with the reason; what is doubtful is named, too. Where no face is found, say where it is, in pixels:
points.json holds {"file name": {"left_eye": [x, y], "right_eye": [x, y], "mouth": [x, y]}}.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.faces.detect import find_all_landmarks, find_landmarks
from model.faces.landmarks import (
    EYES,
    JAW,
    MEAN_FACE,
    align_face,
    face_at,
    face_size,
    ffhq_square,
    in_aligned,
    tilt,
)
from model.media.files import read_photo
from model.training.data.pictures import pictures_below

LEAST_FACE, SMALL_FACE = 48, 100  # pixels a side of a face's square: fewer show nothing; below the other it is blurred
GREY = 4.0  # mean difference of a pixel's largest and smallest channel, of 255, below which a picture is grey
FAR_TILT = 40.0  # degrees from upright
OUTSIDE = 0.3  # share of the square outside of the picture
BYSTANDER = 0.5  # size of a second face, in parts of the main one's, from where on nobody knows which is meant
# How far eyes and mouth may lie from the median of a folder, in parts of the side, and times their usual distance to
# it.
FAR, FAR_DEVIATIONS = 0.055, 4.0
HASH_SIDE, SAME_BITS = (
    16,
    16,
)  # difference hash: squares a side; bits out of 256 in which copies of a picture may differ
FACES = "faces"  # folder of the results, which holds nothing else
POINTS = ("left_eye", "right_eye", "mouth")
CELL, CAPTION, SHEET_MOST, SHEET_COLUMNS = 192, 34, 100, 10

Points = Mapping[str, Mapping[str, Sequence[float]]]  # by file name: (x, y) of eyes and mouth


@dataclass(frozen=True, eq=False)
class Aligned:
    """A face of a picture on disk; it is cut out when it is asked for, so thousands take no memory."""

    path: Path
    size: int  # pixels a side of the result
    source_landmarks: np.ndarray  # float32 [68, 2] in pixels of the picture
    doubt: str = ""  # what should be looked at, in a sentence

    @property
    def picture(self) -> np.ndarray:
        """The aligned face, RGB uint8 `[size, size, 3]`."""
        return align_face(read_photo(self.path), self.source_landmarks, self.size)

    @property
    def landmarks(self) -> np.ndarray:
        """Its landmarks, float32 `[68, 2]` in pixels of `picture`."""
        return in_aligned(self.source_landmarks, self.source_landmarks, self.size)


def align_folder(
    paths: Sequence[Path], size: int, points: Points | None = None, *, tell: Callable[[str], None] = print,
    progress: bool = False,
) -> list[Aligned]:  # fmt: skip
    """The faces of pictures, in their order.

    points: where faces are, by file name (see `read_points`); the others are looked for. Pictures without a face, with
    several, damaged, too small or there twice are left out, and `tell` gets a sentence for each, as for all that is
    doubtful. A single picture that cannot be used is an InputError, and so are several of which none can.
    """
    points = points or {}
    if unknown := sorted(set(points) - {path.name for path in paths}):
        raise InputError(f"points are given for {unknown[0]}, which is not among the pictures: check the name.")
    found, reasons, seen = [], [], _Seen()
    for path in tqdm(paths, desc="faces", unit="picture", disable=not progress):
        try:
            rgb = read_photo(path)
            if (other := seen.find(path, rgb)) is not None:
                raise InputError(f"{path} shows the same as {other.name}: one of them is enough.")
            found.append(_aligned(path, rgb, size, points.get(path.name)))
            seen.add()
        except InputError as error:
            reasons.append(str(error))
            if len(paths) > 1:
                tell(f"Left out: {error}")
    if not found:
        if not paths:
            raise InputError("there are no pictures to align: name some.")
        more = f" None of the {len(paths)} pictures can be used." if len(paths) > 1 else ""
        raise InputError(f"{reasons[0]}{more}")
    found = with_outliers(found)
    for one in found:
        if one.doubt:
            tell(f"Look at {one.path}: {one.doubt}.")
    return found


def _aligned(path: Path, rgb: np.ndarray, size: int, points: Mapping[str, Sequence[float]] | None) -> Aligned:
    doubts = []
    if points is not None:
        landmarks = face_at(*(points[name] for name in POINTS))
    else:
        landmarks, doubt = _found(path, rgb)
        doubts += [doubt] if doubt else []
    corners = ffhq_square(landmarks)
    side = math.dist(corners[0], corners[1])
    if side < LEAST_FACE:
        raise InputError(f"{path}: the face takes {side:.0f} pixels, and {LEAST_FACE} are the least: use a larger one.")
    if side < SMALL_FACE:
        doubts.append(f"the face takes only {side:.0f} pixels, so that the result is blurred")
    if np.ptp(rgb.reshape(-1, 3), axis=1).mean() < GREY:
        doubts.append("it is grey, and so will be what learns from it")
    if abs(lean := tilt(landmarks)) > FAR_TILT:
        doubts.append(f"the head is tilted by {abs(lean):.0f} degrees")
    if (share := _outside(corners, rgb.shape[:2])) > OUTSIDE:
        doubts.append(f"{share:.0%} of what is cut out lies outside of the picture, and is made up")
    return Aligned(path, size, landmarks, "; ".join(doubts))


def _found(path: Path, rgb: np.ndarray) -> tuple[np.ndarray, str]:
    """Landmarks of the face of a picture, and a doubt. InputError where there is none, or several."""
    faces = find_all_landmarks(rgb)
    if not faces:
        landmarks = find_landmarks(rgb)
        if landmarks is None:
            raise InputError(f"{path} shows no face that is found: name eyes and mouth in a file for --points.")
        return landmarks, "the face was hard to find"
    sizes = [face_size(face) for face in faces]
    rivals = sum(size > BYSTANDER * max(sizes) for size in sizes)
    if rivals > 1:
        raise InputError(
            f"{path} shows {rivals} faces: cut one out, or name its eyes and mouth in a file for --points."
        )
    return faces[int(np.argmax(sizes))], "a second, smaller face is left aside" if len(faces) > 1 else ""


def _outside(corners: np.ndarray, size: tuple[int, int]) -> float:
    """Share of the square with these corners that is outside of a picture `(h, w)`."""
    height, width = size
    frame = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    inside = cv2.intersectConvexConvex(corners.astype(np.float32), frame)[0]
    return 1 - inside / math.dist(corners[0], corners[1]) ** 2


def with_outliers(found: Sequence[Aligned]) -> list[Aligned]:
    """The same faces; those whose eyes and mouth lie elsewhere than the others' have a doubt. Where there are few
    others, a usual face is what they are held against."""
    places = np.stack([_places(one.landmarks / one.size) for one in found])
    usual = _places(in_aligned(MEAN_FACE, MEAN_FACE, 1000) / 1000)
    middle = np.median(places, axis=0) if len(found) >= 5 else usual
    away = np.linalg.norm(places - middle, axis=2).max(axis=1)
    allowed = max(FAR, FAR_DEVIATIONS * float(np.median(away)) if len(found) >= 5 else 1.5 * FAR)
    marked = []
    for one, distance in zip(found, away, strict=True):
        if distance > allowed:
            reason = "eyes and mouth lie elsewhere than in the others, so the points may have slipped"
            one = replace(one, doubt="; ".join(filter(None, (one.doubt, reason))))
        marked.append(one)
    return marked


def _places(landmarks: np.ndarray) -> np.ndarray:
    """Centres of eyes and mouth, `[3, 2]`."""
    return np.stack([landmarks[eye].mean(0) for eye in EYES] + [landmarks[[48, 54]].mean(0)])


class _Seen:
    """Pictures so far, to tell copies by their bytes or by what they show, at whatever size."""

    def __init__(self):
        self.digests: dict[bytes, Path] = {}
        self.paths: list[Path] = []
        self.hashes = np.empty((0, HASH_SIDE**2), bool)
        self.last: tuple[Path, bytes, np.ndarray] | None = None

    def find(self, path: Path, rgb: np.ndarray) -> Path | None:
        """The earlier picture that this one is a copy of."""
        digest = hashlib.sha256(path.read_bytes()).digest()
        small = cv2.resize(
            cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA
        )
        bits = (small[:, 1:] > small[:, :-1]).ravel()
        self.last = path, digest, bits
        if digest in self.digests:
            return self.digests[digest]
        differing = (self.hashes != bits).sum(1)
        return self.paths[int(differing.argmin())] if len(differing) and differing.min() <= SAME_BITS else None

    def add(self) -> None:
        """Remember the picture that was last looked for."""
        path, digest, bits = self.last
        self.digests[digest] = path
        self.paths.append(path)
        self.hashes = np.vstack([self.hashes, bits])


def read_points(path: str | Path) -> dict[str, dict[str, list[float]]]:
    """Where faces are, from a JSON file `{"file name": {"left_eye": [x, y], "right_eye": …, "mouth": …}}`, in pixels of
    the pictures. InputError for anything else."""
    form = '{"name.png": {"left_eye": [x, y], "right_eye": [x, y], "mouth": [x, y]}}'
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
        points = {name: {part: [float(c) for c in of[part]] for part in POINTS} for name, of in told.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as points of faces ({error!r}): write {form}.") from error
    for name, of in points.items():
        if not all(len(point) == 2 and all(map(math.isfinite, point)) for point in of.values()):
            raise InputError(f"{path}: the points of {name} are no two numbers each: write {form}.")
        across, down = np.subtract(of["right_eye"], of["left_eye"]), np.subtract(of["mouth"], of["left_eye"])
        if abs(across[0] * down[1] - across[1] * down[0]) < 0.1 * max(across @ across, down @ down, 1.0):
            raise InputError(f"{path}: eyes and mouth of {name} lie on one line: no face is like that.")
    return points


def overlay_sheet(found: Sequence[Aligned], most: int = SHEET_MOST) -> np.ndarray:
    """The aligned faces with their landmarks, names, and doubts in red: RGB uint8. The doubtful come first; of more
    than `most` the others are left out."""
    shown = sorted(found, key=lambda one: not one.doubt)[:most]
    columns = min(SHEET_COLUMNS, math.ceil(math.sqrt(len(shown))))
    rows = math.ceil(len(shown) / columns)
    sheet = Image.new("RGB", (columns * CELL, rows * (CELL + CAPTION)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, one in enumerate(shown):
        left, top = number % columns * CELL, number // columns * (CELL + CAPTION)
        sheet.paste(Image.fromarray(with_landmarks(replace(one, size=CELL))), (left, top))
        name = one.path.name if len(one.path.name) <= 28 else one.path.name[:27] + "…"
        pen.text((left + 3, top + CELL + 2), name, "black", font)
        if one.doubt:
            pen.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline="red", width=3)
            pen.text((left + 3, top + CELL + 16), shortened(one.doubt), "red", font)
    return np.asarray(sheet)


def shortened(doubt: str, most: int = 34) -> str:
    """The beginning of a sentence, where there is no room for more."""
    return doubt if len(doubt) <= most else doubt[: most - 1].rstrip() + "…"


def with_landmarks(one: Aligned) -> np.ndarray:
    """The face with its landmarks as thin lines, RGB uint8."""
    picture, points = one.picture.copy(), np.rint(one.landmarks * 16).astype(np.int32)
    parts = [(points[part], False) for part in (JAW, slice(17, 22), slice(22, 27), slice(27, 31), slice(31, 36))]
    parts += [(points[part], True) for part in (*EYES, slice(48, 60), slice(60, 68))]
    for colour, width in (((0, 0, 0), 3), ((90, 255, 90), 1)):
        for line, closed in parts:
            cv2.polylines(picture, [line], closed, colour, width, cv2.LINE_AA, shift=4)
    return picture


@dataclass
class Options:
    """Options of the command line."""

    data: str | None = option(None, "folder of pictures, with its subfolders, or one picture", metavar="FOLDER")
    out: str = option("aligned", "folder for faces/ and overlay.jpg; it is made", metavar="FOLDER")
    size: int = option(1024, "pixels a side of the faces: those of the generator", least=16, most=4096)
    points: str | None = option(None, "file that says where faces are that are not found", metavar="JSON")


def pictures_of(source: str | Path) -> list[Path]:
    """The pictures of a folder, or the one picture. InputError where there are none."""
    source = Path(source)
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"{source} does not exist: name a folder of pictures, or a picture.")
    if not (paths := pictures_below(source)):
        raise InputError(f"{source} holds no pictures: name another folder.")
    return paths


def main() -> None:
    """Align, write faces and sheet, and say how many there are."""
    options = cli.parse(Options, __doc__)
    if options.data is None:
        raise InputError("--data is missing: name a folder of pictures.")
    paths, out = pictures_of(options.data), Path(options.out)
    points = read_points(options.points) if options.points else None
    found = align_folder(paths, options.size, points, tell=tqdm.write, progress=True)
    for number, one in enumerate(tqdm(found, desc="writing", unit="picture")):
        write_whole(
            out / FACES / f"{number:04d}_{one.path.stem}.png", bytes_of(Image.fromarray(one.picture).save, format="PNG")
        )
    write_whole(out / "overlay.jpg", bytes_of(Image.fromarray(overlay_sheet(found)).save, format="JPEG", quality=90))
    doubtful = sum(bool(one.doubt) for one in found)
    print(
        f"{len(found)} of {len(paths)} pictures are in {out}, {doubtful} of them doubtful: look at {out}/overlay.jpg."
    )


if __name__ == "__main__":
    cli.run(main)
