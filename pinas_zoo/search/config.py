"""The configuration of a search. It is plain data that is validated when it is read, and saved in the run as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from pinas_zoo.data.options import Data, Share, Table, Views
from pinas_zoo.engine.config_values import parse_overrides, parse_table, read_config  # noqa: F401  were here before
from pinas_zoo.engine.trainer import Log, Precision
from pinas_zoo.errors import UserError
from pinas_zoo.search.plugins import is_file
from pinas_zoo.search.recipe_of_config import recipe_table, with_recipe_read
from pinas_zoo.search.score_list import ScoreName, checked_score
from pinas_zoo.train.config import Recipe


class Learn(Table):
    """Stage 1 (sec. 3.2): supernet learning."""

    method: str = "pinas"  # a built-in method, or a Python file that defines one
    options: dict[str, Any] = Field(default_factory=dict)  # arguments of the method: queue_size, temperature, …
    steps: int = Field(1000, ge=1)
    epochs: int | None = Field(None, ge=1)  # instead of steps
    batch_size: int = Field(192, ge=2, le=2**20)  # of all processes together
    lr: float = Field(0.03, ge=0)
    warmup: float = Field(0.0, ge=0, lt=1)  # fraction of the steps with a rising rate, before the cosine
    momentum: float = Field(0.9, ge=0)
    weight_decay: float = Field(1e-4, ge=0)
    checkpoint_every: int = Field(500, ge=1)  # steps
    precision: Precision = "fp32"  # of convolutions and products; the rest stays fp32
    channels_last: bool = False  # order of activations in memory; on GPUs faster in half precision
    log_every: int = Field(10, ge=1)  # steps


class Linear(Table):
    """Stage 2 (sec. 3.3): a linear classifier on the frozen supernet, trained with a random path per step."""

    enabled: bool | None = None  # None: if the score needs a classifier and the method learns none
    steps: int = Field(1000, ge=1)
    epochs: int | None = Field(None, ge=1)  # instead of steps
    batch_size: int = Field(256, ge=2, le=2**20)  # of all processes together
    batch_norm_images: int | None = Field(None, ge=2)  # images that share batch statistics; None: all of a process
    lr: float = Field(30.0, ge=0)
    momentum: float = Field(0.9, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    milestones: tuple[float, ...] = (0.6, 0.8)  # fractions of the steps after which the rate is divided by 10
    views: Views = Views(scale=(0.08, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0)
    checkpoint_every: int = Field(500, ge=1)
    precision: Precision = "fp32"  # of convolutions and products; the rest stays fp32
    channels_last: bool = False  # order of activations in memory; on GPUs faster in half precision
    log_every: int = Field(10, ge=1)


class ActionSpaceSettings(NamedTuple):
    """What the action-space sampler works with."""

    random_first: int  # uniform candidates before the first tree
    height: int
    exploration: float
    ranked: bool
    split: Literal["linear", "median"]


# settings of the sampler by name; random_first None: explore.random_first. "authors" is modelled on the released Pi-NAS
# code, with scikit-learn's gradient boosting instead of LightGBM
ACTION_SPACE_PRESETS: dict[str, dict[str, Any]] = {
    "default": dict(random_first=None, height=3, exploration=0.2, ranked=True, split="linear"),
    "authors": dict(random_first=80, height=1, exploration=0.0, ranked=False, split="median"),
}


class ActionSpace(Table):
    """Options of ``sampler="action_space"``. None: that of the preset."""

    preset: Literal["default", "authors"] = "default"
    random_first: int | None = Field(None, ge=1)  # uniform proposals first; None: the preset's, or explore.random_first
    height: int | None = Field(None, ge=1, le=64)  # splits from root to leaf; 1 more at 400, 800, 1600, 3200 scores
    exploration: float | None = Field(None, ge=0, allow_inf_nan=False)  # constant of UCB, in units of ranks in 0..1
    ranked: bool | None = None  # propose a leaf's best candidates by a local model; false: uniform ones
    # linear models of the score, or classifiers of whether a score is above the node's median
    split: Literal["linear", "median"] | None = None

    def settings(self, random_first: int) -> ActionSpaceSettings:
        """The options that are given, completed by the preset, and by ``explore.random_first``."""
        given = self.model_dump(exclude={"preset"}, exclude_none=True)
        values = {**ACTION_SPACE_PRESETS[self.preset], **given}
        values["random_first"] = values["random_first"] or random_first
        return ActionSpaceSettings(**values)


class Arch2Vec(Table):
    """Options of ``sampler="arch2vec"``. The defaults are the paper's and its released code's, except for ``pool``.

    The upper limits keep the pool, its embeddings and a batch within a few GiB.
    """

    random_first: int = Field(16, ge=1)  # uniform proposals first
    refit_every: int = Field(5, ge=1)  # scores after which the regression is fitted again
    pool: int = Field(20_000, ge=2, le=600_000)  # random architectures for a space of more than 16,384; there 600,000
    latent: int = Field(16, ge=1, le=128)  # dimension of an embedding
    hidden: int = Field(128, ge=1, le=1024)  # width of the encoder
    layers: int = Field(5, ge=2, le=16)  # of the encoder
    dropout: float = Field(0.3, ge=0, lt=1)
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(32, ge=2, le=512)
    lr: float = Field(1e-3, gt=0, allow_inf_nan=False)  # of the autoencoder, by Adam


class Explore(Table):
    """Stage 3: candidates are scored on held-out images."""

    evaluations: int = Field(1000, ge=1)  # number of distinct architectures to score
    # classifier: accuracy of the shared classifier (sec. 3.3); probe: accuracy of a ridge regression per candidate on
    # the recalibration images; consistency: similarity of views, without labels; identification: Eqn. 4 of whitened
    # features of views, without labels; flops: multiply-adds, without training. Only the first needs a linear stage.
    # The others are functions of an untrained network (docs/read_a_search.md): nothing is learned. A list, such as
    # ["consistency", ["flops", 0.5]], adds the logarithms of the places from the last by each, times weights
    score: Annotated[ScoreName | tuple[tuple[ScoreName, float], ...], BeforeValidator(checked_score)] = "classifier"
    zero_cost_images: int = Field(64, ge=2, le=2**16)  # images of the batch on which an untrained network is scored
    # keys of ``space`` that differ for scores without a supernet: the size of the networks that will be trained, such
    # as dict(cells=5) beside a supernet of one cell
    zero_cost_space: dict[str, Any] | None = None
    zero_cost_initialisations: int = Field(1, ge=1, le=1000)  # initial weights over which such a score is averaged
    # augmentation for score="consistency" and "identification"
    views: Views = Views(scale=(0.3, 1.0), jitter=(0.8, 0.8, 0.8, 0.2), jitter_p=1.0, blur_p=0.0)
    # the winner has the best score, the best sum of main effects of its choices, or (smoothed) the best place by both
    rank_by: Literal["score", "effects", "smoothed"] = "score"
    # traversal: the best ones within the limits, exactly; for scores that are sums over stages, as those of dna
    # arch2vec: Bayesian optimisation in a space of embeddings that an autoencoder learns from architectures alone
    sampler: Literal["action_space", "arch2vec", "nsga2", "tpe", "random", "traversal"] = "action_space"
    random_first: int = Field(20, ge=1)  # uniform proposals first, for action_space and tpe
    action_space: ActionSpace = ActionSpace()  # for action_space
    arch2vec: Arch2Vec = Arch2Vec()  # for arch2vec
    population: int = Field(50, ge=2, le=10**6)  # for nsga2
    batch: int = Field(8, ge=1, le=10**6)  # candidates proposed and scored together; action_space is refitted every 8
    max_flops_g: float | None = Field(None, gt=0)  # upper limit of multiply-adds in billions, without classifier
    max_params_m: float | None = Field(None, gt=0)  # upper limit of parameters in millions, without classifier
    max_latency_ms: float | None = Field(None, gt=0)  # upper limit of the stand-alone network's time for one image here
    storage: str = ""  # of the study: a database URL, or a path ending in .journal or .log; empty: SQLite in the folder
    batch_size: int = Field(256, ge=2, le=2**20)
    recalibration_images: int = Field(2048, ge=2)  # size of the fixed subset of training images
    recalibration_batch_size: int | None = Field(None, ge=2)  # images that share batch statistics; None: batch_size
    # augmentation of the recalibration images, one fixed view of each; None: as held-out images, without augmentation
    recalibration_views: Views | None = None
    held_out_images: int | None = Field(None, ge=2)  # size of a fixed subset of the held-out images; None: all
    # batch-norm statistics in scoring: recalibrated for each path (as in the paper), or of each batch
    statistics: Literal["recalibrated", "batch"] = "recalibrated"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of scores of each candidate: one, or several whose ranks are combined."""
        return (self.score,) if isinstance(self.score, str) else tuple(name for name, _ in self.score)

    @property
    def weights(self) -> dict[str, float] | None:
        """Weights of the combined kinds, by name; None if ``score`` is one kind, whose values rank as they are."""
        return None if isinstance(self.score, str) else dict(self.score)


