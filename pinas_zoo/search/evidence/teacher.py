"""The teacher of a run: a network that is trained with labels before the run, on the same images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError
from pinas_zoo.search.evidence.plan import PlannedRun
from pinas_zoo.train.network import Start
from pinas_zoo.train.run import NETWORK, train


def trained_teacher(planned: PlannedRun, images: Path, work: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Train the teacher of a run, or find it trained; all seeds and spaces of a run share it.

    Args:
        planned: The run.
        images: CIFAR-10 as a folder.
        work: Where its folder ``teacher_RUN`` is kept.
        say: Takes progress messages, one line each.

    Returns:
        Its model folder, seconds of training, and top-1 accuracy on the validation images; empty if the run needs none.

    Raises:
        UserError: A wrong recipe, or another process that trains it.
    """
    recipe = planned.teacher_recipe(images)
    if recipe is None:
        return {}
    folder = work.resolve() / f"teacher_{planned.run}"
    try:
        done = train(recipe, Start(f"teacher {recipe.model}", recipe.model, recipe.model), folder, say)
    except UserError as error:
        raise UserError(f"the teacher of {planned.run}: {error}") from error
    assert done is not None  # in the first process
    return {"folder": folder / NETWORK, "seconds": done["seconds"], "accuracy": done["top1"]}
