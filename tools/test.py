"""Test a trained detector or segmenter, with mmdet's and mmseg's own arguments.

python tools/test.py configs/seg/deeplabv3_pinas_trans-d8_120e_ade20k-480x480.py work_dirs/…/iter_151560.pth --tta
tools/dist_test.sh CONFIG CHECKPOINT 8 --show-dir pictures
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
    parser.add_argument("checkpoint", help="a file, or hf-hub:…, local-dir:…, pinas:NAME")
    parser.add_argument("--tta", action="store_true", help="flip and rescale images as the config says (segmenters)")
    parser.add_argument("--show-dir", metavar="FOLDER", help="write pictures of ground truth and prediction")
    return parser


def test(args: argparse.Namespace) -> None:
    """Build the run and test.

    Raises:
        UserError: The config, its data or the weights are not usable.
    """
    from pinas_zoo.openmmlab import authors, launch

    cfg = launch.config_of(args)
    launch.read_weights(args.checkpoint)  # raises its errors before a run is built
    cfg.load_from = args.checkpoint
    if args.authors:
        authors.follow_authors(cfg, "test")
    elif args.tta:
        authors.use_tta(cfg)
    if args.show_dir:
        cfg.default_hooks.visualization.update(draw=True, interval=1)
        if cfg.default_scope == "mmdet":
            cfg.default_hooks.visualization.test_out_dir = str(Path(args.show_dir).absolute())
        else:
            cfg.visualizer.update(save_dir=args.show_dir, name="shown")
    launch.run(launch.start(cfg, args.launcher, "test"), "test")


def main(argv: Sequence[str] | None = None) -> int:
    return run(build_parser(), "test.py", test, argv)


if __name__ == "__main__":
    sys.exit(main())
