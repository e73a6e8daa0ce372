"""The Python interface of the search. It has the same stages and run folders as ``pinas-zoo search``.

from pinas_zoo.search import search

result = search("digits", name="mine", overrides={"learn.steps": 100})
result.winner, result.test_accuracy      # Arch 333330, 0.99
result.ranking[:3]                       # the three best candidates; pandas.DataFrame(result.ranking) makes a table
result.report                            # work_dirs/mine/report.html
model = result.model()                   # a timm model in eval mode, with its weights
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.unread_root import refuse_unread_root
from pinas_zoo.engine import distributed
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import SearchConfig, parse_config
from pinas_zoo.search.config_files import find_config
from pinas_zoo.search.context import Context, Say
from pinas_zoo.search.pipeline import REPORT, open_context, run
from pinas_zoo.search.recipe_of_config import with_recipe_read
from pinas_zoo.search.replace_method import load_with_method, without_options_of_another
from pinas_zoo.search.run_files import read_ranking
from pinas_zoo.search.run_folder import is_done, read_done
from pinas_zoo.search.stages.stage_warnings import stored_warnings


@dataclass(frozen=True)
class RankedArchitecture:
    """A scored candidate and its place in the ranking.

    Attributes:
        rank: Place in the ranking; 1 is the best.
        arch: The architecture.
        score: Held-out accuracy in 0..1, or the quantity that ``explore.score`` selects; higher is better.
        loss: Breaks ties between equal scores; lower is better.
        params_m: Parameters in millions, without classifier.
        flops_g: Multiply-adds in billions for one image, without classifier.
        effects: Sum of the main effects of the architecture's choices, in units of the score.
        smoothed: By which ``explore.rank_by="smoothed"`` ranks: 0 is first by score and effects; None for other runs.
        parts: The score of each kind, by name, if ``explore.score`` combines several; ``score`` is then the sum of the
            logarithms of places from the last by each, as a share: 1 is first by each, 0 last by each.
    """

    rank: int
    arch: Arch
    score: float
    loss: float
    params_m: float
    flops_g: float
    effects: float
    parts: Mapping[str, float] = field(default_factory=dict, hash=False)
    smoothed: float | None = None


@dataclass(frozen=True)
class SearchResult:
    """The results of a run so far. Results of stages that are not complete are None or empty.

    Attributes:
        name: Name of the run. Its winner is registered as ``NAME_winner``, unless it learned nothing.
        folder: Folder of the run.
        winner: The best architecture.
        ranking: All scored candidates, best first.
        test_accuracy: Test accuracy in 0..1 of the winner: after stand-alone training if the run has a train stage,
            otherwise with its supernet weights.
        report: Path of ``report.html``.
        warnings: Reasons to doubt the search, one line each with the likely cure. The winner is not registered if one
            of them says that nothing was learned.
    """

    name: str
    folder: Path
    winner: Arch | None
    ranking: tuple[RankedArchitecture, ...]
    test_accuracy: float | None
    report: Path | None
    warnings: tuple[str, ...] = ()

    def model(self, **kwargs: Any) -> nn.Module:
        """Load the winner as a timm model in eval mode: the trained weights if there are any, or the supernet's.

        Args:
            kwargs: Arguments of ``timm.create_model``, such as ``num_classes=5`` or ``features_only=True``.

        Returns:
            A classifier, N x 3 x H x W to N x num_classes, unless ``kwargs`` ask for another output.

        Raises:
            UserError: The winner stage of the run is not complete.
        """
        for stage, folder in (("train", "trained"), ("winner", "winner")):
            if is_done(self.folder, stage):
                return timm.create_model(f"local-dir:{self.folder / folder}", pretrained=True, **kwargs).eval()
        raise UserError(f"expected a run with a winner, got {self.folder}, which has none yet; resume it")


def search(
    config: str | Path | Mapping[str, Any] | SearchConfig,
    *,
    name: str | None = None,
    work_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    say: Say = print,
    register_anyway: bool = False,
) -> SearchResult:
    """Run a search, or resume it if its folder exists. Complete stages are skipped.

    Args:
        config: Path of a configuration file (``configs/search/digits.py``), name of one that comes with the package
            (``digits``), or the configuration as plain data.
        name: Name of the run. None: the configuration's.
        work_dir: Folder of the run. None: ``work_dirs/NAME``.
        overrides: Values that replace the configuration's, by dotted key, such as ``{"learn.steps": 100}``. If they
            name another method (``{"learn.method": "spos"}``), options of the configuration that this method does not
            accept are left out, and a message says which.
        say: Function that receives the one-line messages of the stages.
        register_anyway: Whether to register the winner of a search that learned nothing, too; ``warnings`` of the
            result say why it is in doubt.

    Returns:
        The results of the run.

    Raises:
        UserError: The configuration is wrong, the images cannot be used, or the folder contains another run.

    Example:
        A search of a few minutes on the digits of scikit-learn::

            from pinas_zoo.search import search

            result = search("digits", name="mine", overrides={"learn.steps": 100})
            print(result.winner, f"{result.test_accuracy:.1%}")
    """
    if not isinstance(config, str | Path | Mapping | SearchConfig):
        raise UserError(f"expected a configuration as a file, a name or a mapping, got {type(config).__name__}")
    changes = {**(overrides or {}), **({} if name is None else {"name": name})}
    if isinstance(config, SearchConfig):
        config = config.model_dump(mode="json")

    def note(text: str) -> None:
        if distributed.rank() == 0:
            say(f"note     {text}")

    if isinstance(config, Mapping):
        checked = parse_config(
            merged(*with_recipe_read(without_options_of_another(config, changes, note), changes, True))
        )
        refuse_unread_root(checked.data.type, checked.data.root)
    else:
        checked = load_with_method(find_config(config), changes, note)
    folder = Path(work_dir) if work_dir is not None else Path("work_dirs") / checked.name
    context = Context.of(checked, folder, say)
    run(context, register_anyway)
    return result_of(context)


def open_run(folder: str | Path, overrides: Mapping[str, Any] | None = None) -> SearchResult:
    """Read the results of a run from its folder, without running anything. No code in the folder is executed.

    Args:
        folder: Folder of the run.
        overrides: Configuration values by dotted key. A run whose space or method is a Python file requires the file
            here, such as ``{"space.type": "mine.py"}``, because files named in the folder are not executed.

    Raises:
        UserError: The folder does not contain a run.

    Example:
        ::

            from pinas_zoo.search import open_run

            for candidate in open_run("work_dirs/mine").ranking[:3]:
                print(candidate.rank, candidate.arch, f"{candidate.score:.1%}", f"{candidate.flops_g:.2f} G")
    """
    return result_of(open_context(Path(folder), None, overrides))


def result_of(context: Context) -> SearchResult:
    """Read the results of a run from its folder."""
    folder, parse = context.folder, context.space.parse
    explored = read_done(folder / "explore")
    weights, ranking = context.config.explore.weights or {}, []
    for row in read_ranking(folder / "explore" / "ranking.csv", weights) if explored else []:
        score, loss, params_m, flops_g = (float(row[key]) for key in ("accuracy", "loss", "params_m", "flops_g"))
        effects = float(row.get("effects") or "nan")  # versions before 0.1 had none
        smoothed = float(row["smoothed"]) if row.get("smoothed") else None
        parts = {name: float(row[name]) for name in weights}
        ranking.append(
            RankedArchitecture(
                int(row["rank"]), parse(row["arch"]), score, loss, params_m, flops_g, effects, parts, smoothed
            )
        )
    tested = read_done(folder / "train") or read_done(folder / "winner")
    report = folder / REPORT
    return SearchResult(
        name=context.config.name,
        folder=folder,
        winner=context.explored_winner() if explored else None,
        ranking=tuple(ranking),
        test_accuracy=tested.get("test_accuracy"),
        report=report if report.is_file() else None,
        warnings=tuple(warning.text for warning in stored_warnings(folder)),
    )


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of plain data in which the values of some dotted keys are replaced."""
    result = {key: merged(value, {}) if isinstance(value, Mapping) else value for key, value in values.items()}
    for dotted, value in changes.items():
        *tables, last = str(dotted).split(".")
        table = result
        for key in tables:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise UserError(f"expected overrides of tables, such as learn.steps, got {dotted!r}: {key} is no table")
        table[last] = value
    return result
