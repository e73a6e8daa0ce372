"""Π-NAS learning (Peng et al., ICCV 2021, sec. 3.2): cross-path consistency with a nontrivial mean teacher.

Each step samples two paths i and j that differ in every layer, and takes four views of each image. The student computes
z_i and z_j with gradients; the teacher computes z'_i and z'_j without::

    Eqn. 1   cross-path consistency   z_i is compared with z'_j, and z_j with z'_i
    Eqn. 2   moving average           teacher weights <- λ * teacher weights + (1 - λ) * student weights
    Eqn. 3   additive negatives       z_i and z_j are compared with a queue of earlier teacher outputs
    Eqn. 4   loss                     cross-entropy of classifying z' among z' and the negatives; D(z, z') = z · z'

Eqn. 4 has no temperature; the released code divides its logits by 0.2, and so does this one. Eqn. 2 is applied only to
the weights of the sampled paths. Without negatives the outputs can become the same for all images (model collapse in
the paper). The ingredients of Table 7 are arguments of :class:`PiNASMethod`, except for the shared downsample (DS),
which is an argument of the search space.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine import distributed
from pinas_zoo.engine.batchnorm_groups import run_in_groups, run_in_shuffled_groups
from pinas_zoo.engine.diagnostics import count_low_steps, learning_warning, relative_distance, spread
from pinas_zoo.engine.precision import at_least_fp32
from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.base import Method
from pinas_zoo.search.methods.heads import initialise_head
from pinas_zoo.search.spaces.base import SearchSpace, Supernet
from pinas_zoo.weights.size_limits import MAX_CHANNELS, check_count


class Encoder(nn.Module):
    """The mapping f of sec. 3.2: a supernet with a 2-layer MLP head, whose outputs have unit length.

    Args:
        supernet: All candidates of the space, with pooled output.
        hidden: Width of the head's hidden layer.
        dim: Dimension of the outputs.
        norm: Whether a batch norm follows the hidden layer.
        init: How the head's weights start, as in :func:`pinas_zoo.search.methods.heads.initialise_head`.
    """

    def __init__(self, supernet: Supernet, hidden: int, dim: int, norm: bool, init: str = "kaiming"):
        super().__init__()
        self.supernet = supernet
        layers = [nn.Linear(supernet.num_features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim)]
        self.mlp = nn.Sequential(*layers[:1], nn.BatchNorm1d(hidden), *layers[1:]) if norm else nn.Sequential(*layers)
        initialise_head(self.mlp, init)

    def forward(self, x: torch.Tensor, path: Arch) -> torch.Tensor:
        """Outputs z along one path: N x C x H x W to N x dim."""
        return F.normalize(at_least_fp32(self.mlp(self.supernet(x, path))), dim=1)  # N x dim

    def path_parameters(self, path: Arch) -> list[torch.Tensor]:
        """The parameters that a path uses, including those of the stem and the head."""
        modules = [module for _, module in self.supernet.path_modules(path)]
        return [p for module in (*modules, self.mlp) for p in module.parameters()]


class PiNASMethod(Method):
    """Π-NAS learning: student, mean teacher and queue of negatives. It uses no labels.

    Args:
        space: The search space.
        num_classes: Not used.
        seed: Seed from which the paths of each step derive.
        hidden: Width of the head's hidden layer. None: the supernet's output width.
        head_norm: Whether a batch norm follows the head's hidden layer, as in SimCLR and BYOL. The authors' head has
            none. Networks that are a few channels wide learn much faster with it.
        head_init: How the head's weights start: ``kaiming``, N(0, 2 / inputs) and biases 0 as in the released code, or
            ``torch``, the default of torch.
        dim: Dimension of the outputs z.
        queue_size: Number K of negatives.
        temperature: Divisor of the logits of Eqn. 4. The equation has none; 0.2 is the released code's.
        momentum: λ of Eqn. 2, in 0..1.
        warm_queue: Whether to ignore the queue's random initial entries, which the released code compares with. Short
            runs need this: otherwise all outputs move away from the random entries and become alike.
        cross_path: Whether the two paths of a step differ in every layer (CP in Table 7). False: they are the same.
        mean_teacher: Whether the teacher is the student's moving average (MT). False: it is the student itself,
            without gradient.
        negatives: Whether the loss compares with the queue (Eqn. 4). False: the loss is 2 - 2 cos(z, z') for each of
            the two pairs, which allows collapse.
        augmented_views: Whether each of the four passes of a step gets its own view. False: they share one. We read
            DA in Figure 4 this way.
        batch_norm_images: Number of images that share batch statistics; it must divide the images of a process. None:
            all images of the process. The authors train 192 images on 8 GPUs, which makes groups of 24. The teacher's
            groups are sampled from the whole batch (MoCo's shuffled batch norm), so that batch statistics do not
            reveal which outputs belong together. A single group is not shuffled.

    Raises:
        ValueError: ``queue_size``, ``temperature`` or ``momentum`` is out of range, or ``head_init`` is unknown.
    """

    title = "Π-NAS"

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int = 0,
        seed: int = 0,
        hidden: int | None = None,
        head_norm: bool = False,
        head_init: str = "kaiming",
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
        check_count("queue_size", queue_size, 1, 2**40)
        check_count("dim", dim, 1, MAX_CHANNELS)
        if hidden is not None:
            check_count("hidden", hidden, 1, MAX_CHANNELS)
        if not 0 < temperature < math.inf or not 0 <= momentum <= 1:
            raise ValueError(
                f"expected a finite temperature above 0 and momentum in 0..1, got {temperature} and {momentum}"
            )
        self.space, self.seed = space, seed
        self.temperature, self.momentum, self.warm_queue = temperature, momentum, warm_queue
        self.cross_path, self.negatives, self.batch_norm_images = cross_path, negatives, batch_norm_images
        self.num_views = 4 if augmented_views else 1  # student i, teacher i, student j, teacher j
        supernet = space.supernet()
        self.student = Encoder(supernet, hidden or supernet.num_features, dim, head_norm, head_init)
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
        """The paths i and j of a step. They differ in every layer, or are equal if ``cross_path`` is false."""
        path_i, path_j = self.space.sample(step_rng(self.seed, step, Stream.LEARN_PATHS), 2)
        return path_i, path_j if self.cross_path else path_i

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """The loss of Eqn. 4 and, for the curve, the spread of the student's outputs.

        Args:
            batch: Views N x 4 x C x H x W, or N x 1 x C x H x W if ``augmented_views`` is false; labels are ignored.
            step: Index of the step, from 0.
            phase: The method's only phase.
        """
        views = batch.views.expand(-1, 4, -1, -1, -1)  # N x 4 x C x H x W
        loss, outputs_spread = self.consistency(views, *self.sample_paths(step), step)
        chance = 2 * math.log1p(self.filled(step, len(views))) if self.negatives else math.inf
        count_low_steps(self.low_steps, outputs_spread, loss.detach(), chance)
        return {"loss": loss, "spread": outputs_spread}

    def consistency(
        self, views: torch.Tensor, path_i: Arch, path_j: Arch, step: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the loss of Eqn. 4, and update the teacher (Eqn. 2) and the queue.

        Args:
            views: N x 4 x C x H x W in the order student i, teacher i, student j, teacher j. N is the number of images
                of this process.
            path_i: First path.
            path_j: Second path.
            step: Index of the step. It determines the teacher's batch-norm groups, and the length of a warm queue.

        Returns:
            The loss, and the spread of the student's outputs (1: uniform on the sphere, 0: all alike).
        """
        view_si, view_ti, view_sj, view_tj = views.unbind(1)  # each N x C x H x W
        student_i = self.encode(view_si, path_i)  # N x dim
        student_j = self.encode(view_sj, path_j)  # N x dim
        with torch.no_grad():
            self.update_teacher(path_i)
            teacher_i = self.encode_by_teacher(view_ti, path_i, step)  # (N * world) x dim
            self.update_teacher(path_j)
            teacher_j = self.encode_by_teacher(view_tj, path_j, step)  # (N * world) x dim
        with torch.autocast(views.device.type, enabled=False):
            # a copy, since the queue changes before the backward pass
            negatives = self.queue[:, : self.filled(step, len(views))].clone()  # dim x filled
            students = torch.cat([student_i, student_j])  # 2N x dim
            teachers = torch.cat([distributed.own(teacher_j), distributed.own(teacher_i)])  # 2N x dim
            loss = 2 * self.contrast(students, teachers, negatives)  # the sum of the means over either half
        if self.negatives:
            self.enqueue((teacher_i + teacher_j) / 2)
        return loss, (spread(student_i) + spread(student_j)) / 2

    def contrast(self, student: torch.Tensor, teacher: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """The terms of Eqn. 4: cross-entropy of classifying the teacher's outputs among the negatives.

        Args:
            student: z, N x dim.
            teacher: z' of the same images along the other path, N x dim.
            negatives: Outputs from the queue, dim x K.

        Returns:
            The mean over rows; without ``negatives``, the mean of 2 - 2 cos(z, z').
        """
        if not self.negatives:
            return (2 - 2 * (student * teacher).sum(1)).mean()
        student = student / self.temperature  # here and not below, where it would be a pass over all logits
        positive = (student * teacher).sum(1, keepdim=True)  # N x 1
        logits = torch.cat([positive, student @ negatives], 1)  # N x (1 + K)
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))

    def encode(self, x: torch.Tensor, path: Arch) -> torch.Tensor:
        """Student outputs of this process's images: N x C x H x W to N x dim, with batch norms in groups."""
        return run_in_groups(self.student, lambda part: self.student(part, path), x, self.batch_norm_images)

    def encode_by_teacher(self, x: torch.Tensor, path: Arch, step: int) -> torch.Tensor:
        """Teacher outputs of the images of all processes: N x C x H x W of this one to (N * world) x dim, in order."""
        teacher = self.student if self.teacher is None else self.teacher
        rng = step_rng(self.seed, step, Stream.SHUFFLE)
        return run_in_shuffled_groups(teacher, lambda part: teacher(part, path), x, self.batch_norm_images, rng)

    @torch.no_grad()
    def update_teacher(self, path: Arch) -> None:
        """Apply Eqn. 2 to the parameters that a path uses, including those of the stem and the head."""
        if self.teacher is not None:
            teacher, student = self.teacher.path_parameters(path), self.student.path_parameters(path)
            torch._foreach_lerp_(teacher, student, 1 - self.momentum)

    @torch.no_grad()
    def enqueue(self, outputs: torch.Tensor) -> None:
        """Replace the oldest N entries of the queue by ``outputs``, N x dim."""
        size = self.queue.shape[1]
        outputs = outputs[-size:]
        places = (self.queue_ptr + torch.arange(len(outputs), device=outputs.device)) % size  # N
        self.queue[:, places] = outputs.T
        self.queue_ptr.add_(len(outputs)).remainder_(size)
        self.queue_filled.add_(len(outputs)).clamp_(max=size)

    def filled(self, step: int, images: int) -> int:
        """Number of queue entries that a step uses as negatives, for ``images`` images per process."""
        size = self.queue.shape[1]
        return min(step * images * distributed.world(), size) if self.warm_queue else size

    def logged(self, step: int) -> dict[str, float]:
        """``drift``: L2 distance of teacher and student weights along the step's paths, over the student's norm.

        It measures the parameter shift of sec. 3.1.
        """
        if self.teacher is None:
            return {}
        paths = self.sample_paths(step)
        teacher = [p for path in paths for p in self.teacher.path_parameters(path)]
        return {"drift": relative_distance(teacher, [p for path in paths for p in self.student.path_parameters(path)])}

    def warning(self) -> str | None:
        return learning_warning(self.low_steps, self.negatives)
