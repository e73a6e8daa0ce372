"""One step of Π-NAS learning with the weights and images of golden/pinas_step_a, and how far it is from it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pinas_zoo.arch import Arch
from pinas_zoo.search.methods.pinas import Encoder, PiNASMethod
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from tests.golden import golden_tensor, seeded_input
from tests.golden_runs import GRADIENT_FLOOR, fill_name, reference_name


@dataclass(frozen=True)
class GoldenStep:
    """A step that was made, and the reference's.

    Attributes:
        method: Student with gradients, teacher and queue after the step.
        loss: The loss.
        before: The teacher's parameters before the step, by name.
        arrays: The reference's arrays.
        facts: The reference's plain data.
    """

    method: PiNASMethod
    loss: torch.Tensor
    before: dict[str, torch.Tensor]
    arrays: Mapping[str, np.ndarray[Any, Any]]
    facts: Mapping[str, Any]

    def loss_error(self) -> float:
        """Relative to the reference."""
        expected = float(self.arrays["loss_sum"])
        return abs(self.loss.item() - expected) / abs(expected)

    def gradient_norms(self) -> dict[str, float]:
        """By the reference's names."""
        named = self.method.student.named_parameters()
        return {reference_name(n): p.grad.norm().item() for n, p in named if p.grad is not None}

    def gradient_errors(self) -> list[float]:
        """Relative errors of the gradient norms of all parameters but those whose gradient is rounding alone."""
        ours, expected = self.gradient_norms(), self.facts["grad_norm"]
        largest = max(expected.values())
        return [abs(ours[n] - v) / v for n, v in expected.items() if v > GRADIENT_FLOOR * largest]


def golden_step(
    folder: Path,
    device: str = "cpu",
    memory_format: torch.memory_format = torch.contiguous_format,
    autocast: AbstractContextManager[Any] | None = None,
) -> GoldenStep:
    """Make the step.

    Args:
        folder: Folder of the reference numbers.
        device: Where the step runs.
        memory_format: Of weights and images.
        autocast: Context of the forward passes; None for none.
    """
    with np.load(folder / "pinas_step_a.npz") as file:
        arrays = dict(file)
    facts = json.loads((folder / "pinas_step_a.json").read_text())
    method = PiNASMethod(ResNeSt50Space(), queue_size=64, temperature=0.2, momentum=0.999)
    assert isinstance(method.teacher, Encoder)
    for encoder, prefix in ((method.student, ""), (method.teacher, "k:")):
        with torch.no_grad():
            for name, tensor in encoder.state_dict().items():
                tensor.copy_(golden_tensor(prefix + fill_name(reference_name(name)), tensor.shape))
    method.queue.copy_(F.normalize(seeded_input((128, 64), 99), dim=0))
    method = method.to(device).to(memory_format=memory_format)
    assert method.teacher is not None  # for mypy, to which it is another object now
    before = {name: p.clone() for name, p in method.teacher.named_parameters()}
    method.train()
    images = seeded_input(tuple(arrays["image_shape"]), int(arrays["image_seed"])).to(device)  # N x 4 x 3 x H x W
    if memory_format == torch.channels_last:
        images = images.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    path_i, path_j = (Arch(tuple(arrays[key])) for key in ("path_i", "path_j"))
    with autocast or contextlib.nullcontext():
        loss, _ = method.consistency(images, path_i, path_j)
    loss.backward()
    return GoldenStep(method, loss, before, arrays, facts)
