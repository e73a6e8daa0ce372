"""The hook around training steps: progress, curve, checkpoint, warnings, and the stop at NaN or infinity."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mmengine.hooks import Hook
from mmengine.runner import Runner

from pinas_zoo.engine import distributed
from pinas_zoo.engine.checkpoint import restore, save_checkpoint
from pinas_zoo.engine.curve import Curve
from pinas_zoo.engine.finite_checks import first_of, non_finite_losses, non_finite_weights
from pinas_zoo.engine.trainable import prepare
from pinas_zoo.errors import UserError
from pinas_zoo.terminal import progress, warning

FP16_PATIENCE = 10  # logged steps in a row whose loss may overflow in fp16, whose scaler then leaves the update out


class LogOptions(Protocol):
    """Intervals in steps at which a stage logs and saves a checkpoint, and its precision."""

    @property
    def log_every(self) -> int: ...

    @property
    def checkpoint_every(self) -> int: ...

    @property
    def precision(self) -> str: ...


class StepHook(Hook):
    """Shows progress, writes the curve and checkpoints, and resumes training from a checkpoint.

    Args:
        folder: Folder of the stage.
        label: Name of the stage.
        steps: Total number of steps.
        state: Checkpoint from :func:`pinas_zoo.engine.checkpoint.load_checkpoint`; None for a new stage.
        options: Intervals of logs and checkpoints.
        bar: Whether to show progress in steps.
        cure: What to do about a learning rate that is too high, in the words of the configuration; empty: those of a
            search.
    """

    priority = "VERY_LOW"  # runs after the hook that steps the schedulers

    def __init__(
        self,
        folder: Path,
        label: str,
        steps: int,
        state: dict[str, Any] | None,
        options: LogOptions,
        bar: bool = True,
        cure: str = "",
    ):
        self.folder, self.label, self.steps, self.state, self.shows_bar = folder, label, steps, state, bar
        self.cure = cure or f"lower {label}.lr and search in another folder"
        self.log_every, self.checkpoint_every = options.log_every, options.checkpoint_every
        self.seconds_before = state["seconds"] if state else 0.0
        self.warned = False
        self.saved = state["step"] if state else 0  # step of the checkpoint
        self.patience, self.overflows = FP16_PATIENCE if options.precision == "fp16" else 0, 0

    @property
    def seconds(self) -> float:
        """Duration of training so far, over all attempts."""
        return self.seconds_before + time.perf_counter() - self.started

    def before_train(self, runner: Runner) -> None:
        done = 0
        if self.state:
            done = self.state["step"]
            restore(self.state, runner.model, dict(runner.optim_wrapper.items()), runner.param_schedulers)
            runner.train_loop._iter = done
            self.state = None  # free its memory: the tensors have been copied into the model
        prepare(runner.model.network, runner.seed)
        self.first = distributed.rank() == 0
        if self.first:
            self.curve = Curve(self.folder, done)
        self.started = time.perf_counter()
        self.bar = progress(self.steps, done, self.label, enabled=self.first and self.shows_bar)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        data_batch["step"] = runner.iter
        first = runner.model.network.phases[0].name
        self.lr = runner.optim_wrapper[first].get_lr()["lr"][0]

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        step = runner.iter + 1  # number of completed steps
        self.bar.update()
        if step % self.log_every == 0 or step == self.steps:
            values = {k: distributed.mean(v) for k, v in (outputs or {}).items()}
            self.log(runner, step, values | runner.model.network.logged(runner.iter))
        if step % self.checkpoint_every == 0 or step == self.steps:
            self.check_weights(runner, step)  # before they replace those of the last checkpoint, or leave the stage
            if self.first and step < self.steps:
                self.save(runner, step)

    def after_train(self, runner: Runner) -> None:
        self.bar.close()
        if self.first:
            self.curve.close()

    def log(self, runner: Runner, step: int, values: Mapping[str, float]) -> None:
        """Append a row to the curve. A warning of the network is printed when it first occurs."""
        trouble = runner.model.network.warning()
        if self.first:
            self.curve.add({"step": step, "lr": self.lr, **values})
            if trouble and not self.warned:
                warning(trouble)
        self.warned = trouble is not None
        runner.visualizer.add_scalars({"lr": self.lr, **values}, step)
        self.bar.update(0, **values)
        wrong = non_finite_losses(values)
        self.overflows = self.overflows + 1 if wrong else 0
        if self.overflows > self.patience:
            self.stop(step, f"a finite loss, got {first_of(wrong)}")

    def check_weights(self, runner: Runner, step: int) -> None:
        """Check that the network's weights are finite, on every rank."""
        wrong = non_finite_weights(runner.model.network)
        if wrong:
            self.stop(step, f"finite weights, got NaN or infinity in {first_of(wrong)}")

    def stop(self, step: int, problem: str) -> None:
        """Stop the stage.

        Raises:
            UserError: Always, with the problem and its likely cause.
        """
        self.bar.close()
        if self.first:
            self.curve.close()
        kept = f"the checkpoint of step {self.saved} is kept" if self.saved else "no checkpoint was written"
        raise UserError(
            f"{self.label} stopped after step {step}: expected {problem}; the likely cause is a learning rate that is "
            f"too high ({self.lr:g} in this step; {kept}): {self.cure}"
        )

    def save(self, runner: Runner, step: int) -> None:
        """Save a checkpoint after ``step`` completed steps."""
        self.curve.flush()
        state = {
            "step": step,
            "seconds": self.seconds,
            "model": runner.model.state_dict(),
            "optimizers": {name: wrapper.state_dict() for name, wrapper in runner.optim_wrapper.items()},
            "schedulers": {name: [s.state_dict() for s in some] for name, some in runner.param_schedulers.items()},
        }
        save_checkpoint(self.folder, state)
        self.saved = step
