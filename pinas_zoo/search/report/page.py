"""The report of a run: ``report.html``, one file that opens offline.

:func:`collect` reads what exists in the run's folder into plain data. The template ``templates/report.html.j2`` lays it
out. A part whose files do not exist is ``None`` or empty, and its section is left out.

The text of a run folder is not trusted: the template escapes all of it, and an SVG of the folder is never included.
Figures are drawn anew from numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pinas_zoo.analysis.cost import flops_unit, shown_flops
from pinas_zoo.analysis.paper_tables import ROWS_OF_NAMES, TABLES
from pinas_zoo.arch import Arch
from pinas_zoo.engine import curve as curve_file
from pinas_zoo.made_with import made_with
from pinas_zoo.search.chance_loss import chance_loss
from pinas_zoo.search.config import SearchConfig
from pinas_zoo.search.learned_nothing import warnings_of
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.ranking import kendall
from pinas_zoo.search.ranking.similarity import heat_map, off_diagonal
from pinas_zoo.search.ranking.trained_rows import COMPARISON, read_table
from pinas_zoo.search.report import figures
from pinas_zoo.search.report.choice_names import ChoiceNames
from pinas_zoo.search.report.choices_sections import effects_section, tree_section
from pinas_zoo.search.report.contents import Figure, Page, Table, Tile, TrueRanking, Winner, Worth
from pinas_zoo.search.report.figures import Draw
from pinas_zoo.search.report.tree_figure import LEAST
from pinas_zoo.search.report.worth_section import worth_section
from pinas_zoo.search.run_files import (
    LOG_RANKS,
    SMOOTHED,
    RankFacts,
    part_columns,
    read_label_names,
    read_matrix,
    read_rank_facts,
    read_ranking,
)
from pinas_zoo.search.run_folder import DONE, STAGES, read_done
from pinas_zoo.search.score_kinds import ScoreKind, score_kind
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.weights.atomic import write_text
from pinas_zoo.zoo import registry

Facts = Mapping[str, Mapping[str, Any]]  # of the complete stages, by their names


def write_report(folder: Path, config: SearchConfig, space: SearchSpace, scores: Mapping[Arch, Score]) -> Path:
    """Write ``report.html`` of a run, atomically; the run may be at any stage.

    Args:
        folder: Folder of the run.
        config: Configuration of the run.
        space: Search space of the configuration.
        scores: Scores in the order of evaluation; may be empty.

    Returns:
        The path of the report.

    Raises:
        UserError: A file of the folder is damaged.
    """
    path = folder / "report.html"
    write_text(path, render(collect(folder, config, space, scores)))
    return path


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("pinas_zoo.search.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = "{:.2%}".format
    environment.filters["whole_percent"] = "{:.0%}".format
    return environment.get_template("report.html.j2").render(page=page)


def _origin(config: SearchConfig) -> str:
    """Version, commit and digest of the code that wrote the page, and the run's seed."""
    made = made_with()
    commit = f" of commit {made['commit'][:12]}" if made["commit"] else ""
    versions = made["versions"]
    return f"{versions['pinas_zoo']}{commit}, code {made['code']}, torch {versions['torch']}, seed {config.seed}"


def collect(folder: Path, config: SearchConfig, space: SearchSpace, scores: Mapping[Arch, Score]) -> Page:
    """Collect the contents of a report from a run; the arguments are those of :func:`write_report`."""
    facts = {stage: read_done(folder / stage) for stage in STAGES if (folder / stage / DONE).is_file()}
    ranking_file = folder / "explore" / "ranking.csv"
    weights = config.explore.weights or {}
    ranking = read_ranking(ranking_file, weights) if ranking_file.is_file() else []
    kind = score_kind(config)
    method = method_class(config.learn.method).title
    chosen = next((found for stage in ("explore", "winner") if (found := facts.get(stage, {}).get("winner"))), None)
    arch = space.parse(chosen) if chosen else None
    winner = _winner(folder, config, space, arch, facts) if arch else None
    troubles = [found["trouble"] for found in facts.values() if found.get("trouble")]
    doubts = [warning for found in facts.values() for warning in warnings_of(found)]
    warnings = dict.fromkeys([*troubles, *(doubt.text for doubt in doubts)])
    return Page(
        name=config.name,
        method=method,
        version=_origin(config),
        image_size=config.data.image_size,
        kind=kind,
        rank_by=config.explore.rank_by,
        scored=len(scores) or len(ranking),
        chosen=facts.get("learn", {}).get("chosen") is not None,
        complete=tuple(facts),
        warnings=tuple(warnings),
        tiles=tuple(_tiles(config, space, arch, winner, facts, ranking, len(scores) or len(ranking))),
        worth=_worth(folder, config, facts["train"]) if "train" in facts else None,
        winner=winner,
        learning=tuple(_learning(folder, config, method)),
        exploration=tuple(_exploration(folder, config, list(scores.values()), ranking, chosen, space)),
        candidates=_candidates(ranking, kind, weights) if ranking else None,
        references=_references(space, facts.get("explore", {}), ranking),
        digits=ChoiceNames.of(space).digits,
        effects=effects_section(space, scores, kind) if len(scores) > 1 else None,
        tree=tree_section(space, scores) if len(scores) >= LEAST else None,
        truth=_truth(folder / "rank.json", kind) if (folder / "rank.json").is_file() else None,
        stages=_stages(facts) if facts else None,
        configuration=config.shown().model_dump_json(indent=1),
    )


