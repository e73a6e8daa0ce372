"""The Markdown page and the figures of an evidence, from its kept runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinas_zoo.search.evidence.figures import draw_overview, draw_scatter
from pinas_zoo.search.evidence.regime_tables import (
    ablations_table,
    replacements_table,
    skips_table,
    trials_table,
    tried_runs,
)
from pinas_zoo.search.evidence.results import RANKING_SCORES, MeasuredRun
from pinas_zoo.search.evidence.tables import (
    Evidence,
    Ranking,
    fits_table,
    pairs_table,
    protocol_table,
    ranking_table,
    seeds_table,
)
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
    shown = Evidence(evidence.config, evidence.truth, shown_runs(evidence))
    text = report_text(evidence)
    page, overview = results.with_name(f"{results.name}.md"), results.with_name(f"{results.name}.svg")
    write_text(page, text)
    draw_overview(shown, overview)
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
    shown = Evidence(config, evidence.truth, shown_runs(evidence))
    lines = [f"# {config.title}", ""]
    for paragraph in config.introduction:
        lines += [paragraph, ""]
    for protocol in config.protocols:
        ranking = Ranking(protocol.supernet, protocol.scored)
        lines += protocol_table(shown, ranking) + seeds_table(shown, ranking) + pairs_table(shown, ranking)
    for size in config.spaces:
        if shown.of_size(size):
            whole = Ranking(size, size)
            lines += ranking_table(shown, size) + seeds_table(shown, whole)
            lines += fits_table(shown, size) + pairs_table(shown, whole)
    lines += ablations_table(shown) + skips_table(shown)
    lines += replacements_table(shown) + trials_table(evidence)
    return "\n".join(lines).rstrip() + "\n"


def run_facts(evidence: Evidence, run: MeasuredRun) -> dict[str, Any]:
    """One run in plain data."""
    by, archs = evidence.config.rank_by, evidence.archs(run.scored)
    keys = ("run", "title", "seed", "architectures", "scored", "minutes", "threads", "steps", "accuracy", "machine")
    return {
        "name": run.name,
        **{key: run.facts[key] for key in keys},
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
    }
