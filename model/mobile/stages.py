"""The stages of a student: programs of their own, with the options that fit together and the files they leave."""

from pathlib import Path

from model.common import onnx_files
from model.mobile.options import Options
from model.mobile.student import LOSSES
from model.training.chain import Stage, Words
from model.training.options import UNPAIRED_MARGIN

SIDE = 256  # of a U-GAT-IT's pictures, and of pairs that it makes
RESULT = "mobile.pt"


def stages_of(options: Options) -> list[Stage]:
    """All stages, in order."""
    unpaired = _unpaired(options) if options.trains_unpaired else []
    pairs = _pairs(options, options.photos, "pairs", options.count)
    sifted = _sift(options) if _has_judges(options) and options.drop else []
    held_out = [_pairs(options, options.held_out, "held_out", options.held_out_count)] if options.held_out else []
    others = [_student(options, losses) for losses in LOSSES[:-1]] if options.compare else []
    return [
        *unpaired, pairs, *sifted, *others, _student(options), *held_out, *([_table(options)] if held_out else []),
        *_export(options),
    ]  # fmt: skip


def _has_judges(options: Options) -> bool:
    return options.teacher == "ugatit"


def _optional(name: str, value) -> Words:
    return [] if value in (None, "", []) else [f"--{name}={value}"]


def _unpaired(options: Options) -> list[Stage]:
    work, pictures = options.work, options.style_images or options.work / "drawn"
    draw = Stage(
        "draw", "draw pictures of the style", work / "drawn" / f"{options.draw - 1:05d}.png", "model.mobile.draw",
        [f"--stylegan_path={options.generator}", f"--config={options.generator_config}", f"--count={options.draw}",
         f"--seed={options.seed}", f"--device={options.device}", f"--out={work / 'drawn'}"],
        see=work / "drawn" / "sheets",
    )  # fmt: skip
    align = Stage(
        "align", "frame the photos as the pictures are", work / "aligned/overlay.jpg", "model.training.own.align",
        [f"--data={options.photos}", f"--out={work / 'aligned'}", f"--size={SIDE + UNPAIRED_MARGIN}"],
        see=work / "aligned/overlay.jpg",
    )  # fmt: skip
    learn = Stage(
        "unpaired", "a U-GAT-IT learns the style", work / "ugatit.pt", "model.training.ugatit",
        [f"--photos={work / 'aligned/faces'}", f"--style_images={pictures}", "--light", f"--size={SIDE}",
         f"--out={work / 'ugatit.pt'}", *_optional("iter", options.unpaired_steps),
         *_optional("width", options.unpaired_width), *_run(options, "ugatit")],
        work / "runs/ugatit/state.pt", measures=True, options=("unpaired_steps",),
    )  # fmt: skip
    return [*([draw] if options.generator else []), align, learn]


def _run(options: Options, name: str) -> Words:
    return [
        f"--name={name}", f"--runs={options.work / 'runs'}", f"--seed={options.seed}", f"--device={options.device}",
        f"--precision={options.precision}",
    ]  # fmt: skip


def _teacher(options: Options) -> Words:
    """What generate_data.py has to know of the teacher."""
    network = options.work / "ugatit.pt" if options.trains_unpaired else options.ckpt
    words: Words = [f"--teacher={options.teacher}"]
    if options.style:
        words.append(f"--{'style_id' if options.teacher == 'example' else 'style'}={options.style}")
    if options.style_image:
        words += ["--style_image", *options.style_image]
    if network:
        words.append(f"--ckpt={network}")
    return [*words, f"--size={SIDE}"] if options.teacher == "ugatit" else words


def _pairs(options: Options, photos: str, name: str, count: int) -> Stage:
    out = options.work / name
    whose = "the photos" if name == "pairs" else "photos of others"
    return Stage(
        name, f"the teacher makes its pictures of {whose}", out / "preview.jpg", "generate_data.py",
        [*_teacher(options), f"--photos={photos}", f"--out={out}", f"--seed={options.seed}",
         *_optional("count", count or None)],
        see=out / "preview.jpg", folder=out,
    )  # fmt: skip


def _sift(options: Options) -> list[Stage]:
    work, network = options.work, options.work / "ugatit.pt" if options.trains_unpaired else options.ckpt
    return [
        Stage(
            "sift", "leave the worst pairs out", work / "sifted/sheet.jpg", "model.mobile.sift",
            [f"--pairs={work / 'pairs'}", f"--ckpt={network}", f"--drop={options.drop}", f"--out={work / 'sifted'}",
             f"--device={options.device}"],
            see=work / "sifted/sheet.jpg",
        )
    ]  # fmt: skip


def _learnt(options: Options) -> Path:
    return options.work / ("sifted" if _has_judges(options) and options.drop else "pairs")


def _student(options: Options, losses: str = LOSSES[-1]) -> Stage:
    is_last = losses == LOSSES[-1]
    output, name = (options.folder.parent, options.name) if is_last else (options.work / "students", losses)
    return Stage(
        "student" if is_last else f"student_{losses}", f"the student learns, by {losses} losses",
        output / name / RESULT, "model.mobile.student",
        [f"--pairs={_learnt(options)}", f"--losses={losses}", f"--gmac={options.gmac}", f"--output={output}",
         *_optional("iter", options.steps), *_optional("batch", options.batch), *_run(options, name)],
        options.work / "runs" / name / "state.pt", measures=True, options=("steps", "batch"),
    )  # fmt: skip


def _table(options: Options) -> Stage:
    work, losses = options.work, LOSSES[:-1] if options.compare else ()
    students = [work / "students" / name / RESULT for name in losses] + [options.folder / RESULT]
    return Stage(
        "table", "measure on photos of others", work / "table.md", "model.mobile.table",
        ["--students", *students, "--names", *losses, LOSSES[-1] if losses else options.name,
         f"--pairs={work / 'held_out'}", f"--learnt={_learnt(options)}", f"--out={work / 'table.md'}",
         f"--device={options.device}", *_optional("inception_path", options.inception_path)],
        see=work / "table.jpg",
    )  # fmt: skip


def _export(options: Options) -> list[Stage]:
    work, out = options.work, options.folder / "export"
    return [
        Stage(
            "frames", "frame photos to measure the ranges of int8 with", work / "frames/000.png",
            "model.mobile.frames", [f"--pairs={_learnt(options)}", f"--out={work / 'frames'}"],
        ),
        Stage(
            "export", "write it for other runtimes", out / "mobile.int8.onnx", "model.mobile.export",
            [f"--ckpt={options.folder / RESULT}", f"--out={out}", f"--calibration={work / 'frames'}"],
            packages=onnx_files.PACKAGES,
        ),
    ]  # fmt: skip


def needs(options: Options) -> list[Path]:
    """Files that have to be there before anything begins."""
    return [
        Path(path) for path in (options.generator, options.ckpt, options.inception_path, *options.style_image) if path
    ]
