"""mmengine's optimiser wrappers for several processes: gradients are averaged before the update."""

from __future__ import annotations

from typing import Any

from mmengine.optim import AmpOptimWrapper, OptimWrapper

from pinas_zoo.engine import distributed


class _Averaged:
    """Mixin of optimiser wrappers that averages gradients over processes before the update."""

    def step(self, **kwargs: Any) -> None:
        groups = self.optimizer.param_groups  # type: ignore[attr-defined]
        distributed.average_gradients(p for group in groups for p in group["params"])
        super().step(**kwargs)  # type: ignore[misc]


class DistributedOptimWrapper(_Averaged, OptimWrapper):
    """Optimiser wrapper for fp32 and bf16."""


class ScaledDistributedOptimWrapper(_Averaged, AmpOptimWrapper):
    """Optimiser wrapper for fp16 with loss scaling.

    Gradients are averaged before they are unscaled, so that all processes agree on whether a step is skipped. The
    stage's SGD unscales and skips on the device. For a phase with an optimiser of its own, the scaler may read back
    whether all gradients are finite, and each step then waits for the device.
    """
