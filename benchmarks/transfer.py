"""Training speed and memory of detectors and segmenters, beside the same ones with mmdet's ResNeSt-50.

    python benchmarks/transfer.py --size 320 320 --batch 2 --repeats 3        # results/transfer.md
    python benchmarks/transfer.py --tasks det --backbones resnest50 --dtype bf16 --tag bf16
    python benchmarks/transfer.py --memory                                    # GB per image at the recipes' sizes

An iteration consists of the loss on random images and objects, its gradients, and a step of SGD. Every round runs each
competitor once, so that other load affects all of them. A ratio is the median over rounds of the ratio within a round.
Activations are the bytes that autograd saves for one iteration, each storage once, which is the same on every device.
Segmenters are counted at half the height and width, times four. Weights, gradients and momentum need another 12 bytes
per parameter.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from inference import interleave, machine, markdown, ratio, spread
from mmengine.config import ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope

from pinas_zoo.models.blocks import SplitAttention
from pinas_zoo.openmmlab import launch
from pinas_zoo.weights.atomic import write_text

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {
    "det": "configs/det/mask-rcnn_{}_fpn_syncbn_1x_coco.py",
    "ade20k": "configs/seg/deeplabv3_{}-d8_120e_ade20k-480x480.py",
    "cityscapes": "configs/seg/deeplabv3_{}-d8_240e_cityscapes-768x768.py",
}
SIZES = {"det": (800, 1216), "ade20k": (480, 480), "cityscapes": (768, 768)}  # of the recipes
BACKBONES = ("r50", "resnest50", "pinas_cls", "pinas_trans")
PEER = "OpenMMLab's ResNeSt-50"
OBJECTS = 8  # per image


def build(task: str, backbone: str, rois: int | None = None) -> Any:
    """Build a detector or segmenter with random weights in training mode, with BN instead of SyncBN.

    Args:
        task: A key of ``CONFIGS``.
        backbone: Of ``BACKBONES``, or the peer.
        rois: Regions of an image that a detector's heads learn from, instead of the recipe's 512.
    """
    cfg = launch.read_config(ROOT / CONFIGS[task].format("resnest50" if backbone == PEER else backbone))
    init_default_scope(cfg.default_scope)
    if "pretrained" in cfg.model:
        cfg.model.pretrained = None
    cfg.model.backbone.init_cfg = None
    if rois and task == "det":
        cfg.model.train_cfg.rcnn.sampler.num = rois
    if backbone == PEER:
        dilated = {} if task == "det" else dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
        cfg.model.backbone = ConfigDict(
            type="ResNeSt",
            depth=50,
            stem_channels=64,
            radix=2,
            reduction_factor=4,
            avg_down_stride=True,
            norm_cfg=dict(type="SyncBN", requires_grad=True),
            **dilated,
        )
    torch.manual_seed(0)
    model: Any = revert_sync_batchnorm(launch.library_registry(cfg.default_scope).MODELS.build(cfg.model)).train()
    model.scope = cfg.default_scope
    return model


def batch_of(model: Any, size: tuple[int, int], batch: int) -> dict[str, Any]:
    """Make random images with random annotations, in the format of the data preprocessor."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, *size), generator=generator, dtype=torch.uint8)
    meta = dict(img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size, scale_factor=(1.0, 1.0))
    samples: list[Any] = []
    for _ in range(batch):
        if model.scope == "mmdet":
            from mmdet.structures import DetDataSample
            from mmdet.structures.mask import BitmapMasks
            from mmengine.structures import InstanceData

            limit = torch.tensor([size[1], size[0]])
            corner = torch.rand(OBJECTS, 2, generator=generator) * limit * 0.6
            boxes = torch.cat([corner, corner + limit * (0.1 + 0.3 * torch.rand(OBJECTS, 2, generator=generator))], 1)
            masks = torch.zeros(OBJECTS, *size, dtype=torch.uint8)
            for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
                mask[y1:y2, x1:x2] = 1
            labels = torch.randint(0, 80, (OBJECTS,), generator=generator)
            sample = DetDataSample(metainfo=meta)
            sample.gt_instances = InstanceData(bboxes=boxes, labels=labels, masks=BitmapMasks(masks.numpy(), *size))
            sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        else:
            from mmengine.structures import PixelData
            from mmseg.structures import SegDataSample

            sample = SegDataSample(metainfo=meta)
            classes = model.decode_head.num_classes
            sample.gt_sem_seg = PixelData(data=torch.randint(0, classes, (1, *size), generator=generator))
        samples.append(sample)
    if model.scope == "mmseg":
        model.data_preprocessor.size = size  # otherwise it pads to the recipe's crop
    return model.data_preprocessor(dict(inputs=list(images), data_samples=samples), True)


def loss_of(model: Any, data: dict[str, Any], bf16: bool = False) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):  # as mmengine's AmpOptimWrapper
        return model.parse_losses(model(**data, mode="loss"))[0]


