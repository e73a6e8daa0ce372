"""The text of a config: values as Python, and the lines of a detector's and of a segmenter's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.colors import palette
from pinas_zoo.openmmlab.new_config.backbone import Backbone
from pinas_zoo.openmmlab.new_config.coco_folder import CocoData, CocoSplit
from pinas_zoo.openmmlab.new_config.mask_classes import MaskData
from pinas_zoo.openmmlab.new_config.mask_folder import Group
from pinas_zoo.openmmlab.new_config.schedule import Schedule, detector_scales, segmenter_sizes
from pinas_zoo.terminal import escape

WIDTH = 110
FEW = 16  # images an iteration, below which the backbone keeps the running statistics of its weights
HERE = "{{ fileDirname }}"  # mmengine puts the config's folder there


@dataclass(frozen=True)
class Request:
    """What all lines need: the command that was given, the data's folder, the config's file, backbone and schedule."""

    command: str
    root: Path
    path: Path
    backbone: Backbone
    schedule: Schedule


def value(content: Any) -> str:
    """Plain data as Python, which mmengine reads as it stands: it would replace a text's own double braces."""
    if isinstance(content, (list, tuple)):
        inner = ", ".join(map(value, content))
        return f"[{inner}]" if isinstance(content, list) else f"({inner}{',' * (len(content) == 1)})"
    text = repr(content)
    if text[0] == "'" and '"' not in text:
        text = f'"{text[1:-1]}"'
    return text.replace("{{", "{\\x7b")


def detector(request: Request, data: CocoData) -> str:
    """The config of Mask R-CNN, or of Faster R-CNN where objects have no masks."""
    schedule, classes = request.schedule, len(data.classes)
    scales, scale = detector_scales(data.sizes)
    heads = [f"bbox_head=dict(num_classes={classes})"]
    heads += [f"mask_head=dict(num_classes={classes})"] if data.masks else ["mask_roi_extractor=None", "mask_head=None"]
    load = "with_bbox=True, with_mask=True, poly2mask=False" if data.masks else "with_bbox=True"
    val_file = _coco_file(request, data.val, "val")
    inside = not data.val.changed and data.val.coco.path.is_relative_to(request.root)
    prefix = 'data_root + "/" + ' if inside else ""  # the evaluator, unlike the data set, does not know data_root
    metric = value(["bbox", "segm"] if data.masks else ["bbox"])
    pictures = f"{len(data.train.coco.images)} training and {len(data.val.coco.images)} validation images"
    sides = _range([side for _, side in scales])
    return f"""\
{_head(request, f"{pictures}, resized to a short side of {sides} pixels", "det/mask-rcnn_fpn_syncbn_1x_coco")}
{_metainfo(data.classes)}
model = dict(
{_pixels(request.backbone)}    backbone={_backbone(request)},
{_channels(request.backbone, "neck=dict(in_channels={channels}),")}    roi_head=dict({", ".join(heads)}),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadPolygonsOrRLE", {load}),
    dict(
        type="RandomChoiceResize",
        scales=[({scale[0]}, side) for side in range({scales[0][1]}, {scale[1] + 1}, 32)],
        keep_ratio=True,
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale={value(scale)}, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True{", with_mask=True" if data.masks else ""}),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(
        data_root=data_root,
        ann_file={_coco_file(request, data.train, "train")},
        data_prefix=dict(img={_below(request, data.train.images)}),
        metainfo=metainfo,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file={val_file},
        data_prefix=dict(img={_below(request, data.val.images)}),
        metainfo=metainfo,
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file={prefix}{val_file}, metric={metric})
test_evaluator = val_evaluator
{_training(request)}
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end={schedule.warm_up}),
    dict(
        type="MultiStepLR",
        by_epoch=False,
        begin=0,
        end=max_iters,
        milestones=[max_iters * 6 // 9, max_iters * 8 // 9],
        gamma=0.1,
    ),
]
"""


