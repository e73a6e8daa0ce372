"""The Markdown page and the figures of an evidence, from its kept runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pinas_zoo.search.evidence.figures import draw_overview, draw_scatter, draw_times
from pinas_zoo.search.evidence.methods_table import methods_table
from pinas_zoo.search.evidence.regime_tables import (
    ablations_table,
    replacements_table,
    skips_table,
    trials_table,
    tried_runs,
)
from pinas_zoo.search.evidence.results import RANKING_SCORES, MeasuredRun
from pinas_zoo.search.evidence.scores_table import RankedBy, best_of_first, scores_table, ways_to_rank
from pinas_zoo.search.evidence.tables import (
    Evidence,
    Ranking,
    fits_table,
    pairs_table,
    protocol_table,
    ranking_table,
    seeds_table,
)
from pinas_zoo.search.evidence.training_free import size_in_words
from pinas_zoo.weights.atomic import write_text


@dataclass(frozen=True)
class EvidenceReport:
    """Files that were written, and the text of the page."""

    page: Path
    overview: Path
    text: str
    shown: Sequence[MeasuredRun]  # runs that all tables show


def write_report(evidence: Evidence, results: Path) -> EvidenceReport:
    """Write the page and the overview beside the folder of results, and a figure of each run into it."""
    shown = replace(evidence, runs=shown_runs(evidence))
    text = report_text(evidence)
    page, overview = results.with_name(f"{results.name}.md"), results.with_name(f"{results.name}.svg")
    write_text(page, text)
    draw_overview(shown, overview)
    draw_times(shown, results.with_name(f"{results.name}_times.svg"))
    for run in shown.runs:
        draw_scatter(shown, run, results / f"{run.name}.svg")
    return EvidenceReport(page, overview, text, shown.runs)


def shown_runs(evidence: Evidence) -> list[MeasuredRun]:
    """All runs but trials with few scores, which the table of trials shows."""
    trials = {run.name for run in tried_runs(evidence) if len(run.scores) < evidence.config.report.fitted}
    return [run for run in evidence.runs if run.name not in trials]


def report_text(evidence: Evidence) -> str:
    """The page."""
    config = evidence.config
    shown = replace(evidence, runs=shown_runs(evidence))
    lines = [f"# {config.title}", ""]
    for paragraph in config.introduction:
        lines += [paragraph, ""]
    if evidence.left_out:
        found = ", ".join(f"{one.kind} of {one.size:,} ({size_in_words(one.network)})" for one in evidence.left_out)
        why = (
            "since they are of networks of another size than the configuration's; `--training-free` measures them anew"
        )
        lines += [f"Left out, {why}: {found}.", ""]
    lines += methods_table(shown)
    for protocol in config.protocols:
        ranking = Ranking(protocol.supernet, protocol.scored)
        lines += protocol_table(shown, ranking) + seeds_table(shown, ranking) + pairs_table(shown, ranking)
        lines += scores_table(shown, ranking) if shown.of(ranking) else []
    for size in config.spaces:
        if shown.of_size(size):
            whole = Ranking(size, size)
            lines += ranking_table(shown, size) + seeds_table(shown, whole)
            lines += fits_table(shown, size) + pairs_table(shown, whole) + scores_table(shown, whole)
        elif any(one.size == size for one in shown.training_free):
            lines += [f"## {size:,} architectures, without supernets", "", *scores_table(shown, Ranking(size, size))]
    lines += ablations_table(shown) + skips_table(shown)
    lines += replacements_table(shown) + trials_table(evidence)
    return "\n".join(lines).rstrip() + "\n"


def run_facts(evidence: Evidence, run: MeasuredRun) -> dict[str, Any]:
    """One run in plain data."""
    by, archs = run.ranked_by(evidence.config.rank_by), evidence.archs(run.scored)
    keys = ("run", "title", "seed", "architectures", "scored", "minutes", "budget_steps", "threads", "steps")
    return {
        "name": run.name,
        **{
            key: run.facts.get(key) for key in (*keys, "accuracy", "machine")
        },  # a run without the probe has no accuracy
        "changes": list(run.changes),
        "subspace": run.scored,
        "ranked_by": by,
        "tau_of_effects": evidence.truth.tau(run.effect_sums(by, archs)),
        "tau_of_scores": evidence.truth.tau(run.values(by)),
        "taus": {
            RANKING_SCORES[name]: {
                "effects": evidence.truth.tau(run.effect_sums(name, archs)),
                "scores": evidence.truth.tau(run.values(name)),
            }
            for name in run.known_scores
        },
        "single_scores": {way.words: _way_facts(evidence, run, way) for way in _ways(evidence, run)},
    }


def _ways(evidence: Evidence, run: MeasuredRun) -> list[RankedBy]:
    return ways_to_rank(evidence, Ranking(run.size, run.scored), run)


def _way_facts(evidence: Evidence, run: MeasuredRun, way: RankedBy) -> dict[str, Any]:
    """Taus of a score or sum over the scored architectures, and the best of the first ten by it in percent."""
    truth = evidence.truth
    half = truth.better_half(evidence.archs(run.scored))
    inside = {arch: value for arch, value in way.values.items() if arch in half}
    return {
        "tau": truth.tau(way.values),
        "tau_within_better_half": truth.tau(inside),
        "best_of_first_ten": best_of_first(truth, way.values),
        "transfer": {label: truth.on(label).tau(way.values) for label in truth.transfer},
    }
