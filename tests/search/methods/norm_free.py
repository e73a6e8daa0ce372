"""A tiny space without batch norm, whose gradients are means over images: two processes learn exactly as one."""

from __future__ import annotations

import torch
from torch import nn

from pinas_zoo.analysis.cost import Cost
from pinas_zoo.search.spaces.base import SearchSpace, Supernet, mixture

CHANNELS, STRIDES, KERNELS = (8, 16), (4, 2), (1, 3, 5)


class NormFreeSupernet(Supernet):
    num_features = CHANNELS[-1]
    num_stages = len(CHANNELS)
    stage_channels = CHANNELS
    stage_strides = (4, 8)
    stage_layers = ((0,), (1,))
    stage_prefixes = (("layer0.",), ("layer1.",))

    def __init__(self, in_chans):
        super().__init__()
        for k, (before, width, stride) in enumerate(zip((in_chans, CHANNELS[0]), CHANNELS, STRIDES, strict=True)):
            convolutions = [nn.Conv2d(before, width, size, stride, size // 2) for size in KERNELS]
            self.add_module(f"layer{k}", nn.ModuleList(convolutions))

    def stage(self, index, x, path):
        layer = self.get_submodule(f"layer{index}")
        chosen = path[index]
        if isinstance(chosen, torch.Tensor):
            return torch.relu(mixture((conv(x) for conv in layer), chosen))
        return torch.relu(layer[chosen](x))

    def forward(self, x, path):
        return self.stage(1, self.stage(0, x, path), path).mean((2, 3))

    def path_modules(self, path):
        for k, choice in enumerate(path):
            yield f"layer{k}.{choice}", self.get_submodule(f"layer{k}.{choice}")


class NormFreeSpace(SearchSpace):
    num_layers, num_candidates = len(CHANNELS), len(KERNELS)

    def supernet(self, in_chans=3):
        return NormFreeSupernet(in_chans)

    def model_args(self, arch):
        return {"arch": str(arch)}

    def cost_table(self, image_size):
        return Cost(0, 10**6), [tuple(Cost(0, 10**6 * size**2) for size in KERNELS)] * self.num_layers
