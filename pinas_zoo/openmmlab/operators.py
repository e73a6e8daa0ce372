"""The operators that mmcv-lite lacks, implemented by torchvision and torch.

mmcv-lite has mmcv's Python code without the compiled module ``mmcv._ext``, so Mask R-CNN does not run with it.
:func:`supply` installs a module of that name with the operators that detectors and segmenters of this package call.
A compiled mmcv is used where there is one. Other operators can be imported; calling them raises an error.

mmcv passes outputs that it has allocated; they are filled in place. Tensors may be on any device.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch
import torchvision
from torch import Tensor

NAME = "mmcv._ext"
CURE = (
    "install a compiled mmcv 2.1 in its place: `pip uninstall mmcv-lite`, then `pip install mmcv==2.1.0` where a wheel "
    "for your torch exists (download.openmmlab.com/mmcv) or a compiler is at hand"
)


class OperatorMissing(NotImplementedError):
    """An operator that only a compiled mmcv has."""


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices of the boxes (N x 4: x1, y1, x2, y2) that are kept, by decreasing score; equal scores in their order.

    A box is dropped when its IoU with a better one is above the threshold. With ``offset`` 1, the width of a box is
    ``x2 - x1 + 1``.
    """
    if boxes.dtype in (torch.float16, torch.bfloat16):
        boxes, scores = boxes.float(), scores.float()
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes, scores, iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al., 2017): fills the first rows of ``dets`` (N x 5) and returns the boxes' indices.

    Args:
        boxes, scores: N x 4 and N, on the CPU.
        dets: Filled with box and decayed score, by falling score.
        iou_threshold: From where boxes decay, in methods 0 and 1.
        sigma: Of the Gaussian, in method 2.
        min_score: Boxes that decay below it are dropped.
        method: 0 naive (to zero), 1 linear (by 1 - IoU), 2 Gaussian (by exp(-IoU^2 / sigma)).
        offset: As in :func:`nms`.
    """
    left = torch.arange(len(boxes))
    current = scores.clone()
    areas = (boxes[:, 2] - boxes[:, 0] + offset) * (boxes[:, 3] - boxes[:, 1] + offset)
    kept: list[int] = []
    while len(left):
        place = int(current[left].argmax())
        best = int(left[place])
        dets[len(kept), :4], dets[len(kept), 4] = boxes[best], current[best]
        kept.append(best)
        left = torch.cat([left[:place], left[place + 1 :]])
        corner = torch.maximum(boxes[left, :2], boxes[best, :2])
        sides = (torch.minimum(boxes[left, 2:], boxes[best, 2:]) - corner + offset).clamp(min=0)
        inter = sides[:, 0] * sides[:, 1]
        iou = inter / (areas[left] + areas[best] - inter)
        if method == 2:
            current[left] *= torch.exp(-(iou**2) / sigma)
        else:
            decayed = torch.zeros_like(iou) if method == 0 else 1 - iou
            current[left] *= torch.where(iou >= iou_threshold, decayed, torch.ones_like(iou))
        left = left[current[left] >= min_score]
    return torch.tensor(kept, dtype=torch.int64)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign (He et al., 2017) of rois (R x 5: image, x1, y1, x2, y2) into ``output``, R x C x height x width."""
    _check_average(pool_mode)
    kind = _at_least_float(input)  # torchvision has no kernel for bf16, nor on CPUs one for fp16
    output.copy_(
        torch.ops.torchvision.roi_align(
            input.contiguous().to(kind),
            rois.to(kind),
            spatial_scale,
            aligned_height,
            aligned_width,
            sampling_ratio,
            aligned,
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of :func:`roi_align_forward` for its input, into ``grad_input``, N x C x H x W."""
    _check_average(pool_mode)
    kind = _at_least_float(grad_output)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad_output.to(kind),
            rois.to(kind),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def _check_average(pool_mode: int) -> None:
    if pool_mode != 1:
        raise OperatorMissing(f"roi_align with pool_mode='max' is not supplied without a compiled mmcv; {CURE}")


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al., 2017, eq. 5) of logits N x C into ``output``; target C or more is background.

    ``weight`` is empty or has one factor per class, that of a row's target; background has the factor 1.
    """
    logits = input.to(_at_least_float(input))
    positive = _one_hot(target, logits)
    p = logits.sigmoid()
    log_p, log_q = torch.nn.functional.logsigmoid(logits), torch.nn.functional.logsigmoid(-logits)
    loss = -torch.where(positive, alpha * (1 - p) ** gamma * log_p, (1 - alpha) * p**gamma * log_q)
    output.copy_(loss * _row_weight(target, weight, logits))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Gradient of the sum of :func:`sigmoid_focal_loss_forward` for its logits, into ``grad_input``."""
    logits = input.to(_at_least_float(input))
    positive = _one_hot(target, logits)
    p, q = logits.sigmoid(), (-logits).sigmoid()
    log_p, log_q = torch.nn.functional.logsigmoid(logits), torch.nn.functional.logsigmoid(-logits)
    grad = torch.where(
        positive,
        -alpha * q**gamma * (q - gamma * p * log_p),
        (1 - alpha) * p**gamma * (p - gamma * q * log_q),
    )
    grad_input.copy_(grad * _row_weight(target, weight, logits))


def _at_least_float(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def _one_hot(target: Tensor, logits: Tensor) -> Tensor:
    return target[:, None] == torch.arange(logits.shape[1], device=logits.device)  # N x C


def _row_weight(target: Tensor, weight: Tensor, logits: Tensor) -> Tensor:
    if not weight.numel():
        return logits.new_ones(())
    return torch.cat([weight.to(logits), logits.new_ones(1)])[target.clamp(max=len(weight))][:, None]  # N x 1


def get_compiler_version() -> str:
    """For ``mmcv.ops.get_compiler_version``, which environment reports print."""
    return f"none: operators from torchvision {torchvision.__version__}, by pinas_zoo"


def get_compiling_cuda_version() -> str:
    """For ``mmcv.ops.get_compiling_cuda_version``."""
    return "none: operators from torchvision, by pinas_zoo"


SUPPLIED = {
    function.__name__: function
    for function in (
        nms,
        softnms,
        roi_align_forward,
        roi_align_backward,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        get_compiler_version,
        get_compiling_cuda_version,
    )
}


class SuppliedOperators(ModuleType):
    """A replacement for ``mmcv._ext``: the functions of :data:`SUPPLIED`, and an error for every other name."""

    def __init__(self) -> None:
        super().__init__(NAME, __doc__)
        self.__spec__ = ModuleSpec(NAME, None)
        self.__dict__.update(SUPPLIED)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            raise OperatorMissing(f"mmcv's operator {name!r} is not among those that torchvision supplies; {CURE}")

        missing.__name__ = name
        return missing


def supply() -> None:
    """Make mmcv's operators importable. Nothing changes where they are, compiled or supplied by an earlier call.

    The module is put into ``sys.modules``, for the whole process. There is no narrower way: ``mmcv.ops`` looks it up by
    ``importlib.import_module("mmcv._ext")`` when it is imported, which mmdet and mmseg do at their own import, and has
    no parameter or registry for another one. So this must run before ``mmcv.ops`` is imported.

    Raises:
        ModuleNotFoundError: Neither mmcv nor mmcv-lite is installed.
    """
    if NAME in sys.modules:
        return
    import mmcv

    if importlib.util.find_spec(NAME) is not None:
        try:
            importlib.import_module(NAME)
            return
        except ImportError as error:  # such as one compiled for another version of torch
            warnings.warn(f"mmcv's compiled operators do not load ({error}); torchvision's are used", stacklevel=2)
    sys.modules[NAME] = module = SuppliedOperators()
    mmcv._ext = module


def live() -> str:
    """The origin of mmcv's operators in this process: ``compiled``, ``torchvision`` or ``none``."""
    module = sys.modules.get(NAME)
    return "none" if module is None else "torchvision" if isinstance(module, SuppliedOperators) else "compiled"
