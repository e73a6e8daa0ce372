"""The stop of a training of mmdet or mmseg at NaN or infinity, before such weights replace a good checkpoint.

Runs of OpenMMLab do not stop by themselves: with a learning rate that is too high they write checkpoints of NaN up to
the last iteration and end with exit code 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import CheckpointHook, Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from pinas_zoo.engine.finite_checks import first_of, non_finite_losses, non_finite_weights
from pinas_zoo.errors import UserError

OVERFLOWS = 10  # steps in a row whose loss may overflow in fp16; the loss scaler leaves out their updates


@HOOKS.register_module()
class FiniteNumbersHook(Hook):
    """Checks the losses of every step, and the weights before they are saved or validated and at the end.

    mmengine reads the losses of every step from the device in any case.

    Raises:
        UserError: A loss or a weight is NaN or infinite. The checkpoints from before stay.
    """

    def __init__(self) -> None:
        self.overflows = 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        wrong = non_finite_losses({k: float(torch.as_tensor(v).detach()) for k, v in (outputs or {}).items()})
        self.overflows = self.overflows + 1 if wrong else 0
        if self.overflows > (OVERFLOWS if isinstance(runner.optim_wrapper, AmpOptimWrapper) else 0):
            self.stop(runner, runner.iter + 1, f"a finite loss, got {first_of(wrong)}")
        if self.is_last_train_iter(runner) or any(self._saves(runner, hook) for hook in runner.hooks):
            self.check_weights(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        self.check_weights(runner, runner.iter)

    def before_val_epoch(self, runner: Runner) -> None:
        if runner.iter:  # a run may be validated before its first step
            self.check_weights(runner, runner.iter)

    def _saves(self, runner: Runner, hook: Hook) -> bool:
        """Whether a hook saves a checkpoint after this step; with ``max_keep_ckpts`` it removes an older one first."""
        if not isinstance(hook, CheckpointHook) or hook.by_epoch:
            return False
        return self.every_n_train_iters(runner, hook.interval, hook.save_begin)

    def check_weights(self, runner: Runner, step: int) -> None:
        """Check that the model's weights are finite after ``step`` steps.

        Raises:
            UserError: One is not.
        """
        wrong = non_finite_weights(runner.model)
        if wrong:
            self.stop(runner, step, f"finite weights, got NaN or infinity in {first_of(wrong)}")

    def stop(self, runner: Runner, step: int, problem: str) -> None:
        """Stop the run after ``step`` steps.

        Raises:
            UserError: Always, with the problem, its likely cause and the last checkpoint.
        """
        rates = next(iter(runner.optim_wrapper.get_lr().values()))
        cause = f"a learning rate that is too high ({rates[0]:g} in this step)"
        if isinstance(runner.optim_wrapper, AmpOptimWrapper):
            cause += " or the range of fp16; leave out --amp"
        record = Path(runner.work_dir) / "last_checkpoint"
        last = record.read_text(encoding="utf-8", errors="replace").strip() if record.is_file() else ""
        kept = f"{last} is kept" if last else "no checkpoint was written"
        raise UserError(
            f"stopped in step {step}: expected {problem}; the likely cause is {cause}; {kept}; try "
            "--cfg-options with a tenth of optim_wrapper.optimizer.lr, or optim_wrapper.clip_grad.max_norm=10"
        )
