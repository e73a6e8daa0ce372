"""The table of scores: supernets, sums of log ranks and training-free scores side by side, and what each costs.

Every score has its tau on all that it ranks and within the better half, where a search ends up: a score can tell bad
architectures from good ones and say nothing about the good ones.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from pinas_zoo.search.evidence.results import RANKING_SCORES, MeasuredRun, effect_sums
from pinas_zoo.search.evidence.tables import LEAST, Evidence, Lines, Ranking, header
from pinas_zoo.search.evidence.training_free import TrainingFree
from pinas_zoo.search.evidence.truth import Truth
from pinas_zoo.search.score_list import in_words

FIRST = 10  # architectures among which the best is looked for
FEW = 15  # architectures of the better half for a tau that says anything
UNKNOWN = "–"


@dataclass(frozen=True)
class RankedBy:
    """One way to rank architectures.

    Attributes:
        words: What ranks.
        values: By architecture; higher is better.
        run: The supernet; None if the score needs none.
        seconds: Of scoring these architectures, without learning; None if unknown.
    """

    words: str
    values: Mapping[str, float]
    run: MeasuredRun | None
    seconds: float | None


def ways_to_rank(evidence: Evidence, ranking: Ranking, run: MeasuredRun | None) -> list[RankedBy]:
    """All single scores and sums of log ranks of a run; without a run, all that needs no supernet.

    The score that ranks runs, identification, and the recommended sum with its training-free part are smoothed as well.
    """
    free = {one.kind: one for one in evidence.training_free if one.size == ranking.scored}
    found, smooth = [], []
    if run is not None:
        for name in run.known_scores:
            if values := evidence.values(run, name, ranking):
                found.append(RankedBy(RANKING_SCORES[name], values, run, run.facts.get("scoring_seconds")))
                if name in (run.ranked_by(evidence.config.rank_by), "identification"):
                    smooth.append(found[-1])
    else:
        found += [RankedBy(one.kind, one.values, None, one.seconds) for one in free.values()]
    for parts in evidence.config.sums:
        if any(name in RANKING_SCORES for name, _ in parts) != (run is not None):
            continue
        one = ranked_by_sum(evidence, ranking, run, parts)
        if one is not None:
            found.append(one)
            if parts in (evidence.config.recommended, training_free_part(evidence.config.recommended)):
                smooth.append(one)
    return found + [smoothed(evidence, one) for one in smooth]


def sum_in_words(parts: Sequence[tuple[str, float]]) -> str:
    """The parts of a sum as tables name them."""
    return in_words(tuple((RANKING_SCORES.get(name, name), weight) for name, weight in parts))


def training_free_part(parts: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """A sum without the scores of a supernet."""
    return tuple(part for part in parts if part[0] not in RANKING_SCORES)


def smoothed(evidence: Evidence, way: RankedBy) -> RankedBy:
    """By a score and the main effects that are fitted to it, half each, as ``explore.rank_by="smoothed"`` ranks."""
    columns = {"score": way.values, "effects": effect_sums(way.values, list(way.values))}
    values = evidence.log_rank_sums(columns, dict.fromkeys(columns, 0.5))
    return replace(way, words=f"{way.words}, smoothed", values=values)


def ranked_by_sum(
    evidence: Evidence,
    ranking: Ranking,
    run: MeasuredRun | None,
    parts: Sequence[tuple[str, float]],
    among: Container[str] | None = None,
) -> RankedBy | None:
    """A sum of log ranks, over all architectures that have all parts or those in ``among``; None if a part of it is not
    known, or of too few architectures."""
    free = {one.kind: one for one in evidence.training_free if one.size == ranking.scored}
    columns: dict[str, Mapping[str, float]] = {name: free[name].values for name, _ in parts if name in free}
    if run is not None:
        columns |= {name: evidence.values(run, name, ranking) for name, _ in parts if name in run.known_scores}
    if among is not None:
        columns = {name: {arch: v for arch, v in one.items() if arch in among} for name, one in columns.items()}
    values = evidence.log_rank_sums(columns, dict(parts)) if parts and len(columns) == len(parts) else {}
    if len(values) < LEAST:
        return None
    return RankedBy(
        sum_in_words(parts),
        values,
        run,
        _seconds(run, [free[n] for n, _ in parts if n in free], values),
    )


def _seconds(run: MeasuredRun | None, free: Sequence[TrainingFree], values: Mapping[str, float]) -> float | None:
    """Seconds of scoring these architectures by all parts."""
    own = 0.0 if run is None else run.facts.get("scoring_seconds")
    return None if own is None else own + sum(one.seconds / len(one.values) * len(values) for one in free)


def _shown(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds >= 1 else f"{seconds:.1g}"


def best_of_first(truth: Truth, values: Mapping[str, float]) -> float:
    """The highest true accuracy in percent among the first ten by these values."""
    first = sorted(values, key=lambda arch: -values[arch])[:FIRST]
    return max(truth.networks[arch].accuracy for arch in first)


def scores_table(evidence: Evidence, ranking: Ranking) -> Lines:
    """Taus of all scores of these architectures on every accuracy of the truth, with the cost of each score."""
    truth, config = evidence.truth, evidence.config
    archs = evidence.archs(ranking.scored)
    half = truth.better_half(archs)
    others = {label: truth.on(label) for label in truth.transfer}
    further = "".join(f"| tau on {label} " for label in others)
    lines = header(
        f"| supernet | seed | minutes x threads | ranked by | scored, of {ranking.scored:,} | tau "
        f"| tau within the better half | best of the first {FIRST} {further}| seconds of learning | of scoring |"
    )
    for run in [*evidence.of(ranking), None]:
        names = ["needs none", "", ""] if run is None else [run.title, f"{run.seed}", run.budget]
        learning = 0.0 if run is None else run.facts["wall_seconds"] + run.extra_seconds
        for way in ways_to_rank(evidence, ranking, run):
            inside = {arch: value for arch, value in way.values.items() if arch in half}
            cells = [way.words, f"{len(way.values):,}", f"{truth.interval(way.values)}"]
            cells.append(f"{truth.interval(inside)}" if len(inside) >= FEW else UNKNOWN)
            cells.append(f"{best_of_first(truth, way.values):.2f}%")
            cells += [f"{other.interval(way.values)}" for other in others.values()]
            cells += [f"{learning:.0f}", UNKNOWN if way.seconds is None else _shown(way.seconds)]
            lines.append(f"| {' | '.join([*names, *cells])} |")
        if run is not None:  # many architectures: the tables above have their intervals
            by = run.ranked_by(config.rank_by)
            sums = run.effect_sums(by, archs)
            inside = {arch: value for arch, value in sums.items() if arch in half}
            cells = [f"effects of {RANKING_SCORES[by]}", f"{len(run.scores):,}"]
            cells += [f"{truth.tau(sums):+.3f}", f"{truth.tau(inside):+.3f}", f"{best_of_first(truth, sums):.2f}%"]
            cells += [f"{other.tau(sums):+.3f}" for other in others.values()]
            cells += [f"{learning:.0f}", f"{run.facts.get('scoring_seconds', UNKNOWN)}"]
            lines.append(f"| {' | '.join([*names, *cells])} |")
    return [*lines, ""] if len(lines) > 2 else []