def segmenter(request: Request, data: MaskData) -> str:
    """The config of DeepLabV3."""
    classes = len(data.classes)
    side, crop = segmenter_sizes(data.sizes)
    pictures = f"{data.images[0]} training and {data.images[1]} validation images"
    backbone = _backbone(request, output_stride=8)
    return f"""\
{_head(request, f"{pictures}, resized to a long side of {side} pixels and cut to {crop} x {crop}", "seg/deeplabv3-d8")}
{_metainfo(data.classes)}
base, crop = {side}, ({crop}, {crop})
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=crop{_pixels(request.backbone, bare=True)}),
    backbone={backbone},
    decode_head=dict(num_classes={classes}{_channels(request.backbone, ", in_channels={last}")}),
    auxiliary_head=dict(num_classes={classes}{_channels(request.backbone, ", in_channels={third}")}),
    test_cfg=dict(mode="slide", crop_size=crop, stride=({crop * 2 // 3}, {crop * 2 // 3})),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(base, base), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(base, base), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
tta_model = dict(type="EncodingTTAModel", base_size=base, crop_size=crop[0], scales=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75])
tta_pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset={_mask_sets(request, data, data.train, "train")},
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset={_mask_sets(request, data, data.val, "val")},
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
{_training(request)}
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)]
"""


def list_files(request: Request, data: MaskData) -> dict[str, str]:
    """Names and texts of the lists of images that a segmenter's data sets need, a name a line."""
    found = {}
    for split, some in (("train", data.train), ("val", data.val)):
        for number, group in enumerate(some):
            if group.listed:
                _check_listable(group)
                found[_list_name(request, split, number)] = "".join(f"{name}\n" for name in group.names)
    return found


def _check_listable(group: Group) -> None:
    """mmseg reads a list as UTF-8, and takes spaces off the ends of a line.

    Raises:
        UserError: A name that cannot be read back.
    """
    for name in group.names:
        if name != name.strip() or len(name.splitlines()) != 1 or any("\ud800" <= c <= "\udfff" for c in name):
            raise UserError(
                f"expected names of images that a list of lines can hold in {group.images}, got {escape(name)!r}; "
                "rename it"
            )


def coco_name(request: Request, split: str) -> str:
    """Name of the file of a split's annotations, beside the config."""
    return f"{request.path.stem}_{split}.json"


def _list_name(request: Request, split: str, number: int) -> str:
    return f"{request.path.stem}_{split}{number or ''}.txt"


def _head(request: Request, pictures: str, base: str) -> str:
    schedule = request.schedule
    command = escape(request.command).replace("{{", "{ {")
    return f"""\
# Written by: {command}
# {pictures}.
# The recipe is that of the base, with its learning rate for batches of 16 scaled to {schedule.batch_size}.
# On several GPUs, train with --auto-scale-lr. Everything here may be edited.
_base_ = __import__("pinas_zoo.config_files", fromlist=["base_config"]).base_config({value(base)})

data_root = {value(str(request.root))}
batch_size, max_iters = {schedule.batch_size}, {schedule.iterations}"""


def _metainfo(classes: Sequence[str]) -> str:
    names, colors = (_lines([value(part) for part in parts]) for parts in (classes, palette(len(classes))))
    return f"metainfo = dict(\n    classes={names},\n    palette={colors.replace('(', '[', 1)[:-1]}],\n)"


def _lines(parts: Sequence[str]) -> str:
    """A tuple, on one line if it fits."""
    one = f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    if len(one) <= WIDTH - 20:
        return one
    line = " " * 8
    lines: list[str] = []
    for part in parts:
        if len(line) + len(part) > WIDTH and line.strip():
            lines, line = [*lines, line.rstrip()], " " * 8
        line += f"{part}, "
    return "(\n" + "\n".join([*lines, line.rstrip()]) + "\n    )"


