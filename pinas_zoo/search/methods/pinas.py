"""Π-NAS learning (Peng et al., ICCV 2021, sec. 3.2): cross-path consistency with a nontrivial mean teacher.

One step samples two paths i and j that differ in every layer and takes four views of each image:

    feature shift     student_i is compared with teacher_j, student_j with teacher_i: paths must agree on an image
    parameter shift   the teacher is the exponential moving average of the student, along the sampled path only
    nontrivial        a queue of earlier teacher outputs serves as negatives (Eqn. 4), without which features collapse

Each of these can be switched off, which is Table 7; its fourth, the shared downsample, is the space's. Collapse (the
paper's model collision) is watched for in every step: :meth:`Method.trouble`.
"""

from __future__ import annotations

import copy
import math
import sys

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine import distributed
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods import base
from pinas_zoo.search.spaces.base import SearchSpace, Supernet

COLLAPSED = 0.1  # spread of outputs below which they count as alike; 1 is uniform on the sphere
CHANCE = 0.99  # part of the loss of guessing above which nothing is learned
PATIENCE = 100  # steps in a row until that is said


class Encoder(nn.Module):
    """Supernet and projection head: N x C x H x W along one path to N x dim, of unit length."""

    def __init__(self, supernet: Supernet, hidden: int, dim: int, norm: bool):
        super().__init__()
        self.supernet = supernet
        layers = [nn.Linear(supernet.num_features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim)]
        self.mlp = nn.Sequential(*layers[:1], nn.BatchNorm1d(hidden), *layers[1:]) if norm else nn.Sequential(*layers)

    def forward(self, x: torch.Tensor, path: Arch) -> torch.Tensor:
        return F.normalize(self.mlp(self.supernet(x, path)).float(), dim=1)  # N x dim

    def path_parameters(self, path: Arch) -> list[torch.Tensor]:
        modules = [module for _, module in self.supernet.path_modules(path)]
        return [p for module in (*modules, self.mlp) for p in module.parameters()]


