"""The supernets of a study: each is the run of a search up to explore, and scores the studied architectures."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.search import pipeline
from pinas_zoo.search.context import Context, zero_cost_space
from pinas_zoo.search.methods.base import build_method, method_class
from pinas_zoo.search.ranking.truth_csv import read_csv
from pinas_zoo.search.run_folder import is_done
from pinas_zoo.search.score_kinds import KINDS
from pinas_zoo.search.scorers.protocol import CLASSIFIER, SUPERNET, Scorer, ScoringData
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.search.stages.learn import learned_method
from pinas_zoo.search.trained_study.config import StudyConfig
from pinas_zoo.terminal import progress
from pinas_zoo.weights.atomic import write_text
from pinas_zoo.weights.size_limits import shortened

OWN = "own"  # the kind of scores of a method that scores paths itself
CLASSES = 2  # of a method that is only checked: how many there are stands in the images
TOGETHER = 8  # architectures that are scored between two updates of the progress bar
Say = Callable[[str], None]
Scores = Mapping[str, Mapping[Arch, float]]  # by kind


@dataclass(frozen=True)
class StudiedSupernet:
    """One supernet of a study.

    Args:
        config: The study.
        space: Its space.
        root: Its folder.
        method: A name of ``config.methods``.
        seed: Of ``config.supernet_seeds``.
    """

    config: StudyConfig
    space: SearchSpace
    root: Path
    method: str
    seed: int

    @property
    def folder(self) -> Path:
        """The run folder of its search."""
        return self.root / "supernets" / self.method / f"seed-{self.seed}"

    @property
    def scores_file(self) -> Path:
        return self.root / "scores" / f"{self.method}_seed-{self.seed}.csv"

    def is_learned(self) -> bool:
        """Whether its paths have been explored."""
        return is_done(self.folder, "explore")

    def context(self, say: Say) -> Context:
        """The context of its search.

        Raises:
            UserError: The folder holds the run of another configuration.
        """
        return Context.of(self.config.search_config(self.method, self.seed), self.folder, say)

    def check_method(self) -> None:
        """Check the options of its method, such as a teacher, and of its scores; no image is read, no memory taken.

        Raises:
            UserError: The method or the space does not accept one.
        """
        search = self.config.search_config(self.method, self.seed)
        learn, size = search.learn, search.data.image_size
        try:
            zero_cost_space(search)  # raises an error for wrong keys
            with torch.device("meta"):
                build_method(learn.method, learn.options, self.space, CLASSES, self.seed, size)
        except UserError as error:
            raise UserError(f"methods.{self.method}: {error}") from error

    def learn(self, say: Say) -> str:
        """Run the search's stages that are not complete, and say what explore found."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        pipeline.run(self.context(say))
        return f"explored, best {self.best()}"

    def best(self) -> Arch:
        """The architecture that explore selected."""
        return self.context(lambda text: None).explored_winner()

    def score(self, archs: Sequence[Arch]) -> str:
        """Score architectures by every kind that the supernet allows, beside those that have been scored."""
        known = self.scores()
        context = self.context(lambda text: None)
        scorers = self._scorers(context)
        kept = {kind: dict(known.get(kind, {})) for kind in dict.fromkeys([*scorers, *known])}
        with progress(len(archs) * len(scorers), label="score", unit="arch") as bar:
            for kind, scorer in scorers.items():
                missing = [arch for arch in archs if arch not in kept[kind]]
                bar.update(len(archs) - len(missing))
                for start in range(0, len(missing), TOGETHER):
                    some = missing[start : start + TOGETHER]
                    found = scorer.scores(some)
                    kept[kind] |= {arch: score.accuracy for arch, score in zip(some, found, strict=True)}
                    bar.update(len(some))
        write_scores(self.scores_file, kept)
        return f"{len(archs)} architectures scored by {', '.join(scorers)}"

    def is_scored(self, archs: Sequence[Arch]) -> bool:
        """Whether the file of scores has all kinds of all architectures."""
        known, kinds = self.scores(), self.kinds()
        return all(arch in known.get(kind, {}) for kind in kinds for arch in archs)

    def scores(self) -> Scores:
        """The scores so far.

        Raises:
            UserError: The file is damaged.
        """
        return read_scores(self.scores_file, self.space) if self.scores_file.is_file() else {}

    def kinds(self) -> list[str]:
        """The kinds of scores that the method allows, its own first.

        A kind is left out if it needs a supernet or classifier that the method does not leave.

        Raises:
            UserError: The supernet is missing, though the method leaves one.
        """
        learn = self.folder / "learn"
        has = {SUPERNET} if (learn / "supernet.safetensors").is_file() else set()
        if any((self.folder / stage / "classifier.safetensors").is_file() for stage in ("learn", "linear")):
            has.add(CLASSIFIER)
        method = method_class(self.config.search_config(self.method, self.seed).learn.method)
        kinds: list[str] = [kind for kind in self.config.kinds if KINDS[kind].needs & {SUPERNET, CLASSIFIER} <= has]
        if SUPERNET not in has and not method.scores_paths:
            raise UserError(
                f"expected the supernet of {self.method} in {learn}, found none; delete {self.folder} to learn it again"
            )
        return [OWN, *kinds] if method.scores_paths else kinds

    def _scorers(self, context: Context) -> dict[str, Scorer]:
        data = context.scoring_data()
        return {kind: _scorer(kind, context, data) for kind in self.kinds()}


def _scorer(kind: str, context: Context, data: ScoringData) -> Scorer:
    build = None if kind == OWN else KINDS[kind].build
    scorer = learned_method(context).scorer(data) if build is None else build(data)
    assert scorer is not None  # a method that scores paths has a scorer
    return scorer


def write_scores(path: Path, scores: Scores) -> None:
    """Write a CSV with a row for each architecture and a column for each kind."""
    archs = list(dict.fromkeys(arch for values in scores.values() for arch in values))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["arch", *scores])
    for arch in archs:
        writer.writerow([str(arch), *(f"{values[arch]:.6f}" if arch in values else "" for values in scores.values())])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, buffer.getvalue())


def read_scores(path: Path, space: SearchSpace) -> dict[str, dict[Arch, float]]:
    """Read what :func:`write_scores` has written.

    Raises:
        UserError: The file is damaged.
    """
    table = read_csv(path, "the scores of a supernet")
    column = table.column(None, ("arch",), "delete the file to score again")
    kinds = [name for name in table.columns if name != column]
    if unknown := [kind for kind in kinds if kind not in (OWN, *KINDS)]:
        raise UserError(
            f"{path}: expected kinds of scores, got {shortened(unknown[0])}; delete the file to score again"
        )
    found: dict[str, dict[Arch, float]] = {kind: {} for kind in kinds}
    for row in table.rows:
        try:
            arch = space.parse(row.text(column))
        except ValueError as error:
            raise UserError(f"{path}, line {row.line}: {error}; delete the file to score again") from None
        for kind in kinds:
            if row.text(kind):
                found[kind][arch] = row.number(kind)
    return found