def iteration(model: Any, size: tuple[int, int], batch: int, bf16: bool = False) -> Callable[[], None]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9)
    data = batch_of(model, size, batch)

    def run() -> None:
        optimizer.zero_grad()
        loss_of(model, data, bf16).backward()
        optimizer.step()

    return run


def activations_mb(model: Any, size: tuple[int, int], batch: int) -> float:
    """Memory in MB that autograd saves between forward and backward pass, without parameters."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # a tensor with its gradient function would keep itself alive

    data = batch_of(model, size, batch)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loss_of(model, data)  # kept alive, so that no address of a storage is reused
    del loss
    gc.collect()
    return sum(kept.values()) / 1e6


def speed_table(task: str, size: tuple[int, int], args: argparse.Namespace) -> str:
    names = (PEER, *args.backbones)
    models = {name: build(task, name, args.rois) for name in names}
    kept = {name: activations_mb(model, size, args.batch) for name, model in models.items()}
    runs = {name: iteration(m, size, args.batch, args.dtype == "bf16") for name, m in models.items()}
    seconds = interleave(runs, args.repeats, time.process_time if args.processor_time else time.perf_counter)
    rows = [("backbone", "params (M)", "iterations/s", "faster than the first", "quartiles", "activations (MB)")]
    for name, model in models.items():
        params = sum(p.numel() for p in model.parameters()) / 1e6
        speed = 1 / statistics.median(seconds[name])
        compared = (f"{ratio(seconds[PEER], seconds[name]):.2f}", spread(seconds[PEER], seconds[name]))
        rows.append((name, f"{params:.1f}", f"{speed:.3f}", *compared, f"{kept[name]:.0f}"))
    return markdown(rows)


def memory_table() -> str:
    rows = [("config", "image", "activations (GB an image)", "weights, gradients, momentum (GB)")]
    for task, size in SIZES.items():
        for name in BACKBONES:
            model = build(task, name)
            batch, shrink = (1, 1) if task == "det" else (2, 2)
            for module in model.modules():
                if isinstance(module, SplitAttention) and batch == 1:
                    module.bn1.eval()  # one image is too few to normalise its vectors; they are only a few bytes
            kept = activations_mb(model, (size[0] // shrink, size[1] // shrink), batch) * shrink**2 / batch / 1e3
            params = 12 * sum(p.numel() for p in model.parameters()) / 1e9
            rows.append(
                (Path(CONFIGS[task]).name.format(name), f"{size[0]} x {size[1]}", f"{kept:.2f}", f"{params:.2f}")
            )
            print(*rows[-1], sep="  ", file=sys.stderr)
            del model
            gc.collect()  # detectors contain reference cycles
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(320, 320), metavar=("H", "W"), help="(320 320)")
    parser.add_argument("--batch", type=int, default=2, help="images an iteration (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count (default: %(default)s)")
    parser.add_argument("--tasks", nargs="+", choices=("det", "ade20k", "cityscapes"), default=["det", "cityscapes"])
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=BACKBONES, help="beside the peer (all)")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32", help="bf16: autocast (default: fp32)")
    parser.add_argument("--rois", type=int, help="regions an image for a detector's heads (default: the recipe's 512)")
    parser.add_argument("--processor-time", action="store_true", help="of 1 thread, on a machine with other work")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    parser.add_argument("--tag", default="", help="write results/transfer_TAG.md")
    parser.add_argument("--memory", action="store_true", help="count activations at the recipes' sizes instead")
    args = parser.parse_args()
    if args.batch < 2:
        parser.error("expected a batch of at least 2, got less: a training step normalises pooled vectors by batch")
    if args.processor_time and args.threads != 1:
        parser.error("expected --threads 1 with --processor-time, got more: the time of all threads would be added")
    torch.set_num_threads(args.threads)
    command = " ".join(["python benchmarks/transfer.py", *sys.argv[1:]])
    parts = ["# Training whole detectors and segmenters", f"Printed by `{command}`, which says how it measures."]
    if args.memory:
        parts += [f"{machine()}.", memory_table()]
    else:
        load = os.getloadavg()[0]
        tables = []
        for task in args.tasks:
            tables += [
                f"## {task}, {args.batch} x {args.size[0]} x {args.size[1]}, {args.dtype}",
                speed_table(task, args.size, args),
            ]
        loads = f"load average {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end"
        clock = "processor time" if args.processor_time else "wall time"
        parts += [f"{machine()}; {args.threads} threads, {clock}; {loads}.", *tables]
    name = "transfer_memory" if args.memory else f"transfer_{args.tag}" if args.tag else "transfer"
    path = ROOT / "benchmarks" / "results" / f"{name}.md"
    write_text(path, "\n\n".join(parts) + "\n")
    print(*parts, sep="\n\n")


if __name__ == "__main__":
    main()
