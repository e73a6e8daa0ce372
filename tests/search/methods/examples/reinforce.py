"""A REINFORCE controller as in ENAS (Pham et al., ICML 2018), one categorical a layer, rewarded on held-out images."""

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods import Method, Phase


class ReinforceMethod(Method):
    title = "REINFORCE"
    supervised = True
    phases = (
        Phase("weights"),
        Phase("controller", split="held_out", optim=dict(type="Adam", lr=0.05), start=0.25),  # after a warm-up
    )

    def __init__(self, space, num_classes, seed=0, decay=0.9):
        super().__init__()
        self.seed, self.decay = seed, decay
        self.supernet = space.supernet()
        self.fc = nn.Linear(self.supernet.num_features, num_classes)
        self.policy = nn.Parameter(torch.zeros(space.num_layers, space.num_candidates))  # layers x candidates
        self.register_buffer("baseline", torch.zeros(()))

    learned = property(lambda self: self.supernet)
    classifier = property(lambda self: self.fc)

    def parameters_of(self, phase):
        return [self.policy] if phase.name == "controller" else [*self.supernet.parameters(), *self.fc.parameters()]

    def sample_paths(self, step):
        rng = step_rng(self.seed, step, Stream.LEARN_PATHS)
        chances = self.policy.detach().softmax(1).double().cpu().numpy()  # layers x candidates
        return [Arch(tuple(rng.choice(len(row), p=row / row.sum()) for row in chances))]

    def losses(self, batch, step, phase):
        (path,) = self.sample_paths(step)
        if phase.name == "weights":
            return {"loss": F.cross_entropy(self.fc(self.supernet(batch.views[:, 0], path)), batch.labels)}
        with torch.no_grad():
            logits = self.fc(self.supernet(batch.views[:, 0], path))
            reward = (logits.argmax(1) == batch.labels).float().mean()
            advantage = reward - self.baseline
            self.baseline.lerp_(reward, 1 - self.decay)
        layers = torch.arange(len(path), device=self.policy.device)
        chosen = torch.tensor(list(path), device=self.policy.device)
        return {"loss": -advantage * self.policy.log_softmax(1)[layers, chosen].sum(), "reward": reward}

    def choose(self):
        return Arch(tuple(self.policy.argmax(1).tolist()))