def _figure(draw: Draw, caption: str, inches: tuple[float, float] = figures.SIZE) -> Figure:
    return Figure(figures.inline_svg(draw, caption, inches), caption)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]], numeric: Collection[int], **more: Any) -> Table:
    return Table(tuple(head), tuple(tuple(map(str, row)) for row in rows), frozenset(numeric), **more)


def _winner(folder: Path, config: SearchConfig, space: SearchSpace, arch: Arch, facts: Facts) -> Winner:
    description = space.describe(arch)
    drawn = space.picture(arch, f"Winner {description}")
    tested = facts.get("train") or facts.get("winner") or {}
    model = folder / "winner" / "config.json"
    classes = read_label_names(model) if model.is_file() else ()
    return Winner(
        description=description,
        picture=Markup(drawn) if drawn else None,
        registered=_registered(folder, f"{config.name}_winner", facts),
        accuracy=tested.get("test_accuracy"),
        classes=classes,
        model_folder=None if "winner" not in facts else "trained" if "train" in facts else "winner",
        noise=(facts.get("explore", {}).get("within_noise") or {}).get("text"),
    )


def _registered(folder: Path, name: str, facts: Facts) -> str | None:
    """The winner's name in timm. That of a search that learned nothing has one if the user asked for it."""
    if "winner" not in facts:
        return None
    if not any(warning.blocks for found in facts.values() for warning in warnings_of(found)):
        return name
    entry = registry.find(name)
    return name if entry is not None and entry.folder and folder.resolve() in Path(entry.folder).parents else None


def _worth(folder: Path, config: SearchConfig, facts: Mapping[str, Any]) -> Worth | None:
    """The comparison of trained networks, if the run has one, with the sentence that its train stage stored."""
    path, stored = folder / COMPARISON, facts.get("comparison")
    said = stored.get("sentence") if isinstance(stored, Mapping) else None
    words = said if isinstance(said, str) else None
    return worth_section(read_table(path), config.train, words) if path.is_file() else None


def _tiles(
    config: SearchConfig,
    space: SearchSpace,
    arch: Arch | None,
    winner: Winner | None,
    facts: Facts,
    ranking: Sequence[Mapping[str, str]],
    scored: int,
) -> list[Tile]:
    tiles = []
    if winner is not None and winner.accuracy is not None:
        measured = "trained stand-alone" if "train" in facts else "with weights inherited from the supernet"
        images = facts.get("winner", {}).get("test_images")
        note = f"{measured}, {images} test images" if images else measured
        tiles.append(Tile("Test accuracy", f"{winner.accuracy:.2%}", note))
    if arch is not None:
        held_out = facts.get("explore", {}).get("held_out")
        score = next((float(row["accuracy"]) for row in ranking if row["arch"] == str(arch)), None)
        if score is not None:
            kind = score_kind(config)
            note = f"in the supernet, {held_out} held-out images" if held_out else "in the supernet"
            note = note if kind.in_supernet else "of the untrained network"
            tiles.append(Tile(capitalised(kind.title), kind.shown(score), note))
        size = config.data.image_size
        params_m, flops_g = space.cost(arch, size)
        tiles.append(Tile("Parameters", f"{params_m:.3f} M", "without classifier"))
        tiles.append(Tile("Multiply-adds", shown_flops(flops_g), f"at {size} x {size} pixels"))
    if scored:
        tiles.append(Tile("Scored", f"{scored:,}", f"of {space.size:,} architectures"))
    if facts:
        seconds = sum(stage["seconds"] for stage in facts.values())
        peak = max(stage["peak_memory_mib"] for stage in facts.values())
        tiles.append(Tile("Time", _duration(seconds), f"in {len(facts)} stages, peak memory {peak} MiB"))
    return tiles


