"""The configuration of a search: plain data, checked when it is read, saved beside the run as JSON."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError

from pinas_zoo.data.options import Data, Table, Views
from pinas_zoo.engine.trainer import Log, Precision
from pinas_zoo.errors import UserError
from pinas_zoo.search.plugins import is_file

T = TypeVar("T", bound=BaseModel)


class Learn(Table):
    """Stage 1 (sec. 3.2): supernet learning."""

    method: str = "pinas"  # a module of pinas_zoo.search.methods, or a Python file of your own
    options: dict[str, Any] = Field(default_factory=dict)  # the method's own: queue_size, temperature, …
    steps: int = Field(1000, ge=1)
    epochs: int | None = Field(None, ge=1)  # instead of steps
    batch_size: int = Field(192, ge=2)  # of all processes together
    lr: float = Field(0.03, ge=0)
    warmup: float = Field(0.0, ge=0, lt=1)  # fraction of the steps in which the rate rises from 0, before its cosine
    momentum: float = Field(0.9, ge=0)
    weight_decay: float = Field(1e-4, ge=0)
    checkpoint_every: int = Field(500, ge=1)  # steps
    precision: Precision = "fp32"  # of convolutions and products; the rest stays fp32
    channels_last: bool = False  # order of activations in memory; on GPUs faster in half precision
    log_every: int = Field(10, ge=1)  # steps


class Linear(Table):
    """Stage 2 (sec. 3.3): one linear classifier on the frozen supernet, a random path a step."""

    enabled: bool | None = None  # None: unless candidates are scored by another classifier, or none
    steps: int = Field(1000, ge=1)
    epochs: int | None = Field(None, ge=1)  # instead of steps
    batch_size: int = Field(256, ge=2)  # of all processes together
    batch_norm_images: int | None = Field(None, ge=2)  # that share batch statistics; None: all of a process
    lr: float = Field(30.0, ge=0)
    momentum: float = Field(0.9, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    milestones: tuple[float, ...] = (0.6, 0.8)  # fractions of the steps at which the rate falls to a tenth
    views: Views = Views(scale=(0.08, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0)
    checkpoint_every: int = Field(500, ge=1)
    precision: Precision = "fp32"  # of convolutions and products; the rest stays fp32
    channels_last: bool = False  # order of activations in memory; on GPUs faster in half precision
    log_every: int = Field(10, ge=1)


class Explore(Table):
    """Stage 3: candidates scored on held-out images."""

    evaluations: int = Field(1000, ge=1)  # distinct architectures
    # what candidates are scored by: the classifier that all share (sec. 3.3); a probe of each one's own, which is a
    # ridge regression on the recalibration images; without labels, how well each tells images apart; or, without
    # training, multiply-adds. Only the first needs a linear stage
    score: Literal["classifier", "probe", "consistency", "flops"] = "classifier"
    views: Views = Views(scale=(0.3, 1.0), jitter=(0.8, 0.8, 0.8, 0.2), jitter_p=1.0, blur_p=0.0)  # of consistency
    # the winner is the candidate with the best score, or with the best sum of what its layers' choices add on average
    rank_by: Literal["score", "effects"] = "score"
    sampler: Literal["action_space", "nsga2", "tpe", "random"] = "action_space"
    random_first: int = Field(20, ge=1)  # of action_space and tpe; the released code has 80
    population: int = Field(50, ge=2)  # of nsga2
    batch: int = Field(8, ge=1)  # candidates proposed and scored together; action_space learns anew after 8
    max_flops_g: float | None = Field(None, gt=0)  # multiply-adds in billions; candidates above are never evaluated
    max_params_m: float | None = Field(None, gt=0)  # millions, without classifier
    max_latency_ms: float | None = Field(None, gt=0)  # of the network alone, one image, measured on this machine
    storage: str = ""  # of the study: a database URL, a path ending in .journal or .log, or SQLite in the run folder
    batch_size: int = Field(256, ge=2)
    recalibration_images: int = Field(2048, ge=2)  # training images, a fixed subset
    held_out_images: int | None = Field(
        None, ge=2
    )  # score on so many of the held-out images, a fixed subset; None: all
    # batch norms in scoring: recalibrated for each path (the paper's), or by the statistics of each batch
    statistics: Literal["recalibrated", "batch"] = "recalibrated"


class Train(Table):
    """Stage 4: the winner alone, from its weights in the supernet."""

    enabled: bool = True
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=2)
    lr: float = Field(0.05, ge=0)
    momentum: float = Field(0.9, ge=0)
    weight_decay: float = Field(5e-4, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    views: Views = Views(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0)
    checkpoint_every: int = Field(500, ge=1)
    precision: Precision = "fp32"  # of convolutions and products; the rest stays fp32
    channels_last: bool = False  # order of activations in memory; on GPUs faster in half precision
    compile: bool = False  # torch.compile; pays in long training alone, see docs/scale.md
    log_every: int = Field(10, ge=1)


class SearchConfig(Table):
    """Everything that determines a run."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,56}$")  # the run's folder and the winner's name follow from it
    space: dict[str, Any] = Field(default_factory=lambda: {"type": "resnest50"})
    seed: int = Field(0, ge=0, lt=2**32)
    streams: Literal[1, 2] = 2  # random streams; 1 in folders that version 0.1 began, which keep their splits
    until: Literal["learn", "linear", "explore", "winner", "train"] = "train"  # the last stage to run
    data: Data = Data()
    views: Views = Views()
    learn: Learn = Learn()
    linear: Linear = Linear()
    explore: Explore = Explore()
    train: Train = Train()
    log: Log = Log()


