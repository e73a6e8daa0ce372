"""The authors' DeepLabV3 head, PyTorch-Encoding's, for mmseg.

It differs from mmseg's ``ASPPHead`` in four points. Between the pyramid and the 3x3 convolution is a 1x1 projection
with dropout of maps. Image pooling is last in the concatenation. The final dropout is of elements. The width is an
eighth of the input's, 256, where mmseg's DeepLabV3 has 512.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmengine.registry import MODELS
from mmseg.models.decode_heads import ASPPHead
from mmseg.models.utils import resize
from torch import Tensor, nn


@MODELS.register_module()
class EncodingASPPHead(ASPPHead):
    """Atrous spatial pyramid pooling (Chen et al., 2017) as in the training of the paper's results.

    Args:
        dilations: Rates; 1 is a 1x1 convolution.
        project_dropout: Share of the projection's maps that are dropped in training.
        kwargs: Arguments of every decode head of mmseg.
    """

    def __init__(self, dilations: Sequence[int] = (1, 12, 24, 36), project_dropout: float = 0.5, **kwargs: Any):
        super().__init__(dilations=tuple(dilations), **kwargs)
        parts = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        self.project = ConvModule((len(self.dilations) + 1) * self.channels, self.channels, 1, **parts)
        self.project_dropout = nn.Dropout2d(project_dropout)
        self.bottleneck = ConvModule(self.channels, self.channels, 3, padding=1, **parts)
        self.dropout = nn.Dropout(self.dropout_ratio)

    def _forward_feature(self, inputs: list[Tensor]) -> Tensor:
        """Compute the input of the classifier, N x channels x H x W, from the backbone's maps."""
        x = self._transform_inputs(inputs)
        pooled = resize(self.image_pool(x), size=x.shape[2:], mode="bilinear", align_corners=self.align_corners)
        x = torch.cat([*self.aspp_modules(x), pooled], dim=1)  # N x (rates + 1) * channels x H x W
        return self.bottleneck(self.project_dropout(self.project(x)))
