"""Turn portrait photos and videos into comics, paintings and cartoons.

    python style_transfer.py                                   the sample portrait in every style
    python style_transfer.py me.jpg --sheet                    your face in every style
    python style_transfer.py me.jpg holiday.mp4 --style_id comic
    python style_transfer.py me.jpg --style_image painting.jpg painted as in that picture
    python style_transfer.py me.jpg --ckpt cartoon --style_id 26 --style_degree 0.5
    python style_transfer.py clip.mp4 --style_id oil --style_degree 0@0s,1@3s --compare
    python style_transfer.py group.jpg --faces all --full_frame 2 --styles 1=ink,2=film@0.6
    python style_transfer.py webcam --style_id fauve           live, in a window
    python style_transfer.py --list_styles                     all of them

Under `torchrun --nproc_per_node=8` each process takes its share of the contents, on a GPU of its own.
"""

from model.common import cli


def main() -> None:
    """Parse the command line and do what it asks."""
    # Imported here: Ctrl-C while that goes on is no traceback.
    from model.inference.batch import run
    from model.inference.options import Options
    from model.styles.catalog import list_presets

    options = cli.parse(Options, __doc__)
    if options.list_styles:
        print(list_presets())
    else:
        run(options)


if __name__ == "__main__":
    cli.run(main)
