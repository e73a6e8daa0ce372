"""The configuration of an evidence, and the runs that follow from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from pinas_zoo.config_files import find_config
from pinas_zoo.data.options import Table
from pinas_zoo.engine.config_values import parse_overrides, parse_table
from pinas_zoo.engine.python_config import read_python_config
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import EDGES, OPERATIONS
from pinas_zoo.search.config import SearchConfig, parse_config
from pinas_zoo.search.evidence.kept_facts import Line
from pinas_zoo.search.evidence.results import BY_CLASSIFIER, NEEDS_NO_CLASSIFIER, RANKING_SCORES
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.score_kinds import KINDS
from pinas_zoo.search.score_list import weighted_sums
from pinas_zoo.search.scorers.protocol import SUPERNET
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space
from pinas_zoo.search.spaces.resized import resized_space
from pinas_zoo.train.config import Recipe

PACKAGE = Path(__file__).resolve().parents[2]


class TruthColumns(Table):
    """Columns of the truth: accuracies in percent of the architectures trained from scratch."""

    column: str  # what scores are compared with
    label: str  # the column in words, for the tables
    others: dict[str, str] = Field(default_factory=dict)  # by words: accuracies that are ranked beside the runs
    # by data set: accuracies on other data, which the same scores are compared with where the table has them
    transfer: dict[str, str] = Field(default_factory=dict)


class TunedHalf(Table):
    """Half of a space's architectures, drawn by seed, on which regimes were chosen."""

    size: int
    seed: int = Field(ge=0, lt=2**32)


class Protocol(Table):
    """A supernet of one space is trained, and architectures of a smaller one are ranked.

    Sec. 4.3 trains all five operations and ranks the architectures without ``none`` and ``skip_connect``, Figure 8
    those without ``skip_connect``.
    """

    supernet: int  # the space that is trained, by number of architectures
    scored: int  # the space that is ranked


class MethodPlan(Table):
    """How one of the compared supernets is learned: tables of a search configuration."""

    title: Line  # of result files and tables
    printed: Line = ""  # what a paper prints for it, in words, for the table of all methods
    base: str | None = None  # the run whose learn and views this one starts from
    # a recipe of `pinas-zoo train`, with labels, of the network that its method takes as learn.options.teacher
    teacher: dict[str, Any] = Field(default_factory=dict)
    learn: dict[str, Any] = Field(default_factory=dict)
    views: dict[str, Any] = Field(default_factory=dict)


class ReportOptions(Table):
    """What the tables and figures show."""

    resamples: int = Field(2000, ge=1, le=10**6)  # of the bootstrap; an eighth of it where there are many architectures
    fitted: int = Field(150, ge=3)  # a trial with fewer scores appears only in the table of trials
    fits: int = Field(200, ge=1, le=10**5)  # fits to random ``fitted`` scores of runs that have at least twice as many
    best: int = Field(100, ge=1)  # architectures among which skip connections are counted
    unchanged: float = Field(0.01, gt=0)  # Figure 7: the largest change of the estimated accuracy, as a fraction


