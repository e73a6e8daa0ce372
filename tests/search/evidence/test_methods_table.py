"""The table of all methods on made-up runs of a space of 729 architectures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pinas_zoo.analysis.paper_tables import TABLES, TAUS
from pinas_zoo.errors import UserError
from pinas_zoo.search.evidence.figures import draw_times
from pinas_zoo.search.evidence.methods_table import methods_table
from pinas_zoo.search.evidence.plan import parse_evidence
from pinas_zoo.search.evidence.tables import Evidence
from pinas_zoo.search.evidence.truth import load_truth
from tests.search.evidence.made_up_runs import (
    ARCHS,
    SCORED,
    TRUTH,
    evidence_config,
    write_run,
    write_training_free,
    write_truth,
)

RECOMMENDED = (("consistency", 1.0), ("flops", 1.0))


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """Two seeds of Π-NAS, one of them the wrong way round; a method that chooses; a trial; a training-free score."""
    results = tmp_path / "nb201"
    write_run(results, "pinas", "Π-NAS", consistency=1, classifier_accuracy=-1)
    write_run(results, "pinas", "Π-NAS", seed=1, consistency=-1, classifier_accuracy=-1)
    write_run(results, "pinas", "Π-NAS", changes=("learn.lr=1",), consistency=1)
    path = write_run(results, "gdas", "GDAS", consistency=1).with_suffix(".json")
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "chosen": SCORED[0], "warned": True, "linear_seconds": 3.0})
    )
    write_training_free(results)
    config = evidence_config()
    spaces, protocols = {729: config.spaces[729]}, ()
    update = dict(spaces=spaces, protocols=protocols, recommended=RECOMMENDED, sums=(RECOMMENDED,))
    config = config.model_copy(update=update)
    truth = load_truth(write_truth(tmp_path / "table.csv"), config.truth, config.report.resamples)
    return Evidence.load(config, truth, results)


def rows_of(evidence: Evidence) -> list[list[str]]:
    lines = [line for line in methods_table(evidence) if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_row_for_each_method_and_none_for_trials(evidence):
    rows = {row[0]: row for row in rows_of(evidence)}
    head, gdas, pinas, head_free, flops = (rows[name] for name in ("method", "GDAS*", "Π-NAS", "score", "flops"))
    assert len(rows) == 5
    row = dict(zip(head, pinas, strict=True))
    assert (row["method"], row["seeds"], row["steps"]) == ("Π-NAS", "0, 1", "60")
    assert row["tau of scores, all"] == "+0.000 (-1.000 to +1.000)"
    assert row["by classifier's accuracy"] == "+1.000 (+1.000 to +1.000)"
    best, worst = (TRUTH[find(ARCHS, key=lambda a: TRUTH[a])] for find in (max, min))
    assert row["first by effects"] == f"{best:.2f}%, {worst:.2f}%"
    assert row["chosen by learning"] == "–"
    assert row["the paper prints"].startswith("93.83±0")
    row = dict(zip(head, gdas, strict=True))
    assert row["tau of scores, all"].startswith("+1.000 [")
    assert row["by consistency + flops"].startswith("+1.000 [")
    assert row["the same, within the better half"].startswith("+1.000 [")
    assert row["the sum less that without the supernet's scores"] == "+0.000 [+0.000, +0.000]"  # both rank alike
    assert row["the sum, smoothed"].startswith("+0.9")  # an additive truth, whose effects are fitted
    assert row["chosen by learning"] == f"{TRUTH[SCORED[0]]:.2f}%"
    assert row["seconds of learning"] == "12"
    assert (head_free[0], flops[0], flops[1]) == ("score", "flops", "60")


def test_the_figure_has_a_mark_for_each_seed_and_score(evidence, tmp_path):
    draw_times(evidence, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert all(word in text for word in ("Π-NAS", "GDAS", "flops", "consistency + flops"))
    draw_times(evidence, tmp_path / "b.svg")
    assert (tmp_path / "b.svg").read_bytes() == (tmp_path / "a.svg").read_bytes()


def test_what_the_configuration_quotes_stands_in_the_paper():
    runs, table = evidence_config().runs, TABLES[4]
    columns = {"pinas": "Ours", "spos": "SPOS", "proxylessnas": "ProxylessNAS", "wpl": "WPL", "gdas_nsas": "GDAS-NSAS"}
    for name, column in columns.items():
        assert runs[name].printed.startswith(table.cell("Test(%)", column))
    for one in TAUS:
        assert f"{one.tau} of {'the 729' if one.count == 729 else 'all'}" in runs[one.method].printed
    assert [name for name, run in runs.items() if run.printed] == [
        *("pinas", "spos", "proxylessnas"),
        "gdas_nsas",
        "wpl",
    ]


def test_the_recommended_sum_is_one_of_the_sums():
    values = evidence_config().model_dump()
    with pytest.raises(UserError, match="expected recommended to be one of sums"):
        parse_evidence({**values, "recommended": ["consistency", "zen"]})
