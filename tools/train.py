"""Train a detector or a segmenter from an OpenMMLab config, or a classifier from a recipe of configs/cls.

The arguments are mmdet's and mmseg's own. A recipe is trained by `pinas-zoo train`, whose words they become.

python tools/train.py configs/det/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco.py                # one GPU, or CPUs
tools/dist_train.sh configs/det/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco.py 8                # eight GPUs
python tools/train.py CONFIG --resume --cfg-options train_dataloader.batch_size=1            # resume, with a change
python tools/train.py configs/cls/digits.py --network 111111                                 # a recipe
tools/dist_train.sh configs/cls/imagenet_fast.py 8 --network pinas_alpha --data-root imagenet
"""

from __future__ import annotations

import argparse
import os
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
    recipe = parser.add_argument_group("recipes of configs/cls", "as in `pinas-zoo train`, which does the work")
    recipe.add_argument("--network", metavar="NAME|ARCH|FOLDER", help="what to train (default: the recipe's)")
    recipe.add_argument("--weights", metavar="NAME|FOLDER|FILE", help="start from the weights of another network")
    recipe.add_argument("--name", help="name of the run and of the registered network")
    recipe.add_argument("--no-register", action="store_true", help="do not register the network under its name")
    recipe.add_argument("--register-anyway", action="store_true", help="register it even where it learned nothing")
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


def is_recipe(text: str) -> bool:
    """Whether a config is a recipe: a name of configs/cls, or a file without OpenMMLab's ``default_scope``."""
    from pinas_zoo.config_files import config_folder, find_config
    from pinas_zoo.errors import UserError

    try:
        path = find_config(text, "cls")
        own = {kind for kind in ("cls", "det", "seg") if (config_folder() / kind).resolve() in path.resolve().parents}
        if own:
            return own == {"cls"}  # without reading it twice, and whether or not mmengine can
        from pinas_zoo.engine.config_values import read_config

        values = read_config(path)
    except (UserError, ImportError):  # no such file, or one that cannot be read: what OpenMMLab's way says of it
        return False
    return "default_scope" not in values and not isinstance(values.get("model"), dict)


def recipe_words(args: argparse.Namespace) -> list[str]:
    """The words of ``pinas-zoo train`` for the arguments of this script.

    Raises:
        UserError: Arguments that a recipe replaces by keys of its own.
    """
    from pinas_zoo.errors import UserError

    instead = {
        "amp": "--cfg-options precision=bf16",
        "auto_scale_lr": "--cfg-options optim.lr_batch=256, the batch at which optim.lr is meant",
        "authors": "one of the recipes in configs/cls",
    }
    for name, cure in instead.items():
        if getattr(args, name):
            raise UserError(f"expected no --{name.replace('_', '-')} with the recipe {args.config}, got it; try {cure}")
    if args.resume not in (None, "auto"):
        raise UserError(
            f"expected --resume alone with the recipe {args.config}, got {args.resume!r}: a run resumes in its own "
            "folder; try --work-dir FOLDER, or --weights to start from a checkpoint"
        )
    named = {"data": args.data_root, "weights": args.weights, "name": args.name, "work-dir": args.work_dir}
    if args.launcher != "none":
        named["launcher"] = args.launcher
    words = ["--config", args.config, *(f"--{key}={value}" for key, value in named.items() if value is not None)]
    words += [f"--set={text}" for text in args.cfg_options or ()]
    words += ["--no-register"] * args.no_register + ["--register-anyway"] * args.register_anyway
    return [*words, *([] if args.network is None else ["--", args.network])]


def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if not is_recipe(args.config):
        for name in ("network", "weights", "name", "no_register", "register_anyway"):
            if getattr(args, name):
                parser.error(f"expected --{name.replace('_', '-')} with a recipe of configs/cls, got {args.config}")
        return run(parser, "train.py", train, argv, ("cls", "det", "seg"))
    from pinas_zoo import cli
    from pinas_zoo.errors import UserError

    try:
        words = recipe_words(args)
    except UserError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return cli.main(["train", *words])


if __name__ == "__main__":
    sys.exit(main())
