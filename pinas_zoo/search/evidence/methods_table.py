"""One table of all methods: how their supernets of the largest space rank, what they find, and what that costs.

It is Table 4 of the paper beside the taus of Figures 3, 6 and 8, with the scores that need no supernet below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pinas_zoo.search.evidence.results import RANKING_SCORES, MeasuredRun
from pinas_zoo.search.evidence.scores_table import (
    FIRST,
    UNKNOWN,
    best_of_first,
    ranked_by_sum,
    smoothed,
    sum_in_words,
    training_free_part,
    ways_to_rank,
)
from pinas_zoo.search.evidence.tables import PAPERS_SCORE, Evidence, Lines, Ranking, header


def methods_table(evidence: Evidence) -> Lines:
    """A row for each method and budget, its seeds together, and one for each score without a supernet.

    Taus of one seed have a 95% bootstrap interval over architectures; of several, the mean and the range over seeds.
    Trials are left out.
    """
    config, truth = evidence.config, evidence.truth
    size = max(config.spaces)
    whole = Ranking(size, size)
    groups: dict[tuple[str, str], list[MeasuredRun]] = {}
    for run in evidence.of_size(size):
        if not run.changes:
            groups.setdefault((run.title, run.budget), []).append(run)
    if not groups:
        return []
    smaller = [one.scored for one in config.protocols if one.supernet == size]
    by, papers = RANKING_SCORES[config.rank_by], RANKING_SCORES[PAPERS_SCORE]
    half = truth.better_half(evidence.archs(size))
    sum_words = ""
    if config.recommended:
        sum_words = f"| by {sum_in_words(config.recommended)} "
        sum_words += (
            "| the same, within the better half | the sum less that without the supernet's scores | the sum, smoothed "
        )
    lines = [
        "## All methods",
        "",
        f"Supernets of all {size:,} architectures, ranked by {by} unless a column says otherwise; those of a "
        "method that scores paths itself are ranked by its own score. *Chosen by "
        "learning*: accuracy of the architecture that the method itself ends with, such as the argmax of its "
        f"architecture parameters. *First by effects*: of the one that the effects of {by} put first among all. "
        "*Smoothed*: by the score and its effects, half each. *Seconds of learning* contain those of a linear stage "
        "and of a teacher. A star marks methods whose learning ended with a warning, such as that the architecture "
        "parameters prefer no candidate.",
        "",
        *header(
            f"| method | seeds | minutes x threads | steps | tau of scores, all | within the better half | by {papers} "
            f"{sum_words}{''.join(f'| tau of effects, {scored:,} ' for scored in smaller)}| chosen by learning "
            "| first by effects | the paper prints | seconds of learning | of scoring |"
        ),
    ]
    for (title, budget), runs in groups.items():
        star = "*" * any(run.facts.get("warned") for run in runs)
        cells = [
            f"{title}{star}",
            ", ".join(f"{run.seed}" for run in runs),
            budget,
            _range([run.facts["steps"] for run in runs]),
        ]
        values = [evidence.values(run, run.ranked_by(config.rank_by), whole) for run in runs]
        cells += [_taus(evidence, values)]
        cells += [_taus(evidence, [{a: v for a, v in one.items() if a in half} for one in values])]
        cells += [_taus(evidence, [run.values(PAPERS_SCORE) for run in runs if PAPERS_SCORE in run.known_scores])]
        if config.recommended:
            found = [ranked_by_sum(evidence, whole, run, config.recommended) for run in runs]
            sums_of = [one for one in found if one is not None]
            cells += [_taus(evidence, [one.values for one in sums_of])]
            cells += [_taus(evidence, [{a: v for a, v in one.values.items() if a in half} for one in sums_of])]
            cells += [_supernets_part(evidence, whole, [one.values for one in sums_of])]
            cells += [_taus(evidence, [smoothed(evidence, one).values for one in sums_of])]
        cells += [
            _taus(
                evidence,
                [run.effect_sums(run.ranked_by(config.rank_by), evidence.archs(scored)) for run in runs],
                interval=False,
            )
            for scored in smaller
        ]
        cells += [_percents([truth.networks[run.chosen].accuracy for run in runs if run.chosen is not None])]
        sums = [run.effect_sums(run.ranked_by(config.rank_by), evidence.archs(size)) for run in runs]
        cells += [_percents([truth.networks[max(one, key=lambda a: one[a])].accuracy for one in sums])]
        plan = config.runs.get(runs[0].method)
        cells += [(plan.printed if plan else "") or UNKNOWN]
        cells += [_range([run.facts["wall_seconds"] + run.extra_seconds for run in runs])]
        cells += [_range([run.facts["scoring_seconds"] for run in runs if "scoring_seconds" in run.facts])]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"Without a supernet, on the same space; *first*: the best accuracy among the first {FIRST}.", ""]
    lines += header("| score | scored | tau, all | within the better half | first | seconds of scoring |")
    for way in ways_to_rank(evidence, whole, None):
        inside = {arch: value for arch, value in way.values.items() if arch in half}
        cells = [way.words, f"{len(way.values):,}", f"{truth.interval(way.values)}", f"{truth.interval(inside)}"]
        cells += [f"{best_of_first(truth, way.values):.2f}%", UNKNOWN if way.seconds is None else f"{way.seconds:.2g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _supernets_part(evidence: Evidence, ranking: Ranking, sums: Sequence[Mapping[str, float]]) -> str:
    """Tau of the recommended sum less that of its training-free parts, over the same architectures."""
    free = training_free_part(evidence.config.recommended)
    cells = []
    for values in sums:
        rest = ranked_by_sum(evidence, ranking, None, free, among=values)
        if rest is not None:
            cells.append(f"{evidence.truth.difference(values, rest.values)}")
    return ", ".join(cells) or UNKNOWN


def _taus(evidence: Evidence, columns: Sequence[Mapping[str, float]], interval: bool = True) -> str:
    """Taus of the seeds of a method; those without enough architectures are left out."""
    known = [values for values in columns if len(values) > 1]
    if not known:
        return UNKNOWN
    if len(known) == 1:
        return f"{evidence.truth.interval(known[0])}" if interval else f"{evidence.truth.tau(known[0]):+.3f}"
    taus = [evidence.truth.tau(values) for values in known]
    return f"{np.mean(taus):+.3f} ({min(taus):+.3f} to {max(taus):+.3f})"


def _percents(accuracies: Sequence[float]) -> str:
    return ", ".join(f"{accuracy:.2f}%" for accuracy in accuracies) or UNKNOWN


def _range(values: Sequence[float]) -> str:
    if not values:
        return UNKNOWN
    low, high = (f"{value:,.0f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"
