"""Training with one image a batch: norms over a single value per channel use their running statistics.

Split attention normalises a map that is pooled to 1 x 1, and so does the image pooling of DeepLabV3. Of one image, that
is one value per channel, which has no variance: torch's batch norm raises an error. Such a norm then does in training
what it does in evaluation. Its running statistics stay what they are, those of the initial weights, while its scale and
shift are learnt. All other norms train as ever. Synchronised norms of several processes have several values, and are
left alone, and so is a larger batch, whose numbers do not change.
"""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm


@HOOKS.register_module()
class BatchOfOneHook(Hook):
    """Calls :func:`allow_one_value` for the model of a run."""

    def before_train(self, runner: Runner) -> None:
        allow_one_value(runner.model)


def allow_one_value(model: nn.Module) -> None:
    """Let every batch norm of a model take one value per channel in training, by its running statistics."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.register_forward_pre_hook(_before)
            module.register_forward_hook(_after, always_call=True)


def _before(norm: Any, args: tuple[Any, ...]) -> None:
    x = args[0]  # N x C x ...
    if norm.training and isinstance(x, Tensor) and x.numel() == x.shape[1] and not _synchronised(norm):
        norm.training = False
        norm._was_training = True  # until the call ends


def _after(norm: Any, args: tuple[Any, ...], output: Any) -> None:
    if norm.__dict__.pop("_was_training", False):
        norm.training = True


def _synchronised(norm: Any) -> bool:
    """Whether a norm's statistics are those of several processes."""
    ready = hasattr(norm, "process_group") and dist.is_available() and dist.is_initialized()
    return ready and dist.get_world_size(norm.process_group) > 1
