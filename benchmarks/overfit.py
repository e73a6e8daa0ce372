"""Overfit a few training images: shows that labels, masks, colours and strides are handled correctly.

    python benchmarks/overfit.py seg --data ../shared/data/ADEChallengeData2016     # results/overfit_seg.md
    python benchmarks/overfit.py det --data ../shared/data/coco_mini

The configs are those of configs/seg and configs/det with a small backbone and narrow heads, without augmentation, at a
reduced size, and from random weights. The figures are those of mmdet's and mmseg's own evaluation on the images that
were trained on; they say nothing about images that were not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from inference import machine
from mmengine.config import Config, ConfigDict
from PIL import Image

from pinas_zoo.openmmlab import launch

ROOT = Path(__file__).resolve().parents[1]
BACKBONE = dict(depths=(1, 1, 1, 1), stem_width=16, arch="3013")


def small(name: str, widths: tuple[int, ...], options: dict[str, Any], args: argparse.Namespace) -> Config:
    cfg = launch.read_config(ROOT / "configs" / name)
    cfg.model.backbone.update(BACKBONE, widths=widths)
    cfg.merge_from_dict(options)
    for loader in ("train_dataloader", "val_dataloader"):
        cfg[loader].update(num_workers=0, persistent_workers=False)
    cfg.optim_wrapper = ConfigDict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=args.lr, weight_decay=0.0),
        clip_grad=dict(max_norm=10.0),
    )
    cfg.param_scheduler = [
        dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=50),
        dict(type="PolyLR", power=0.9, eta_min=args.lr / 100, begin=50, end=args.iterations, by_epoch=False),
    ]
    cfg.train_cfg = ConfigDict(type="IterBasedTrainLoop", max_iters=args.iterations, val_interval=args.validate_every)
    cfg.default_hooks.checkpoint.update(interval=args.iterations, max_keep_ckpts=1, save_optimizer=False)
    cfg.default_hooks.logger.interval = 20
    cfg.randomness = dict(seed=args.seed)
    cfg.work_dir = args.work_dir or f"work_dirs/overfit_{args.task}"
    return cfg


def segmenter(args: argparse.Namespace) -> Config:
    size = (args.size, args.size)
    options = {
        "model.decode_head": dict(in_channels=256, channels=64, dropout_ratio=0.0, project_dropout=0.0),
        "model.auxiliary_head": dict(in_channels=256, channels=32),
        "model.data_preprocessor.size": size,
        "model.test_cfg": dict(_delete_=True, mode="whole"),
    }
    cfg = small("seg/deeplabv3_pinas-d8_120e_ade20k-480x480.py", (32, 64, 64, 64), options, args)
    launch.set_data_root(cfg, args.data)
    load, labels = dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", reduce_zero_label=True)
    resize, pack = dict(type="Resize", scale=size, keep_ratio=True), dict(type="PackSegInputs")
    cfg.train_dataloader.batch_size = args.images
    cfg.train_dataloader.dataset.pipeline = [load, labels, resize, pack]
    cfg.val_dataloader.dataset.pipeline = [load, resize, labels, pack]
    cfg.val_dataloader.dataset.data_prefix = cfg.train_dataloader.dataset.data_prefix
    classes = present_classes(Path(args.data) / "annotations" / "training")
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.metainfo = dict(classes=classes)
    cfg.model.decode_head.num_classes = cfg.model.auxiliary_head.num_classes = len(classes)
    return cfg


def present_classes(folder: Path) -> tuple[str, ...]:
    """The classes of ADE20K that the label maps (0: none, then the classes from 1) hold, in ADE20K's order."""
    from mmseg.datasets import ADE20KDataset

    found = {int(label) for path in folder.glob("*.png") for label in np.unique(np.asarray(Image.open(path)))}
    return tuple(ADE20KDataset.METAINFO["classes"][label - 1] for label in sorted(found - {0}))


