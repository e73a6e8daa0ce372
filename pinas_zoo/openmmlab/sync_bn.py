"""Synchronised batch norm for CPUs: ``norm_cfg=dict(type="SyncBN")`` where no GPU is.

torch's SyncBatchNorm does not accept CPU tensors in a process group, and DistributedDataParallel does not accept the
class on CPUs. The class of this module computes the same statistics by all_reduce, with gradients through it. Where
torch sees a GPU, torch's class is used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOverRanks(torch.autograd.Function):
    """Sum of a tensor over the ranks; its gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Any) -> Tensor:
        ctx.group = group
        total = tensor.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = grads[0].clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


class SyncBN(_BatchNorm):
    """Batch norm over the batches of all ranks, which may differ in size; plain batch norm in one process.

    Args:
        process_group: The ranks; None: all of them.
        args, kwargs: Arguments of batch norm.
    """

    def __init__(self, *args: Any, process_group: Any = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected N x C x ..., got {input.dim()} dimensions")

    def forward(self, input: Tensor) -> Tensor:
        """N x C x ... to the same shape, normalised over the batches of all ranks in training."""
        ranks = dist.get_world_size(self.process_group) if dist.is_available() and dist.is_initialized() else 1
        if ranks == 1 or not self.training:
            return super().forward(input)
        x = input if input.dtype == torch.float64 else input.float()
        dims = [0, *range(2, x.ndim)]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = x.new_tensor([x.numel() / x.shape[1]])
        dist.all_reduce(count, group=self.process_group)
        mean = _SumOverRanks.apply(x.sum(dims), self.process_group) / count  # C
        centred = x - mean.view(shape)
        var = _SumOverRanks.apply(centred.square().sum(dims), self.process_group) / count  # C
        if self.track_running_stats:
            self._record(mean.detach(), var.detach() * (count / (count - 1)))
        out = centred * torch.rsqrt(var + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _record(self, mean: Tensor, unbiased_var: Tensor) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked += 1
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased_var.to(self.running_var.dtype), share)


def register() -> None:
    """Where there is no GPU, register the class as ``SyncBN``, for backbones and for the heads of mmdet and mmseg."""
    import mmcv.cnn  # noqa: F401  registers torch's, which is replaced
    from mmengine.registry import MODELS

    if not torch.cuda.is_available():
        MODELS.register_module("SyncBN", module=SyncBN, force=True)
