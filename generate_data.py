"""Write training pairs to tar shards: photo and cartoon, with all that training needs to know about them.

    python generate_data.py --teacher drawn --style film --photos FOLDER --out pairs
    python generate_data.py --teacher drawn --style film ink mine.toml --photos FOLDER --out pairs
    python generate_data.py --teacher painter --style oil --photos FOLDER --out pairs
    python generate_data.py --teacher example --style_id fauve --photos FOLDER --out pairs
    python generate_data.py --teacher example --style_image mine.png --photos FOLDER --out pairs
    python generate_data.py --teacher ugatit --ckpt mine.pt --size 256 --photos FOLDER --out pairs
    python generate_data.py --teacher whitebox --photos FOLDER --out pairs
    python generate_data.py --teacher adain --style_image mine.png --photos FOLDER --out pairs
    python generate_data.py --teacher keyframe --content clip.mp4 --keyframe 0=painted.png 120=later.png --out pairs
    python generate_data.py --teacher toonify --finetunegan_path G1.pt --count 10000 --out pairs
    python generate_data.py --teacher dualstyle --stylegan_path generator.pt --count 10000 --out pairs
    python generate_data.py --teacher dualstyle --pretrain --count 10000 --out features

The drawn teacher makes cartoons of your photos (at degree 1 and at one in between), each in every style; painters and
pictures as styles paint them, and what went wrong is left out; U-GAT-IT, White-box cartoonisation and AdaIN translate
them, and are kept as drawn pairs; key frames are painted already. The networks make
photos and cartoons from random codes, or with --pretrain what encoder pre-training matches. A picture of samples,
preview.jpg, is written beside the shards. The same options give the same shards; a run that was stopped goes on with
those that are missing. Under `torchrun --nproc_per_node=8`, the same commands share the shards out over several
processes or GPUs.
"""

from collections import Counter
from collections.abc import Callable

from model.common import cli
from model.common.errors import InputError
from model.training.generate.options import BY_TEACHER, GenerateOptions


def find_teacher(name: str) -> Callable[[GenerateOptions], Counter[str]]:
    """The function that makes the pairs. What loads torch is imported when the options are known to be right."""
    if name == "drawn":
        from model.training.generate.drawn import generate_drawn as generate
    elif name == "keyframe":
        from model.training.generate.keyframes import generate_keyframes as generate
    elif name in ("ugatit", "whitebox", "adain"):
        from model.training.generate.translated import generate_translated as generate
    elif name in ("painter", "example"):
        from model.training.generate.painted import generate_painted as generate
    else:
        from model.training.generate.networks import generate_samples as generate
    return generate


def main() -> None:
    """Parse the command line, draw, and say how many pairs there are."""
    parser = cli.OneLineParser(add_help=False)
    parser.add_argument("--teacher", choices=BY_TEACHER, default=GenerateOptions.teacher)
    options = cli.parse(BY_TEACHER[parser.parse_known_args()[0].teacher], __doc__)
    options.check()
    generate = find_teacher(options.teacher)
    try:
        outcomes = generate(options)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("stopped; finished shards are kept, and the same command goes on from them.") from error
    told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    if outcomes and not outcomes["drawn"] and cli.processes()[1] == 1:
        raise InputError(f"No pair could be made ({told}): delete {options.out}, and give other pictures.")
    if cli.processes()[0] == 0:
        print(told or "nothing to do")


if __name__ == "__main__":
    cli.run(main)
