"""Does the list of `nasbench201` rank the networks of a kept study? Its scores without a supernet are measured.

    python benchmarks/study_sum.py --data FOLDER [--study benchmarks/results/study_resnest50.json] [--initialisations 4]

FOLDER has the images of the study (docs/study.md). Consistency comes from the study's report, so that no supernet is
learned and no network trained. A row is a method, beside the same sum without a supernet and its parts. Tau is
Kendall's, of the sum and the mean test accuracy, with a 95% bootstrap interval over the networks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import load_config
from pinas_zoo.search.config_files import find_config
from pinas_zoo.search.context import Context
from pinas_zoo.search.ranking.kendall import correlate
from pinas_zoo.search.score_kinds import KINDS, UNTRAINED
from pinas_zoo.search.score_list import in_words
from pinas_zoo.search.scorers.log_ranks import combined
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.base import build_space
from pinas_zoo.search.trained_study.config import parse_study

STUDY = Path(__file__).parent / "results" / "study_resnest50.json"
ACCURACY, FLOPS = "test accuracy", "multiply-adds"  # names in a study's report
Values = Mapping[Arch, float]  # higher is better


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="images of the study: FOLDER/train/CLASS/*.jpg, …")
    parser.add_argument("--study", default=STUDY, type=Path, help="report.json of a study (default: %(default)s)")
    parser.add_argument("--initialisations", default=4, type=int, help="networks a score averages (default: 4)")
    args = parser.parse_args()
    try:
        study = json.loads(args.study.read_text(encoding="utf-8"))
        weights = load_config(find_config("nasbench201")).explore.weights or {}
        free = measured([kind for kind in weights if kind in UNTRAINED], study, args.data, args.initialisations)
        print("\n".join(table(study, weights, free)))
    except (UserError, OSError) as error:
        parser.error(str(error))


def measured(kinds: list[str], study: Mapping[str, Any], data: Path, initialisations: int) -> dict[str, Values]:
    """Scores without a supernet of the study's networks, by kind."""
    config = parse_study(study["config"])
    search = config.search_config(next(iter(config.methods)), config.supernet_seeds[0])
    changes = {"root": str(data)}, {"zero_cost_initialisations": initialisations}
    of_data, of_explore = search.data.model_copy(update=changes[0]), search.explore.model_copy(update=changes[1])
    search = search.model_copy(update={"data": of_data, "explore": of_explore})
    with tempfile.TemporaryDirectory() as folder:
        context = Context.of(search, Path(folder), say=lambda text: None)
        archs = [context.space.parse(one["arch"]) for one in study["architectures"]]
        found: dict[str, Values] = {}
        for kind in kinds:
            build = KINDS[kind].build
            assert build is not None  # of a method's own score alone
            scores = build(context.scoring_data()).scores(archs)
            found[kind] = {arch: score.accuracy for arch, score in zip(archs, scores, strict=True)}
    return found


def sum_of(columns: Mapping[str, Values], weights: Mapping[str, float]) -> Values:
    """The sum of log places from the last, as ``explore.score`` adds scores."""
    archs = list(next(iter(columns.values())))
    single = {arch: Score(0.0, 0.0, {k: Score(v[arch], -v[arch]) for k, v in columns.items()}) for arch in archs}
    sums = combined(single, {kind: weights[kind] for kind in columns})
    return {arch: score.accuracy for arch, score in sums.items()}


def table(study: Mapping[str, Any], weights: Mapping[str, float], free: Mapping[str, Values]) -> list[str]:
    """A row for each method whose consistency is kept, for no supernet, and for each part."""
    parse = build_space(study["config"]["space"]).parse

    def by_arch(values: Mapping[str, float]) -> Values:
        return {parse(text): value for text, value in values.items()}

    kept = {(one["method"], one["kind"]): by_arch(one["values"]) for one in study["scores"]}
    own = [kind for kind in weights if kind not in free]
    rows: dict[tuple[str, str], Values] = {}
    for method in study["config"]["methods"]:
        if all((method, kind) in kept for kind in own):
            columns = {kind: kept[method, kind] if kind in own else free[kind] for kind in weights}
            rows[method, in_words(tuple(weights.items()))] = sum_of(columns, weights)
    rows["no supernet", in_words(tuple((kind, weights[kind]) for kind in free))] = sum_of(free, weights)
    rows |= {("no supernet", kind): values for kind, values in free.items()}
    truth, flops = by_arch(study["outcomes"][ACCURACY]), kept[FLOPS, ""]
    lines = ["| supernet | ranked by | tau | tau less that of multiply-adds |", "| --- | --- | --- | --- |"]
    for (method, words), values in rows.items():
        found = correlate([(str(arch), values[arch], flops[arch], truth[arch]) for arch in truth])
        cells = (f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]" for one in (found.score, found.difference))
        lines.append(f"| {' | '.join([method, words, *cells])} |")
    return lines


if __name__ == "__main__":
    main()
