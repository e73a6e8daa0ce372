"""The authors' detector, a Mask R-CNN of detectron2, converted to the models of ``configs/det`` (mmdet's Mask R-CNN).

Both must compute the same function, which depends on more than the tensors. This table compares detectron2 with the
authors' configuration and mmdet 3.3:

======================  ================================================================================================
colours                 RGB in both. For a BGR detector, the input channels of the first convolution are reversed.
                        Another standard deviation is multiplied into the weights of the first convolution.
box deltas              weights (10, 10, 5, 5) are the inverse of mmdet's target_stds (0.1, 0.1, 0.2, 0.2)
classes                 background last in both; contiguous ids are in COCO's order in both
boxes and masks         per class, four rows a class, in both; class-agnostic ones are repeated for every class
anchors                 offset 0, size 8 strides, ratios 0.5, 1, 2 in this order, channel 4 * anchor + coordinate
RoIAlign                aligned, adaptive sampling, in both
P6                      P5 subsampled by 2, in both
======================  ================================================================================================
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from pinas_zoo.convert.openmmlab_model import ConvertedModel, Layer, backbone_of, rename, shape_of, stage_channels
from pinas_zoo.errors import UserError, WrongShapes
from pinas_zoo.weights.checkpoint_reader import Tensors

LAYOUT = "a Mask R-CNN of detectron2"
BOTTOM_UP = "backbone.bottom_up."
BOX_CONVS = MASK_CONVS = 4
BOX_CELLS = 7 * 7  # of RoIAlign's output for boxes
ANCHOR_RATIOS = (0.5, 1.0, 2.0)  # height / width
ANCHOR_SIZES = (32, 64, 128, 256, 512)  # one a level
_ANCHORS = "proposal_generator.anchor_generator.cell_anchors."  # stored by detectron2 until 2020
_PIXELS = ("pixel_mean", "pixel_std")  # stored by detectron2 for some months of 2020 and 2021
_STEM = re.compile(r"conv1\.([0134])\.(.+)")


def is_detector(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensors are named as those of a detector of detectron2."""
    return any(name.startswith(BOTTOM_UP) for name in tensors)


def convert_detector(tensors: Mapping[str, Tensor], where: str, colors: str | None = None) -> ConvertedModel:
    """A detector for mmdet from the tensors of a detectron2 checkpoint.

    Args:
        tensors: All tensors of the file.
        where: The file, for messages.
        colors: ``rgb`` or ``bgr``, the order of the training images. Default: as the file says, otherwise RGB.

    Raises:
        UserError: ``colors`` contradicts the file.
        WrongShapes: Another kind of detector: tensors are missing, unknown or of another shape, the heads have
            different numbers of classes, or the anchors or pixel means are others.
    """
    stored = {n: t for n, t in tensors.items() if n in _PIXELS or n.startswith(_ANCHORS)}
    found: Tensors = {n: t for n, t in tensors.items() if n not in stored}
    args, expected = backbone_of(found, name_in_file, where)
    classes = shape_of(found, "roi_heads.box_predictor.cls_score.weight", 2, LAYOUT, where)[0] - 1
    notes = _per_class(found, classes)
    expected += [t for layer in _layers(found, stage_channels(args), classes, where) for t in layer.tensors()]
    state = rename(found, expected, f"{LAYOUT} (backbone {args['arch']}, {classes} classes)", where)
    _check_anchors(stored, where)
    stem = "backbone.conv1.0.weight"
    state[stem], note = _in_rgb(state[stem], stored, colors, where)
    return ConvertedModel(state, "det", LAYOUT, args, classes, tuple(notes + ([note] if note else [])))


def name_in_file(name: str) -> str:
    """detectron2's name of a backbone's tensor, from the zoo's name. In detectron2 a norm is part of its convolution.

    >>> name_in_file("layer2.1.bn3.bias")
    'backbone.bottom_up.res3.1.conv3.norm.bias'
    """
    if name.startswith("bn1."):
        return f"{BOTTOM_UP}stem.conv1.2.norm.{name[4:]}"
    if name == "conv1.6.weight":
        return f"{BOTTOM_UP}stem.conv1.2.weight"
    if match := _STEM.fullmatch(name):  # conv, norm, relu, conv, norm, relu
        conv, norm = divmod(int(match[1]), 3)
        return f"{BOTTOM_UP}stem.conv1.{conv}.{'norm.' * norm}{match[2]}"
    layer, block, rest = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", name).groups()  # type: ignore[union-attr]
    rest = re.sub(r"^bn([13])\.", r"conv\1.norm.", rest)
    rest = rest.replace("downsample.1.", "shortcut.").replace("downsample.2.", "shortcut.norm.")
    return f"{BOTTOM_UP}res{int(layer) + 1}.{block}.{rest}"


