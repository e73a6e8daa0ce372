"""A Π-NAS step written the way DESIGN.md describes the released code, as a baseline for the speed of ours.

Its facts: each of eight processes runs four separate passes of its 24 images, walks over the teacher's tensors in a
Python loop, and logs values by ``.item()``; the queue takes what all processes compute. Here the groups run one after
another on one card. The arithmetic is that of :class:`pinas_zoo.search.methods.pinas.PiNASMethod` with
``batch_norm_images=24``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search.methods.pinas import Encoder, PiNASMethod


class ReleasedStep:
    """One step per call; it trains the encoders of a method in place.

    Args:
        method: Student, teacher, queue and paths.
        group: Images of a process of the released code.
        dtype: Of autocast; None for fp32.
    """

    def __init__(self, method: PiNASMethod, group: int, dtype: torch.dtype | None):
        assert isinstance(method.teacher, Encoder)
        self.method, self.teacher, self.group, self.dtype = method, method.teacher, group, dtype
        parameters = list(method.student.parameters())
        self.optimizer = torch.optim.SGD(parameters, lr=0.03, momentum=0.9, weight_decay=1e-4)
        self.log: list[dict[str, float]] = []

    def __call__(self, views: torch.Tensor, step: int) -> None:
        """Train on normalised views, N x 4 x C x H x W, in the order student i, teacher i, student j, teacher j."""
        method = self.method
        path_i, path_j = method.sample_paths(step)
        groups = views.split(self.group)
        self.optimizer.zero_grad()
        order = torch.randperm(len(views), device=views.device)
        self.move_teacher(path_i)
        teacher_i = self.teach(views[:, 1][order], path_i)[order.argsort()].split(self.group)
        self.move_teacher(path_j)
        teacher_j = self.teach(views[:, 3][order], path_j)[order.argsort()].split(self.group)
        negatives = method.queue.clone()  # dim x K
        for part, of_i, of_j in zip(groups, teacher_i, teacher_j, strict=True):
            student_i = self.encode(method.student, part[:, 0], path_i)
            student_j = self.encode(method.student, part[:, 2], path_j)
            loss_i = self.contrast(student_i, of_j, negatives)
            loss_j = self.contrast(student_j, of_i, negatives)
            loss = loss_i + loss_j
            (loss / len(groups)).backward()
            self.log.append({"loss": loss.item(), "loss_i": loss_i.item(), "loss_j": loss_j.item()})
        self.optimizer.step()
        outputs = (torch.cat(teacher_i) + torch.cat(teacher_j)) / 2  # N x dim
        start = int(method.queue_ptr)
        size = method.queue.shape[1]
        places = (start + torch.arange(len(outputs), device=outputs.device)) % size
        method.queue[:, places] = outputs.T
        method.queue_ptr[0] = (start + len(outputs)) % size

    @torch.no_grad()
    def move_teacher(self, path: Arch) -> None:
        teacher, student = self.teacher.path_parameters(path), self.method.student.path_parameters(path)
        for of_teacher, of_student in zip(teacher, student, strict=True):
            of_teacher.data = of_teacher.data * self.method.momentum + of_student.data * (1 - self.method.momentum)

    @torch.no_grad()
    def teach(self, images: torch.Tensor, path: Arch) -> torch.Tensor:
        """N x dim."""
        return torch.cat([self.encode(self.teacher, part, path) for part in images.split(self.group)])

    def encode(self, encoder: nn.Module, images: torch.Tensor, path: Arch) -> torch.Tensor:
        """n x dim."""
        with torch.autocast(images.device.type, self.dtype, enabled=self.dtype is not None):
            return encoder(images, path)

    def contrast(self, student: torch.Tensor, teacher: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        positive = torch.einsum("nc,nc->n", student, teacher).unsqueeze(1)  # n x 1
        negative = torch.einsum("nc,ck->nk", student, negatives)  # n x K
        logits = torch.cat([positive, negative], 1) / self.method.temperature
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))
