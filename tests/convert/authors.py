"""The authors' detector and segmenter, by name, shape and formula: references that know nothing of the conversion.

State-dict names are the public ones of detectron2's Mask R-CNN (with the authors' ResNeSt) and of PyTorch-Encoding's
DeepLabV3; what the modules compute is written down here from the papers and those libraries' stated rules, on torch and
torchvision alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms, roi_align

CHOICES = ((1, 1, 64), (2, 1, 64), (1, 2, 42), (2, 2, 40))  # radix, cardinality, width per 64 planes
FULL = {"depths": (3, 4, 6, 3), "widths": (64, 128, 256, 512), "stem": 32}
MEAN = (123.675, 116.280, 103.530)  # R, G, B
STD = (58.395, 57.120, 57.375)


class Conv(nn.Conv2d):
    """A convolution that owns its norm, as in detectron2."""

    def __init__(self, inputs: int, outputs: int, size: int, norm: bool = True, **kwargs):
        super().__init__(inputs, outputs, size, padding=size // 2, bias=not norm, **kwargs)
        self.norm = nn.BatchNorm2d(outputs) if norm else None

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x if self.norm is None else self.norm(x)


class SplitAttention(nn.Module):
    """ResNeSt's convolution: radix splits, weighted per channel by a softmax over them (a sigmoid for one)."""

    def __init__(self, width: int, radix: int, groups: int):
        super().__init__()
        hidden = max(width * radix // 4, 32)
        self.radix, self.groups = radix, groups
        self.conv = nn.Conv2d(width, width * radix, 3, padding=1, groups=groups * radix, bias=False)
        self.bn0 = nn.BatchNorm2d(width * radix)
        self.fc1 = nn.Conv2d(width, hidden, 1, groups=groups)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.fc2 = nn.Conv2d(hidden, width * radix, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        splits = F.relu(self.bn0(self.conv(x))).chunk(self.radix, dim=1)
        pooled = sum(splits).mean((2, 3), keepdim=True)
        logits = self.fc2(F.relu(self.bn1(self.fc1(pooled))))
        if self.radix == 1:
            return splits[0] * logits.sigmoid()
        logits = logits.unflatten(1, (self.groups, self.radix, -1))  # N x groups x radix x per group x 1 x 1
        weights = logits.softmax(2).transpose(1, 2).flatten(2, 3)  # N x radix x width x 1 x 1
        return sum(s * weights[:, i] for i, s in enumerate(splits))


class Block(nn.Module):
    def __init__(self, inputs: int, planes: int, choice: int, stride: int):
        super().__init__()
        radix, groups, base = CHOICES[choice]
        width = int(planes * (base / 64)) * groups
        if inputs != 4 * planes:
            self.shortcut = Conv(inputs, 4 * planes, 1)
        self.conv1 = Conv(inputs, width, 1)
        self.conv2 = SplitAttention(width, radix, groups)
        self.conv3 = Conv(width, 4 * planes, 1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        if self.stride > 1:
            y = F.avg_pool2d(y, 3, self.stride, padding=1)
            x = F.avg_pool2d(x, self.stride, self.stride, ceil_mode=True, count_include_pad=False)
        return F.relu(self.conv3(y) + (self.shortcut(x) if hasattr(self, "shortcut") else x))


class BottomUp(nn.Module):
    def __init__(self, arch: Sequence[int], depths: Sequence[int], widths: Sequence[int], stem: int):
        super().__init__()
        self.stem = nn.Module()
        self.stem.conv1 = nn.ModuleList([Conv(3, stem, 3, stride=2), Conv(stem, stem, 3), Conv(stem, 2 * stem, 3)])
        choices, inputs = iter(arch), 2 * stem
        for i, (depth, planes) in enumerate(zip(depths, widths, strict=True)):
            blocks = []
            for j in range(depth):
                blocks.append(Block(inputs, planes, next(choices), stride=2 if i and not j else 1))
                inputs = 4 * planes
            self.add_module(f"res{i + 2}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        for conv in self.stem.conv1:
            x = F.relu(conv(x))
        x = F.max_pool2d(x, 3, 2, padding=1)
        return [x := self.get_submodule(f"res{i}")(x) for i in (2, 3, 4, 5)]


class Pyramid(nn.Module):
    """FPN (Lin et al., 2017) with norms, and P6."""

    def __init__(self, bottom_up: BottomUp, channels: Sequence[int], width: int):
        super().__init__()
        self.bottom_up = bottom_up
        for i, inputs in enumerate(channels):
            self.add_module(f"fpn_lateral{i + 2}", Conv(inputs, width, 1))
            self.add_module(f"fpn_output{i + 2}", Conv(width, width, 3))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps, above, outputs = self.bottom_up(x), None, []
        for i in (5, 4, 3, 2):
            lateral = self.get_submodule(f"fpn_lateral{i}")(maps[i - 2])
            above = lateral if above is None else lateral + above.repeat_interleave(2, 2).repeat_interleave(2, 3)
            outputs.insert(0, self.get_submodule(f"fpn_output{i}")(above))
        return [*outputs, outputs[-1][:, :, ::2, ::2]]


class Detector(nn.Module):
    """Mask R-CNN (He et al., 2017) by detectron2's names."""

    def __init__(
        self,
        arch: Sequence[int],
        depths: Sequence[int] = FULL["depths"],
        widths: Sequence[int] = FULL["widths"],
        stem: int = FULL["stem"],
        width: int = 256,
        fc: int = 1024,
        classes: int = 80,
        agnostic: bool = False,
    ):
        super().__init__()
        self.classes, self.agnostic = classes, agnostic
        self.backbone = Pyramid(BottomUp(arch, depths, widths, stem), [4 * w for w in widths], width)
        rpn = nn.Module()
        rpn.conv = Conv(width, width, 3, norm=False)
        rpn.objectness_logits, rpn.anchor_deltas = nn.Conv2d(width, 3, 1), nn.Conv2d(width, 12, 1)
        self.proposal_generator = nn.Module()
        self.proposal_generator.rpn_head = rpn
        boxes, masks, predictor = nn.Module(), nn.Module(), nn.Module()
        for i in (1, 2, 3, 4):
            boxes.add_module(f"conv{i}", Conv(width, width, 3))
            masks.add_module(f"mask_fcn{i}", Conv(width, width, 3))
        boxes.fc1 = nn.Linear(width * 7 * 7, fc)
        masks.deconv = nn.ConvTranspose2d(width, width, 2, stride=2)
        masks.predictor = nn.Conv2d(width, 1 if agnostic else classes, 1)
        predictor.cls_score = nn.Linear(fc, classes + 1)
        predictor.bbox_pred = nn.Linear(fc, 4 if agnostic else 4 * classes)
        self.roi_heads = nn.Module()
        self.roi_heads.box_head, self.roi_heads.box_predictor, self.roi_heads.mask_head = boxes, predictor, masks

    def preprocess(self, image: Tensor) -> Tensor:
        """3 x H x W in RGB, 0 to 255, to a normalised batch of one, padded with zeros to multiples of 32."""
        x = (image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        return F.pad(x, (0, -x.shape[2] % 32, 0, -x.shape[1] % 32))[None]

    def proposals(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """R x 4 of the best boxes after NMS within each level, best first."""
        rpn, boxes, scores, levels = self.proposal_generator.rpn_head, [], [], []
        for i, x in enumerate(maps):
            x = F.relu(rpn.conv(x))
            logits = rpn.objectness_logits(x)[0].permute(1, 2, 0).flatten()  # H * W * A
            deltas = rpn.anchor_deltas(x)[0].unflatten(0, (3, 4)).permute(2, 3, 0, 1).reshape(-1, 4)  # H * W * A x 4
            best = logits.topk(min(1000, len(logits))).indices
            boxes.append(decode(anchors(4 * 2**i, *x.shape[2:])[best], deltas[best], (1, 1, 1, 1)))
            scores.append(logits[best])
            levels.append(torch.full((len(best),), i))
        found, score, level = clip(torch.cat(boxes), size), torch.cat(scores), torch.cat(levels)
        solid = ((found[:, 2] - found[:, 0]) > 0) & ((found[:, 3] - found[:, 1]) > 0)
        found, score, level = found[solid], score[solid], level[solid]
        return found[batched_nms(found, score, level, 0.7)[:1000]]

    def box_head(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """R x C x 7 x 7 to class logits, background last, and deltas R x classes (or 1) x 4."""
        heads = self.roi_heads
        for i in (1, 2, 3, 4):
            pooled = F.relu(heads.box_head.get_submodule(f"conv{i}")(pooled))
        x = F.relu(heads.box_head.fc1(pooled.flatten(1)))
        return heads.box_predictor.cls_score(x), heads.box_predictor.bbox_pred(x).unflatten(1, (-1, 4))

    def mask_head(self, pooled: Tensor) -> Tensor:
        """R x C x 14 x 14 to logits R x classes (or 1) x 28 x 28."""
        head = self.roi_heads.mask_head
        for i in (1, 2, 3, 4):
            pooled = F.relu(head.get_submodule(f"mask_fcn{i}")(pooled))
        return head.predictor(F.relu(head.deconv(pooled)))

    def detect(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes, scores, classes and masks (R x H x W) of an image in RGB, best first."""
        size = tuple(image.shape[1:])
        maps = self.backbone(self.preprocess(image))
        rois = self.proposals(maps, size)
        logits, deltas = self.box_head(pool(maps, rois, 7))
        boxes = clip(torch.stack([decode(rois, d, (10, 10, 5, 5)) for d in deltas.unbind(1)], 1), size)
        scores, classes = logits.softmax(1)[:, :-1], torch.arange(self.classes).expand(len(rois), -1)
        boxes, sure = boxes.expand(-1, self.classes, -1), scores > 0.05
        boxes, scores, classes = boxes[sure], scores[sure], classes[sure]
        keep = batched_nms(boxes, scores, classes, 0.5)[:100]
        boxes, scores, classes = boxes[keep], scores[keep], classes[keep]
        logits = self.mask_head(pool(maps, boxes, 14))
        chosen = logits[torch.arange(len(keep)), classes if logits.shape[1] > 1 else torch.zeros_like(classes)]
        return boxes, scores, classes, paste(chosen.sigmoid(), boxes, size) >= 0.5


def anchors(stride: int, height: int, width: int) -> Tensor:
    """height * width * 3 boxes, of 8 strides and height / width 0.5, 1, 2, centred on multiples of the stride."""
    boxes = []
    for y in range(height):
        for x in range(width):
            for ratio in (0.5, 1.0, 2.0):
                w = math.sqrt((8 * stride) ** 2 / ratio)
                h = ratio * w
                boxes.append((x * stride - w / 2, y * stride - h / 2, x * stride + w / 2, y * stride + h / 2))
    return torch.tensor(boxes)


def decode(boxes: Tensor, deltas: Tensor, weights: Sequence[float]) -> Tensor:
    """N x 4 boxes moved by N x 4 deltas; growth is capped at 1000 / 16."""
    dx, dy, dw, dh = (deltas / torch.tensor(weights)).unbind(1)
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x, y = boxes[:, 0] + w / 2 + dx * w, boxes[:, 1] + h / 2 + dy * h
    limit = math.log(1000 / 16)
    w, h = w * dw.clamp(max=limit).exp(), h * dh.clamp(max=limit).exp()
    return torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), 1)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    return torch.minimum(boxes.clamp(min=0), torch.tensor([width, height, width, height]).float())


def pool(maps: Sequence[Tensor], boxes: Tensor, size: int) -> Tensor:
    """RoIAlign, aligned, from the level that suits a box's size (Lin et al., 2017, eq. 1)."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    levels = (4 + (areas.sqrt() / 224 + 1e-8).log2()).floor().clamp(2, 5) - 2
    out = boxes.new_zeros(len(boxes), maps[0].shape[1], size, size)
    for i in range(4):
        here = levels == i
        out[here] = roi_align(maps[i], [boxes[here]], size, 1 / (4 * 2**i), sampling_ratio=-1, aligned=True)
    return out


def paste(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """R x 28 x 28 to R x H x W, sampled at pixel centres, zero outside the box."""
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    x = (torch.arange(size[1]) + 0.5 - x0) / (x1 - x0) * 2 - 1  # R x W
    y = (torch.arange(size[0]) + 0.5 - y0) / (y1 - y0) * 2 - 1  # R x H
    grid = torch.stack((x[:, None].expand(-1, size[0], -1), y[:, :, None].expand(-1, -1, size[1])), 3)
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]


def encoding_names(
    backbone: dict[str, torch.Size], deep: int, third: int, width: int, aux: int, classes: int
) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of PyTorch-Encoding's DeepLabV3 with an auxiliary head.

    Args:
        backbone: The network's own tensors, whose names are the zoo's.
        deep: Channels of the last stage.
        third: Channels of the stage before it.
        width: Of the pyramid's branches, an eighth of ``deep``.
        aux: Of the auxiliary head, a quarter of ``third``.
        classes: Of the data set.
    """
    shapes = {f"pretrained.{name}": tuple(shape) for name, shape in backbone.items()}

    def conv_norm(conv: str, norm: str, shape: tuple[int, ...]) -> None:
        shapes[f"{conv}.weight"] = shape
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{leaf}"] = shape[:1]
        shapes[f"{norm}.num_batches_tracked"] = ()

    conv_norm("head.aspp.b0.0", "head.aspp.b0.1", (width, deep, 1, 1))
    for i in (1, 2, 3):
        conv_norm(f"head.aspp.b{i}.0", f"head.aspp.b{i}.1", (width, deep, 3, 3))
    conv_norm("head.aspp.b4.gap.1", "head.aspp.b4.gap.2", (width, deep, 1, 1))
    conv_norm("head.aspp.project.0", "head.aspp.project.1", (width, 5 * width, 1, 1))
    conv_norm("head.block.0", "head.block.1", (width, width, 3, 3))
    shapes["head.block.4.weight"], shapes["head.block.4.bias"] = (classes, width, 1, 1), (classes,)
    conv_norm("auxlayer.conv5.0", "auxlayer.conv5.1", (aux, third, 3, 3))
    shapes["auxlayer.conv5.4.weight"], shapes["auxlayer.conv5.4.bias"] = (classes, aux, 1, 1), (classes,)
    return shapes


def encoding_head(t: dict[str, Tensor], x: Tensor) -> Tensor:
    """The head's logits from the last stage's maps, in eval mode, by the file's names."""

    def conv(x: Tensor, layer: str, norm: str, rate: int = 1) -> Tensor:
        weight = t[f"{layer}.weight"]
        x = F.conv2d(x, weight, padding=rate * (weight.shape[2] // 2), dilation=rate)
        mean, var = t[f"{norm}.running_mean"], t[f"{norm}.running_var"]
        return F.relu(F.batch_norm(x, mean, var, t[f"{norm}.weight"], t[f"{norm}.bias"]))

    branches = [conv(x, "head.aspp.b0.0", "head.aspp.b0.1")]
    for i, rate in enumerate((12, 24, 36), 1):
        branches.append(conv(x, f"head.aspp.b{i}.0", f"head.aspp.b{i}.1", rate))
    pooled = conv(x.mean((2, 3), keepdim=True), "head.aspp.b4.gap.1", "head.aspp.b4.gap.2")
    y = torch.cat([*branches, pooled.expand(-1, -1, *x.shape[2:])], 1)
    y = conv(y, "head.aspp.project.0", "head.aspp.project.1")
    y = conv(y, "head.block.0", "head.block.1")
    return F.conv2d(y, t["head.block.4.weight"], t["head.block.4.bias"])


def encoding_aux(t: dict[str, Tensor], x: Tensor) -> Tensor:
    """The auxiliary head's logits from the third stage's maps."""
    x = F.conv2d(x, t["auxlayer.conv5.0.weight"], padding=1)
    norm = [t[f"auxlayer.conv5.1.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias")]
    return F.conv2d(F.relu(F.batch_norm(x, *norm)), t["auxlayer.conv5.4.weight"], t["auxlayer.conv5.4.bias"])