class EvidenceConfig(Table):
    """Everything that determines which supernets are compared, and how."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")  # names the folders of runs and results
    title: str
    introduction: tuple[str, ...] = ()  # paragraphs
    truth: TruthColumns
    spaces: dict[int, tuple[str, ...]] = Field(min_length=1)  # operations of every edge, by number of architectures
    tuned: TunedHalf
    protocols: tuple[Protocol, ...] = Field(min_length=1)  # the first is that of the headline
    rank_by: str = "consistency"  # the score that ranks runs unless a table says otherwise
    training_free: tuple[str, ...] = ()  # kinds of explore.score that need no supernet, ranked beside the runs
    # keys of search.space that differ for them: the size of the benchmark's networks, beside smaller supernets
    training_free_space: dict[str, Any] = Field(default_factory=dict)
    # initial weights over which such a score is averaged, by kind; others have one
    initialisations: dict[str, Annotated[int, Field(ge=1, le=1000)]] = Field(default_factory=dict)
    # sums of log ranks, each as explore.score lists them; parts are scores of a run (results.RANKING_SCORES) and kinds
    # that training_free names
    sums: tuple[tuple[tuple[str, float], ...], ...] = ()
    recommended: tuple[tuple[str, float], ...] = ()  # one of sums, shown for each method
    search: dict[str, Any]  # the search configuration that all runs share
    reference: str  # the run that others are compared with
    runs: dict[str, MethodPlan] = Field(min_length=1)
    # runs whose replacements Figure 7 compares; it takes about as long as scoring 150 architectures
    replacements: tuple[str, ...] = ()
    measured: tuple[str, ...]  # the runs that are measured unless the command names others
    seeds: tuple[int, ...] = (0, 1, 2)
    minutes: float = Field(60, gt=0, allow_inf_nan=False)  # of learning, a run
    threads: int = Field(1, ge=1)
    count: int = Field(1000, ge=1)  # architectures scored at most, random ones
    report: ReportOptions = ReportOptions()

    @field_validator("rank_by")
    @classmethod
    def _known_score(cls, name: str) -> str:
        if name not in NEEDS_NO_CLASSIFIER:
            raise ValueError(f"expected a score that all kept runs have: {' or '.join(NEEDS_NO_CLASSIFIER)}")
        return name

    @field_validator("training_free")
    @classmethod
    def _need_no_supernet(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = [name for name, kind in KINDS.items() if SUPERNET not in kind.needs]
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"expected scores that need no supernet, {', '.join(known)}, got {unknown[0]!r}")
        return names

    @field_validator("initialisations")
    @classmethod
    def _of_training_free(cls, counts: dict[str, int]) -> dict[str, int]:
        cls._need_no_supernet(tuple(counts))
        return counts

    @field_validator("sums", mode="before")
    @classmethod
    def _weighted(cls, sums: Any) -> Any:
        return weighted_sums(sums, (*RANKING_SCORES, *KINDS))

    @field_validator("recommended", mode="before")
    @classmethod
    def _weighted_too(cls, parts: Any) -> Any:
        return cls._weighted([parts])[0] if parts else ()

    @field_validator("spaces")
    @classmethod
    def _sizes_are_true(cls, spaces: dict[int, tuple[str, ...]]) -> dict[int, tuple[str, ...]]:
        for size, operations in spaces.items():
            if unknown := [name for name in operations if name not in OPERATIONS]:
                raise ValueError(f"expected operations of {', '.join(OPERATIONS)}, got {unknown[0]!r} for {size}")
            if len(set(operations)) ** len(EDGES) != size:
                raise ValueError(f"expected {size} architectures, but {', '.join(operations)} give another number")
        return spaces

    @model_validator(mode="after")
    def _names_exist(self) -> EvidenceConfig:
        named = {"reference": [self.reference], "measured": self.measured, "replacements": self.replacements}
        named |= {f"runs.{name}.base": [plan.base] for name, plan in self.runs.items() if plan.base is not None}
        for key, names in named.items():
            if unknown := [name for name in names if name not in self.runs]:
                raise ValueError(f"expected {key} to name one of {', '.join(self.runs)}, got {unknown[0]!r}")
        if nested := [name for name, plan in self.runs.items() if plan.base and self.runs[plan.base].base]:
            raise ValueError(f"expected the base of runs.{nested[0]} to have no base of its own")
        parts = {name for one in self.sums for name, _ in one}
        if unknown := sorted(parts - {*RANKING_SCORES, *self.training_free}):
            raise ValueError(
                f"expected sums of {', '.join(RANKING_SCORES)} and what training_free names, got {unknown[0]!r}"
            )
        if self.recommended and self.recommended not in self.sums:
            raise ValueError(f"expected recommended to be one of sums, got {[name for name, _ in self.recommended]}")
        sizes = {"tuned.size": self.tuned.size}
        for k, protocol in enumerate(self.protocols):
            sizes |= {f"protocols[{k}].supernet": protocol.supernet, f"protocols[{k}].scored": protocol.scored}
        for key, size in sizes.items():
            if size not in self.spaces:
                raise ValueError(f"expected {key} to be one of {', '.join(map(str, self.spaces))}")
        for protocol in self.protocols:
            if not self.is_within(protocol.scored, protocol.supernet):
                raise ValueError(
                    f"expected protocols of a space within the supernet's, got {protocol.scored} of {protocol.supernet}"
                )
        return self

    def is_within(self, scored: int, size: int) -> bool:
        """Whether the space of ``scored`` architectures has no operation that the space of ``size`` lacks."""
        return set(self.spaces[scored]) <= set(self.spaces[size])

    def networks(self, size: int) -> tuple[NASBench201Space, int]:
        """The space of ``size`` architectures whose networks scores without a supernet take, and the images' size.

        Raises:
            UserError: ``training_free_space`` has a key that the space does not accept, or other architectures.
        """
        search = PlannedRun(self, self.reference, size, self.seeds[0], self.minutes, 1).search_config(Path("images"), 1)
        try:
            space = resized_space(search.space, self.training_free_space)
        except UserError as error:
            raise UserError(f"training_free_space: {error}") from None
        assert isinstance(space, NASBench201Space)
        return space, search.data.image_size

    def is_ablation(self, run: str) -> bool:
        """Whether a run changes the reference; a run that is not planned here changes nothing."""
        return run in self.runs and self.runs[run].base == self.reference


@dataclass(frozen=True)
class Teacher:
    """A trained network that a run takes as its teacher.

    Attributes:
        folder: Model folder.
        mean, std: By which its images are normalised, and therefore those of the run.
        seconds: Of its training.
        accuracy: Top-1 accuracy on the validation images, in 0..1.
    """

    folder: Path
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seconds: float
    accuracy: float


@dataclass(frozen=True)
class PlannedRun:
    """One supernet and the budget of its learning."""

    evidence: EvidenceConfig
    run: str  # of evidence.runs
    size: int  # of evidence.spaces
    seed: int
    minutes: float
    threads: int
    changes: tuple[str, ...] = ()  # KEY=VALUE of the search configuration: a trial
    subspace: int | None = None  # of evidence.spaces: the architectures that are scored; None: those of the supernet
    scores: tuple[str, ...] = tuple(RANKING_SCORES)  # which scores are measured
    steps: int | None = None  # of learning, whatever time they take; None: those that the minutes pay for

    @property
    def scored(self) -> int:
        """The space whose architectures are scored, by number of architectures."""
        return self.size if self.subspace is None else self.subspace

    @property
    def name(self) -> str:
        """The name of the supernet's folder."""
        changes = "".join(f"_{re.sub(r'[^A-Za-z0-9_.=-]+', '-', text)}" for text in self.changes)
        budget = f"{self.minutes:g}x{self.threads}" if self.steps is None else f"{self.steps}steps"
        return f"{self.run}{changes}_{self.size}_{budget}_{self.seed}"

    def result_name(self, count: int) -> str:
        """The name of its result files if ``count`` of its architectures are scored."""
        scored = "" if self.scored == self.size else f"_on_{self.scored}"
        return f"{self.name}{scored}" + ("" if count >= self.scored else f"_of_{count}")

    def teacher_recipe(self, images: Path) -> Recipe | None:
        """The recipe of its teacher, whose images have the size of the run's; None if it needs no teacher.

        Raises:
            UserError: An unknown key or a value of the wrong type or range, or weights to start from.
        """
        plan = self.evidence.runs[self.run]
        values = plan.teacher or (self.evidence.runs[plan.base].teacher if plan.base else {})
        if not values:
            return None
        where = f"the teacher of run {self.run}"
        recipe = parse_table(Recipe, values, where)
        if recipe.start == "weights" or recipe.weights or not recipe.model:
            raise UserError(
                f"expected {where} as timm's name of a network that starts from scratch, as model; "
                f"got model={recipe.model!r}, start={recipe.start!r}, weights={recipe.weights!r}"
            )
        fixed = ("learn.options.teacher", "data.mean", "data.std")
        if clash := [key for key in fixed for text in self.changes if text.startswith(f"{key}=")]:
            raise UserError(
                f"expected no --set of {clash[0]}, which {where} decides; change runs.{self.run}.teacher in a "
                "configuration of your own"
            )
        search = self.search_config(images, 1).data
        data = recipe.data.model_copy(
            update={"root": str(images), "image_size": search.image_size, "crop_pct": recipe.data.crop_pct or 1.0}
        )
        return recipe.model_copy(update={"data": data})

    def search_config(self, images: Path, steps: int, teacher: Teacher | None = None) -> SearchConfig:
        """The configuration of its search, which ``pinas-zoo search`` accepts as well.

        Args:
            images: CIFAR-10 as a folder.
            steps: Of learning.
            teacher: Its teacher, if it needs one.

        Raises:
            UserError: An unknown key or a value of the wrong type or range.
        """
        from mmengine.config import Config

        plan = self.evidence.runs[self.run]
        values = Config(dict(self.evidence.search))
        for part in ([self.evidence.runs[plan.base]] if plan.base else []) + [plan]:
            values.merge_from_dict({"learn": part.learn, "views": part.views})
        values.merge_from_dict(
            {
                "name": f"{self.evidence.name}_{self.run}_{self.size}_{self.seed}",
                "seed": self.seed,
                "space.operations": self.evidence.spaces[self.size],
                "data.root": str(images),
                "learn.steps": steps,
                **_taught_by(teacher),
                **parse_overrides(self.changes),
            }
        )
        config = parse_config(values.to_dict(), f"run {self.run}")
        method = method_class(config.learn.method)
        has_scores = method.supervised or method.scores_paths  # by the classifier that its paths share, or by its own
        if has_scores or config.linear.enabled is not None or not set(BY_CLASSIFIER) & set(self.scores):
            return config
        return config.model_copy(update={"linear": config.linear.model_copy(update={"enabled": True})})


def _taught_by(teacher: Teacher | None) -> dict[str, Any]:
    if teacher is None:
        return {}
    return {
        "learn.options.teacher": f"local-dir:{teacher.folder}", "data.mean": teacher.mean, "data.std": teacher.std,
    }  # fmt: skip


def find_evidence(name: str) -> Path:
    """The configuration file that a user means: a path, or the name of one that comes with the package.

    Raises:
        UserError: There is none; names those that there are.
    """
    return find_config(name, "evidence")


def load_evidence(path: Path) -> EvidenceConfig:
    """Read a configuration: a Python file, which mmengine executes.

    Raises:
        UserError: The file does not run, or holds an unknown key or a value of the wrong type or range.
    """
    return parse_evidence(read_python_config(path).to_dict(), str(path))


def parse_evidence(values: Mapping[str, Any], where: str = "configuration") -> EvidenceConfig:
    """Check plain data.

    Raises:
        UserError: As :func:`load_evidence`.
    """
    return parse_table(EvidenceConfig, values, where)