def _layers(tensors: Tensors, channels: list[int], classes: int, where: str) -> list[Layer]:
    """All layers except the backbone's. Widths are taken from the file; loading it into a model of others fails."""

    def size(name: str, ndim: int) -> int:
        return shape_of(tensors, f"{name}.weight", ndim, LAYOUT, where)[0]

    fpn = size("backbone.fpn_output2", 4)
    box, fc = size("roi_heads.box_head.conv1", 4), size("roi_heads.box_head.fc1", 2)
    mask = size("roi_heads.mask_head.mask_fcn1", 4)
    anchors = len(ANCHOR_RATIOS)

    def conv_norm(source: str, target: str, shape: tuple[int, ...]) -> Layer:
        return Layer(source, f"{target}.conv", shape, norm=(f"{source}.norm", f"{target}.bn"))

    layers = []
    for i, width in enumerate(channels):
        layers.append(conv_norm(f"backbone.fpn_lateral{i + 2}", f"neck.lateral_convs.{i}", (fpn, width, 1, 1)))
        layers.append(conv_norm(f"backbone.fpn_output{i + 2}", f"neck.fpn_convs.{i}", (fpn, fpn, 3, 3)))
    rpn = "proposal_generator.rpn_head."
    layers.append(Layer(f"{rpn}conv", "rpn_head.rpn_conv", (fpn, fpn, 3, 3), bias=True))
    layers.append(Layer(f"{rpn}objectness_logits", "rpn_head.rpn_cls", (anchors, fpn, 1, 1), bias=True))
    layers.append(Layer(f"{rpn}anchor_deltas", "rpn_head.rpn_reg", (4 * anchors, fpn, 1, 1), bias=True))
    source, target = "roi_heads.box_head.", "roi_head.bbox_head."
    for i in range(BOX_CONVS):
        shape = (box, box if i else fpn, 3, 3)
        layers.append(conv_norm(f"{source}conv{i + 1}", f"{target}shared_convs.{i}", shape))
    layers.append(Layer(f"{source}fc1", f"{target}shared_fcs.0", (fc, box * BOX_CELLS), bias=True))
    source = "roi_heads.box_predictor."
    layers.append(Layer(f"{source}cls_score", f"{target}fc_cls", (classes + 1, fc), bias=True))
    layers.append(Layer(f"{source}bbox_pred", f"{target}fc_reg", (4 * classes, fc), bias=True))
    source, target = "roi_heads.mask_head.", "roi_head.mask_head."
    for i in range(MASK_CONVS):
        shape = (mask, mask if i else fpn, 3, 3)
        layers.append(conv_norm(f"{source}mask_fcn{i + 1}", f"{target}convs.{i}", shape))
    layers.append(Layer(f"{source}deconv", f"{target}upsample", (mask, mask, 2, 2), bias=True))
    layers.append(Layer(f"{source}predictor", f"{target}conv_logits", (classes, mask, 1, 1), bias=True))
    return layers


def _per_class(tensors: Tensors, classes: int) -> list[str]:
    """Repeat class-agnostic boxes and masks for every class, in place. The predictions stay the same."""
    notes = []
    for what, name, rows in (("boxes", "box_predictor.bbox_pred", 4), ("masks", "mask_head.predictor", 1)):
        agnostic = tensors.get(f"roi_heads.{name}.weight")
        if classes == 1 or agnostic is None or agnostic.shape[:1] != (rows,):
            continue
        for leaf in ("weight", "bias"):
            if (tensor := tensors.get(f"roi_heads.{name}.{leaf}")) is not None:
                tensors[f"roi_heads.{name}.{leaf}"] = tensor.repeat(classes, *[1] * (tensor.ndim - 1))
        notes.append(f"class-agnostic {what}, repeated for each of {classes} classes")
    return notes


def _check_anchors(stored: Mapping[str, Tensor], where: str) -> None:
    """Compare the anchors that a file has with those of our configs, which are centred on the cells of a level.

    Raises:
        WrongShapes: They differ.
    """
    for name in [n for n in stored if n.startswith(_ANCHORS)]:
        level = int(name.removeprefix(_ANCHORS))
        size = ANCHOR_SIZES[level] if level < len(ANCHOR_SIZES) else 0
        half = [(size / math.sqrt(ratio) / 2, size * math.sqrt(ratio) / 2) for ratio in ANCHOR_RATIOS]
        ours = torch.tensor([(-w, -h, w, h) for w, h in half])
        if stored[name].shape != ours.shape or not torch.allclose(stored[name].float(), ours, atol=1e-2):
            raise WrongShapes(
                f"expected anchors of ratios {', '.join(map(str, ANCHOR_RATIOS))} and sizes "
                f"{', '.join(map(str, ANCHOR_SIZES))} in {where}, got {stored[name].tolist()} in {name}; "
                "configs/det have no such detector"
            )


def _in_rgb(weight: Tensor, stored: Mapping[str, Tensor], colors: str | None, where: str) -> tuple[Tensor, str | None]:
    """The first convolution for images in RGB with ImageNet's mean and standard deviation, and what was changed.

    Zero padding stays exact because the means are equal.
    """
    mean = 255 * torch.tensor(IMAGENET_DEFAULT_MEAN)
    std = 255 * torch.tensor(IMAGENET_DEFAULT_STD)
    order = colors or "rgb"
    ratio = torch.ones(3)
    if "pixel_mean" in stored:
        theirs = stored["pixel_mean"].float().flatten()
        orders = {"rgb": mean, "bgr": mean.flip(0)}
        said = next((o for o, m in orders.items() if theirs.shape == m.shape and (theirs - m).abs().max() < 0.01), None)
        if said is None:
            raise WrongShapes(
                f"expected ImageNet's mean, {[round(float(m), 3) for m in mean]}, in either order as pixel_mean of "
                f"{where}, got {theirs.tolist()}; images of another mean are not converted"
            )
        if colors not in (None, said):
            raise UserError(f"expected {said} for {where}, whose pixel_mean is in that order, got {colors}")
        order = said
        theirs_std = stored.get("pixel_std", torch.ones(3)).float().flatten()
        ratio = std / (theirs_std.flip(0) if order == "bgr" else theirs_std)
    done = []
    if order == "bgr":
        weight = weight.flip(1)
        done.append("input channels of the first convolution reversed from BGR to RGB")
    if (ratio - 1).abs().max() > 1e-6:
        weight = weight * ratio.to(weight.dtype)[None, :, None, None]
        done.append("pixel_std multiplied into the first convolution")
    return weight, "; ".join(done) or None