def detector(args: argparse.Namespace) -> Config:
    width = 64
    options = {
        "model.neck": dict(in_channels=[128, 256, 512, 1024], out_channels=width),
        "model.rpn_head": dict(in_channels=width, feat_channels=width),
        "model.roi_head.bbox_roi_extractor.out_channels": width,
        "model.roi_head.mask_roi_extractor.out_channels": width,
        "model.roi_head.bbox_head": dict(in_channels=width, conv_out_channels=width, fc_out_channels=256),
        "model.roi_head.mask_head": dict(in_channels=width, conv_out_channels=width),
        "model.train_cfg.rpn_proposal.max_per_img": 200,
        "model.train_cfg.rcnn.sampler.num": 128,
        "model.test_cfg.rpn.max_per_img": 200,
    }
    cfg = small("det/mask-rcnn_pinas_fpn_syncbn_1x_coco.py", (32, 64, 128, 256), options, args)
    launch.set_data_root(cfg, args.data)
    ann_file = subset(Path(args.data) / "annotations" / "instances_train2017.json", args.images, Path(cfg.work_dir))
    load, labels = dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
    resize, pack = dict(type="Resize", scale=(args.size, args.size), keep_ratio=True), dict(type="PackDetInputs")
    cfg.train_dataloader.batch_size = 2
    cfg.train_dataloader.dataset.update(pipeline=[load, labels, resize, pack], ann_file=str(ann_file))
    keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    cfg.val_dataloader.dataset.update(
        pipeline=[load, resize, labels, dict(pack, meta_keys=keys)],
        ann_file=str(ann_file),
        data_prefix=cfg.train_dataloader.dataset.data_prefix,
    )
    cfg.val_evaluator.ann_file = str(ann_file)
    return cfg


def subset(ann_file: Path, images: int, folder: Path) -> Path:
    """The annotations of the images with the fewest objects (from one on; crowds do not count) in a file of its own."""
    content = json.loads(ann_file.read_text())
    counts = {image["id"]: 0 for image in content["images"]}
    for annotation in content["annotations"]:
        counts[annotation["image_id"]] += not annotation["iscrowd"]
    chosen = set(sorted((i for i in counts if counts[i]), key=lambda i: (counts[i], i))[:images])
    content["images"] = [image for image in content["images"] if image["id"] in chosen]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in chosen]
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / "subset.json").absolute()
    path.write_text(json.dumps(content))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("seg", "det"))
    parser.add_argument("--data", required=True, metavar="FOLDER", help="ADE20K's or COCO's folder")
    parser.add_argument("--images", type=int, default=None, help="of the training set (default: 4 for seg, 8 for det)")
    parser.add_argument("--size", type=int, default=320, help="long side (default: %(default)s)")
    parser.add_argument("--iterations", type=int, default=None, help="(default: 400 for seg, 1200 for det)")
    parser.add_argument("--validate-every", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument("--lr", type=float, default=1e-3, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--work-dir", help="log and checkpoint (default work_dirs/overfit_TASK)")
    args = parser.parse_args()
    args.images = args.images or {"seg": 4, "det": 8}[args.task]
    args.iterations = args.iterations or {"seg": 400, "det": 1200}[args.task]
    cfg = segmenter(args) if args.task == "seg" else detector(args)
    runner = launch.start(cfg, "none", "train")
    start = time.perf_counter()
    launch.run(runner, "train")
    minutes = (time.perf_counter() - start) / 60
    figures = runner.val_loop.evaluator.metrics[0]
    history = runner.message_hub.log_scalars
    names = ("mIoU", "aAcc") if args.task == "seg" else ("coco/bbox_mAP", "coco/segm_mAP")
    rows = [f"{name} {history[f'val/{name}'].current():.3f}" for name in names]
    text = [
        f"# {launch.TASKS[cfg.default_scope].capitalize()}: {args.images} training images overfitted",
        f"Printed by `{' '.join(['python benchmarks/overfit.py', *sys.argv[1:]])}`.",
        f"{machine()}; {args.iterations} iterations, seed {args.seed}, {minutes:.0f} minutes with validations.",
        f"On the images trained on, by {type(figures).__name__} after the last iteration: {', '.join(rows)}.",
    ]
    path = ROOT / "benchmarks" / "results" / f"overfit_{args.task}.md"
    path.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print(*text, sep="\n")


if __name__ == "__main__":
    main()
