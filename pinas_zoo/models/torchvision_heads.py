"""torchvision's Mask R-CNN and DeepLabV3 on any timm network: detection and segmentation without OpenMMLab.

    model = mask_rcnn("pinas_trans", num_classes=91, pretrained=True)
    model = deeplabv3("pinas_trans", num_classes=150, pretrained=True)

Sizes and norms are those of Tables 5 and 6 (sec. 4.4), as ``configs/det`` and ``configs/seg`` have them; losses,
samplers and anchors are torchvision's. Nothing imports this module on its own: torchvision's detectors load slowly.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import timm
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from pinas_zoo.errors import UserError

__all__ = ["FeaturePyramid", "NamedFeatures", "deeplabv3", "mask_rcnn"]

STAGES = (1, 2, 3, 4)  # of timm's feature_info, where 0 is the stem
SHORT_SIDES = (640, 672, 704, 736, 768, 800)  # pixels, one at random for each image; the last one in testing
LONG_SIDE = 1333  # pixels, at most
ATROUS_RATES = (12, 24, 36)


class NamedFeatures(nn.Module):
    """A timm network's maps by the names that torchvision's models ask for."""

    def __init__(self, body: nn.Module, names: Sequence[str]):
        super().__init__()
        self.body = body
        self.names = tuple(names)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """N x 3 x H x W to one map for each name, each N x C x H/stride x W/stride."""
        return OrderedDict(zip(self.names, self.body(images), strict=True))


class FeaturePyramid(nn.Module):
    """A timm network and torchvision's feature pyramid (Lin et al., 2017), with a fifth map by max pooling.

    Attributes:
        out_channels: Channels of each map; torchvision's detectors read it.
    """

    def __init__(self, body: Any, out_channels: int, norm_layer: Callable[..., nn.Module] | None):
        super().__init__()
        self.features = NamedFeatures(body, [str(i) for i in range(len(STAGES))])
        self.fpn = FeaturePyramidNetwork(body.feature_info.channels(), out_channels, LastLevelMaxPool(), norm_layer)
        self.out_channels = out_channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """N x 3 x H x W to the maps ``0`` to ``3`` and ``pool``, each N x out_channels x H/stride x W/stride."""
        return self.fpn(self.features(images))


def mask_rcnn(
    backbone: str,
    num_classes: int,
    pretrained: bool = False,
    channels: int = 256,
    representation: int = 1024,
    norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d,
    backbone_args: dict[str, Any] | None = None,
    **options: Any,
) -> MaskRCNN:
    """Mask R-CNN with a feature pyramid, a box head of four convolutions and one linear layer, and norms everywhere.

    With several processes, ``torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)`` gives the paper's SyncBN.

    Args:
        backbone: timm's name of a network whose maps have strides 4 to 32, also ``hf-hub:`` and ``local-dir:``.
        num_classes: Classes with the background, which is 0, as torchvision counts them: 91 for COCO's own ids.
        pretrained: Load the backbone's weights.
        channels: Of the pyramid and the heads' convolutions.
        representation: Width of the box head's linear layer.
        norm_layer: Of pyramid and heads.
        backbone_args: More of timm's arguments, such as ``dict(norm_layer=…)``.
        options: Of :class:`torchvision.models.detection.MaskRCNN`, such as ``min_size``; mean and std are the
            backbone's unless given.

    Raises:
        UserError: A backbone without maps of strides 4 to 32.
        WeightsError: ``pretrained`` without weights.
    """
    body = _features(backbone, STAGES, pretrained, backbone_args, strides=(4, 8, 16, 32))
    pyramid = FeaturePyramid(body, channels, norm_layer)
    settings: dict[str, Any] = {
        "min_size": SHORT_SIDES,
        "max_size": LONG_SIDE,
        "image_mean": list(body.pretrained_cfg["mean"]),
        "image_std": list(body.pretrained_cfg["std"]),
        "rpn_post_nms_top_n_train": 1000,
        "box_head": FastRCNNConvFCHead((channels, 7, 7), [channels] * 4, [representation], norm_layer),
        "box_predictor": FastRCNNPredictor(representation, num_classes),
        "mask_head": MaskRCNNHeads(channels, [channels] * 4, 1, norm_layer),
        "mask_predictor": MaskRCNNPredictor(channels, channels, num_classes),
    }
    return MaskRCNN(pyramid, **{**settings, **options})


def deeplabv3(
    backbone: str,
    num_classes: int,
    pretrained: bool = False,
    output_stride: int = 8,
    auxiliary: bool = True,
    backbone_args: dict[str, Any] | None = None,
) -> DeepLabV3:
    """DeepLabV3 (Chen et al., 2017) with an auxiliary head on stage 3.

    Its output is ``{"out": logits, "aux": logits}``, each N x num_classes x H x W. Images are normalised by the caller,
    with the mean and std that ``timm.data.resolve_model_data_config(model.backbone.body)`` gives.

    Args:
        backbone: timm's name of a network, also ``hf-hub:`` and ``local-dir:``.
        num_classes: Classes.
        pretrained: Load the backbone's weights.
        output_stride: 8 as in the paper, 16 or 32.
        auxiliary: Whether there is an auxiliary head.
        backbone_args: More of timm's arguments.

    Raises:
        UserError: A backbone whose maps have another stride.
        WeightsError: ``pretrained`` without weights.
    """
    stages = STAGES[2:] if auxiliary else STAGES[3:]
    args = {**(backbone_args or {}), "output_stride": output_stride}
    body = _features(
        backbone, stages, pretrained, args, strides=(min(16, output_stride), output_stride)[-len(stages) :]
    )
    channels = body.feature_info.channels()
    return DeepLabV3(
        NamedFeatures(body, ("aux", "out")[-len(stages) :]),
        DeepLabHead(channels[-1], num_classes, ATROUS_RATES),
        FCNHead(channels[0], num_classes) if auxiliary else None,
    )


def _features(
    name: str, stages: Sequence[int], pretrained: bool, args: dict[str, Any] | None, strides: Sequence[int]
) -> Any:
    """The network with the maps of some stages, whose strides are checked."""
    body: Any = timm.create_model(name, pretrained, features_only=True, out_indices=tuple(stages), **(args or {}))
    found = tuple(body.feature_info.reduction())
    if found != tuple(strides):
        raise UserError(
            f"expected a network whose maps {', '.join(map(str, stages))} have strides {tuple(strides)}, got {found} "
            f"of {name}; give one with a stem and four stages, such as pinas_trans or resnest50d"
        )
    return body
