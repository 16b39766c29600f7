"""Fine-tune a StyleGAN2 of photos to cartoon faces, the first step of Toonify (Pinkney & Adler, 2020).

    python -m model.training.finetune --data faces --out checkpoint/mine/finetune.pt --name finetune_mine
    python train_vtoonify_t.py --pretrain --finetunegan_path checkpoint/mine/finetune.pt --name mine

The pictures are to be aligned as those that the generator was trained with. It learns against a discriminator, the one
in its file or a new one (Karras et al., 2020, StyleGAN2). Ctrl-C keeps the state, from which --resume goes on.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from model import checkpoints
from model.common import cli
from model.common.devices import pick_device, pick_precision
from model.common.errors import InputError
from model.common.interrupts import noted_signals
from model.common.tensors import image_grid
from model.discriminator import Discriminator
from model.stylegan2 import Generator
from model.training.data.pictures import PictureFolder
from model.training.finetune.gan import Game, NotFiniteError
from model.training.finetune.options import Options
from model.training.log import Log, writing
from model.training.teachers.base import TRUNCATION
from model.training.train import mean_losses
from model.training.trainer import fingerprint

SHEET_ROWS = 6
"""Codes on a sheet of pictures."""

HELD_OUT = 1 << 48
"""The sheet's codes are those of this step, which no run reaches."""

SAME_ON_RESUME = ("config", "seed", "r1")
"""Options that make another run when they differ; the pictures of a step are compared as such."""


def finetune(options: Options) -> Path | None:
    """Go through all steps; returns the file with the average of the generator (None for a dry run).

    Ctrl-C and SIGTERM save the state and raise KeyboardInterrupt. Raises InputError for options, files or pictures that
    cannot work, and when the losses are no longer finite.
    """
    options = options.resolved()
    options.check()
    device = pick_device(options.device)
    # Float32 takes the place of float16, in which small gradients vanish.
    is_bf16 = pick_precision(options.precision, device) == torch.bfloat16
    for name, value in asdict(options).items():
        print(f"{name}: {value}")
    print(f"on: {device}, arithmetic {'bf16' if is_bf16 else 'fp32'}", flush=True)
    if options.dry_run:
        return None
    game = prepare(options, device, torch.bfloat16 if is_bf16 else torch.float32)
    log = begin(game)
    try:
        go_through(game, log)
    except NotFiniteError as error:
        advice = f"--resume from {options.state_file}" if options.state_file.is_file() else "start again"
        raise InputError(
            f"Fine-tuning broke down at step {game.step} ({error}): {advice} with a lower --lr."
        ) from error
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"The memory of {device} is too small for --batch {options.batch}: give a smaller one with a "
            "larger --accumulate."
        ) from error
    finally:
        log.close()
    checkpoints.save_generator(options.out, game.ema)
    return Path(options.out)


def prepare(options: Options, device: torch.device, dtype: torch.dtype) -> Game:
    """Networks and pictures from the files that the options name."""
    pictures = PictureFolder(options.data, options.generator.size)
    base = checkpoints.load_generator(options.stylegan_path, options.generator)
    discriminator = checkpoints.load_discriminator(options.stylegan_path, options.generator)
    if discriminator is None:
        torch.manual_seed(options.seed)
        discriminator = Discriminator(None, options.generator.size, options.generator.channels)
    return Game(options, base, discriminator, pictures, device, dtype)


def begin(game: Game) -> Log:
    """Take up the last state or start the folder of a new run, and note the options there."""
    options = game.options
    if options.resume:
        resume(game)
    elif options.state_file.exists():
        raise InputError(f"{options.folder} already holds a run: add --resume to go on, or choose another --name.")
    elif Path(options.out).exists():
        raise InputError(f"{options.out} already exists: give --out another file.")
    with writing(options.folder):
        options.folder.mkdir(parents=True, exist_ok=True)
        if not options.resume:  # an earlier run may have ended before its first state
            (options.folder / "log.jsonl").unlink(missing_ok=True)
        (options.folder / "options.json").write_text(json.dumps(asdict(options), indent=2) + "\n")
    return Log(options.folder, game.step)


def resume(game: Game) -> None:
    """Take up the last state. InputError when there is none or when it belongs to other options or files."""
    path = game.options.state_file
    if not path.is_file():
        raise InputError(f"{path} does not exist: start the run without --resume.")
    state = checkpoints.load_state(path)
    try:
        check_same(game, state)
        game.load(state)
    except (LookupError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{path} is of another version of this program: start a new run.") from error


def check_same(game: Game, state: dict) -> None:
    """Raise InputError when `state` is of a run with other options or files."""
    options, then = game.options, Options(**state["options"])
    was_started = f"The run in {options.folder} was started with"
    for name in SAME_ON_RESUME:
        if getattr(then, name) != getattr(options, name):
            raise InputError(f"{was_started} --{name} {getattr(then, name)}, not {getattr(options, name)}: use that.")
    if then.pictures_a_step != options.pictures_a_step:
        raise InputError(
            f"{was_started} {then.pictures_a_step} pictures a step, not {options.pictures_a_step}: "
            "set --batch and --accumulate to that."
        )
    if state["pictures"] != game.pictures.names:
        raise InputError(f"{was_started} other pictures than those in {options.data}: use these or start a new run.")
    if not math.isclose(state["base"], fingerprint(game.generator), rel_tol=1e-9):
        raise InputError(f"{was_started} another generator than {options.stylegan_path}: use the file of then.")


def go_through(game: Game, log: Log) -> None:
    """All steps that are left, with a state every --save_every and figures and pictures every --log_every."""
    options, recent = game.options, []
    codes = sheet_codes(game.base, options.seed)
    with noted_signals() as signals, tqdm(initial=game.step, total=options.iter, desc=options.name) as bar:
        while game.step < options.iter:
            recent.append(game.advance())
            bar.update()
            if game.step % options.log_every == 0 or game.step == options.iter:
                means = mean_losses(recent)
                log.figures(game.step, means)
                log.picture(game.step, progress_sheet(game, codes))
                bar.set_postfix({name: f"{value:.4f}" for name, value in means.items()})
                recent = []
            if signals or game.step % options.save_every == 0 or game.step == options.iter:
                checkpoints.save_state(options.state_file, game.state() | {"options": asdict(options)})
            if signals:
                raise KeyboardInterrupt(f"stopped at step {game.step}; --resume goes on from {options.state_file}.")


@torch.no_grad()
def sheet_codes(base: Generator, seed: int) -> Tensor:
    """Codes in w+, truncated as those that pairs are made from, `[n, rows, D]`."""
    config, weight = base.config, base.input.input
    z = np.random.default_rng((seed, HELD_OUT)).standard_normal((SHEET_ROWS, 1, config.style_dim), dtype=np.float32)
    return TRUNCATION * base.mapping(torch.from_numpy(z).to(weight)).repeat(1, config.w_layers, 1)


@torch.no_grad()
def progress_sheet(game: Game, codes: Tensor) -> np.ndarray:
    """Photo of the base | cartoon of the average, for each code | one of the pictures that it learns from."""
    columns = [torch.cat([network(code[None], "fixed") for code in codes]) for network in (game.base, game.ema)]
    learnt_from = [game.pictures[number % len(game.pictures.paths)] for number in range(len(codes))]
    return image_grid([*columns, torch.stack(learnt_from)])


def main() -> None:
    """Parse the command line, fine-tune, and say where the result is."""
    if result := finetune(cli.parse(Options, __doc__)):
        print(f"The fine-tuned generator is {result}.")


if __name__ == "__main__":
    cli.run(main)
