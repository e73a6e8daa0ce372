"""Steps of a method on a space without batch norm, by one process or by several that share each batch.

python two_processes.py METHOD FILE    # rank 0 writes the network's tensors to FILE
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.options import Views
from pinas_zoo.engine import distributed, trainer
from pinas_zoo.search.config import Learn
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.spaces.base import Path, SearchSpace, Supernet, gates_of_layers, mixture
from tests.search.methods.test_single_path_contract import OPTIONS, batches

LAYERS, CANDIDATES = 3, 3


class PlainSupernet(Supernet):
    """Linear layers with three candidates each, and no batch norm."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, self.num_features)
        self.layers = nn.ModuleList(
            nn.ModuleList(nn.Linear(self.num_features, self.num_features) for _ in range(CANDIDATES))
            for _ in range(LAYERS)
        )

    def forward(self, x: torch.Tensor, path: Path) -> torch.Tensor:
        x = self.stem(x.mean((2, 3)))  # N x num_features
        rows = path if isinstance(path, Arch) else gates_of_layers(path)
        for layer, row in zip(self.layers, rows, strict=True):
            if isinstance(row, int):
                x = x + layer[row](x).tanh()
            else:
                x = x + mixture((layer[k](x).tanh() for k in row.candidates), row.gates)
        return x

    def path_modules(self, path: Arch) -> Iterator[tuple[str, nn.Module]]:
        yield "stem", self.stem
        for k, choice in enumerate(path):
            yield f"layers.{k}.{choice}", self.layers[k][choice]


class PlainSpace(SearchSpace):
    num_layers, num_candidates = LAYERS, CANDIDATES

    def supernet(self, in_chans: int = 3) -> PlainSupernet:
        return PlainSupernet()

    def model_args(self, arch: Arch) -> dict[str, Any]:
        return {"arch": str(arch)}

    def cost_table(self, image_size: int) -> Any:
        from pinas_zoo.analysis.cost import Cost

        return Cost(1, 1000), [tuple(Cost(0, 100 * (k + c)) for c in range(CANDIDATES)) for k in range(LAYERS)]


def main(name: str, file: str) -> None:
    distributed.start(None)
    torch.manual_seed(0)
    kind, _, by_images = name.partition(" by ")
    options = {**OPTIONS[kind], **({"fisher_groups": 8} if by_images else {})}
    space = PlainSpace()
    method = build_method(kind, options, space, 10, 0, 16).train()
    start = method.fc.weight.detach().clone()
    model = trainer.RunnerModel(method, BatchViews(Views(), (0.5,) * 3, (0.25,) * 3), steps=6).train()
    wrappers = trainer.optimisers(model, Learn(method=kind, lr=0.1, batch_size=8))
    rank, size = distributed.rank(), 8 // distributed.world()
    for step in range(6):
        data = batches(step)
        for split in ("train", "held_out"):
            data[split] = {key: value[rank * size : (rank + 1) * size] for key, value in data[split].items()}
        model.train_step(data, wrappers)
    if rank == 0:
        torch.save({**method.state_dict(), "start": start}, file)
    distributed.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
