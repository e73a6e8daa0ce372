"""The table of scores on made-up runs: sums of log ranks, training-free scores, the better half, other data."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, rankdata

from pinas_zoo.errors import UserError
from pinas_zoo.search.evidence.report import report_text, run_facts
from pinas_zoo.search.evidence.results import effect_sums
from pinas_zoo.search.evidence.scores_table import best_of_first, scores_table, ways_to_rank
from pinas_zoo.search.evidence.tables import Evidence, Ranking
from pinas_zoo.search.evidence.training_free import read_training_free
from pinas_zoo.search.evidence.truth import load_truth
from tests.search.evidence.made_up_runs import (
    SCORED,
    TRUTH,
    evidence_config,
    write_run,
    write_training_free,
    write_truth,
)

ALL = Ranking(729, 729)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results" / "nb201"


def load(results: Path, tmp_path: Path, **update) -> Evidence:
    config = evidence_config().model_copy(update=update)
    truth = load_truth(write_truth(tmp_path / "table.csv"), config.truth, config.report.resamples)
    return Evidence.load(config, truth, results)


def rows_of(evidence: Evidence) -> dict[str, list[str]]:
    """Rows of the table by supernet and score, without these."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in scores_table(evidence, ALL)[2:-1]]
    return {f"{row[0]}, {row[3]}": row[4:] for row in rows}


def test_every_score_and_sum_has_a_row_on_all_data_that_the_table_has(results, tmp_path):
    write_run(results, "pinas", "Π-NAS", consistency=1, squared_error=-1)
    write_training_free(results)
    evidence = load(results, tmp_path)
    rows = rows_of(evidence)
    assert list(rows) == [
        "Π-NAS, consistency",
        "Π-NAS, probe",
        "Π-NAS, consistency + probe + flops",
        "Π-NAS, consistency, smoothed",
        "Π-NAS, effects of consistency",
        "needs none, flops",
    ]
    best = f"{max(TRUTH[arch] for arch in SCORED):.2f}%"
    sure, wrong = "+1.000 [+1.000, +1.000]", "-1.000 [-1.000, -1.000]"
    assert rows["Π-NAS, consistency"] == ["60", sure, sure, best, wrong, "9", "–"]  # CIFAR-100 is 100 - truth here
    assert rows["Π-NAS, probe"][1:3] == [wrong, wrong]
    assert rows["needs none, flops"] == ["60", sure, sure, best, wrong, "0", "1.5"]
    lowest = f"{max(sorted(TRUTH[arch] for arch in SCORED)[:10]):.2f}%"
    assert rows["Π-NAS, probe"][3] == lowest
    assert "tau on CIFAR-100" in scores_table(evidence, ALL)[0]
    assert "ImageNet" not in scores_table(evidence, ALL)[0]  # the table has no such column
    assert "\n".join(scores_table(evidence, ALL)) in report_text(evidence)


def test_a_sum_is_that_of_logarithms_of_ranks_among_what_all_parts_have(results, tmp_path):
    path = write_run(results, "pinas", "Π-NAS", consistency=1, squared_error=-1)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-5]) + "\n")  # five architectures fewer than the training-free score
    write_training_free(results)
    sums = ((("consistency", 1.0), ("flops", 0.5)), (("squared_error", 1.0), ("flops", 1.0)))
    evidence = load(results, tmp_path, sums=sums)
    (way,) = (w for w in ways_to_rank(evidence, ALL, evidence.runs[0]) if w.words == "consistency + 0.5 flops")
    archs = SCORED[:-5]
    assert list(way.values) == archs
    ranks = rankdata([-TRUTH[arch] for arch in archs])
    expected = [math.log(56 - rank) / math.log(55) for rank in ranks]  # both parts rank alike
    assert list(way.values.values()) == pytest.approx(expected)
    (other,) = (w for w in ways_to_rank(evidence, ALL, evidence.runs[0]) if w.words == "probe + flops")
    against = rankdata([TRUTH[arch] for arch in archs])
    middle = [(math.log(56 - a) + math.log(56 - b)) / (2 * math.log(55)) for a, b in zip(ranks, against, strict=True)]
    assert list(other.values.values()) == pytest.approx(middle)
    assert [w.words for w in ways_to_rank(evidence, ALL, None)] == ["flops"]


