"""What happens after an epoch: evaluation, one line of progress, the best weights, and early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from timm.utils import distribute_bn
from torch import nn

from pinas_zoo.data.images import ImageSet
from pinas_zoo.engine import distributed
from pinas_zoo.engine.checkpoint import CHECKPOINT
from pinas_zoo.engine.curve import Curve, read_curve
from pinas_zoo.errors import UserError
from pinas_zoo.train.classifier import Classifier
from pinas_zoo.train.evaluate import Normalise, Predictions, accuracy, accuracy_and_loss, predict
from pinas_zoo.weights.tensors import save_tensors

EPOCHS = "epochs.csv"
BEST = "best.safetensors"
CURE = "try a tenth of optim.lr, a longer schedule.warmup_epochs or optim.clip_grad=1.0"


class EpochHook(Hook):
    """Evaluates the network after each epoch, keeps the best weights, and stops early.

    The file ``epochs.csv`` has a row for each epoch with an evaluation. What is remembered of earlier epochs is read
    from it, so that a resumed run decides as an uninterrupted one.

    Args:
        folder: Folder of the stage.
        images: Images to test on.
        batch_size: Of the evaluation.
        intervals: Steps after which the loss is read for the log or for a checkpoint; it has to be finite there.
        say: Takes a line of progress.
        cure: What to do about a loss that is not finite, in the words of the configuration.

    Attributes:
        last: What the network of the last epoch says of the test images, in the first process; None where another
            attempt or early stopping ended the training, or an earlier epoch is the one that is kept.
    """

    priority = "LOW"  # before the hook that saves checkpoints, so that none is saved after a loss that is not finite

    def __init__(
        self,
        folder: Path,
        images: ImageSet,
        batch_size: int,
        intervals: tuple[int, ...],
        say: Callable[[str], None],
        cure: str = CURE,
    ):
        self.folder, self.images, self.batch_size, self.intervals, self.say = folder, images, batch_size, intervals, say
        self.cure = cure
        self.last: Predictions | None = None

    def before_train_epoch(self, runner: Runner) -> None:
        """Read what earlier attempts found; the hook that loads the checkpoint has run."""
        network: Classifier = runner.model.network
        self.recipe, self.per_epoch = network.recipe, network.steps_per_epoch
        self.started, self.first_step = time.perf_counter(), runner.train_loop._iter
        if distributed.rank() == 0:
            Curve(self.folder, self.first_step, EPOCHS).close()  # drops what came after the checkpoint
        distributed.wait()
        path = self.folder / EPOCHS
        self.tested = read_curve(self.folder, EPOCHS).get("test_accuracy", []) if path.is_file() else []
        if self._is_over():
            runner.train_loop.stop_training = True

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        step = runner.iter + 1  # number of completed steps
        epoch_ends = step % self.per_epoch == 0
        if epoch_ends or any(step % every == 0 for every in self.intervals):
            _check_finite(
                (outputs or {})["loss"], step, self.recipe.precision, self.cure, (self.folder / CHECKPOINT).is_file()
            )
        if epoch_ends:
            self._end_epoch(runner, step)

    def _end_epoch(self, runner: Runner, step: int) -> None:
        network: Classifier = runner.model.network
        epoch, epochs = step // self.per_epoch, runner.max_iters // self.per_epoch
        loss, lr = network.mean_loss(), network.logged(step)["lr"]
        line = f"epoch {epoch:>{len(str(epochs))}}/{epochs}  loss {loss:.4f}  lr {lr:.3g}"
        if epoch % self.recipe.eval_every == 0 or epoch == epochs:
            if distributed.world() > 1:  # each process has statistics of its own images
                distribute_bn(network.model, distributed.world(), reduce=True)
                distribute_bn(network.evaluated, distributed.world(), reduce=True)
            views = runner.model.views
            test = self._test_in_full if epoch == epochs else self._test
            value, test_loss = test(network.evaluated, views.normalise)
            if not math.isfinite(test_loss):
                raise UserError(
                    f"expected finite outputs after epoch {epoch}, got a test loss of {test_loss}; the likely cause "
                    f"is a learning rate that is too high: {self.cure}"
                )
            value = float(f"{value:.6g}")  # as the file has it, so that a resumed run compares the same numbers
            best = not self.tested or value > max(self.tested)
            self.tested.append(value)
            if self.recipe.keep == "best" and not best:
                self.last = None
            if distributed.rank() == 0:
                if best and self.recipe.keep == "best":
                    save_tensors(
                        self.folder / BEST, network.evaluated.state_dict(), {"format": "pt", "epoch": str(epoch)}
                    )
                row = {"step": step, "epoch": epoch, "loss": loss, "lr": lr}
                curve = Curve(self.folder, step, EPOCHS)
                curve.add({**row, "test_accuracy": value, "test_loss": test_loss})
                curve.close()
            runner.visualizer.add_scalars({"test_accuracy": value, "test_loss": test_loss}, step)
            line += f"  test {value:.2%} (best {max(self.tested):.2%})"
        done, seconds = step - self.first_step, time.perf_counter() - self.started
        rate, left = self.recipe.batch_size * done / seconds, (runner.max_iters - step) * seconds / done
        self.say(f"{line}  {rate:.0f} images/s  {_clock(left)} left")
        if self._is_over():
            self.say(
                f"stopped early: {self.recipe.patience} evaluations without a better accuracy than "
                f"{max(self.tested):.2%}"
            )
            runner.train_loop.stop_training = True

    def _test(self, model: nn.Module, normalise: Normalise) -> tuple[float, float]:
        """Accuracy in 0..1 and mean cross-entropy on the test images, of which each process takes a part."""
        return accuracy(model, self.images, normalise, self.batch_size, self.recipe.precision)

    def _test_in_full(self, model: nn.Module, normalise: Normalise) -> tuple[float, float]:
        """The same by the evaluation that the results need, by the first process: the last epoch is tested once."""
        found = torch.zeros(2, dtype=torch.float64, device=next(model.parameters()).device)
        if distributed.rank() == 0:
            options = self.recipe.precision, self.recipe.channels_last
            self.last = predict(model, self.images, normalise, self.batch_size, None, *options)
            found += torch.tensor(accuracy_and_loss(self.last), dtype=torch.float64).to(found)
        value, loss = (distributed.world() * distributed.mean(number) for number in found)
        return value, loss

    def _is_over(self) -> bool:
        """Whether the last ``patience`` evaluations after the warm-up brought nothing better."""
        if self.recipe.patience is None or not self.tested:
            return False
        warm = self.recipe.schedule.warmup_epochs // self.recipe.eval_every  # evaluations of the warm-up
        best = self.tested.index(max(self.tested)) + 1
        return len(self.tested) - max(best, warm) >= self.recipe.patience


def _check_finite(loss: torch.Tensor, step: int, precision: str, cure: str, has_checkpoint: bool) -> None:
    """Stop when a loss is not finite.

    Raises:
        UserError: It is not; names the step and the likely cause.
    """
    value = distributed.mean(loss)
    if not math.isfinite(value):
        likely = "a learning rate that is too high" + ("" if precision == "fp32" else f", or the range of {precision}")
        kept = "the checkpoint from before is kept" if has_checkpoint else "no checkpoint was written before"
        raise UserError(
            f"expected a finite loss, got {value} in step {step} ({kept}); the likely cause is {likely}: {cure}"
        )


def _clock(seconds: float) -> str:
    """``0:07``, ``12:34`` or ``3:04:05``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
