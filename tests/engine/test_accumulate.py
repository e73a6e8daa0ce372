"""A batch that goes through the network in parts updates it as the whole batch does."""

from __future__ import annotations

import copy

import torch
from mmengine.optim import OptimWrapperDict
from torch import nn

from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.options import Views
from pinas_zoo.engine.optim_wrappers import DistributedOptimWrapper
from pinas_zoo.engine.trainable import Batch, Phase, Trainable
from pinas_zoo.engine.trainer import RunnerModel


class Linear(Trainable):
    """A network without batch statistics, whose loss is a mean over images."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, 3)

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        loss = nn.functional.cross_entropy(self.fc(batch.views.flatten(1)), batch.labels)
        return {"loss": loss, "images": torch.tensor(float(len(batch.labels)))}


def test_parts_of_a_batch_give_the_gradient_of_the_batch():
    torch.manual_seed(0)
    first = Linear()
    images = {"views": torch.randint(0, 256, (8, 1, 3, 2, 2), dtype=torch.uint8), "labels": torch.arange(8) % 3}
    logged = []
    networks = [copy.deepcopy(first), copy.deepcopy(first)]
    for network, parts in zip(networks, (1, 4), strict=True):
        views = BatchViews(Views(), (0.5,) * 3, (0.25,) * 3)
        model = RunnerModel(network, views, steps=2, accumulate=parts)
        wrapper = DistributedOptimWrapper(optimizer=torch.optim.SGD(network.parameters(), 0.1, momentum=0.9))
        for step in range(2):
            data = {"step": step, "train": dict(images)}
            logged.append(model.train_step(data, OptimWrapperDict(weights=wrapper)))
    torch.testing.assert_close(networks[0].fc.weight, networks[1].fc.weight)
    assert not torch.equal(networks[0].fc.weight, first.fc.weight)
    torch.testing.assert_close(logged[1]["loss"], logged[3]["loss"])
    assert logged[3]["images"] == 2  # values of the parts are averaged
