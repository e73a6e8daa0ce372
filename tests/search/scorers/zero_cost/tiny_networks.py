"""Networks of a few weights, whose scores an independent formula gives."""

from __future__ import annotations

import torch
from torch import nn


class Tiny(nn.Module):
    """Convolution, norm, rectifier, mean and classifier; ``forward_features`` as timm's models have it."""

    def __init__(self, seed: int = 0, norm: bool = True):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(3) if norm else nn.Identity()
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(3, 4)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.forward_features(x).mean((2, 3)))


def batch(count: int = 4, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, N x 2 x 5 x 5, and labels of four classes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, 5, 5, generator=generator), torch.arange(count) % 4
