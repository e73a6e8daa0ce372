"""The example of version 0.1.0's docs, as it was."""

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search import methods
from pinas_zoo.search.space import step_rng

PATHS = 1  # random stream


class Method(methods.Method):
    title = "Sandwich"  # what reports call it
    supervised = True  # it learns a classifier: the linear stage is left out
    num_views = 1  # augmented views of an image that a step takes

    def __init__(self, space, num_classes, seed=0, image_size=32):
        super().__init__()
        self.space, self.seed = space, seed
        self.supernet = space.supernet()
        self.fc = nn.Linear(self.supernet.num_features, num_classes)
        same = [Arch((c,) * space.num_layers) for c in range(space.num_candidates)]
        by_cost = sorted(same, key=lambda arch: space.cost(arch, image_size)[1])
        self.smallest, self.largest = by_cost[0], by_cost[-1]

    @property
    def learned(self):  # what later stages use
        return self.supernet

    @property
    def classifier(self):
        return self.fc

    def forward(self, views, labels, step):
        # the step's random path follows from seed and step: all processes draw it, and a resumed run draws it again
        (path,) = self.space.sample(step_rng(self.seed, step, PATHS))
        images = views[:, 0]  # N x C x H x W
        outputs = [self.fc(self.supernet(images, p)) for p in (self.smallest, self.largest, path)]
        loss = torch.stack([F.cross_entropy(logits, labels) for logits in outputs]).sum()
        accuracy = (outputs[-1].argmax(1) == labels).float().mean()
        return {"loss": loss, "accuracy": accuracy}  # all are logged; those with "loss" in their name are minimised