class Compare(Table):
    """Networks that stage 5 trains beside the winner, to tell whether the search was worth it; none by default.

    The winner and all of them train alike, with each of several seeds. ``epochs`` and ``lr`` replace ``train``'s, or
    the recipe's.
    """

    # a reference of the space by name, such as "resnest", or an architecture; "auto": the first one that the space
    # names, if it names any; empty: none
    reference: str = ""
    random: int = Field(0, ge=0, le=1000)  # architectures drawn at random whose cost is like the winner's
    within: Share = 0.1  # like cost: multiply-adds that differ by at most this share of the winner's
    seeds: int = Field(3, ge=0, le=1000)  # trainings of each architecture; 0: no comparison
    epochs: int | None = Field(None, ge=1)
    lr: float | None = Field(None, ge=0)
    # first weights: new ones, so that the supernet has no part in the comparison, or each one's path of the supernet
    start: Literal["scratch", "supernet"] = "scratch"
    # a recipe of configs/cls by name, a recipe file, or its table; None: the SGD of the train table. Network, first
    # weights, images and seed are the comparison's, and the last weights are tested
    recipe: Annotated[Recipe | None, BeforeValidator(recipe_table)] = None


class Train(Table):
    """Stage 5: the winner is trained as a stand-alone network, starting from its supernet weights."""

    enabled: bool = True
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=2, le=2**20)
    lr: float = Field(0.05, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    views: Views = Views(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0)
    checkpoint_every: int = Field(500, ge=1)
    precision: Precision = "fp32"  # of convolutions and products; the rest stays fp32
    channels_last: bool = False  # order of activations in memory; on GPUs faster in half precision
    compile: bool = False  # torch.compile; worthwhile only for long training, see docs/scale.md
    log_every: int = Field(10, ge=1)
    compare: Compare = Compare()


def comparison_epochs(options: Train) -> int:
    """Epochs of each training of the comparison: its own, or those of its recipe or of the ``train`` table."""
    given = options.compare
    return given.epochs or (options.epochs if given.recipe is None else given.recipe.schedule.epochs)


class SearchConfig(Table):
    """The whole configuration of a run."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,56}$")  # names the run's folder and the winner
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

    def shown(self) -> SearchConfig:
        """The configuration for what others read, such as a report: without the password of ``explore.storage``."""
        explore = self.explore.model_copy(update={"storage": without_password(self.explore.storage)})
        return self.model_copy(update={"explore": explore})


def without_password(storage: str) -> str:
    """A database URL with ``***`` as its password, before the host or as an option; any other text as it is."""
    shown = re.sub(r"(://[^/@:]*):.*@", r"\1:***@", storage)
    return re.sub(r"([?&](?:password|passwd|sslpassword)=)[^&]*", r"\1***", shown, flags=re.IGNORECASE)


def load_config(path: Path, overrides: Mapping[str, Any] | None = None) -> SearchConfig:
    """Read and validate a configuration file.

    Args:
        path: A Python file in mmengine's format, with ``_base_``, or the ``config.json`` of a run.
        overrides: Values that replace the file's, by dotted key, such as ``{"learn.steps": 100}``.

    Raises:
        UserError: The file does not exist or cannot be read; a key is unknown; a value has the wrong type or range; or
            a JSON file names a Python file as space or method and the overrides do not name it too
            (:mod:`pinas_zoo.search.plugins`).
    """
    return override_config(read_config(path), overrides or {}, path)


def override_config(values: Mapping[str, Any], overrides: Mapping[str, Any], path: Path) -> SearchConfig:
    """Replace values of a configuration that was read from a file, and validate it.

    Args:
        values: The file's values, from :func:`read_config`.
        overrides: As :func:`load_config`.
        path: The file, whose suffix says whether it may name a Python file as space or method.

    Raises:
        UserError: As :func:`load_config`.
    """
    from mmengine.config import Config

    values, rest = with_recipe_read(values, overrides, path.suffix == ".py")
    try:
        config = Config(values)
        config.merge_from_dict(rest)
        merged = config.to_dict()
    except Exception as error:  # mmengine raises several types
        said = " ".join(str(error).split())[:300]
        raise UserError(f"configuration {path} cannot be read: {type(error).__name__}: {said}") from error
    parsed = parse_config(merged, str(path))
    if path.suffix != ".py":
        for key, name in (("space.type", parsed.space.get("type")), ("learn.method", parsed.learn.method)):
            if is_file(str(name)) and overrides.get(key) != name:
                raise UserError(
                    f"{path} names the Python file {name!r} as {key}, but files named in a run's config.json are not "
                    f"executed; review it, then add --set {key}={name}, or give the search's .py configuration"
                )
    return parsed


def parse_config(values: Mapping[str, Any], where: str = "configuration") -> SearchConfig:
    """Validate a configuration that is given as plain data.

    Raises:
        UserError: A key is unknown or missing, or a value has the wrong type or range. The message names the first
            error.
    """
    return parse_table(SearchConfig, values, where)
