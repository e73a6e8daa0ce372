"""Train a detector or a segmenter from an OpenMMLab config, with mmdet's and mmseg's own arguments.

python tools/train.py configs/det/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco.py                # one GPU, or CPUs
tools/dist_train.sh configs/det/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco.py 8                # eight GPUs
python tools/train.py CONFIG --resume --cfg-options train_dataloader.batch_size=1            # resume, with a change
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -m pinas_zoo.openmmlab runs this file by runpy, without it
from shared_main import add_run_arguments, make_parser, run


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    add_run_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="resume from a checkpoint, or from the last one in the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision, on a GPU")
    parser.add_argument("--auto-scale-lr", action="store_true", help="scale the learning rate to the real batch size")
    return parser


def train(args: argparse.Namespace) -> None:
    """Build the run and train.

    Raises:
        UserError: The config, its data or its weights are not usable.
    """
    from pinas_zoo.errors import UserError
    from pinas_zoo.openmmlab import authors, launch

    cfg = launch.config_of(args)
    if args.authors:
        authors.follow_authors(cfg, "train")
    if args.amp:
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    if args.auto_scale_lr:
        if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
            raise UserError(f"expected auto_scale_lr.base_batch_size in {args.config} for --auto-scale-lr, found none")
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == "auto" else args.resume
    launch.run(launch.start(cfg, args.launcher, "train"), "train")


def main(argv: Sequence[str] | None = None) -> int:
    return run(build_parser(), "train.py", train, argv)


if __name__ == "__main__":
    sys.exit(main())