def test_smoothed_counts_a_score_and_its_effects_half_each_and_sums_have_it_with_their_training_free_part(
    results, tmp_path
):
    write_run(results, "pinas", "Π-NAS", consistency=1, squared_error=-1)
    write_training_free(results)
    sums = ((("consistency", 1.0), ("flops", 0.5)), (("flops", 0.5),), (("squared_error", 1.0), ("flops", 1.0)))
    evidence = load(results, tmp_path, sums=sums, recommended=sums[0])
    ways = {way.words: way for way in ways_to_rank(evidence, ALL, evidence.runs[0])}
    assert [words for words in ways if "smoothed" in words] == [
        "consistency, smoothed",
        "consistency + 0.5 flops, smoothed",
    ]
    values = ways["consistency + 0.5 flops"].values
    effects = effect_sums(values, list(values))
    places = [rankdata([one[arch] for arch in values]) for one in (values, effects)]
    expected = (np.log(places[0]) + np.log(places[1])) / (2 * math.log(60))
    assert list(ways["consistency + 0.5 flops, smoothed"].values.values()) == pytest.approx(expected.tolist())
    free = [way.words for way in ways_to_rank(evidence, ALL, None)]
    assert free == ["flops", "0.5 flops", "0.5 flops, smoothed"]


def test_the_better_half_is_that_of_all_that_are_ranked(results, tmp_path):
    evidence = load(results, tmp_path)
    half = evidence.truth.better_half(evidence.archs(729))
    assert half == {arch for arch, value in TRUTH.items() if value >= np.median(list(TRUTH.values()))}
    values = {arch: value if arch in half else -value for arch, value in TRUTH.items()}  # right where it matters
    inside = [arch for arch in values if arch in half]
    assert evidence.truth.tau({arch: values[arch] for arch in inside}) == pytest.approx(1)
    known = kendalltau(list(values.values()), list(TRUTH.values())).statistic
    assert evidence.truth.tau(values) == pytest.approx(known)
    assert known < 1
    assert best_of_first(evidence.truth, TRUTH) == max(TRUTH.values())
    ordered = sorted(TRUTH.values())
    assert best_of_first(evidence.truth, {arch: -value for arch, value in TRUTH.items()}) == ordered[9]


def test_the_facts_of_a_run_hold_each_score_and_sum(results, tmp_path):
    write_run(results, "pinas", "Π-NAS", consistency=1, squared_error=1)
    write_training_free(results, sign=-1)
    evidence = load(results, tmp_path)
    found = run_facts(evidence, evidence.runs[0])["single_scores"]
    assert list(found) == ["consistency", "probe", "consistency + probe + flops", "consistency, smoothed"]
    ours = found["consistency"]
    assert (ours["tau"], ours["tau_within_better_half"]) == (pytest.approx(1), pytest.approx(1))
    assert ours["best_of_first_ten"] == max(TRUTH[arch] for arch in SCORED)
    assert ours["transfer"] == {"CIFAR-100": pytest.approx(-1)}
    json.dumps(found)


def test_kept_results_without_training_free_scores_open(results, tmp_path):
    write_run(results, "pinas", "Π-NAS", consistency=1, squared_error=1)
    evidence = load(results, tmp_path)
    assert evidence.training_free == []
    names = ["consistency", "probe", "consistency, smoothed", "effects of consistency"]
    assert list(rows_of(evidence)) == [f"Π-NAS, {name}" for name in names]


def test_training_free_scores_alone_have_a_table(results, tmp_path):
    write_training_free(results)
    text = report_text(load(results, tmp_path))
    assert "## 729 architectures, without supernets" in text
    assert "| needs none |  |  | flops | 60 | +1.000 [+1.000, +1.000] " in text


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".json", "{", "delete .* to measure it again"),
        (".json", '{"kind": "flops", "architectures": "many"}', "got .*architectures"),
        (".csv", "arch\n333333\n", "expected scores of at least one"),
        (".csv", "arch,score,loss\n333333,good,0\n", "good"),
        (".csv", "arch,score,loss\n333333,nan,0\n", "expected a number as 'score', got 'nan'"),
        (".csv", "arch,score,loss\n", "expected scores of at least one"),
    ],
)
def test_a_damaged_file_is_named(results, suffix, content, message):
    write_training_free(results).with_suffix(suffix).write_text(content)
    with pytest.raises(UserError, match=message) as error:
        read_training_free(results)
    assert "\n" not in str(error.value)