def _backbone(request: Request, **more: Any) -> str:
    backbone = request.backbone
    kept = backbone.checkpoint is not None and request.schedule.batch_size < FEW
    lines = [
        "_delete_=True,",
        'type="PiNAS",',
        f"arch={value(backbone.arch)},",
        *(f"{key}={value(content)}," for key, content in more.items()),
        'norm_cfg=dict(type="SyncBN", requires_grad=True),',
        *(
            [f"norm_eval=True,  # batches of {request.schedule.batch_size} are few for statistics of their own"]
            if kept
            else []
        ),
        f'init_cfg=dict(type="Pretrained", checkpoint={value(backbone.checkpoint)}),'
        if backbone.checkpoint
        else "init_cfg=None,  # random weights",
    ]
    return "dict(\n" + "".join(f"        {line}\n" for line in lines) + "    )"


def _pixels(backbone: Backbone, bare: bool = False) -> str:
    if backbone.pixels is None:
        return ""
    mean, std = (value(list(numbers)) for numbers in backbone.pixels)
    return f", mean={mean}, std={std}" if bare else f"    data_preprocessor=dict(mean={mean}, std={std}),\n"


def _channels(backbone: Backbone, text: str) -> str:
    if backbone.channels is None:
        return ""
    filled = text.format(channels=value(list(backbone.channels)), last=backbone.channels[3], third=backbone.channels[2])
    return filled if filled.startswith(",") else f"    {filled}\n"


def _below(request: Request, folder: Path) -> str:
    """A folder as a text relative to the data's, or absolute if it is elsewhere."""
    inside = folder.is_relative_to(request.root)
    text = folder.relative_to(request.root).as_posix() if inside else str(folder)
    return value("" if text == "." else text)


def _beside(request: Request, name: str) -> str:
    """A file beside the config. mmengine puts the folder into the text as it stands, which some names would break."""
    folder, text = request.path.absolute().parent, value(name)
    if text[0] != '"' or any(character in str(folder) for character in '"\\\n{'):
        return value(str(folder / name))
    return f'"{HERE}/{text[1:]}'


def _coco_file(request: Request, split: CocoSplit, name: str) -> str:
    if split.changed:
        return _beside(request, coco_name(request, name))
    return _below(request, split.coco.path)


def _mask_sets(request: Request, data: MaskData, some: Sequence[Group], split: str) -> str:
    sets = []
    for number, group in enumerate(some):
        listed = _beside(request, _list_name(request, split, number)) if group.listed else None
        lines = [
            *(
                ['type="StoredLabelsDataset",', f"stored={_lines([str(n) for n in data.stored])},"]
                if data.stored
                else []
            ),
            *([] if data.stored else ['type="BaseSegDataset",']),
            "data_root=data_root,",
            *([f"ann_file={listed},"] if listed else []),
            f"data_prefix=dict(img_path={_below(request, group.images)}, seg_map_path={_below(request, group.masks)}),",
            f"img_suffix={value(group.image_suffix)},",
            f"seg_map_suffix={value(group.mask_suffix)},",
            *(["reduce_zero_label=True,  # 0 is ignored, 1 is the first class"] if data.ignore_zero else []),
            "metainfo=metainfo,",
            f"pipeline={'train' if split == 'train' else 'test'}_pipeline,",
        ]
        sets.append("dict(\n" + "".join(f"        {line}\n" for line in lines) + "    )")
    return sets[0] if len(sets) == 1 else f'dict(type="ConcatDataset", datasets=[{", ".join(sets)}])'


def _training(request: Request) -> str:
    schedule = request.schedule
    return f"""\

train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval={schedule.interval})
default_hooks = dict(checkpoint=dict(by_epoch=False, interval={schedule.interval}, max_keep_ckpts=2))
optim_wrapper = dict(optimizer=dict(lr={value(schedule.lr)}))
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)"""


def _range(sides: Sequence[int]) -> str:
    return str(sides[0]) if len(sides) == 1 else f"{sides[0]} to {sides[-1]}"
