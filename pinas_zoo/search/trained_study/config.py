"""The configuration of a study: plain data, from which the configurations of its searches and trainings follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pinas_zoo.arch import Arch
from pinas_zoo.config_files import find_config
from pinas_zoo.data.options import Table
from pinas_zoo.data.unread_root import refuse_unread_root
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import SearchConfig, parse_config, parse_table, read_config
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.score_kinds import KINDS, score_kind
from pinas_zoo.search.score_list import SCORE_NAMES, weighted_sums
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.train.config import Recipe

ScoreName = Literal["classifier", "probe", "consistency", "identification"]
OWN_KEYS = ("name", "model", "model_args", "seed")  # of a recipe, which the study sets
OWN_TABLES = ("name", "space", "seed", "until", "train")  # of a search, which the study sets


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise ValueError(f"expected different seeds of 0 to {2**32 - 1}")
    return seeds


Sum = tuple[tuple[str, float], ...]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,23}$")]
Seeds = Annotated[tuple[int, ...], AfterValidator(_different)]


class StudyConfig(Table):
    """The whole configuration of a study."""

    name: Word  # names the folder
    space: dict[str, Any] = Field(default_factory=lambda: {"type": "resnest50"})
    seed: int = Field(0, ge=0, lt=2**32)  # of the random architectures
    # architectures in all: the space's references, those listed, each method's best; random ones fill up
    count: int = Field(13, ge=3, le=10_000)
    architectures: tuple[str, ...] = ()
    seeds: Seeds = (0, 1, 2)  # trainings of each architecture
    supernet_seeds: Seeds = (0,)  # supernets of each method; the first one's winner is the method's best
    # kinds of scores; classifier, which a method without labels learns in the linear stage, may be left out
    scores: tuple[ScoreName, ...] = ("classifier", "probe", "consistency", "identification")
    # lists as of explore.score, whose log places are added; parts that scores does not name are measured for them alone
    sums: Annotated[tuple[Sum, ...], BeforeValidator(lambda sums: weighted_sums(sums, SCORE_NAMES))] = ()
    search: dict[str, Any] = Field(default_factory=dict)  # tables of a search that all methods share
    methods: dict[Word, dict[str, Any]]  # by name: changes of these tables
    recipe: dict[str, Any]  # of pinas-zoo train, for every architecture
    outcomes: dict[str, str] = Field(default_factory=dict)  # by words: a file of other results, such as of detection
    # of the leases: a database URL, or a path ending in .journal or .log; empty: SQLite in the folder
    storage: str = ""

    @model_validator(mode="after")
    def _leaves_out_what_the_study_sets(self) -> StudyConfig:
        for key, values, own in (("recipe", self.recipe, OWN_KEYS), ("search", self.search, OWN_TABLES)):
            if given := [name for name in own if name in values]:
                raise ValueError(f"expected no {key}.{given[0]}, which the study sets itself, got {values[given[0]]!r}")
        if not self.methods:
            raise ValueError("expected at least one method, got methods={}; try methods=dict(pinas=dict())")
        for name, tables in self.methods.items():
            if given := [key for key in OWN_TABLES if key in tables]:
                raise ValueError(f"expected no methods.{name}.{given[0]}, which the study sets itself")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of scores that are measured, those of sums among them."""
        return tuple(dict.fromkeys([*self.scores, *(name for parts in self.sums for name, _ in parts)]))

    def tables_of(self, method: str) -> dict[str, Any]:
        """The tables that all methods share, with the changes of one method."""
        from mmengine.config import Config

        values = Config(dict(self.search))
        values.merge_from_dict(dict(self.methods[method]))
        merged: dict[str, Any] = values.to_dict()
        return merged

    def changed_by(self, key: str) -> list[str]:
        """The methods that replace a value of the shared tables, such as ``learn.steps``, by another one."""
        shared = _value_at(self.search, key)
        return [method for method in self.methods if _value_at(self.tables_of(method), key) != shared]

    def search_config(self, method: str, seed: int) -> SearchConfig:
        """The configuration of the search that learns one supernet, up to explore.

        Raises:
            UserError: An unknown key or a value of the wrong type or range.
        """
        tables = {**self.tables_of(method), "name": f"{self.name}_{method}", "space": self.space, "seed": seed}
        config = parse_config({**tables, "until": "explore", "train": {"enabled": False}}, f"methods.{method}")
        if "classifier" not in self.kinds or method_class(config.learn.method).supervised:
            return config
        return config.model_copy(update={"linear": config.linear.model_copy(update={"enabled": True})})

    def recipe_of(self, space: SearchSpace, arch: Arch, seed: int) -> Recipe:
        """The recipe of one training.

        Raises:
            UserError: As :meth:`search_config`.
        """
        args = space.model_args(arch)
        given = {"name": self.name, "model": args.pop("arch"), "model_args": args, "seed": seed}
        return parse_table(Recipe, {**self.recipe, **given}, "recipe")


def _value_at(tables: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None where there is none."""
    found: Any = tables
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values below a key."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(f"{key}.{name}", part)
    else:
        yield key, value


def replaced_by_methods(config: StudyConfig, overrides: Mapping[str, Any]) -> list[str]:
    """A line for each value below ``search`` that a user has set, and that some of the methods replace.

    Raises:
        UserError: All methods replace it, so that it has no effect.
    """
    lines = []
    for key, value in (leaf for override in overrides.items() for leaf in _leaves(*override)):
        if not key.startswith("search."):
            continue
        short = key.removeprefix("search.")
        own = config.changed_by(short)
        theirs = " and ".join(f"methods.{method}.{short}" for method in own)
        if len(own) == len(config.methods):
            cure = " ".join(f"--set methods.{method}.{short}={value}" for method in own)
            raise UserError(f"expected {key}={value} to have an effect, got {theirs} in its place; try {cure}")
        if own:
            lines.append(f"{key}={value} is replaced by {theirs}")
    return lines


def load_study(path: Path, overrides: Mapping[str, Any] | None = None) -> StudyConfig:
    """Read a configuration: a Python file, which mmengine executes, or a ``study.json``.

    Raises:
        UserError: The file cannot be read, a key is unknown, or a value has the wrong type or range.
    """
    from mmengine.config import Config

    config = Config(read_config(path))
    try:
        config.merge_from_dict(dict(overrides or {}))
        values = config.to_dict()
    except Exception as error:  # mmengine raises several types
        raise UserError(f"study {path} cannot be changed by {dict(overrides or {})}: {error}") from None
    study = parse_study(values, str(path))
    if path.suffix == ".py" or any(key.endswith("data.root") for key in overrides or ()):  # as of a search
        tables = [study.search_config(method, 0).data for method in study.methods]
        for data in (*tables, parse_table(Recipe, study.recipe, "recipe").data):
            refuse_unread_root(data.type, data.root)
    return study


def parse_study(values: Mapping[str, Any], where: str = "configuration") -> StudyConfig:
    """Check plain data, with the searches and the recipe that follow from it.

    Raises:
        UserError: As :func:`load_study`.
    """
    config = parse_table(StudyConfig, values, where)
    for method in config.methods:
        score_kind(config.search_config(method, 0))
    parse_table(Recipe, config.recipe, "recipe")
    return config


def find_study(name: str) -> Path:
    """The configuration file that a user means: a path, or a name in ``configs/study``.

    Raises:
        UserError: There is none; names those that there are.
    """
    return find_config(name, "study")


assert set(ScoreName.__args__) < set(KINDS)  # type: ignore[attr-defined]
