"""The paper's space (sec. 4.1): four split-attention candidates in each layer of a ResNet; 4^16 at full depth.

The supernet's modules have the released code's names, ``layer{stage}.{block}.{candidate}``. The candidates of a layer
share one downsample module (DS in Table 7), which appears under the name of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from pinas_zoo.analysis.cost import Cost, layer_costs, stem_cost
from pinas_zoo.analysis.diagram import network_svg
from pinas_zoo.arch import Arch
from pinas_zoo.models.pinas import (
    ARCHS,
    CANDIDATES,
    DEPTHS,
    EXPANSION,
    STEM_WIDTH,
    WIDTHS,
    LayerSpec,
    PiNASBlock,
    layer_specs,
    make_downsample,
    make_stem,
)
from pinas_zoo.models.spec import NetworkSpec, largest_path, read_sizes
from pinas_zoo.search.spaces.base import (
    LayerGates,
    Path,
    Piece,
    SampledGates,
    SearchSpace,
    Supernet,
    check_subspace,
    gates_of_layers,
    mixture,
)
from pinas_zoo.weights.size_limits import check_parameters

RESNEST = [str(candidate) for candidate in CANDIDATES].index("2s1x64d")  # the candidate that is ResNeSt's block


class ResNeStSupernet(Supernet):
    """Stem, layers with one :class:`PiNASBlock` per candidate, and global average pooling."""

    def __init__(
        self, specs: Sequence[LayerSpec], stem_width: int, in_chans: int, shared_downsample: bool, zero_init_last: bool
    ):
        super().__init__()
        self.conv1 = make_stem(in_chans, stem_width)
        self.bn1 = nn.BatchNorm2d(stem_width * 2)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer_names = [f"layer{spec.stage + 1}.{spec.block}" for spec in specs]
        stages: list[nn.ModuleList] = [nn.ModuleList() for _ in range(1 + specs[-1].stage)]
        for spec in specs:
            shared = make_downsample(spec) if shared_downsample else None
            stages[spec.stage].append(
                nn.ModuleList(PiNASBlock(spec, c, shared or make_downsample(spec)) for c in CANDIDATES)
            )
        for stage, layers in enumerate(stages):
            self.add_module(f"layer{stage + 1}", layers)
        self.num_stages = len(stages)
        self.stage_channels = tuple({spec.stage: spec.out_chs for spec in specs}.values())
        self.stage_strides = tuple(4 * 2**stage for stage in range(self.num_stages))
        self.stage_layers = tuple(
            tuple(k for k, spec in enumerate(specs) if spec.stage == stage) for stage in range(self.num_stages)
        )
        self.stage_prefixes = tuple(
            (*(("conv1.", "bn1.") if stage == 0 else ()), f"layer{stage + 1}.") for stage in range(self.num_stages)
        )
        self.num_features = specs[-1].planes * EXPANSION
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_last and isinstance(module, PiNASBlock):
                module.zero_init_last()

    def forward(self, x: torch.Tensor, path: Path) -> torch.Tensor:
        for index in range(self.num_stages):
            x = self.stage(index, x, path)  # N x out_chs x H/stride x W/stride
        return self.pool(x)

    def stage(self, index: int, x: torch.Tensor, path: Path) -> torch.Tensor:
        """Run one stage. The first stage includes the stem."""
        if index == 0:
            x = self.stem(x)
        layers = gates_of_layers(path) if isinstance(path, torch.Tensor | SampledGates) else path
        for name, chosen in zip(self.layer_names, layers, strict=True):
            if name.startswith(f"layer{index + 1}."):
                if isinstance(chosen, LayerGates):
                    outputs = (self.get_submodule(f"{name}.{choice}")(x) for choice in chosen.candidates)
                    x = mixture(outputs, chosen.gates)
                else:
                    x = self.get_submodule(f"{name}.{chosen}")(x)
        return x

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        return self.maxpool(self.act1(self.bn1(self.conv1(x))))  # N x 2*stem_width x H/4 x W/4

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))  # N x num_features

    def path_layers(self, path: Arch) -> Iterator[tuple[str, nn.Module]]:
        for name, choice in zip(self.layer_names, path, strict=True):
            yield f"{name}.{choice}", self.get_submodule(f"{name}.{choice}")

    def pieces(self, path: Arch) -> list[Piece]:
        """Stem, one piece per layer, and pooling."""
        layers = [Piece(name, (layer,), layer) for name, layer in self.path_layers(path)]
        return [Piece("stem", (self.conv1, self.bn1), self.stem), *layers, Piece("pool", (), self.pool)]

    def path_modules(self, path: Arch) -> Iterator[tuple[str, nn.Module]]:
        yield "conv1", self.conv1
        yield "bn1", self.bn1
        yield from self.path_layers(path)


class ResNeSt50Space(SearchSpace):
    """The paper's space at any depth and width.

    Args:
        depths: Number of layers per stage.
        widths: Planes per stage. The output of a stage has four times as many channels.
        stem_width: Channels of the stem's first two convolutions.
        shared_downsample: Whether the candidates of a layer share one downsample (the paper's DS).
        zero_init_last: Whether every residual branch starts at zero. With a shared downsample all paths then compute
            the same at first, which cross-path consistency needs (benchmarks/results/digits.md).
        subspace: Candidates that may be scored, such as ``(1, 3)``; None for all four.

    Raises:
        ValueError: A width does not fit the candidates' groups, or the subspace is invalid.
    """

    def __init__(
        self,
        depths: Sequence[int] = DEPTHS,
        widths: Sequence[int] = WIDTHS,
        stem_width: int = STEM_WIDTH,
        shared_downsample: bool = True,
        zero_init_last: bool = True,
        subspace: Sequence[int] | None = None,
    ):
        sizes = read_sizes(depths, widths, stem_width)
        self.depths, self.widths, self.stem_width = sizes["depths"], sizes["widths"], sizes["stem_width"]
        check_parameters(len(CANDIDATES) * largest_path(self.depths, self.widths), "a supernet")
        self.shared_downsample, self.zero_init_last = shared_downsample, zero_init_last
        self.specs = layer_specs(self.depths, self.widths, self.stem_width)
        self.num_layers = len(self.specs)
        self.num_candidates = len(CANDIDATES)
        self.layer_names = tuple(f"layer{spec.stage + 1}.{spec.block}" for spec in self.specs)
        self.candidate_names = tuple(map(str, CANDIDATES))
        self.subspace = check_subspace(subspace, self.num_candidates)

    def supernet(self, in_chans: int = 3) -> ResNeStSupernet:
        return ResNeStSupernet(self.specs, self.stem_width, in_chans, self.shared_downsample, self.zero_init_last)

    def model_args(self, arch: Arch) -> dict[str, Any]:
        return {
            "arch": str(arch),
            "depths": list(self.depths),
            "widths": list(self.widths),
            "stem_width": self.stem_width,
        }

    def export(self, supernet: Supernet, arch: Arch) -> dict[str, torch.Tensor]:
        state = {}
        for name, module in supernet.path_modules(arch):
            alone = name.rsplit(".", 1)[0] if name.startswith("layer") else name  # layer1.0.3 -> layer1.0
            for key, tensor in module.state_dict().items():
                state[f"{alone}.{key}"] = tensor.detach().clone(memory_format=torch.contiguous_format)
        return state

    def cost_table(self, image_size: int) -> tuple[Cost, list[tuple[Cost, ...]]]:
        return stem_cost(self.stem_width, image_size), layer_costs(self.specs, image_size)

    def references(self) -> dict[str, Arch]:
        """The path of ResNeSt, candidate 1 in all layers, and in the paper's space the architectures of Table 1.

        Π-NAS-β, -δ and -ε are missing: the paper shows them only in a picture (Figure 9).
        """
        resnest = Arch((RESNEST,) * self.num_layers)
        if (self.depths, self.widths, self.stem_width) != (DEPTHS, WIDTHS, STEM_WIDTH):
            return {"resnest": resnest}
        return {"resnest50d": resnest, **{name: Arch.parse(arch) for name, arch in ARCHS.items()}}

    def picture(self, arch: Arch, title: str) -> str:
        return network_svg(NetworkSpec.from_args(self.model_args(arch)), title)