def capitalised(text: str) -> str:
    """The text with a capital first letter; the others stay as they are, as in ZiCo."""
    return text[:1].upper() + text[1:]


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), seconds / 3600
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes} min" if minutes < 120 else f"{hours:.1f} h"


def _learning(folder: Path, config: SearchConfig, method: str) -> list[Figure]:
    """The curves of the stages that train something."""
    curves = {
        stage: curve_file.read_curve(folder / stage)
        for stage in ("learn", "linear", "train")
        if (folder / stage / curve_file.CURVE).is_file()
    }
    found = []
    learn = curves.get("learn", {})
    if losses := {key: values for key, values in learn.items() if "loss" in key}:
        chance = chance_loss(config, learn["step"]) if list(losses) == ["loss"] else None
        found.append(_figure(figures.curve(learn["step"], losses, "loss", chance=chance), f"Learning: {method} loss"))
    if "drift" in learn:
        draw = figures.curve(learn["step"], {"drift": learn["drift"]}, "relative distance")
        found.append(_figure(draw, "Parameter shift: distance of teacher and student, relative"))
    for stage, caption in (("linear", "Linear evaluation: accuracy"), ("train", "The winner alone: accuracy")):
        if values := curves.get(stage, {}).get("accuracy"):
            draw = figures.curve(curves[stage]["step"], {"accuracy": values}, "accuracy", percent=True)
            found.append(_figure(draw, f"{caption} on training images"))
    return found


def _exploration(
    folder: Path,
    config: SearchConfig,
    scores: Sequence[Score],
    ranking: Sequence[Mapping[str, str]],
    winner: str | None,
    space: SearchSpace,
) -> list[Figure]:
    kind = score_kind(config)
    quantity, title = kind.title, capitalised(kind.title)
    found = []
    if len(scores) > 1:  # a method may have chosen the only one
        found.append(_figure(figures.histogram(scores, quantity, kind.percent), f"{title} of the candidates"))
        first = figures.random_draws(config.explore)
        caption = f"Best {quantity} over evaluations."
        if first:
            caption += (
                f" Random search is estimated from the first {min(first, len(scores))} candidates, which were drawn at "
                "random. It cannot exceed their best: from few, the estimate is low."
            )
        found.append(_figure(figures.best_so_far(scores, first, quantity, kind.percent), caption))
    if len(ranking) > 1:
        unit = 100 if kind.percent else 1
        points = {row["arch"]: (float(row["flops_g"]), unit * float(row["accuracy"])) for row in ranking}
        draw = figures.cost_front(list(points.values()), quantity, points.get(winner or ""), kind.percent)
        found.append(_figure(draw, f"{title} over multiply-adds, and the Pareto front"))
    for path, by in (
        (folder / "explore" / "similarity.csv", ""),
        (folder / "similarity.csv", " (pinas-zoo similarity)"),
    ):
        if path.is_file():
            matrix = read_matrix(path)
            caption = f"Feature similarity by last candidate{by}; {off_diagonal(matrix):.3f} off the diagonal"
            found.append(_figure(heat_map(matrix, ChoiceNames.of(space).candidates), caption))
    return found


def _candidates(ranking: Sequence[Mapping[str, str]], kind: ScoreKind, parts: Collection[str]) -> Table:
    """The ten best. Combined scores have a column each, with the rank by it, and one with the sum of log ranks.

    A smoothed ranking has a column of what ranks: the lower the better.
    """
    rows, best = [], ranking[:10]
    unit, factor = flops_unit(max(float(row["flops_g"]) for row in best))
    for row in best:
        cells = [row["rank"], row["arch"], kind.shown(float(row["accuracy"]))]
        for value, _, rank in map(part_columns, parts):
            cells.append(f"{float(row[value]):.4g} ({row[rank]})")
        cells += [f"{float(row[LOG_RANKS]):.3f}"] if parts else []
        cells += [row.get("loss", ""), row.get("params_m", ""), f"{float(row['flops_g']) * factor:.4f}"]
        cells.append(row.get("effects", ""))
        if SMOOTHED in row:
            cells.append(f"{float(row[SMOOTHED]):.3f}" if row[SMOOTHED] else "")
        rows.append(cells)
    sums = [*(f"{name} (rank)" for name in parts), "sum of log ranks"] if parts else []
    costs = ["params, M", f"multiply-adds, {unit}"]
    head = ["rank", "architecture", kind.name, *sums, "loss", *costs, "sum of effects"]
    head += ["smoothed"] if SMOOTHED in best[0] else []
    return _table(head, rows, (0, *range(2, len(head))), code=frozenset((1,)))


