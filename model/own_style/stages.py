"""The stages of each kind: programs of their own, with the options that fit together and the files they leave."""

from collections.abc import Callable
from pathlib import Path

from model.own_style.options import FEW_LAYERS, FEW_RATE, USUAL, Options
from model.training.chain import Stage, Words
from model.training.options import RECIPES
from model.training.own.parts import DONE
from model.training.teachers.variants import NO_FILE

# Minutes at the published sizes on one A100-like GPU: estimates, none of them measured.
MINUTES = {
    "align": 1, "invert": 1, "tune jojo": 1, "tune": 20, "sheet": 1, "destylize": 40, "dual": 25, "transfer": 75,
    "refine": 12, "pretrain": 40, "train": 20, "ready": 1,
}  # fmt: skip


def stages_of(options: Options, count: int) -> list[Stage]:
    """All stages for resolved `options` and so many pictures."""
    make: dict[str, Callable[[Options, int], list[Stage]]] = {"jojo": _jojo, "toonify": _toonify, "dual": _dual}
    return make[options.kind](options, count)


def _common(options: Options) -> Words:
    """What all programs that compute take."""
    return [f"--config={options.config}", f"--device={options.device}", f"--seed={options.seed}"]


def _run(options: Options, name: str) -> Words:
    return [*_common(options), f"--name={name}", f"--runs={options.work / 'runs'}"]


def _state(options: Options, name: str, file: str = "state.pt") -> Path:
    return options.work / "runs" / name / file


def _optional(name: str, value) -> Words:
    return [] if value is None else [f"--{name}={value}"]


def _align(options: Options) -> list[Stage]:
    if options.aligned:
        return []
    work, size = options.work, RECIPES[options.config].network.generator.size
    sources = options.source
    points = [f"--points={options.points}"] if options.points else []
    return [
        Stage(
            "align", "cut the faces out, all framed alike", work / "aligned/overlay.jpg", "model.training.own.align",
            [f"--data={sources}", f"--out={work / 'aligned'}", f"--size={size}", *points],
            see=work / "aligned/overlay.jpg",
        )
    ]  # fmt: skip


def _data(options: Options) -> Path:
    return options.source if options.aligned else options.work / "aligned/faces"


def _encoder(options: Options) -> list[Stage]:
    if not options.trains_encoder:
        return []
    words = [f"--stylegan_path={options.stylegan_path}", f"--out={options.encoder_path}", *_run(options, "encoder")]
    return [
        Stage(
            "encoder", "train an encoder for this generator", Path(options.encoder_path), "model.training.own.encoder",
            [*words, "--log_every=100", *_optional("iter", options.encoder_steps)], _state(options, "encoder"),
            measures=True,
        )
    ]  # fmt: skip


def _toonify_training(options: Options, tuned: Path, weights: list[int]) -> list[Stage]:
    """Pre-training and training of a VToonify-T."""
    layers = RECIPES[options.config].network.generator.w_layers
    half = layers // 2
    shares = [str(weights[0])] * half + [str(weights[1])] * (layers - half)
    files = [f"--stylegan_path={options.stylegan_path}", f"--finetunegan_path={tuned}", "--weight", *shares]
    return _training(options, "train_vtoonify_t.py", files, "vtoonify.pt")


def _training(options: Options, program: str, files: Words, result: str) -> list[Stage]:
    helpers = [f"--{name}={getattr(options, name)}" for name in ("direction_path", "style_encoder_path")]
    if RECIPES[options.config].network.parsing_channels:
        helpers.append(f"--faceparsing_path={options.faceparsing_path}")
    shared = [*files, *helpers, *_run(options, options.name), f"--output={options.folder.parent}"]
    shared += [f"--precision={options.precision}", *_optional("batch", options.batch)]
    pretrained, finished = options.folder / "pretrain.pt", options.folder / result
    return [
        Stage(
            "pretrain", "the encoder learns the generator's features", pretrained, program,
            [*shared, "--pretrain", *_optional("iter", options.pretrain_steps)],
            _state(options, options.name, "pretrain/state.pt"), measures=True,
        ),
        Stage(
            "train", "encoder and fusion learn to draw, steadily", finished, program,
            [*shared, *_optional("iter", options.train_steps)], _state(options, options.name), measures=True,
        ),
    ]  # fmt: skip


def _sheet(options: Options, tuned: Path, words: Words) -> Stage:
    sheet = options.work / "sheet.jpg"
    return Stage(
        "sheet", "twelve random faces in the style", sheet, "model.training.own.sheet",
        [f"--stylegan_path={options.stylegan_path}", f"--finetunegan_path={tuned}", f"--out={sheet}",
         f"--data={_data(options)}", *words, *_common(options)], see=sheet,
    )  # fmt: skip