class Method(base.Method):
    """Π-NAS learning.

    Args:
        space: The search space.
        num_classes: Not used: no labels are.
        seed: The paths of a step follow from it.
        hidden: Width of the head's hidden layer; the supernet's output width when None.
        head_norm: A batch norm after the hidden layer (SimCLR's and BYOL's head); the authors' has none. Networks a few
            channels wide learn far faster with it.
        dim: Dimension in which outputs are compared.
        queue_size: Number of negatives.
        temperature: Of Eqn. 4.
        momentum: Of the teacher's moving average.
        warm_queue: Leave out the queue's entries that no step has filled yet, instead of the random ones that the
            authors start with: in a short run, outputs that flee those end up alike.
        cross_path: The two paths of a step differ in every layer (Table 7's CP); else they are one and the same.
        mean_teacher: The teacher is the student's moving average (MT); else it is the student itself, without gradient.
        negatives: Outputs are told from a queue's (Eqn. 4); else loss is 2 - 2 cos to the teacher, for each of the
            two pairs, and nothing keeps outputs apart.
        augmented_views: Each of a step's four passes has a view of its own (DA of Figure 4, as far as we can tell);
            else they share one.
        batch_norm_images: Images that share batch statistics, all of a process when None. The authors' 192 images on 8
            GPUs are groups of 24, and are so on any number of processes that this number divides the shares of. The
            teacher's groups are drawn at random from the whole batch (MoCo's shuffled batch norm), so that statistics
            do not give away which output belongs to which; with one group in all there is nothing to shuffle.
    """

    title = "Π-NAS"

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int = 0,
        seed: int = 0,
        hidden: int | None = None,
        head_norm: bool = False,
        dim: int = 128,
        queue_size: int = 49152,
        temperature: float = 0.2,
        momentum: float = 0.999,
        warm_queue: bool = False,
        cross_path: bool = True,
        mean_teacher: bool = True,
        negatives: bool = True,
        augmented_views: bool = True,
        batch_norm_images: int | None = None,
    ):
        super().__init__()
        if queue_size < 1 or temperature <= 0 or not 0 <= momentum <= 1:
            raise ValueError(
                "expected queue_size of at least 1, temperature above 0 and momentum in 0..1, "
                f"got {queue_size}, {temperature} and {momentum}"
            )
        self.space, self.seed = space, seed
        self.temperature, self.momentum = temperature, momentum
        self.cross_path, self.negatives, self.batch_norm_images = cross_path, negatives, batch_norm_images
        self.num_views = 4 if augmented_views else 1  # student i, teacher i, student j, teacher j
        supernet = space.supernet()
        self.student = Encoder(supernet, hidden or supernet.num_features, dim, head_norm)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False) if mean_teacher else None
        outputs = torch.randn(dim, queue_size, generator=torch.Generator().manual_seed(seed))
        self.queue: torch.Tensor
        self.queue_ptr: torch.Tensor
        self.queue_filled: torch.Tensor
        self.register_buffer("queue", F.normalize(outputs, dim=0))  # dim x K
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))
        self.register_buffer("queue_filled", torch.tensor([0 if warm_queue else queue_size]))
        self.low_steps: torch.Tensor  # steps in a row, up to now, with too low a spread and with a loss at chance
        self.register_buffer("low_steps", torch.zeros(2, dtype=torch.long))

    @property
    def learned(self) -> Supernet:
        return self.student.supernet

    def sample_paths(self, step: int) -> tuple[Arch, Arch]:
        """The two paths of a step; they differ in every layer, or are the same without cross-path learning."""
        path_i, path_j = self.space.sample(step_rng(self.seed, step, Stream.LEARN_PATHS), 2)
        return path_i, path_j if self.cross_path else path_i

    def forward(self, views: torch.Tensor, labels: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        """The loss, and the spread of the students' outputs."""
        chance = 2 * math.log1p(int(self.queue_filled)) if self.negatives else math.inf  # of what Eqn. 4 sees now
        loss = self.consistency(views.expand(-1, 4, -1, -1, -1), *self.sample_paths(step), step)
        self.watch(loss.detach(), chance)
        return {"loss": loss, "spread": self.spread}

    def consistency(self, views: torch.Tensor, path_i: Arch, path_j: Arch, step: int = 0) -> torch.Tensor:
        """Sum of both cross-path losses; moves the teacher and the queue on.

        Args:
            views: N x 4 x C x H x W in the order student i, teacher i, student j, teacher j; N of this process.
            path_i: First path.
            path_j: Second path.
            step: Decides which images share the teacher's batch statistics.
        """
        view_si, view_ti, view_sj, view_tj = views.unbind(1)  # each N x C x H x W
        student_i = self.encode(self.student, view_si, path_i)  # N x dim
        student_j = self.encode(self.student, view_sj, path_j)
        teacher = self.student if self.teacher is None else self.teacher
        with torch.no_grad():
            self.update_teacher(path_i)
            teacher_i = self.encode_shuffled(teacher, view_ti, path_i, step)  # N of all processes x dim
            self.update_teacher(path_j)
            teacher_j = self.encode_shuffled(teacher, view_tj, path_j, step)
            self.spread = (spread(student_i) + spread(student_j)) / 2
        with torch.autocast(views.device.type, enabled=False):
            # a copy, since the queue changes before the backward pass
            queue = self.queue[:, : int(self.queue_filled)].clone()
            loss = self.contrast(student_i, distributed.own(teacher_j), queue)
            loss = loss + self.contrast(student_j, distributed.own(teacher_i), queue)
        if self.negatives:
            self.enqueue((teacher_i + teacher_j) / 2)
        return loss

    def encode(self, encoder: Encoder, x: torch.Tensor, path: Arch) -> torch.Tensor:
        """N x C x H x W to N x dim, in groups that share batch statistics."""
        size = self.batch_norm_images or len(x)
        if len(x) % size:
            raise UserError(
                f"expected a multiple of batch_norm_images = {size} images for each process, got {len(x)}: "
                "learn.batch_size is shared by all processes; start fewer of them"
            )
        return torch.cat([encoder(part, path) for part in x.split(size)])

    def encode_shuffled(self, encoder: Encoder, x: torch.Tensor, path: Arch, step: int) -> torch.Tensor:
        """This process's N x C x H x W to the outputs for all processes' images, in order; groups are drawn at random
        from all of them."""
        count = len(x) * distributed.world()
        if (self.batch_norm_images or len(x)) >= count:
            return encoder(x, path)
        order = torch.from_numpy(step_rng(self.seed, step, Stream.SHUFFLE).permutation(count)).to(x.device)
        shuffled = distributed.own(distributed.gather(x)[order])
        return distributed.gather(self.encode(encoder, shuffled, path))[order.argsort()]

    def contrast(self, student: torch.Tensor, teacher: torch.Tensor, queue: torch.Tensor) -> torch.Tensor:
        """Eqn. 4: cross-entropy of picking the teacher's output of the same image among the queue's.

        Args:
            student: N x dim.
            teacher: N x dim.
            queue: dim x K.
        """
        positive = (student * teacher).sum(1, keepdim=True)  # N x 1
        if not self.negatives:
            return (2 - 2 * positive).mean()
        negative = student @ queue  # N x K
        logits = torch.cat([positive, negative], 1) / self.temperature  # N x (1 + K)
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))

    @torch.no_grad()
    def update_teacher(self, path: Arch) -> None:
        """Moving average (Eqn. 3) along one path; stem and head belong to every path."""
        if self.teacher is None:
            return
        teacher, student = self.teacher.path_parameters(path), self.student.path_parameters(path)
        torch._foreach_lerp_(teacher, student, 1 - self.momentum)

    @torch.no_grad()
    def logged(self, step: int) -> dict[str, float]:
        """``drift``, the parameter shift: L2 distance of teacher and student along the step's paths, relative."""
        if self.teacher is None:
            return {}
        paths = self.sample_paths(step)
        student = list({id(p): p for path in paths for p in self.student.path_parameters(path)}.values())
        teacher = list({id(p): p for path in paths for p in self.teacher.path_parameters(path)}.values())
        distance = torch.stack(torch._foreach_norm(torch._foreach_sub(teacher, student))).norm()
        return {"drift": float(distance / torch.stack(torch._foreach_norm(student)).norm())}

    @torch.no_grad()
    def enqueue(self, keys: torch.Tensor) -> None:
        """Replace the oldest N entries of the queue; N x dim."""
        size = self.queue.shape[1]
        keys = keys[-size:]
        self.queue[:, (self.queue_ptr + torch.arange(len(keys), device=keys.device)) % size] = keys.T
        self.queue_ptr[0] = (self.queue_ptr[0] + len(keys)) % size
        self.queue_filled.add_(len(keys)).clamp_(max=size)

    @torch.no_grad()
    def watch(self, loss: torch.Tensor, chance: float) -> None:
        """Count steps in which outputs are alike or the loss is that of guessing; say so once it has lasted."""
        before = self.trouble()
        low = torch.stack([self.spread < COLLAPSED, (loss > CHANCE * chance) & (chance > 0)])
        self.low_steps.copy_(torch.where(low, self.low_steps + 1, 0))
        if before is None and self.trouble() is not None and distributed.rank() == 0:
            print(f"\nwarning: {self.trouble()}", file=sys.stderr)

    def trouble(self) -> str | None:
        collapsed, at_chance = self.low_steps.tolist()
        if collapsed >= PATIENCE:
            cure = "a lower learning rate, or warm_queue" if self.negatives else "negatives=True"
            return (
                f"outputs have collapsed: all images have looked alike (spread below {COLLAPSED}, where 1 is uniform) "
                f"for the last {collapsed} steps, so scores will mean nothing; try {cure}"
            )
        if at_chance >= PATIENCE:
            return (
                f"nothing is learned: the loss has been that of guessing for the last {at_chance} steps, so scores "
                "will mean little; try more steps, a lower temperature, or another learning rate"
            )
        return None


def spread(outputs: torch.Tensor) -> torch.Tensor:
    """Standard deviation over a batch of unit vectors, N x dim: 1 when uniform on the sphere, 0 when all are alike."""
    return outputs.detach().float().std(0).mean() * outputs.shape[1] ** 0.5
