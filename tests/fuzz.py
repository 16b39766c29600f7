"""Damaged files and odd options by the thousand: does the program ever do what it never should?

    python -m tests.fuzz --count 10000             from scratch; then a table, and exit code 1 if anything was found
    python -m tests.fuzz --count 10000 --resume    goes on where it was interrupted
    python -m tests.fuzz --only 1234               one case again, and what it says

Every case is a function of --seed and its number: the smallest file of some kind with bytes changed, cut out, doubled,
zeroed, cut off or taken from another file, perhaps under a wrong name; or a whole file with odd options. It goes
through `style_transfer.main` with the error handling of programs. The network is a small one with random weights and
faces are said to be in the middle, but for one case in 50 with the starter model and one in 20 with the real search.

Found are tracebacks, exit codes other than 0 and 2, results that don't open, files that are left or changed, crashes,
and hangs (20 s of computing, or ten minutes of anything). DIR/findings/NUMBER has the file, the command and a report.
"""

import faulthandler
import io
import json
import multiprocessing
import os
import resource
import shlex
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, fields, replace
from functools import cache
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.tables import plain_table

COMPUTING, WAITING = 20, 600  # seconds of the processor's and of the clock's after which a case hangs
MEMORY = 8 << 30  # bytes that a worker may ask for
CASES_PER_WORKER = 500
STARTER_SHARE, REAL_FACES_SHARE, ODD_SHARE, WRONG_NAME_SHARE = 0.02, 0.05, 0.3, 0.15
FOUND = ("traceback", "exit code", "unreadable", "leftover", "changed", "hang", "crash")
MADE = ("_input.jpg", *(f"_{kind}_d{end}" for kind in ("vtoonify", "compare", "preview") for end in (".jpg", ".mp4")))

LOOKS = [
    "", "--full_frame 1", "--full_frame 2 --faces all", "--crop follow", "--crop follow --full_frame 1 --lost pass",
    "--compare", "--preview", "--no_scale_image", "--batch_size 3", "--resume", "--steady on", "--tile", "--video",
    "--style_degree 0@0s,1@1s", "--color_transfer --style_id 1",
]  # fmt: skip
words = str.split
HUGE, LONG, NOT_UTF8 = "9" * 30, "x" * 300, "caf\udce9"
NUMBERS = [*words("-1 0 1 0.5 2.5 1e308 1e-320 nan inf -inf ٣ ½ 0x10 1_0 x -0.0"), "", " ", HUGE, "9" * 400]
TEXTS = [*words("ß😀 %s%n -- - ' ink in 1 -1 ０ .."), "", " ", "\n", "\t", NOT_UTF8, "a" * 5000, HUGE]
PATHS = [
    *words(". / /dev/null /dev/zero /proc/self/mem /dev/fd/99 missing/x pipe loop whole empty folder ~ %d * [ ? **"),
    "", LONG, NOT_UTF8, "weights.pt", "codes.npy", "maps.npy",
]  # fmt: skip
ODD = {  # by option; others are odd in the way of their type
    "padding": [*words("0 1 8 48 200 5000 1000000 2147483648 -1 nan 1.5"), HUGE, ""],
    "style_degree": [
        *words("0@0s,1@1s 0@0s,1@0s 1@1s,0@0s nan@0s 0@nans 0@0s,1@infs 2@0s @ 0@ @0s , 0@0s, 0@-5s 0@0ss"),
        "0@1e308s,1@1e309s", ",".join(f"0.5@{i}s" for i in range(999)), *NUMBERS,
    ],
    "styles": [
        *words("1=ink 1=ink@0.5 0=ink 1= =ink 1=ink,1=ink 1=@1 1=ink@2 2=ink : 1=missing:ink 1=: ²=ink"),
        "1=ink@0@1", ",", "1=starter:film", f"{HUGE}=ink", *TEXTS,
    ],
    "content": [
        *words("webcam:99 webcam:x webcam: webcam:² -x.jpg whole/x file://whole"), f"webcam:{HUGE}", *PATHS,
    ],
    "output_path": [
        *words(". out a/b/c whole whole/x /dev/null /dev/null/x /proc/out out.jpg loop pipe"),
        "", LONG, NOT_UTF8, "a\nb",
    ],
    "faces": ["all", "one", "2", "²", *NUMBERS],
}  # fmt: skip
LEFT_OUT = ("compile", "device")  # minutes of compiling, and other devices


