"""``pinas-zoo detect``: objects and their masks, drawn onto images."""

from __future__ import annotations

import argparse

EPILOG = """\
examples:
    pinas-zoo detect street.jpg --config configs/det/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco.py \\
        --weights work_dirs/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco/iter_90000.pth

Pictures are written to the folder of --out under the images' names; the images do not change. Each object has its box,
mask, name and score, and the legend counts classes. Images below 320 pixels are drawn enlarged. The weights must be
those of the whole detector that the config describes.

With --json, an object for each image has `objects`: class, label, score, box (x1, y1, x2, y2 in pixels) and mask
(COCO's compressed RLE: size and counts, which pycocotools.mask.decode reads).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add_options(parser, "detector")
    parser.add_argument(
        "--score", type=float, default=0.3, metavar="S", help="lowest score that is drawn and printed (default 0.3)"
    )
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the options that detect and segment share."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="PNG, JPEG, WebP, TIFF and more; grey, RGBA, CMYK too"
    )
    parser.add_argument("--config", required=True, metavar="FILE", help=f"the {what}'s config")
    parser.add_argument(
        "--weights", required=True, metavar="CHECKPOINT", help="trained with that config; a file or hf-hub:…"
    )
    parser.add_argument("--out", default="pictures", metavar="FOLDER", help="where pictures go (default pictures)")
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="such as cuda (default cpu)")
    parser.add_argument("--json", action="store_true", help="print JSON, one object for each image")
    parser.add_argument(
        "--cfg-options", nargs="+", action=Options, metavar="KEY=VALUE", help="change the config, as in mmdet and mmseg"
    )


class Options(argparse.Action):
    """mmengine's DictAction; mmengine is imported when the option is used."""

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            from mmengine.config import DictAction
        except ImportError as error:
            from pinas_zoo.extras import install_command

            cure = install_command("openmmlab")
            raise argparse.ArgumentError(self, f"expected mmengine, got: {error}; {cure}") from None
        DictAction(self.option_strings, self.dest, nargs=self.nargs)(parser, namespace, values, option_string)


def run(args: argparse.Namespace) -> None:
    from pinas_zoo import extras
    from pinas_zoo.errors import UserError

    if not 0 <= args.score <= 1:
        raise UserError(f"expected --score from 0 to 1, got {args.score}")
    extras.require()
    from pinas_zoo.openmmlab import drawing

    drawing.draw(args, "mmdet")
