"""``pinas-zoo segment``: the class of every pixel, drawn onto images."""

from __future__ import annotations

import argparse

from pinas_zoo.commands.detect import add_options

EPILOG = """\
examples:
    pinas-zoo segment street.jpg --config configs/seg/deeplabv3_pinas_trans-d8_120e_ade20k-480x480.py \\
        --weights work_dirs/deeplabv3_pinas_trans-d8_120e_ade20k-480x480/iter_151560.pth

Pictures are written to the folder of --out under the images' names; the images do not change. The legend has each
class and its share of the pixels. Images below 320 pixels are drawn enlarged. The weights must be those of the whole
segmenter that the config describes.

With --json, an object for each image has `classes`: class, label and share of the pixels, the largest first.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add_options(parser, "segmenter")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pinas_zoo import extras

    extras.require()
    from pinas_zoo.openmmlab import drawing

    drawing.draw(args, "mmseg")