def _jojo(options: Options, count: int) -> list[Stage]:
    work, data = options.work, _data(options)
    tuned = Path(options.generator) if options.generator else work / "tuned.pt"
    codes = work / "inverted/codes.npy"
    invert = Stage(
        "invert", "find the codes of the pictures", codes, "model.training.own.invert_folder",
        [f"--data={data}", f"--stylegan_path={options.stylegan_path}", f"--encoder_path={options.encoder_path}",
         f"--out={work / 'inverted'}", "--steps=0", *_run(options, "invert")],
        _state(options, "invert", DONE), see=work / "inverted/inversions.jpg",
    )  # fmt: skip
    keeps = ["--family=c"] if options.colours == "photo" else []
    tune = Stage(
        "tune", "teach the generator the style", tuned, "model.training.own.jojo",
        [f"--references={data}", f"--codes={codes}", f"--stylegan_path={options.stylegan_path}", f"--out={tuned}",
         f"--strength={options.strength}", "--freeze_input", *keeps, *_optional("iter", options.tune_steps),
         *_optional("lr", options.tune_lr), *_run(options, "tune")],
        _state(options, "tune"), measures=True,
    )  # fmt: skip
    weights = [1, 0] if options.colours == "photo" else [1, 1]
    return [
        *_align(options), *_encoder(options), invert, *([] if options.generator else [tune]),
        _sheet(options, tuned, [f"--codes={codes}"]), *_toonify_training(options, tuned, weights),
    ]  # fmt: skip


def _finetune(options: Options, tuned: Path, count: int, learn: str) -> list[Stage]:
    if options.generator:
        return []
    careful = [f"--freeze_d={_frozen(options)}"] if count < USUAL else []
    rate = options.tune_lr or (FEW_RATE if count < USUAL else None)
    return [
        Stage(
            "tune", "fine-tune the generator to the pictures", tuned, "model.training.finetune",
            [f"--data={_data(options)}", f"--stylegan_path={options.stylegan_path}", f"--out={tuned}",
             f"--learn={learn}", *careful, *_optional("lr", rate), *_optional("iter", options.tune_steps),
             *_optional("batch", options.batch), *_run(options, "tune")],
            _state(options, "tune"), measures=True,
        )
    ]  # fmt: skip


def _frozen(options: Options) -> int:
    """Layers of the discriminator that stay: as many as it has, but for the last two blocks."""
    levels = RECIPES[options.config].network.generator.levels
    return min(FEW_LAYERS, 1 + 3 * max(0, levels - 2))


def _toonify(options: Options, count: int) -> list[Stage]:
    tuned = Path(options.generator) if options.generator else options.work / "tuned.pt"
    return [
        *_align(options), *_encoder(options), *_finetune(options, tuned, count, "rendering"),
        _sheet(options, tuned, []), *_toonify_training(options, tuned, [1, 0]),
    ]  # fmt: skip


def _dual(options: Options, count: int) -> list[Stage]:
    work, data = options.work, _data(options)
    tuned = Path(options.generator) if options.generator else work / "tuned.pt"
    photos, before = f"--stylegan_path={options.stylegan_path}", options.dual_pretrain_path
    judged = [f"--judge={options.judge}", f"--arcface_path={options.arcface_path}"]
    codes, generator = work / "codes", work / "generator.pt"
    destylize = Stage(
        "destylize", "find photo-like faces of the pictures", codes / "instyle_code.npy",
        "model.training.own.destylize",
        [f"--data={data}", photos, f"--finetunegan_path={tuned}", f"--encoder_path={options.encoder_path}",
         f"--out={codes}", *judged, *_optional("steps", options.code_steps), *_run(options, "destylize")],
        _state(options, "destylize", DONE), see=codes / "destylized.jpg",
    )  # fmt: skip
    dual = Stage(
        "dual", "train a DualStyleGAN of photos (once for all styles)", Path(before),
        "model.training.own.dual_pretrain",
        [photos, f"--encoder_path={options.encoder_path}", f"--out={before}", *judged,
         *_optional("iter", options.dual_steps), *_run(options, "dual")],
        _state(options, "dual"), measures=True,
    )  # fmt: skip
    transfer = Stage(
        "transfer", "teach it the pictures", generator, "model.training.own.dual_transfer",
        [f"--data={data}", f"--codes={codes}", f"--pretrain_path={before}", f"--out={generator}", *judged,
         *_optional("iter", options.tune_steps), *_run(options, "transfer")],
        _state(options, "transfer"), measures=True,
    )  # fmt: skip
    refined = codes / "refined_exstyle_code.npy"
    refine = Stage(
        "refine", "refine the codes of the pictures", refined, "model.training.own.refine",
        [f"--data={data}", f"--codes={codes}", f"--generator_path={generator}",
         f"--critic_path={options.stylegan_path}", *judged, *_optional("steps", options.code_steps),
         *_run(options, "refine")],
        _state(options, "refine", DONE), see=codes / "refined.jpg",
    )  # fmt: skip
    files = [f"--stylegan_path={generator}", f"--exstyle_path={refined}", "--style_id=0"]
    return [
        *_align(options), *_encoder(options), *_finetune(options, tuned, count, "all"), destylize, dual, transfer,
        refine, *_training(options, "train_vtoonify_d.py", files, "vtoonify_s_d_c.pt"),
    ]  # fmt: skip


def needs(options: Options) -> list[Path]:
    """Weight files that have to be there before anything begins."""
    wanted = [options.stylegan_path]
    helpers = [options.style_encoder_path, options.direction_path]
    wanted += [path for path in [options.encoder_path, *helpers] if path != NO_FILE]
    if options.trains_encoder:
        wanted = [path for path in wanted if path != options.encoder_path]
    if options.kind == "toonify" and options.encoder_path != options.style_encoder_path:
        wanted.remove(options.encoder_path)
    if RECIPES[options.config].network.parsing_channels:
        wanted.append(options.faceparsing_path)
    return [Path(path) for path in dict.fromkeys([*wanted, *([options.generator] if options.generator else [])])]