def _references(space: SearchSpace, explored: Mapping[str, Any], ranking: Sequence[Mapping[str, str]]) -> Table | None:
    """Accuracies in the supernet of the winner and of known architectures, in the paper's space beside Table 1's."""
    accuracies: Mapping[str, float] = explored.get("references", {})
    if not accuracies:
        return None
    winner = explored["winner"]
    own = next((row for row in ranking if row["arch"] == winner), None)
    score = "" if own is None else f"{float(own.get('classifier') or own['accuracy']):.2%}"
    names, printed = space.references(), TABLES[1]
    if "pinas_alpha" not in names:  # Table 1 has accuracies of the paper's space alone
        rows = [[name, str(names.get(name, "")), f"{accuracy:.2%}"] for name, accuracy in accuracies.items()]
        return _table(["path", "architecture", "ours"], [["winner", winner, score], *rows], (2,), code=frozenset((1,)))
    rows = [["winner", winner, score, ""]]
    of_paper = {name: row for name, (table, row) in ROWS_OF_NAMES.items() if table == 1}
    for name, accuracy in accuracies.items():
        row = of_paper.get(name)
        cells = [row or name, str(names.get(name, "")), f"{accuracy:.2%}"]
        rows.append([*cells, printed.cell(row, "Acc@S") if row else ""])
    shown = {row[0] for row in rows}
    rows += [[row, "", "not available", printed.cell(row, "Acc@S")] for row in printed.names() if row not in shown]
    return _table(["path", "architecture", "ours", "paper"], rows, (2, 3), code=frozenset((1,)))


def _truth(path: Path, kind: ScoreKind) -> TrueRanking:
    """The results of ``pinas-zoo rank``."""
    found = read_rank_facts(path)
    taus = {"scores in the supernet": found.score}
    taus |= {f"of these, {name} alone": part.score for name, part in found.parts.items()}
    taus |= {"multiply-adds alone": found.flops, "difference": found.difference}
    if found.effects is not None:
        taus["main effects of the scores"] = found.effects.score
        taus["difference to the scores"] = found.effects.difference
    if found.smoothed is not None:
        taus["scores and main effects, half each"] = found.smoothed.score
        taus["their difference to the scores"] = found.smoothed.difference
    rows = [[name, f"{tau.value:+.3f}", f"{tau.low:+.3f}", f"{tau.high:+.3f}"] for name, tau in taus.items()]
    figure = None
    if found.points is not None:  # older versions wrote a file rank.svg alone
        where = f"held-out {kind.name} in the supernet" if kind.in_supernet else kind.name
        caption = f"{found.column} of {found.truth} over {where}"
        figure = _figure(_scatter(found, kind), caption)
    table = _table(["order by", "tau", "from", "to"], rows, (1, 2, 3))
    paper = "" if found.paper is None else found.paper.text
    return TrueRanking(found.count, found.column, found.truth, paper, table, figure)


def _scatter(found: RankFacts, kind: ScoreKind) -> Draw:
    """Figure of the points of ``rank.json``: accuracy of stand-alone networks over score."""
    assert found.points is not None
    columns = found.points.arch, found.points.score, found.points.flops_g, found.points.truth
    taus = {key: kendall.KendallTau(**dict(getattr(found, key))) for key in ("score", "flops", "difference")}
    best = {"best": found.best, "best_truth": found.best_truth, "top_truth": found.top_truth}
    ranking = kendall.RankCorrelation(count=found.count, **taus, **best)  # type: ignore[arg-type]
    return kendall.scatter(list(zip(*columns, strict=True)), ranking, kind.name, kind.percent)


def _stages(facts: Facts) -> Table:
    rows = [[name, f["summary"], f"{f['seconds']:.0f}", f"{f['peak_memory_mib']}"] for name, f in facts.items()]
    rows.append(["all", "", f"{sum(f['seconds'] for f in facts.values()):.0f}", ""])
    return _table(["stage", "result", "seconds", "peak memory so far, MiB"], rows, (2, 3))
