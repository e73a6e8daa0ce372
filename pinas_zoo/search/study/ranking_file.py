"""Writing ``explore/ranking.csv``, which contains every scored architecture, best first."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from pinas_zoo.arch import Arch
from pinas_zoo.search.ranking.main_effects import MainEffects
from pinas_zoo.search.run_files import LOG_RANKS, SMOOTHED, part_columns
from pinas_zoo.search.scorers.log_ranks import log_rank_sums, part_ranks, smoothed_sums
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.weights.atomic import replacing


def write_ranking(
    path: Path,
    space: SearchSpace,
    scores: Mapping[Arch, Score],
    image_size: int,
    effects: MainEffects,
    rank_by: str,
    weights: Mapping[str, float] | None = None,
) -> Arch:
    """Write a CSV of all scored architectures, best first. Parameters are in millions, multiply-adds in billions.

    Args:
        path: The file.
        space: The search space.
        scores: Scores in the order of evaluation.
        image_size: Height and width in pixels, on which multiply-adds depend.
        effects: Main effects of the scores.
        rank_by: ``score`` ranks by score, then by loss. ``effects`` ranks by the sum of main effects first, and
            ``smoothed`` by both (:func:`pinas_zoo.search.scorers.log_ranks.smoothed_sums`), which the file then has in
            the column ``smoothed``: 0 is the first by both.
        weights: Weights of the parts of combined scores. The file then has further columns: the sum of log ranks, and
            each part's score, loss and rank, in full precision.

    Returns:
        The best architecture.
    """
    sums = {arch: effects.score(arch) for arch in scores}
    order = sorted(scores, key=lambda arch: (-scores[arch].accuracy, scores[arch].loss))
    if rank_by == "effects":
        order.sort(key=lambda arch: -sums[arch])
    both: dict[Arch, float] = {}
    if rank_by == "smoothed":
        both = dict(zip(scores, smoothed_sums(list(scores.values()), list(sums.values())), strict=True))
        order.sort(key=both.__getitem__)
    evaluated = {arch: k for k, arch in enumerate(scores)}
    parts = _part_columns(scores, weights) if weights else {}
    # sums of log ranks of many architectures are close to each other
    text = digits if weights is None else "{:.9f}".format
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = ["rank", "arch", "accuracy", "loss", "params_m", "flops_g", "evaluation", "effects"]
        writer.writerow([*names, *([SMOOTHED] if both else []), *parts])
        for rank, arch in enumerate(order, 1):
            params_m, flops_g = space.cost(arch, image_size)
            score = scores[arch]
            writer.writerow(
                [
                    rank,
                    arch,
                    text(score.accuracy),
                    text(score.loss),
                    f"{params_m:.6f}",
                    f"{flops_g:.9f}",  # exact: networks for images of a few pixels differ in the seventh decimal
                    evaluated[arch],
                    text(sums[arch]),
                    *([f"{both[arch]:.9f}"] if both else []),
                    *(column[evaluated[arch]] for column in parts.values()),
                ]
            )
    return order[0]


def digits(value: float) -> str:
    """A score to five decimals, or to six digits if it is small or large, as scores of untrained networks can be."""
    return f"{value:.5f}" if value == 0 or 0.1 <= abs(value) < 1e6 else f"{value:.6g}"


def _part_columns(scores: Mapping[Arch, Score], weights: Mapping[str, float]) -> dict[str, list[str]]:
    """Cells of the further columns by their names, in the order of ``scores``."""
    ranks = part_ranks(scores, weights)
    columns = {LOG_RANKS: [f"{value:.9f}" for value in log_rank_sums(ranks, weights)]}
    for name in weights:
        value, loss, rank = part_columns(name)
        columns[value] = [repr(score.parts[name].accuracy) for score in scores.values()]
        columns[loss] = [repr(score.parts[name].loss) for score in scores.values()]
        columns[rank] = [f"{place:g}" for place in ranks[name]]
    return columns