@dataclass
class Fuzz:
    """Options of the command line."""

    count: int = option(10000, "cases with the numbers 0, 1, 2 …", least=1)
    seed: int = option(0, "of the random numbers", least=0)
    folder: str = option("fuzz", "where the log, the findings and the files in between are", metavar="DIR")
    workers: int = option(os.cpu_count() or 1, "processes", least=1)
    resume: bool = option(False, "leave out the cases that the log in the folder has")
    only: int | None = option(None, "run this case alone and show what it says", least=0, metavar="NUMBER")


@dataclass(frozen=True)
class Case:
    """A file, and the arguments of the program; kind: of the file, or "options"."""

    kind: str
    name: str
    data: bytes
    arguments: list[str]
    real_faces: bool


def small_face(corners: Any, level: int = 100, size: tuple[int, int] = (96, 96)) -> np.ndarray:
    """What `wild.scene` is elsewhere: a face, with a corner that is dark at first."""
    import cv2

    from tests.small_models import face_picture

    picture = cv2.resize(face_picture(), size[::-1], interpolation=cv2.INTER_AREA)
    picture[:8, :8] = level
    return np.dstack([picture, np.full((*size, len(corners[0]) - 3), 255, np.uint8)])


def make_kinds(folder: Path) -> None:
    """Write the smallest file of each kind that this machine can write, and a small model with its codes."""
    from PIL import Image

    from tests import small_models, test_tracks, wild

    for row in [*wild.FILMS, *wild.HDR, *wild.PHOTOS]:
        settings = {"name": f"{row}{Path(row.name).suffix}".replace(" ", "_"), "draw": small_face}
        if isinstance(row, wild.Film):
            if row.times or row.rate or any(row.late):
                continue
            settings |= {"size": wild.SIZES.get(row.codec, (96, 96)), "count": 3}
        with suppress(Exception):  # there is no encoder
            replace(row, **settings).make(folder)
    first, *others = (Image.fromarray(small_face(wild.CORNERS, level)) for level in (40, 80, 120))
    for name in ("moving.gif", "moving.png", "moving.webp", "moving.avif"):
        first.save(folder / name, save_all=True, append_images=others, duration=50)
    for name, text in (("subtitles.mkv", "subrip"), ("subtitles.mp4", "mov_text")):
        test_tracks.make_film(folder / name, ("aac", "ac3"), text)
    (folder.parent / "model").mkdir()
    model = small_models.save_model(folder.parent / "model")
    shutil.copy(model, folder / "weights.pt")
    shutil.copy(next(model.parent.glob("*.npy")), folder / "codes.npy")
    np.save(folder / "maps.npy", np.zeros((1, 19, 8, 8), np.float16))


def model_of(kinds: Path) -> Path:
    return kinds.parent / "model" / "model.pt"


