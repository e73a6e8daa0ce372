"""Train a detector or a segmenter from an OpenMMLab config, with mmdet's and mmseg's own arguments.

python tools/train.py configs/det/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco.py                # one GPU, or CPUs
tools/dist_train.sh configs/det/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco.py 8                # eight GPUs
python tools/train.py CONFIG --resume --cfg-options train_dataloader.batch_size=1            # go on, changed
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pinas_zoo.errors import UserError


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    from pinas_zoo.openmmlab import launch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="an mmdet or mmseg config, such as those in configs/det and configs/seg")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on from a checkpoint, or from the last one in the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision, on a GPU")
    parser.add_argument("--auto-scale-lr", action="store_true", help="scale the learning rate to the real batch size")
    return launch.parse_args(parser, argv)


def train(args: argparse.Namespace) -> None:
    """Build the run and train.

    Raises:
        UserError: With one line that says what to do.
    """
    from pinas_zoo.openmmlab import launch

    cfg = launch.config_of(args)
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
    """0 when it worked, 2 with one line on stderr when the input was wrong."""
    try:
        from pinas_zoo import extras

        extras.require()
        train(parse_args(argv))
    except UserError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
