"""PyTorch-Encoding's auxiliary head: mmseg's, with dropout of elements where mmseg drops whole maps.

The tensors are those of ``FCNHead``. The two differ in training alone. ``tools/train.py --authors`` takes it.
"""

from __future__ import annotations

from typing import Any

from mmengine.registry import MODELS
from mmseg.models.decode_heads import FCNHead
from torch import nn


@MODELS.register_module()
class EncodingFCNHead(FCNHead):
    """mmseg's ``FCNHead`` whose dropout before the classifier is of elements.

    Args:
        kwargs: Arguments of ``FCNHead``; ``dropout_ratio`` is the share of elements that are dropped.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.dropout = nn.Dropout(self.dropout_ratio)
