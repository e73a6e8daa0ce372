"""``pinas-zoo segment``: the class of every pixel, drawn onto images."""

from __future__ import annotations

import argparse

from pinas_zoo.commands.detect import add_options

HELP = "draw a segmenter's classes onto images"
EPILOG = """\
    pinas-zoo segment street.jpg --config configs/seg/deeplabv3_pinas_trans-d8_120e_ade20k-480x480.py \\
        --weights work_dirs/deeplabv3_pinas_trans-d8_120e_ade20k-480x480/iter_151560.pth

Pictures are written to the folder of --out under the images' names; the images stay as they are. The weights must be
those of the whole segmenter that the config describes.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "segment", help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, "segmenter")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pinas_zoo import extras

    extras.require()
    from pinas_zoo.openmmlab import drawing

    drawing.draw(args, "mmseg")