def damaged(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """`data` after one accident."""
    at, end = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    end = min(end, at + int(rng.choice([8, 64, 1024, len(data)])))
    match rng.integers(10):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[end:]
        case 2:
            return data[:end] + data[at:]
        case 3:
            return data[:at] + bytes(end - at) + data[end:]
        case 4:
            return data[:at] + other[int(rng.integers(len(other) + 1)) :]
    array = np.frombuffer(data, np.uint8).copy()
    reach = min(len(data), int(rng.choice([64, 512, *[len(data)] * 3])))  # much of what a file says is at its beginning
    for place in rng.integers(0, max(1, reach), int(50 ** rng.random())):
        array[place : place + 1] ^= rng.integers(1, 256, dtype=np.uint8)
    return array.tobytes()


def odd_arguments(rng: np.random.Generator) -> list[str]:
    """Some options with values that nobody should give, or that contradict each other."""
    from model.inference.options import Options

    known, arguments = [f for f in fields(Options) if f.metadata and f.name not in LEFT_OUT], []
    for i in rng.choice(len(known), rng.integers(1, 5), replace=False):
        name, choices = known[i].name, known[i].metadata.get("choices")
        arguments.append(f"--{name}")
        if isinstance(known[i].default, bool):
            continue
        values = ODD.get(name) or (PATHS if name.endswith("_path") or name == "ckpt" else [*NUMBERS, *TEXTS])
        values = list(map(str, choices)) if choices and rng.random() < 0.8 else values
        count = 4 if name == "padding" and rng.random() < 0.9 else int(rng.integers(1, 3))
        arguments += [str(value) for value in rng.choice(values, count if name in ("padding", "content") else 1)]
    return arguments


def make_case(seed: int, number: int, folder: Path) -> Case:
    """Case `number`: the same wherever the kinds in the folder are the same."""
    rng, kinds = np.random.default_rng((seed, number)), sorted(folder.iterdir())
    path, other = (kinds[i] for i in rng.integers(0, len(kinds), 2))
    data, name, model = path.read_bytes(), f"a{path.suffix}", str(model_of(folder))
    is_odd, real_faces, is_misnamed, by_starter = rng.random(4) < (
        ODD_SHARE, REAL_FACES_SHARE, WRONG_NAME_SHARE, STARTER_SHARE
    )  # fmt: skip
    arguments = ["--ckpt", "starter" if by_starter else model]
    option = {"weights.pt": "--ckpt", "codes.npy": "--exstyle_path", "maps.npy": "--parsing_map_path"}.get(path.name)
    if is_odd and option is None:
        return Case("options", name, data, [*arguments, *odd_arguments(rng), name], bool(real_faces))
    if is_misnamed:
        name = f"a{other.suffix}"
    for _ in range(rng.choice([0, 1, 1, 1, 1, 2])):
        data = damaged(data, other.read_bytes(), rng)
    arguments += ["--content", "whole", option, name] if option else ["--content", name]
    return Case(path.stem, name, data, [*arguments, *rng.choice(LOOKS).split()], bool(real_faces))


@cache
def prepare(model: str) -> Any:
    """Let models be loaded once, and the detector of faces say what it is told; that detector."""
    import dlib
    import torch

    from model.inference.stylizer import Stylizer

    class Detector:
        is_real, real = False, dlib.get_frontal_face_detector()

        def run(self, rgb: np.ndarray, upsampling: int, min_score: float) -> tuple[list[Any], list[float], list[int]]:
            if self.is_real:
                return self.real.run(rgb, upsampling, min_score)
            height, width = rgb.shape[:2]
            return [dlib.rectangle(width // 4, height // 4, 3 * width // 4, 3 * height // 4)], [1.5], [0]

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    detector, load = Detector(), Stylizer.from_preset
    dlib.get_frontal_face_detector = lambda: detector
    cached = cache(load)
    Stylizer.from_preset = lambda name, **settings: (cached if name in (model, "starter") else load)(name, **settings)
    return detector


def call(case: Case) -> tuple[int | None, str, str]:
    """Run the program on a case, in the current folder: its exit code (None after a traceback), stdout and stderr."""
    import style_transfer

    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code = None
    sys.argv = ["style_transfer.py", *case.arguments]
    with redirect_stdout(out), redirect_stderr(err):
        try:
            cli.run(style_transfer.main)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
    told = (stream.buffer.getvalue().decode(errors="replace") for stream in (out, err))
    return code, *told


def opens(path: Path) -> bool:
    """Whether a result is whole."""
    import av
    from PIL import Image

    try:
        if path.suffix == ".jpg":
            with Image.open(path) as image:
                image.load()
            return True
        with av.open(str(path.absolute())) as container:
            return sum(1 for _ in container.decode(video=0)) > 0
    except Exception:
        return False


def run_case(case: Case, folder: Path, kinds: Path) -> dict[str, Any]:
    """Run a case in a new folder; what it did, and what of that is to be found."""
    prepare(str(model_of(kinds))).is_real = case.real_faces
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    Path("command.txt").write_text(shlex.join(["style_transfer.py", *case.arguments]), "utf-8", "surrogateescape")
    Path(case.name).write_bytes(case.data)
    if "whole" in case.arguments or case.kind == "options":
        for name in ("weights.pt", "codes.npy", "maps.npy"):
            shutil.copy(kinds / name, ".")
        shutil.copy(kinds / "png-RGB.png", "whole")
        Path("empty").touch()
        Path("folder").mkdir()
        os.mkfifo("pipe")
        Path("loop").symlink_to("loop")
    before = {path: path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}
    start = time.monotonic()
    code, out, err = call(case)
    found = []
    if code is None or "Traceback" in err:
        found.append("traceback")
    elif code not in (0, 2):
        found.append("exit code")
    for path in Path().rglob("*"):
        if path in before:
            if before[path] is not None and before[path] != path.read_bytes():
                found.append("changed")
        elif path.name.endswith(MADE) and path.is_file():
            found += [] if opens(path) else ["unreadable"]
        elif path.suffix == ".parts" or (not path.is_dir() and path.name != "manifest.jsonl"):
            found.append("leftover")
    found += ["changed"] * any(not path.is_symlink() and not path.exists() for path in before)
    took, told = round(time.monotonic() - start, 2), (out + err)[-3000:]
    return {"kind": case.kind, "code": code, "found": sorted(set(found)), "seconds": took, "told": told}


def work(number: int, options: Fuzz, tasks: Connection) -> None:
    """Run the cases that come, in a process of its own."""
    os.setsid()  # Ctrl-C is for the parent, which ends this process
    folder = Path(options.folder).absolute()
    log = (folder / f"worker{number}.log").open("w")  # what libraries print, and where a crash was
    os.dup2(log.fileno(), 2)
    os.dup2(log.fileno(), 1)
    faulthandler.enable(log)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for case_number in iter(tasks.recv, None):
        case = make_case(options.seed, case_number, folder / "kinds")
        signal.setitimer(signal.ITIMER_PROF, COMPUTING)  # ends the process, whatever it does
        result = run_case(case, folder / f"worker{number}", folder / "kinds")
        signal.setitimer(signal.ITIMER_PROF, 0)
        tasks.send(result)


class Worker:
    """A process that runs cases, one after the other, and is replaced when it dies or gets old."""

    def __init__(self, number: int, options: Fuzz):
        self.number, self.options, self.folder = number, options, Path(options.folder) / f"worker{number}"
        self.process, self.done, self.case = None, 0, None

    def start(self, case: int) -> None:
        """Begin with a case."""
        if self.process is None or self.done >= CASES_PER_WORKER:
            self.stop()
            context = multiprocessing.get_context("spawn")
            self.tasks, theirs = context.Pipe()
            self.process = context.Process(target=work, args=(self.number, self.options, theirs), daemon=True)
            self.process.start()
            theirs.close()
            self.done = 0
        self.case, self.since = case, time.monotonic()
        self.tasks.send(case)

    def result(self) -> dict[str, Any] | None:
        """What came of the case; None while it runs."""
        is_late = time.monotonic() - self.since > WAITING
        with suppress(EOFError, ConnectionResetError):
            if self.tasks.poll():
                self.done += 1
                return self.tasks.recv()
            if not is_late:
                return None
        if is_late:
            self.process.kill()
        self.process.join()
        ended = -(self.process.exitcode or 0)
        self.process = None
        what = "hang" if is_late or ended == signal.SIGPROF else "crash"
        told = self.folder.with_suffix(".log").read_text(errors="replace")
        told = told[max(0, told.rfind("Fatal Python error")) :][:9000]
        case = make_case(self.options.seed, self.case, self.folder.parent / "kinds")
        return {"kind": case.kind, "code": -ended, "found": [what], "seconds": 0, "told": told}

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            with suppress(OSError):
                self.tasks.send(None)
            self.process.join(5)
            self.process.kill()
            self.process.join()
            self.process = None


def read_log(log: Path) -> list[dict[str, Any]]:
    """What is noted of each case."""
    entries = []
    for line in log.read_text().splitlines() if log.exists() else ():
        with suppress(ValueError):  # it was being written when the power went
            entries.append(json.loads(line))
    return entries


def report(entries: list[dict[str, Any]]) -> bool:
    """Print what is noted as a table by kind; whether anything was found."""
    kinds = sorted({entry["kind"] for entry in entries})
    rows = [["kind", "cases", "done", "refused", *FOUND]]
    for kind in [*kinds, "all"]:
        own = [entry for entry in entries if kind in (entry["kind"], "all")]
        codes, found = Counter(e["code"] for e in own), Counter(what for e in own for what in e["found"])
        rows.append([kind, *(str(n) for n in (len(own), codes[0], codes[2], *(found[what] for what in FOUND)))])
    print(plain_table(rows))
    return any(entry["found"] for entry in entries)


def main() -> None:
    """Run the cases and tell what was found."""
    options = cli.parse(Fuzz, __doc__)
    cli.check_ranges(options)
    folder = Path(options.folder).absolute()
    options.folder, log, kinds = str(folder), folder / "log.jsonl", folder / "kinds"
    os.environ |= {"HF_HUB_OFFLINE": "1", "SVT_LOG": "1"}
    if not kinds.is_dir():
        shutil.rmtree(folder / "making", ignore_errors=True)
        (folder / "making" / "kinds").mkdir(parents=True)
        make_kinds(folder / "making" / "kinds")
        (folder / "making" / "model").rename(folder / "model")
        (folder / "making" / "kinds").rename(kinds)
    if options.only is not None:
        result = run_case(make_case(options.seed, options.only, kinds), folder / "only", kinds)
        print(Path("command.txt").read_text(errors="replace"), result.pop("told"), result, sep="\n")
        return
    if not options.resume:
        log.unlink(missing_ok=True)
    entries = read_log(log)
    if entries and entries[0]["seed"] != options.seed:
        raise InputError(f"the log in {folder} is of another seed: give --seed {entries[0]['seed']}.")
    done = {entry["number"] for entry in entries}
    left = iter([number for number in range(options.count) if number not in done])
    workers = [Worker(number, options) for number in range(options.workers)]
    bar = tqdm(total=options.count, initial=len(done), unit="case")
    try:
        busy = [worker for worker, number in zip(workers, left) if worker.start(number) is None]  # noqa: B905
        while busy:
            wait([worker.tasks for worker in busy], timeout=1)
            for worker in list(busy):
                if (result := worker.result()) is None:
                    continue
                told, result["told"] = result["told"], result["told"].strip()[-300:]
                with log.open("a") as file:
                    file.write(json.dumps({"number": worker.case, "seed": options.seed} | result) + "\n")
                if result["found"]:
                    kept = folder / "findings" / str(worker.case)
                    shutil.rmtree(kept, ignore_errors=True)
                    shutil.copytree(worker.folder, kept, symlinks=True, ignore=lambda *_: ["pipe"])
                    (kept / "report.txt").write_text(f"{result}\n{told}", "utf-8", "replace")
                bar.update()
                number = next(left, None)
                busy.remove(worker) if number is None else worker.start(number)
    finally:
        bar.close()
        for worker in workers:
            worker.stop()
    if report(read_log(log)):
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main)
