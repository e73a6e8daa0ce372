"""The tables and figures of an evidence on made-up runs: taus, halves, pairs, ablations, trials."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pinas_zoo.errors import UserError
from pinas_zoo.search.evidence.figures import printed_taus
from pinas_zoo.search.evidence.regime_tables import ablations_table, skip_counts, tried_runs
from pinas_zoo.search.evidence.report import report_text, run_facts, write_report
from pinas_zoo.search.evidence.results import read_runs
from pinas_zoo.search.evidence.tables import (
    Evidence,
    Ranking,
    fits_table,
    pairs_table,
    protocol_table,
    ranking_table,
    seeds_table,
)
from pinas_zoo.search.evidence.truth import load_truth
from tests.search.evidence.made_up_runs import SCORED, TRUTH, evidence_config, write_run, write_truth


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results" / "nb201"


@pytest.fixture
def truth_csv(tmp_path: Path) -> Path:
    return write_truth(tmp_path / "table.csv")


def load(results: Path, truth_csv: Path, **report: int) -> Evidence:
    config = evidence_config(**report)
    return Evidence.load(config, load_truth(truth_csv, config.truth, config.report.resamples), results)


def table_rows(text: str, columns: int) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in rows if len(row) == columns]


def test_the_report_ranks_by_consistency_and_shows_the_other_scores(results, truth_csv):
    write_run(results, "pinas", "Π-NAS", consistency=1, squared_error=-1)
    write_run(results, "pinas", "Π-NAS", seed=1, consistency=0.5, squared_error=1)
    write_run(results, "spos", "SPOS", consistency=-1, squared_error=0, cross_entropy=-1)
    write_run(results, "pinas_no_mt", "Π-NAS without mean teacher", consistency=0, squared_error=0)
    written = write_report(load(results, truth_csv), results)
    text = results.with_suffix(".md").read_text()
    assert text == written.text
    ours, other, *_, spos = (row for row in table_rows(text, 15) if row[1] in ("0", "1"))
    assert ours[:5] == ["Π-NAS", "0", "2 x 1", "60", "64"]
    assert float(ours[6].split()[0]) > 0.95  # additive truth, fitted to 60 of the 729
    assert float(ours[9].rstrip("%")) == pytest.approx(max(TRUTH.values()), abs=0.3)
    assert ours[10:12] == ["60", "+1.000 [+1.000, +1.000]"]
    assert -0.05 < float(ours[12].split()[0]) < 0  # sums of 60 scores that are the truth itself
    assert float(ours[13].removeprefix("probe ")) < -0.95
    assert (ours[14], other[1]) == ("a processor", "1")
    assert (spos[0], spos[11]) == ("SPOS", "-1.000 [-1.000, -1.000]")
    assert [cell.split()[0] for cell in spos[13].split(", ")] == ["probe", "classifier"]
    mean, by_probe = (row for row in table_rows(text, 8) if row[0] == "Π-NAS" and row[1] in ("consistency", "probe"))
    assert mean[2:4] + mean[5:6] + mean[7:] == ["2 x 1", "2", "+1.000 (+1.000 to +1.000)", ""]
    assert by_probe[2:4] + by_probe[5:6] == ["2 x 1", "2", "+0.000 (-1.000 to +1.000)"]
    assert float(mean[6].split()[0]) > 0.95 > 0.3 > abs(float(by_probe[6].split()[0]))  # one each way: nothing is left
    assert float(by_probe[7].split()[0]) == pytest.approx(
        float(mean[6].split()[0]) - float(by_probe[6].split()[0]), abs=0.002
    )
    pairs = {(row[1], row[2]): row[3:] for row in table_rows(text, 7) if row[0] == "SPOS"}
    same, mixed = [(name, name) for name in ("consistency", "probe")], ("consistency", "classifier")
    assert set(pairs) == {*same, ("consistency", "probe"), mixed}
    assert pairs["probe", "probe"][:2] == ["2 x 1", "0"]
    assert pairs["consistency", "consistency"][3] == "+2.000 [+2.000, +2.000]"
    assert (pairs["consistency", "probe"][3], pairs["probe", "probe"][3]) == (
        "+1.000 [+1.000, +1.000]",
        "-1.000 [-1.000, -1.000]",
    )
    assert any(row[0] == "each trained for 12 epochs" and row[11] == "-1.000" for row in table_rows(text, 15))
    assert any(row[0] == "Π-NAS without mean teacher" and row[5:] == ["0.900", "–", "–"] for row in table_rows(text, 8))
    assert len([row for row in table_rows(text, 7) if row[0] == "Π-NAS without mean teacher"]) == 1  # no probe's pair
    assert sorted(p.name for p in results.glob("*.svg"))[0] == "pinas_729_2x1_0_of_60.svg"
    assert results.with_suffix(".svg").is_file()


def test_ablations_stand_beside_what_they_change_nothing_else_of(results, truth_csv):
    other = ("learn.weight_decay=0.0",)
    write_run(results, "pinas", "Π-NAS", consistency=0)
    write_run(results, "pinas", "Π-NAS", consistency=1, changes=other)
    write_run(results, "pinas_no_mt", "Π-NAS without mean teacher", consistency=0, changes=other)
    evidence = load(results, truth_csv)
    assert {run.method for run in tried_runs(evidence)} == {"pinas"}
    pairs = table_rows("\n".join(pairs_table(evidence, Ranking(729, 729))), 7)[2:]
    assert [row[0] for row in pairs] == [f"Π-NAS, {other[0]}", f"Π-NAS without mean teacher, {other[0]}"]
    rows = table_rows("\n".join(ablations_table(evidence)), 8)[2:]
    assert pairs[1][6].startswith("+1.000")  # less than Π-NAS with the same change
    assert [row[0] for row in rows] == [f"Π-NAS{text}, {other[0]}" for text in ("", " without mean teacher")]


def test_supernets_of_all_operations_rank_the_729_by_their_own_scores_or_by_effects(results, truth_csv):
    write_run(results, "pinas", "Π-NAS", size=15625, consistency=1, squared_error=-1, cross_entropy=-1)
    write_run(results, "pinas", "Π-NAS", size=15625, subspace=729, consistency=1, cross_entropy=1)
    write_run(results, "spos", "SPOS", size=15625, consistency=1)
    write_run(results, "spos", "SPOS", seed=1, consistency=1)  # trained on three operations: another protocol
    evidence = load(results, truth_csv)
    rows = [
        row for row in table_rows("\n".join(protocol_table(evidence, Ranking(15625, 729))), 11) if row[1] in ("0", "1")
    ]
    assert [(row[0], row[4], row[5]) for row in rows] == [
        ("Π-NAS", "consistency", "60"),  # of the file that scored the 729
        ("Π-NAS", "classifier", "60"),
        ("SPOS", "consistency", "60"),  # scored among all, but made-up runs hold only architectures of the 729
    ]
    assert rows[1][6] == "+1.000 [+1.000, +1.000]"
    assert all(float(row[7].split()[0]) > 0.95 for row in rows)
    assert [run.title for run in evidence.of_size(729)] == ["SPOS"]
    assert [(run.scored, run.method) for run in evidence.of_size(15625)] == [(15625, "pinas"), (15625, "spos")]


def test_a_score_that_one_seed_lacks_has_no_mean_over_seeds(results, truth_csv):
    write_run(results, "pinas", "Π-NAS", consistency=1, cross_entropy=1)
    write_run(results, "pinas", "Π-NAS", seed=1, consistency=1)  # of an earlier version
    lines = seeds_table(load(results, truth_csv), Ranking(729, 729))
    assert [row[1] for row in table_rows("\n".join(lines), 8)[2:]] == ["consistency"]


def test_a_printed_tau_stands_beside_the_same_protocol_only(results, truth_csv):
    evidence = load(results, truth_csv)
    assert printed_taus(evidence, Ranking(15625, 729)) == {"paper, Π-NAS": 0.70, "paper, SPOS": 0.57}
    assert printed_taus(evidence, Ranking(15625, 15625)) == {"paper, Π-NAS": 0.65, "paper, SPOS": 0.60}
    assert printed_taus(evidence, Ranking(15625, 4096)) == {}  # Figure 8 gives them in its picture alone
    assert printed_taus(evidence, Ranking(729, 729)) == {}


def test_too_few_scores_of_the_ranked_space_have_no_tau(results, tmp_path):
    truth_csv = write_truth(tmp_path / "all.csv", operations="1234")
    path = write_run(results, "spos", "SPOS", size=15625, consistency=1)
    lines = path.read_text().splitlines()
    others = {f"11{line[2:6]}": f"11{line[2:]}" for line in lines[20:]}  # with skip connections: not of the 729
    path.write_text("\n".join([*lines[:20], *others.values()]) + "\n")
    (row,) = (
        row
        for row in table_rows("\n".join(protocol_table(load(results, truth_csv), Ranking(15625, 729))), 11)
        if row[0] == "SPOS"
    )
    assert row[5:7] == [f"{19 + len(others)} of all 15,625", "–"]


def test_skip_connections_are_counted_among_the_best():
    assert skip_counts(["111111", "012341", "000000", "111111"], best=3) == [1, 0, 1, 0, 0, 0, 1]


def test_the_spread_of_fits_is_of_runs_with_scores_to_spare(results, truth_csv):
    write_run(results, "pinas", "Π-NAS", consistency=1)
    write_run(results, "spos", "SPOS", consistency=0)
    assert fits_table(load(results, truth_csv), 729) == []  # 60 of 60 scores are one fit
    (ours, spos) = table_rows("\n".join(fits_table(load(results, truth_csv, fitted=30, fits=60), 729)), 5)[2:]
    assert ours[:3] == ["Π-NAS, 60 scored", "2 x 1", "0"]
    low, high = (float(word) for word in ours[4].split(" to "))
    assert low < float(ours[3]) < high
    assert low > 0.7
    assert spos[3:] == ["+0.000", "+0.000 to +0.000"]


def test_trials_stand_apart_by_the_tuned_half_and_in_full_where_they_have_scores_enough(results, truth_csv):
    write_run(results, "spos", "SPOS", consistency=1)
    write_run(results, "spos", "SPOS", consistency=-1, changes=("learn.lr=0.2",))
    write_run(results, "fairnas", "FairNAS", consistency=1)
    written = write_report(load(results, truth_csv), results)
    assert len(written.shown) == 3
    assert written.text.count("| SPOS, learn.lr=0.2 | 0 | 2 x 1 | 60 | ") == 1
    assert "learn.lr" not in written.overview.read_text()
    written = write_report(load(results, truth_csv, fitted=61), results)
    assert [run.title for run in written.shown] == ["FairNAS"]  # where nothing was tried, nothing is a trial
    text = written.page.read_text()
    assert text.count("SPOS, learn.lr=0.2") == 0
    plain, tried = (row for row in table_rows(text[text.index("## Trials") :], 7) if row[0] == "SPOS")
    assert (plain[1], tried[1]) == ("nothing", "`learn.lr=0.2`")
    assert float(plain[6].removeprefix("consistency ")) > 0.9 > -0.9 > float(tried[6].removeprefix("consistency "))


def test_facts_of_a_run_are_its_taus(results, truth_csv):
    write_run(results, "spos", "SPOS", consistency=-1, changes=("learn.lr=0.2",))
    evidence = load(results, truth_csv)
    facts = run_facts(evidence, evidence.runs[0])
    assert (facts["run"], facts["changes"], facts["scored"]) == ("spos", ["learn.lr=0.2"], 60)
    assert facts["tau_of_scores"] == -1
    assert facts["tau_of_effects"] < -0.95


def test_of_one_supernet_the_run_with_the_most_scores_counts(results, truth_csv):
    few = write_run(results, "spos", "SPOS", consistency=1)
    many = few.with_name("spos_729_2x1_0_of_61.csv")
    many.write_text(few.read_text() + "444444,0.5,,-1,,,,\n")
    many.with_suffix(".json").write_text(few.with_suffix(".json").read_text())
    (run,) = read_runs(results, "pinas")
    assert (run.name, len(run.scores)) == ("spos_729_2x1_0_of_61", 61)


def test_runs_on_a_space_that_is_not_planned_are_left_out(results, truth_csv):
    path = write_run(results, "spos", "SPOS", consistency=1).with_suffix(".json")
    path.write_text(path.read_text().replace("729", "64"))
    assert load(results, truth_csv).runs == []
    write_run(results, "pinas", "Π-NAS", size=15625, subspace=64, consistency=1)
    assert load(results, truth_csv).runs == []
    assert report_text(load(results, truth_csv)).startswith("# Ranking on NAS-Bench-201")


def test_scores_of_architectures_without_a_truth_are_refused(results, truth_csv):
    path = write_run(results, "spos", "SPOS", size=15625, consistency=1)
    path.write_text(path.read_text().replace(f"\n{SCORED[0]}", "\n000000"))
    with pytest.raises(UserError, match=r"spos_15625_2x1_0_of_60 scores or chooses .* 000000 \(1 in all\)"):
        load(results, truth_csv)


def test_a_chosen_architecture_without_a_truth_is_refused(results, truth_csv):
    path = write_run(results, "spos", "SPOS", consistency=1).with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "chosen": "000000"}))
    with pytest.raises(UserError, match=r"scores or chooses .* 000000 \(1 in all\)"):
        load(results, truth_csv)


def few(tmp_path: Path, size: int) -> Evidence:
    """A run that scores two architectures which only the space of all operations has, and their truth."""
    run = write_run(tmp_path / "few", "pinas", "Π-NAS", size=size, consistency=1)
    head, first, second, *_ = run.read_text().splitlines()
    rows = [head, f"000000{first[6:]}", f"000001{second[6:]}"]
    run.write_text("\n".join(rows) + "\n")
    table = write_truth(tmp_path / "few.csv", operations="2")
    head = table.read_text().splitlines()[0]
    table.write_text(f"{head}\n000000,90,90,90,1,90\n000001,91,91,91,2,91\n")
    return load(tmp_path / "few", table)


def test_scores_of_architectures_outside_the_runs_space_are_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"expected only architectures of .* in pinas_729_.*, got 000000, 000001 \(2 in"
    ):
        few(tmp_path, 729)


def test_a_truth_without_a_smaller_space_gives_a_page_without_it(tmp_path):
    text = report_text(few(tmp_path, 15625))
    assert "| Π-NAS | 0 |" in text
    assert "## 729 architectures" not in text


def test_a_run_without_the_score_that_ranks_is_refused(results, truth_csv):
    write_run(results, "spos", "SPOS", squared_error=1)
    with pytest.raises(UserError, match="expected scores by consistency, by which the configuration ranks"):
        load(results, truth_csv)


def test_a_run_that_has_its_methods_own_score_alone_is_ranked_by_it_in_all_tables(results, truth_csv):
    write_run(results, "pinas", "Π-NAS", consistency=-1, squared_error=-1)
    write_run(results, "pinas", "Π-NAS", seed=1, consistency=-1, squared_error=-1)
    for seed in (0, 1):
        write_run(results, "dna", "DNA", seed=seed, own=1)
    write_run(results, "dna", "DNA", size=15625, own=1)
    evidence = load(results, truth_csv)
    text = write_report(evidence, results).text
    dna = [row for row in table_rows(text, 15) if row[:2] == ["DNA", "1"]]
    assert [row[11] for row in dna] == ["+1.000 [+1.000, +1.000]"]
    assert "| Π-NAS | 0 | 2 x 1 | consistency | 60 | -1.000 " in text
    assert "| DNA | 0 | 2 x 1 | the method's own score | 60 | +1.000 " in text
    assert "| DNA | consistency | the method's own score | 2 x 1 | 1 | -" in text
    facts = run_facts(evidence, next(run for run in evidence.runs if run.method == "dna"))
    assert (facts["ranked_by"], facts["tau_of_scores"]) == ("own", 1)


def test_a_run_that_was_not_scored_by_probes_is_shown(results, truth_csv):
    path = write_run(results, "spos", "SPOS", consistency=1).with_suffix(".json")
    facts = json.loads(path.read_text())
    del facts["accuracy"], facts["similarity"]
    path.write_text(json.dumps(facts))
    evidence = load(results, truth_csv)
    assert "| 64 | – | " in "\n".join(ranking_table(evidence, 729))
    assert run_facts(evidence, evidence.runs[0])["accuracy"] is None


def test_damaged_results_are_one_clear_error(results, truth_csv):
    path = write_run(results, "spos", "SPOS", consistency=1)
    path.write_text("arch,accuracy\n222222,0.5\n")
    with pytest.raises(UserError, match=r"column .squared_error. in .*_of_60.csv, .*; delete .* to measure"):
        load(results, truth_csv)
    facts = path.with_suffix(".json").read_text()
    for content in ("[]", "[" * 100_000, " " * 2**20 + facts):  # another type, too deep, too long
        path.with_suffix(".json").write_text(content)
        with pytest.raises(UserError, match=r"of a measured run|as a measured run keeps them"):
            load(results, truth_csv)
    path.with_suffix(".json").write_text(facts)
    path.unlink()
    with pytest.raises(
        UserError, match=r"the scores of a measured run in .*, found no file there; delete .* to measure it again"
    ):
        load(results, truth_csv)
    os.mkfifo(path)  # which nobody writes: not waited for
    with pytest.raises(UserError, match=r"a named pipe.*; delete .* to measure it again"):
        load(results, truth_csv)


@pytest.mark.parametrize("column", ["cifar10_valid_acc", "flops_computed"])
def test_a_table_that_lacks_a_column_is_refused(tmp_path, column):
    path, config = write_truth(tmp_path / "table.csv", drop=column), evidence_config()
    with pytest.raises(UserError, match=f"expected {column} of "):
        load_truth(path, config.truth, 20)