def load_config(path: Path, overrides: Mapping[str, Any] | None = None) -> SearchConfig:
    """Read a configuration: a Python file (mmengine's, with ``_base_``) or the JSON that a run keeps.

    Args:
        path: The file.
        overrides: Values that replace the file's, by dotted key (``{"learn.steps": 100}``).

    Raises:
        UserError: No such file, a file that does not run, an unknown key, a value of the wrong type or range; a Python
            file that JSON names as space or method, unless the overrides name it too (:mod:`pinas_zoo.search.plugins`).
    """
    from mmengine.config import Config

    if not path.is_file():
        raise UserError(f"expected a configuration file, found none at {path}; configs/search has examples")
    try:
        # JSON as plain data: mmengine's reader would follow `_base_` and `custom_imports` into code
        loaded = Config.fromfile(path) if path.suffix == ".py" else Config(json.loads(path.read_text(encoding="utf-8")))
        loaded.merge_from_dict(dict(overrides or {}))
        values = loaded.to_dict()
    except Exception as error:  # the user's own Python: whatever it raises is theirs to read
        raise UserError(f"configuration {path} cannot be read: {type(error).__name__}: {error}") from error
    loaded_config = parse_config(values, str(path))
    if path.suffix != ".py":
        for key, name in (
            ("space.type", loaded_config.space.get("type")),
            ("learn.method", loaded_config.learn.method),
        ):
            if is_file(str(name)) and dict(overrides or {}).get(key) != name:
                raise UserError(
                    f"{path} names the Python file {name!r} as {key}, which is not executed on a kept file's word: "
                    f"read it, and add --set {key}={name}, or give the search's own .py configuration"
                )
    return loaded_config


def parse_config(values: Mapping[str, Any], where: str = "configuration") -> SearchConfig:
    """Build a checked configuration from plain data.

    Raises:
        UserError: As :func:`load_config`; names the first thing that is wrong.
    """
    return parse_table(SearchConfig, values, where)


def parse_table(table: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build any checked table from plain data.

    Raises:
        UserError: An unknown key, a missing one, or a value of the wrong type or range; names the first.
    """
    try:
        return table.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UserError(f"{where}: unknown key {key!r}; {_hint(table, first['loc'])}") from error
        if first["type"] == "missing":
            raise UserError(f"{where}: expected a key {key!r}, found none") from error
        if not first["loc"]:  # of several keys together
            raise UserError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error
        raise UserError(
            f"{where}: {key!r}: {first['msg'].removeprefix('Value error, ').lower()}, got {first['input']!r}"
        ) from error


def _hint(table: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    inner: Any = table
    for part in loc[:-1]:
        by_name = get_origin(inner) is dict  # the part is a name, then
        inner = get_args(inner)[1] if by_name else table.model_fields[str(part)].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            table = inner
        elif get_origin(inner) is not dict:
            break
    close = difflib.get_close_matches(str(loc[-1]), table.model_fields, n=1)
    if close:
        return f"did you mean {'.'.join([*map(str, loc[:-1]), close[0]])!r}?"
    return f"known are {', '.join(sorted(table.model_fields))}"


def parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """Read the values of ``--set``: ``a.b=1`` becomes ``{"a.b": 1}``.

    A value is read as a Python literal; one that is not a literal is text.

    Raises:
        UserError: No ``=``, no key, or a call of ``dict``.
    """
    overrides = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UserError(f"expected --set KEY=VALUE, got {text!r}")
        try:
            overrides[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            if value.startswith("dict("):
                raise UserError(
                    f"expected a value of Python without calls, got {text!r}; set keys one by one, as in "
                    f"`--set {key}.KEY=VALUE`, or write it as {{'KEY': VALUE}}"
                ) from None
            overrides[key] = value
    return overrides
