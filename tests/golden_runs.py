"""What the package computes where ``../shared/golden`` holds the authors' numbers, in fp32 or fp64.

The authors' numbers are rounded: their code ran in fp32 on one thread. Ours in fp64 round at 1e-16 instead of 6e-8, and
so their distance from the authors' numbers is nearly all the authors' rounding.
Weights and inputs are drawn in fp32 and then cast.

>>> errors(backbone("alpha", torch.float64), backbone_reference("alpha"))["logits"]
>>> errors(step(torch.float32), step(torch.float64))
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F

import pinas_zoo  # noqa: F401  registers the family
from pinas_zoo.arch import Arch
from pinas_zoo.engine.batchnorm import recalibrated
from pinas_zoo.search.methods.pinas import PiNASMethod
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from tests.golden import fill_, golden_tensor, relative_error, seeded_input, shared_dir

Values = dict[str, torch.Tensor]
STORED = ("alpha", "mixed")
STRIDES = (32, 16, 8)
GRADIENT_FLOOR = 1e-4  # of the largest norm: smaller ones are the rounding of sums that vanish, biases before a norm


def errors(ours: Values, reference: Values) -> dict[str, float]:
    """:func:`relative_error` of each quantity."""
    assert set(ours) == set(reference)
    return {name: relative_error(ours[name], value) for name, value in reference.items()}


def golden_file(name: str) -> Path:
    return shared_dir() / "golden" / name


@cache
def arrays(name: str) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(golden_file(name)) as file:
        return dict(file)


def pooled_and_first(feature: torch.Tensor) -> Values:
    """What is stored of a feature map, N x C x H x W: channel means and the first 8 channels of the first image."""
    return {"chan_mean": feature.mean((2, 3)), "first8": feature[0, :8]}


def backbone_input(name: str, dtype: torch.dtype) -> torch.Tensor:
    stored = arrays(f"backbone_{name}.npz")
    return seeded_input(stored["input_shape"].tolist(), int(stored["input_seed"])).to(dtype)


@torch.inference_mode()
def backbone(name: str, dtype: torch.dtype) -> Values:
    """Logits, and features of each stage at each output stride, of a stand-alone network in evaluation mode."""
    arch, images = arrays(f"backbone_{name}.npz")["arch"].tolist(), backbone_input(name, dtype)
    values = {"logits": fill_(timm.create_model("pinas", arch=arch)).to(dtype).eval()(images)}
    for stride in STRIDES:
        options: dict[str, Any] = dict(features_only=True, out_indices=(1, 2, 3, 4), output_stride=stride)
        model = fill_(timm.create_model("pinas", arch=arch, **options)).to(dtype).eval()
        for stage, feature in enumerate(model(images), start=1):
            values |= {f"os{stride}_layer{stage}_{part}": x for part, x in pooled_and_first(feature).items()}
    return values


def backbone_reference(name: str) -> Values:
    """The authors' numbers of :func:`backbone`."""
    kept = ("logits", "chan_mean", "first8")
    return {k: torch.from_numpy(v) for k, v in arrays(f"backbone_{name}.npz").items() if k.endswith(kept)}


def candidate_0(name: str) -> str:
    """A downsample is shared by a layer's candidates; its tensors go by the first one's name."""
    return re.sub(r"(layer\d\.\d+)\.\d\.downsample", r"\1.0.downsample", name)


def reference_name(name: str) -> str:
    """Name that the reference gives to a student's or teacher's tensor."""
    return "1." + name if name.startswith("mlp.") else "0." + candidate_0(name.removeprefix("supernet."))


def fill_name(reference: str) -> str:
    part, rest = reference.split(".", 1)
    return rest if part == "0" else "neck." + rest


