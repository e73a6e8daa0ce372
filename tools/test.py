"""Test a trained detector or segmenter, with mmdet's and mmseg's own arguments.

python tools/test.py configs/seg/deeplabv3_pinas_trans-d8_120e_ade20k-480x480.py work_dirs/…/iter_151560.pth --tta
tools/dist_test.sh CONFIG CHECKPOINT 8 --show-dir pictures
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pinas_zoo.errors import UserError


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    from pinas_zoo.openmmlab import launch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="the config that the checkpoint was trained with")
    parser.add_argument("checkpoint", help="a file, or hf-hub:…, local-dir:…, pinas:NAME")
    parser.add_argument("--tta", action="store_true", help="flip, and the config's scales (segmenters)")
    parser.add_argument("--show-dir", metavar="FOLDER", help="write pictures of truth and prediction")
    return launch.parse_args(parser, argv)


def test(args: argparse.Namespace) -> None:
    """Build the run and test.

    Raises:
        UserError: With one line that says what to do.
    """
    from pinas_zoo.openmmlab import launch

    cfg = launch.config_of(args)
    launch.read_weights(args.checkpoint)  # says what is wrong with it before a run is built
    cfg.load_from = args.checkpoint
    if args.tta:
        if "tta_pipeline" not in cfg or "tta_model" not in cfg:
            raise UserError(f"expected tta_pipeline and tta_model in {args.config} for --tta, found none")
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(**cfg.tta_model, module=cfg.model)
    if args.show_dir:
        cfg.default_hooks.visualization.update(draw=True, interval=1)
        if cfg.default_scope == "mmdet":
            cfg.default_hooks.visualization.test_out_dir = str(Path(args.show_dir).absolute())
        else:
            cfg.visualizer.update(save_dir=args.show_dir, name="shown")
    launch.run(launch.start(cfg, args.launcher, "test"), "test")


def main(argv: Sequence[str] | None = None) -> int:
    """0 when it worked, 2 with one line on stderr when the input was wrong."""
    try:
        from pinas_zoo import extras

        extras.require()
        test(parse_args(argv))
    except UserError as error:
        print(f"test.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
