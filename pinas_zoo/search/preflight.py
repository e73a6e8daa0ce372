"""What would fail later, found out before anything is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pinas_zoo.data.images import StepSampler
from pinas_zoo.engine import distributed, trainer
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import Learn, Linear
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.run_folder import DONE
from pinas_zoo.search.scorers.consistency import COMPARED
from pinas_zoo.search.scorers.kinds import needs_linear
from pinas_zoo.search.stages.train import check_compiler

if TYPE_CHECKING:
    from pinas_zoo.search.pipeline import Run


def check_run(run: Run) -> None:
    """What would fail within a stage that is to do.

    Raises:
        UserError: Images that cannot be used, a method that cannot be built, or what is asked for is not there.
    """
    config = run.config
    if config.train.enabled and config.train.compile and not (run.folder / "train" / DONE).is_file():
        check_compiler("train.compile")
    trained: dict[str, Learn | Linear] = {"learn": config.learn}
    if needs_linear(config):
        trained["linear"] = config.linear
    if all((run.folder / stage / DONE).is_file() for stage in (*trained, "explore")):
        return
    blind = config.explore.score == "consistency" and not method_class(config.learn.method).supervised
    if run.splits.num_classes < 2 and not (blind and config.until in ("learn", "explore")):
        raise UserError(
            f"expected images of at least 2 classes in {config.data.root}, got {run.splits.num_classes}; without "
            "labels, explore.score='consistency' ranks what an unsupervised method has learned: add until='explore', "
            "as no accuracy can be told"
        )
    for stage, options in trained.items():
        StepSampler(len(run.splits.train), options.batch_size, 0, 0, 1, world=distributed.world())
        trainer.check_precision(options.precision, f"{stage}.precision")
    trainer.log_backends(config.log, run.folder)  # are they there?
    with torch.device("meta"):
        run.method()  # checks its options and takes no memory


def check_scores(run: Run) -> None:
    """Scores by consistency that a study has are of this version's kind; those to come are marked so.

    Raises:
        UserError: They are by consistency of a head's outputs, as in an earlier version, which kept its heads.
    """
    scored = bool(run.scores())  # looked up before the mark, which other workers set before they score
    if run.study.user_attrs.get("consistency") == COMPARED:
        return
    if scored and (run.folder / "learn" / "head.safetensors").is_file():
        raise UserError(
            f"expected scores by consistency of {COMPARED}, got some by that of a head's outputs, of an earlier "
            f"version; delete {run.folder / 'explore'}, and what is kept in explore.storage, to score anew"
        )
    run.study.set_user_attr("consistency", COMPARED)