def step(dtype: torch.dtype) -> Values:
    """One step of Π-NAS learning: loss, gradient norms, and what becomes of teacher, statistics and queue."""
    stored = arrays("pinas_step_a.npz")
    method = PiNASMethod(ResNeSt50Space(), queue_size=64, temperature=0.2, momentum=0.999)
    with torch.no_grad():
        for encoder, prefix in ((method.student, ""), (method.teacher, "k:")):
            assert encoder is not None
            for name, tensor in encoder.state_dict().items():
                tensor.copy_(golden_tensor(prefix + fill_name(reference_name(name)), tensor.shape))
        method.queue.copy_(F.normalize(seeded_input((128, 64), 99), dim=0))
    method.to(dtype).train()
    assert method.teacher is not None
    before = {name: p.clone() for name, p in method.teacher.named_parameters()}
    images = seeded_input(tuple(stored["image_shape"]), int(stored["image_seed"])).to(dtype)
    loss, _ = method.consistency(images, Arch(tuple(stored["path_i"])), Arch(tuple(stored["path_j"])))
    loss.backward()
    values = {"loss": loss.detach(), "queue": method.queue[:, :8], "queue_ptr": method.queue_ptr}
    for name, p in method.student.named_parameters():
        if p.grad is not None:
            values[f"grad_norm {reference_name(name)}"] = p.grad.norm()
    for name, p in method.teacher.named_parameters():
        now, then = p.double(), before[name].double()
        values[f"teacher_change_l1 {reference_name(name)}"] = (now - then).abs().sum()
        values[f"teacher_sum_abssum {reference_name(name)}"] = torch.stack([now.sum(), now.abs().sum()])
    for name, buffer in method.student.named_buffers():
        values[f"student_bn_sum {reference_name(name)}"] = buffer.sum()
    return values


def step_reference() -> Values:
    """The authors' numbers of :func:`step`."""
    stored, facts = arrays("pinas_step_a.npz"), json.loads(golden_file("pinas_step_a.json").read_text())
    values = {
        "loss": torch.from_numpy(stored["loss_sum"]).reshape(()),
        "queue": torch.from_numpy(stored["queue_after_first8"]),
        "queue_ptr": torch.from_numpy(stored["queue_ptr"]),
    }
    for kind, by_name in facts.items():
        for name, value in by_name.items():
            number = value[0] if kind == "student_bn_sum" else value
            values[f"{kind} {candidate_0(name)}"] = torch.tensor(number, dtype=torch.float64)
    return values


def of_kind(values: Values, kind: str) -> Values:
    """The values of one kind, such as ``grad_norm``, by the name of the parameter."""
    return {name.split(" ", 1)[1]: value for name, value in values.items() if name.startswith(kind + " ")}


def gradient_errors(ours: Values, reference: Values) -> torch.Tensor:
    """Relative error of each gradient norm above :data:`GRADIENT_FLOOR`."""
    mine, theirs = of_kind(ours, "grad_norm"), of_kind(reference, "grad_norm")
    assert set(mine) == set(theirs)
    largest = max(theirs.values())
    return torch.stack([(mine[k] - v).abs() / v for k, v in theirs.items() if v > GRADIENT_FLOOR * largest])


@torch.no_grad()
def recalibration(dtype: torch.dtype) -> Values:
    """Running statistics of a path after recalibration on three batches, and the pooled features that follow."""
    stored = arrays("bn_recalibration_alpha.npz")
    supernet, path = ResNeSt50Space().supernet().eval(), Arch(tuple(stored["path"]))
    for name, tensor in supernet.state_dict().items():
        tensor.copy_(golden_tensor(candidate_0(name), tensor.shape))
    supernet.to(dtype)
    shape = tuple(stored["batch_shape"])
    batches = (supernet(seeded_input(shape, int(seed)).to(dtype), path) for seed in stored["batch_seeds"])
    with recalibrated([module for _, module in supernet.path_modules(path)], batches):
        buffers = dict(supernet.named_buffers(remove_duplicate=False))
        values = {name: buffers[name].clone() for name in stored if "running" in name}
        images = seeded_input(tuple(stored["eval_shape"]), int(stored["eval_seed"])).to(dtype)
        values["pooled_features"] = supernet(images, path)
    return values


def recalibration_reference() -> Values:
    """The authors' numbers of :func:`recalibration`."""
    stored = arrays("bn_recalibration_alpha.npz")
    return {k: torch.from_numpy(v) for k, v in stored.items() if "running" in k or k == "pooled_features"}
