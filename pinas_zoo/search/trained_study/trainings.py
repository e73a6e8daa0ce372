"""The trainings of a study: each is an ordinary run of :mod:`pinas_zoo.train`, of one architecture and one seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinas_zoo.arch import Arch
from pinas_zoo.bounded_reading import is_finite
from pinas_zoo.engine.folder_lock import FolderHeld
from pinas_zoo.errors import UserError
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.search.trained_study.config import StudyConfig
from pinas_zoo.train.config import Recipe
from pinas_zoo.train.network import Start
from pinas_zoo.train.run import DONE, check_folder, read_results, train
from pinas_zoo.weights.size_limits import shortened


@dataclass(frozen=True)
class StudiedTraining:
    """One training of a study.

    Args:
        config: The study.
        space: Its space.
        root: Its folder.
        arch: The architecture.
        seed: Of ``config.seeds``.
    """

    config: StudyConfig
    space: SearchSpace
    root: Path
    arch: Arch
    seed: int

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.root / "trained" / str(self.arch) / f"seed-{self.seed}"

    @property
    def recipe(self) -> Recipe:
        return self.config.recipe_of(self.space, self.arch, self.seed)

    def is_complete(self) -> bool:
        """Whether the network has been trained.

        Raises:
            UserError: By another recipe.
        """
        if not (self.folder / DONE).is_file():
            return False
        check_folder(self.recipe, self.folder)
        return True

    def run(self) -> str:
        """Train the network, or resume, and say what it reached. Lines of progress stand in the folder's log."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        args = self.space.model_args(self.arch)
        start = Start(str(self.arch), self.space.architecture, self.space.architecture, {"arch": args["arch"]})
        try:
            done = train(self.recipe, start, self.folder, lambda text: None)
        except FolderHeld:  # names the folder, and a worker leaves the training to the other process
            raise
        except UserError as error:
            raise UserError(f"{self.folder}: {error}") from error
        return "" if done is None else str(done["summary"])

    def accuracy(self) -> float | None:
        """Top-1 accuracy on the test images, in 0..1; None while it is not complete.

        Raises:
            UserError: The results are damaged.
        """
        done = read_results(self.folder)
        if done is None:
            return None
        value: Any = done.get("top1")
        if not is_finite(value) or not 0 <= value <= 1:
            raise UserError(
                f"expected top1 of 0 to 1 in {self.folder / DONE}, got {shortened(value)}; delete it to test again"
            )
        return float(value)
