"""Π-NAS learning (Peng et al., ICCV 2021, sec. 3.2): cross-path consistency with a nontrivial mean teacher.

One step samples two paths i and j that differ in every layer and takes four views of each image::

    student i   z_i    gradient              Eqn. 1: z_i is compared with z'_j, and z_j with z'_i
    teacher i   z'_i   moving average        Eqn. 2: the teacher is the student's moving average, along the sampled path
    student j   z_j    gradient              Eqn. 3: a queue of earlier teacher outputs serves as negatives
    teacher j   z'_j   moving average        Eqn. 4: the loss, cross-entropy of picking z' among the negatives

Without negatives, outputs of all images become one (the paper's model collapse). Each ingredient is a switch (Table 7);
the fourth of that table, the shared downsample, is the space's.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine import distributed
from pinas_zoo.engine.batchnorm import run_in_groups, run_in_shuffled_groups
from pinas_zoo.engine.diagnostics import count_low_steps, learning_warning, relative_distance, spread
from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.base import Method
from pinas_zoo.search.spaces.base import SearchSpace, Supernet


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
        """Those of one path; stem and head belong to every path."""
        modules = [module for _, module in self.supernet.path_modules(path)]
        return [p for module in (*modules, self.mlp) for p in module.parameters()]


class PiNASMethod(Method):
    """Π-NAS learning.

    Args:
        space: The search space.
        num_classes: Not used, since no labels are.
        seed: The paths of a step follow from it.
        hidden: Width of the head's hidden layer; the supernet's output width when None.
        head_norm: A batch norm after the hidden layer (as in SimCLR's and BYOL's heads); the authors' head has none.
            Networks a few channels wide learn far faster with it.
        dim: Dimension in which outputs are compared.
        queue_size: Number of negatives.
        temperature: Divides the logits of Eqn. 4, which has none; the released code's 0.2.
        momentum: λ of Eqn. 2.
        warm_queue: Leave out the queue's entries that no step has filled yet, instead of comparing with the random ones
            that the authors start from: in a short run, outputs that flee those end up alike.
        cross_path: The two paths of a step differ in every layer (Table 7's CP); else they are one and the same.
        mean_teacher: The teacher is the student's moving average (MT); else it is the student itself, without gradient.
        negatives: Outputs are told from a queue's (Eqn. 4); else the loss is 2 - 2 cos to the teacher for each of the
            two pairs, and nothing keeps outputs apart.
        augmented_views: Each of a step's four passes has a view of its own (DA of Figure 4, as far as we can tell);
            else they share one.
        batch_norm_images: Images that share batch statistics; all of a process when None. The authors' 192 images on 8
            GPUs are groups of 24, and are so on any number of processes whose shares this number divides. The teacher's
            groups are drawn at random from the whole batch (MoCo's shuffled batch norm), so that statistics do not give
            away which output belongs to which; with one group in all there is nothing to shuffle.
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
        self.temperature, self.momentum, self.warm_queue = temperature, momentum, warm_queue
        self.cross_path, self.negatives, self.batch_norm_images = cross_path, negatives, batch_norm_images
        self.num_views = 4 if augmented_views else 1  # student i, teacher i, student j, teacher j
        supernet = space.supernet()
        self.student = Encoder(supernet, hidden or supernet.num_features, dim, head_norm)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False) if mean_teacher else None
        outputs = torch.randn(dim, queue_size, generator=torch.Generator().manual_seed(seed))
        self.queue: torch.Tensor
        self.queue_ptr: torch.Tensor
        self.queue_filled: torch.Tensor
        self.low_steps: torch.Tensor
        self.register_buffer("queue", F.normalize(outputs, dim=0))  # dim x K
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))
        self.register_buffer("queue_filled", torch.tensor([0 if warm_queue else queue_size]))
        self.register_buffer("low_steps", torch.zeros(2, dtype=torch.long))

    @property
    def learned(self) -> Supernet:
        return self.student.supernet

    def sample_paths(self, step: int) -> tuple[Arch, Arch]:
        """The two paths of a step; they differ in every layer, or are the same without cross-path learning."""
        path_i, path_j = self.space.sample(step_rng(self.seed, step, Stream.LEARN_PATHS), 2)
        return path_i, path_j if self.cross_path else path_i

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """The loss, and the spread of the students' outputs."""
        views = batch.views.expand(-1, 4, -1, -1, -1)  # N x 4 x C x H x W
        loss, outputs_spread = self.consistency(views, *self.sample_paths(step), step)
        chance = 2 * math.log1p(self.filled(step, len(views))) if self.negatives else math.inf
        count_low_steps(self.low_steps, outputs_spread, loss.detach(), chance)
        return {"loss": loss, "spread": outputs_spread}

    def consistency(
        self, views: torch.Tensor, path_i: Arch, path_j: Arch, step: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Eqn. 4, and the spread of the students' outputs; moves the teacher and the queue on.

        Args:
            views: N x 4 x C x H x W in the order student i, teacher i, student j, teacher j; N of this process.
            path_i: First path.
            path_j: Second path.
            step: Decides which images share the teacher's batch statistics, and how full a warm queue is.
        """
        view_si, view_ti, view_sj, view_tj = views.unbind(1)  # each N x C x H x W
        student_i = self.encode(view_si, path_i)  # N x dim
        student_j = self.encode(view_sj, path_j)
        with torch.no_grad():
            self.update_teacher(path_i)
            teacher_i = self.encode_by_teacher(view_ti, path_i, step)  # N of all processes x dim
            self.update_teacher(path_j)
            teacher_j = self.encode_by_teacher(view_tj, path_j, step)
        with torch.autocast(views.device.type, enabled=False):
            # a copy, since the queue changes before the backward pass
            negatives = self.queue[:, : self.filled(step, len(views))].clone()  # dim x filled
            loss = self.contrast(student_i, distributed.own(teacher_j), negatives)
            loss = loss + self.contrast(student_j, distributed.own(teacher_i), negatives)
        if self.negatives:
            self.enqueue((teacher_i + teacher_j) / 2)
        return loss, (spread(student_i) + spread(student_j)) / 2

    def contrast(self, student: torch.Tensor, teacher: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """One term of Eqn. 4: cross-entropy of picking the teacher's output of the same image among the negatives.

        Args:
            student: N x dim.
            teacher: N x dim.
            negatives: dim x K.
        """
        positive = (student * teacher).sum(1, keepdim=True)  # N x 1
        if not self.negatives:
            return (2 - 2 * positive).mean()
        logits = torch.cat([positive, student @ negatives], 1) / self.temperature  # N x (1 + K)
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))

    def encode(self, x: torch.Tensor, path: Arch) -> torch.Tensor:
        """N x C x H x W to the student's N x dim, in groups that share batch statistics."""
        return run_in_groups(lambda part: self.student(part, path), x, self.batch_norm_images)

    def encode_by_teacher(self, x: torch.Tensor, path: Arch, step: int) -> torch.Tensor:
        """This process's N x C x H x W to the teacher's outputs of all processes' images, in order."""
        teacher = self.student if self.teacher is None else self.teacher
        rng = step_rng(self.seed, step, Stream.SHUFFLE)
        return run_in_shuffled_groups(lambda part: teacher(part, path), x, self.batch_norm_images, rng)

    @torch.no_grad()
    def update_teacher(self, path: Arch) -> None:
        """Moving average (Eqn. 2) along one path; stem and head belong to every path."""
        if self.teacher is not None:
            teacher, student = self.teacher.path_parameters(path), self.student.path_parameters(path)
            torch._foreach_lerp_(teacher, student, 1 - self.momentum)

    @torch.no_grad()
    def enqueue(self, outputs: torch.Tensor) -> None:
        """Replace the oldest N entries of the queue; N x dim."""
        size = self.queue.shape[1]
        outputs = outputs[-size:]
        places = (self.queue_ptr + torch.arange(len(outputs), device=outputs.device)) % size  # N
        self.queue[:, places] = outputs.T
        self.queue_ptr.add_(len(outputs)).remainder_(size)
        self.queue_filled.add_(len(outputs)).clamp_(max=size)

    def filled(self, step: int, images: int) -> int:
        """Entries of the queue that a step compares with, given the images of each process."""
        size = self.queue.shape[1]
        return min(step * images * distributed.world(), size) if self.warm_queue else size

    def logged(self, step: int) -> dict[str, float]:
        """``drift``, the parameter shift: L2 distance of teacher and student along the step's paths, relative."""
        if self.teacher is None:
            return {}
        paths = self.sample_paths(step)
        teacher = [p for path in paths for p in self.teacher.path_parameters(path)]
        return {"drift": relative_distance(teacher, [p for path in paths for p in self.student.path_parameters(path)])}

    def warning(self) -> str | None:
        return learning_warning(self.low_steps, self.negatives)
