"""The result of a study as Markdown, JSON, an HTML page that opens offline, and a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from pinas_zoo.analysis.hardware import hardware
from pinas_zoo.search.report.figures import figure_svg, inline_svg
from pinas_zoo.search.trained_study.architectures import RANDOM
from pinas_zoo.search.trained_study.correlations import ACCURACY, FLOPS, StudyResults, StudyRow, TrainedArch
from pinas_zoo.search.trained_study.jobs import Study
from pinas_zoo.search.trained_study.scatter import scatters
from pinas_zoo.version import __version__
from pinas_zoo.weights.atomic import write_json, write_text

FILES = ("report.md", "report.json", "report.html", "scatter.svg")


@dataclass(frozen=True)
class StudyTable:
    """A table with its heading and a paragraph above it; cells are text."""

    heading: str
    words: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int]  # columns that are aligned to the right


def write_report(study: Study, results: StudyResults, folder: Path) -> None:
    """Write :data:`FILES` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paragraphs, tables = list(introduction(study, results)), list(tables_of(study, results))
    draw, inches = scatters(study, results)
    caption = f"{study.config.name}: accuracy after training over each score"
    write_json(folder / "report.json", facts(study, results))
    write_text(folder / "scatter.svg", figure_svg(draw, caption, inches))
    write_text(folder / "report.md", markdown(study.config.name, paragraphs, tables))
    loaders = [PackageLoader(f"pinas_zoo.search.{package}") for package in ("trained_study", "report")]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("study.html.j2").render(
        name=study.config.name,
        paragraphs=paragraphs,
        tables=tables,
        figure=inline_svg(draw, caption, inches),
        caption=caption,
        configuration=study.config.model_dump_json(indent=1, exclude={"storage"}),
        version=__version__,
    )
    write_text(folder / "report.html", page)


def introduction(study: Study, results: StudyResults) -> Iterator[str]:
    """What was done, and how to read the tables."""
    config, recipe = study.config, study.config.recipe_of(study.space, results.architectures[0].arch, 0)
    trainings = sum(len(one.accuracies) for one in results.architectures)
    wanted = config.count * len(config.seeds)
    state = "" if results.complete else f" The study is not complete: {trainings} of {wanted} trainings are."
    yield (
        f"{config.count} of {study.space.size} architectures, each trained alone for {recipe.schedule.epochs} epochs "
        f"with {_count(config.seeds, 'seed')}; supernets of {', '.join(study.titles.values())} with "
        f"{_count(config.supernet_seeds, 'seed')} each.{state}"
    )
    yield (
        "Tau is Kendall's tau-b between a score in the supernet and the mean test accuracy of the trained networks, n "
        "the number of architectures. Brackets hold 95% bootstrap intervals over the architectures. They contain "
        "neither the variance of the supernets nor that of the trainings. A score whose interval contains 0 cannot be "
        "told from one that ranks nothing."
    )
    if results.between_seeds is not None:
        yield (
            f"Two trainings of the same architectures with different seeds agree with tau {results.between_seeds:+.3f} "
            "(mean over pairs of seeds). The lower it is, the less any score can reach."
        )


def tables_of(study: Study, results: StudyResults) -> Iterator[StudyTable]:
    """A table of taus for each outcome, then the architectures."""
    for outcome in results.outcomes:
        rows = [row for row in results.rows if row.outcome == outcome]
        words = "" if outcome == ACCURACY else "The outcome is read from the file that the configuration names."
        head = ("method", "score", "supernet's seed", "n", "tau", "tau less that of multiply-adds")
        yield StudyTable(f"Ranking by {outcome}", words, head, [_tau_cells(study, row) for row in rows], frozenset({3}))
    names = [name for name in results.outcomes if name != ACCURACY]
    columns = ("architecture", "why", "parameters, M", "multiply-adds, M", "test accuracy, %", "by seed", *names)
    rows_of = sorted(results.architectures, key=lambda one: -one.accuracy if one.accuracies else 1.0)
    cells = [(*_arch_cells(one), *(_number(results.outcomes[name].get(one.arch)) for name in names)) for one in rows_of]
    numeric = frozenset({2, 3, 4, *range(6, len(columns))})
    yield StudyTable("Architectures", _summary(results), columns, cells, numeric)


def _tau_cells(study: Study, row: StudyRow) -> tuple[str, ...]:
    predictor, ranking = row.predictor, row.ranking
    name = study.titles.get(predictor.method, predictor.method)
    taus = ("too few", "") if ranking is None else (str(ranking.score), str(ranking.difference))
    if predictor.method == FLOPS and ranking is not None:
        taus = (taus[0], "")
    return name, predictor.kind, predictor.seed, str(row.count), *taus


def _arch_cells(one: TrainedArch) -> tuple[str, ...]:
    accuracy = "" if not one.accuracies else f"{100 * one.accuracy:.2f}"
    if one.deviation is not None:
        accuracy += f" ± {100 * one.deviation:.2f}"
    seeds = ", ".join(f"{100 * value:.2f}" for value in one.accuracies.values())
    return str(one.arch), one.origin, f"{one.params_m:.3f}", f"{1000 * one.flops_g:.2f}", accuracy, seeds


def _summary(results: StudyResults) -> str:
    random = [one.accuracy for one in results.architectures if one.origin == RANDOM and one.accuracies]
    words = "Accuracies are the mean over the seeds, ± their standard deviation."
    if not random:
        return words
    return f"{words} The {len(random)} random ones reach {100 * fmean(random):.2f}% on average."


def facts(study: Study, results: StudyResults) -> dict[str, Any]:
    """The results in plain data."""
    return {
        "name": study.config.name,
        "complete": results.complete,
        "between_seeds": results.between_seeds,
        "rows": [row.to_dict() for row in results.rows],
        "architectures": [
            {**asdict(one), "arch": str(one.arch), "accuracies": {str(k): v for k, v in one.accuracies.items()}}
            for one in results.architectures
        ],
        "scores": [
            {"method": p.method, "kind": p.kind, "seed": p.seed, "values": {str(a): v for a, v in p.values.items()}}
            for p in results.predictors
        ],
        "outcomes": {name: {str(a): v for a, v in values.items()} for name, values in results.outcomes.items()},
        "machine": hardware(),
        "version": __version__,
        "config": study.config.model_dump(mode="json", exclude={"storage"}),
    }


def markdown(name: str, paragraphs: Sequence[str], tables: Sequence[StudyTable]) -> str:
    """The page as Markdown."""
    lines = [f"# {name}", ""]
    for paragraph in paragraphs:
        lines += [paragraph, ""]
    for table in tables:
        lines += [f"## {table.heading}", ""] + ([table.words, ""] if table.words else [])
        marks = ["---:" if k in table.numeric else "---" for k in range(len(table.head))]
        for cells in (table.head, marks, *table.rows):
            lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
        lines.append("")
    return "\n".join([*lines, "![Accuracy over scores](scatter.svg)"]) + "\n"


def _count(seeds: Sequence[int], word: str) -> str:
    return f"{len(seeds)} {word}{'s' if len(seeds) > 1 else ''}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
