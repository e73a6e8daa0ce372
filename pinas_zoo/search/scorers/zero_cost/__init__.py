"""Training-free scores: functions of an untrained network, and the scorers that ``explore.score`` names.

Each function is ``score(model, images[, labels]) -> float``, higher is better, and takes any timm model.

Example:
    >>> import timm
    >>> import torch
    >>> from pinas_zoo.search.scorers.zero_cost import naswot
    >>> _ = torch.manual_seed(0)
    >>> images = torch.randn(8, 3, 64, 64)
    >>> small, large = (timm.create_model(name, num_classes=10) for name in ("resnet10t", "resnet18"))
    >>> naswot(small, images) < naswot(large, images)
    True
"""

from pinas_zoo.search.scorers.zero_cost.az_nas import (
    az_complexity,
    az_expressivity,
    az_progressivity,
    az_trainability,
)
from pinas_zoo.search.scorers.zero_cost.convolutions import convolutions
from pinas_zoo.search.scorers.zero_cost.fisher import fisher
from pinas_zoo.search.scorers.zero_cost.grad_norm import grad_norm
from pinas_zoo.search.scorers.zero_cost.jacov import jacov
from pinas_zoo.search.scorers.zero_cost.naswot import naswot
from pinas_zoo.search.scorers.zero_cost.reachable import reachable_flops, reachable_params
from pinas_zoo.search.scorers.zero_cost.shortest_path import shortest_path
from pinas_zoo.search.scorers.zero_cost.snip import snip
from pinas_zoo.search.scorers.zero_cost.synflow import synflow
from pinas_zoo.search.scorers.zero_cost.zen import zen
from pinas_zoo.search.scorers.zero_cost.zico import zico

__all__ = [
    "az_complexity",
    "az_expressivity",
    "az_progressivity",
    "az_trainability",
    "convolutions",
    "fisher",
    "grad_norm",
    "jacov",
    "naswot",
    "reachable_flops",
    "reachable_params",
    "shortest_path",
    "snip",
    "synflow",
    "zen",
    "zico",
]
