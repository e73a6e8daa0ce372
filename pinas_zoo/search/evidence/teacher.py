"""The teacher of a run: a network that is trained with labels before the run, on the same images."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pinas_zoo.bounded_reading import MIB, is_finite, read_bytes
from pinas_zoo.engine.folder_lock import FolderHeld
from pinas_zoo.errors import UserError
from pinas_zoo.search.evidence.plan import PlannedRun, Teacher
from pinas_zoo.train.network import Start
from pinas_zoo.train.run import DONE, NETWORK, train
from pinas_zoo.weights.model_folder import parse_timm_config

WAIT = 5.0  # seconds between two looks at a teacher that another process trains


def trained_teacher(planned: PlannedRun, images: Path, work: Path, say: Callable[[str], None]) -> Teacher | None:
    """Train the teacher of a run, or find it trained; None if the run needs none.

    All seeds and spaces of a run share it. A process waits while another one trains it.

    Args:
        planned: The run.
        images: CIFAR-10 as a folder.
        work: Where its folder is kept, named by the run and by a checksum of the recipe.
        say: Takes progress messages, one line each.

    Raises:
        UserError: A wrong recipe, or images that cannot be read.
    """
    recipe = planned.teacher_recipe(images)
    if recipe is None:
        return None
    plain = json.dumps(recipe.model_dump(mode="json", exclude={"log": True, "data": {"root"}}), sort_keys=True)
    folder = work / f"teacher_{planned.run}_{zlib.crc32(plain.encode()):08x}"
    start, told = Start(f"teacher {recipe.model}", recipe.model, recipe.model), False
    while True:
        try:
            done = train(recipe, start, folder, say)
            break
        except FolderHeld:
            if not told:
                say(f"waiting for the teacher that another process trains in {folder}")
                told = True
            time.sleep(WAIT)
        except UserError as error:
            raise UserError(f"the teacher of {planned.run}: {error}") from error
    assert done is not None  # in the first process
    seconds: Any = done.get("seconds")
    accuracy: Any = done.get("top1")
    path = folder / NETWORK / "config.json"
    try:
        cfg = parse_timm_config(read_bytes(path, "the teacher's configuration", MIB), str(path))[2]
        if not {"mean", "std"} <= cfg.keys():
            raise UserError(f"expected mean and std in {path}, got {', '.join(cfg)}")
        if not is_finite(seconds) or not is_finite(accuracy) or seconds < 0 or not 0 <= accuracy <= 1:
            raise UserError(f"expected seconds and top1 in {folder / DONE}, got {seconds!r} and {accuracy!r}")
    except UserError as error:
        raise UserError(f"the teacher of {planned.run}: {error}; delete {folder} to train it again") from None
    return Teacher(folder / NETWORK, tuple(cfg["mean"]), tuple(cfg["std"]), seconds, accuracy)
