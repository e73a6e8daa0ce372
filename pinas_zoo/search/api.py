"""A search from Python: the same stages and folders as ``pinas-zoo search``.

from pinas_zoo.search import search

result = search("digits", name="mine", overrides={"learn.steps": 100})
result.winner, result.test_accuracy      # Arch 333330, 0.99
result.ranking[:3]                       # the best three candidates; pandas.DataFrame(result.ranking) makes a table
result.report                            # work_dirs/mine/report.html
model = result.model()                   # a timm model in eval mode, with its weights
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import SearchConfig, load_config, parse_config
from pinas_zoo.search.config_files import find_config
from pinas_zoo.search.context import Context, Say
from pinas_zoo.search.pipeline import REPORT, open_context, run
from pinas_zoo.search.run_folder import is_done, read_done
from pinas_zoo.search.study.ranking_file import read_ranking


@dataclass(frozen=True)
class RankedArchitecture:
    """One scored candidate.

    Attributes:
        rank: 1 for the best.
        arch: The architecture.
        score: What candidates are ranked by: accuracy in 0..1, or what ``explore.score`` has in its place.
        loss: Decides among equal scores, the lower the better.
        params_m: Parameters in millions, without classifier.
        flops_g: Multiply-adds in billions, without classifier.
        effects: Sum of the main effects of its choices, in units of the score.
    """

    rank: int
    arch: Arch
    score: float
    loss: float
    params_m: float
    flops_g: float
    effects: float


@dataclass(frozen=True)
class SearchResult:
    """What a run has found so far; what its stages have not reached yet is None or empty.

    Attributes:
        name: Of the run; its winner is registered as ``NAME_winner``.
        folder: Of the run.
        winner: The best architecture.
        ranking: All scored candidates, the best first.
        test_accuracy: Of the winner, in 0..1: trained alone, or as it was cut out of the supernet.
        report: report.html.
    """

    name: str
    folder: Path
    winner: Arch | None
    ranking: tuple[RankedArchitecture, ...]
    test_accuracy: float | None
    report: Path | None

    def model(self, **kwargs: Any) -> nn.Module:
        """The winner as a timm model in eval mode, with its weights.

        Args:
            kwargs: For ``timm.create_model``, such as ``num_classes=5`` or ``features_only=True``.

        Raises:
            UserError: The run has not cut out a winner yet.
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
) -> SearchResult:
    """Run a search, or resume it; stages that are complete in its folder are not run again.

    Args:
        config: A file (``configs/search/digits.py``), the name of one that comes with the package (``digits``), or
            the configuration as plain data.
        name: Of the run; the configuration's when None.
        work_dir: The run's folder; ``work_dirs/NAME`` when None.
        overrides: Values that replace the configuration's, by dotted key: ``{"learn.steps": 100}``.
        say: Takes the one-line summary of each stage.

    Raises:
        UserError: Wrong configuration, images that cannot be used, or a folder that holds another run.
    """
    changes = {**(overrides or {}), **({} if name is None else {"name": name})}
    if isinstance(config, SearchConfig):
        config = config.model_dump(mode="json")
    if isinstance(config, Mapping):
        checked = parse_config(merged(config, changes))
    else:
        checked = load_config(find_config(config), changes)
    folder = Path(work_dir) if work_dir is not None else Path("work_dirs") / checked.name
    context = Context.of(checked, folder, say)
    run(context)
    return result_of(context)


def open_run(folder: str | Path, overrides: Mapping[str, Any] | None = None) -> SearchResult:
    """What the run of a folder has found; nothing in the folder is executed.

    Args:
        folder: Of the run.
        overrides: For a run with a Python file as space or method, which only the user may name again:
            ``{"space.type": "mine.py"}``.

    Raises:
        UserError: Not the folder of a run.
    """
    return result_of(open_context(Path(folder), None, overrides))


def result_of(context: Context) -> SearchResult:
    """What a run has found, read from its folder."""
    folder, parse = context.folder, context.space.parse
    explored = read_done(folder / "explore")
    ranking = []
    for row in read_ranking(folder / "explore" / "ranking.csv") if explored else []:
        score, loss, params_m, flops_g = (float(row[key]) for key in ("accuracy", "loss", "params_m", "flops_g"))
        effects = float(row.get("effects") or "nan")  # versions before 0.1 had none
        ranking.append(
            RankedArchitecture(int(row["rank"]), parse(row["arch"]), score, loss, params_m, flops_g, effects)
        )
    tested = read_done(folder / "train") or read_done(folder / "winner")
    report = folder / REPORT
    return SearchResult(
        name=context.config.name,
        folder=folder,
        winner=parse(explored["winner"]) if explored else None,
        ranking=tuple(ranking),
        test_accuracy=tested.get("test_accuracy"),
        report=report if report.is_file() else None,
    )


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with values replaced by dotted key."""
    result = {key: merged(value, {}) if isinstance(value, Mapping) else value for key, value in values.items()}
    for dotted, value in changes.items():
        *tables, last = dotted.split(".")
        table = result
        for key in tables:
            table = table.setdefault(key, {})
        table[last] = value
    return result
