"""GDAS (Dong and Yang, CVPR 2019): a hard Gumbel-softmax sample of gates; weights and gates learn by turns."""

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods import Method, Phase


class GDASMethod(Method):
    title = "GDAS"
    supervised = True
    phases = (Phase("weights"), Phase("gates", split="held_out", optim=dict(type="Adam", lr=0.01)))

    def __init__(self, space, num_classes, seed=0, temperature=1.0):
        super().__init__()
        self.seed, self.temperature = seed, temperature
        self.supernet = space.supernet()
        self.fc = nn.Linear(self.supernet.num_features, num_classes)
        self.gates = nn.Parameter(1e-3 * torch.randn(space.num_layers, space.num_candidates))  # layers x candidates

    learned = property(lambda self: self.supernet)
    classifier = property(lambda self: self.fc)

    def parameters_of(self, phase):
        return [self.gates] if phase.name == "gates" else [*self.supernet.parameters(), *self.fc.parameters()]

    def losses(self, batch, step, phase):
        uniform = step_rng(self.seed, step, Stream.LEARN_PATHS).random(self.gates.shape)
        noise = -torch.log(-torch.log(torch.from_numpy(uniform).to(self.gates)))
        soft = torch.softmax((F.log_softmax(self.gates, 1) + noise) / self.temperature, 1)
        hard = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1.0)
        logits = self.fc(self.supernet(batch.views[:, 0], hard + soft - soft.detach()))
        return {"loss": F.cross_entropy(logits, batch.labels)}

    def choose(self):
        return Arch(tuple(self.gates.argmax(1).tolist()))
