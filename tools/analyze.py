"""Parameters, multiply-adds and images/s of a whole detector or segmenter, part by part.

python tools/analyze.py configs/det/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco.py --shape 800 1216
python tools/analyze.py configs/seg/deeplabv3_pinas_trans-d8_120e_ade20k-480x480.py --shape 480 480 --repeats 3

Multiply-adds are those of convolutions, transposed ones too, and linear layers, for one image with random weights. A
detector keeps every proposal and every detection that its config allows (1,000 and 100 in ours), the most that it can
cost. Images/s are those of the network with its post-processing, batch 1, without reading and resizing.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pinas_zoo.analysis.cost import MULTIPLY_ADDS, counting
from pinas_zoo.errors import UserError

sys.path.insert(0, str(Path(__file__).parent))  # python -m pinas_zoo.openmmlab runs this file by runpy, without it
from shared_main import make_parser, run

Parts = dict[str, str]  # name of a submodule: what the table calls it
PARTS: Parts = {
    "backbone": "backbone",
    "neck": "FPN",
    "rpn_head": "proposals",
    "roi_head.bbox_head": "box head",
    "roi_head.mask_head": "mask head",
    "decode_head": "decode head",
    "auxiliary_head": "auxiliary head (training only)",
}


def count(model: Any, images: torch.Tensor) -> tuple[Counter[str], Counter[str]]:
    """Parameters and multiply-adds of a model's parts, by their names in :data:`PARTS`, for one prediction."""
    parts = {}
    for name, part in PARTS.items():
        with contextlib.suppress(AttributeError):
            parts[part] = model.get_submodule(name)
    params = Counter({part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()})
    with torch.inference_mode(), counting(parts, MULTIPLY_ADDS) as macs:
        launch_predictor(model)(images)
    return params, macs


def launch_predictor(model: Any) -> nn.Module:
    from pinas_zoo.openmmlab import launch

    return launch.predictor(model)


def analyze(args: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Rows of the table: part, parameters in M, multiply-adds in G.

    Raises:
        UserError: A config that cannot be read, or sizes out of range.
    """
    from pinas_zoo.openmmlab import launch

    if min(args.shape) < 32 or args.repeats < 1:
        raise UserError(
            f"expected --shape of at least 32 and --repeats of at least 1, got {args.shape}, {args.repeats}"
        )
    cfg = launch.read_config(args.config, args.cfg_options)
    if cfg.default_scope == "mmdet":
        cfg.model.test_cfg.rcnn.score_thr = 0.0
    torch.manual_seed(0)
    model = launch.load_model(cfg, None, args.device)
    images = torch.randn(1, 3, *args.shape, device=args.device)
    params, macs = count(model, images)
    rows = [(part, f"{params[part] / 1e6:.3f}", f"{macs[part] / 1e9:.2f}") for part in params]
    rows.append(("whole", f"{sum(p.numel() for p in model.parameters()) / 1e6:.3f}", f"{sum(macs.values()) / 1e9:.2f}"))
    predict = launch.predictor(model)
    seconds = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        with torch.inference_mode():
            predict(images)
        if images.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    print(f"{'part':32}{'params (M)':>12}{'multiply-adds (G)':>20}")
    for part, p, m in rows:
        print(f"{part:32}{p:>12}{m:>20}")
    size = f"{args.shape[0]} x {args.shape[1]}"
    print(
        f"{1 / statistics.median(seconds):.3f} images/s of {size} on {args.device}, {torch.get_num_threads()} threads"
    )
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--shape", type=int, nargs=2, default=(800, 1216), metavar=("H", "W"), help="(800 1216)")
    parser.add_argument("--repeats", type=int, default=5, help="timed predictions (default 5)")
    parser.add_argument("--device", default="cpu", help="such as cuda (default cpu)")
    return run(parser, "analyze.py", analyze, argv)


if __name__ == "__main__":
    sys.exit(main())
