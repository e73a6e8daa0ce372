"""The report of benchmarks/nb201.py on made-up runs: taus, halves, pairs, ablations; and its refusals."""

from __future__ import annotations

import csv
import importlib
import itertools
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import arch_string

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
ARCHS = ["".join(digits) for digits in itertools.product("234", repeat=6)]
EFFECTS = np.random.default_rng(0).normal(size=(6, 3))
TRUTH = {arch: 90 + EFFECTS[range(6), [int(digit) - 2 for digit in arch]].sum() for arch in ARCHS}
SCORED = [ARCHS[k] for k in np.random.default_rng(1).permutation(len(ARCHS))[:60]]


@pytest.fixture
def nb201(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("nb201")


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("nb201_report")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results" / "nb201")
    monkeypatch.setattr(module, "RESAMPLES", 20)
    monkeypatch.setattr(module, "FITTED", 60)
    return module


def runs() -> ModuleType:
    return importlib.import_module("nb201_found")


def write_table(path: Path, drop: str = "") -> Path:
    names = ["arch_str", "cifar10_test_acc", "cifar10_test_acc_12ep", "cifar10_valid_acc", "flops_computed"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([n for n in names if n != drop])
        for arch, truth in TRUTH.items():
            row = dict(zip(names, [arch_string(arch), truth, -truth, truth, arch.count("3") + 1], strict=True))
            writer.writerow([value for name, value in row.items() if name != drop])
    return path


def write_run(
    report: ModuleType, name: str, title: str, seed: int = 0, changes: tuple[str, ...] = (), **losses: float
) -> None:
    """60 architectures; a loss ranks them by truth (1), the other way round (-1), not at all (0) or is not known."""
    report.RESULTS.mkdir(parents=True, exist_ok=True)
    lines = [",".join(["arch", *runs().SCORES])]
    for arch in SCORED:
        known = [str(-losses[by] * TRUTH[arch]) if by in losses else "" for by in runs().SCORES[1:]]
        lines.append(",".join([arch, "0.5", *known]))
    facts = dict(
        run=name, title=title, changes=changes, seed=seed, architectures=729, scored=60, minutes=2.0, threads=1
    )
    facts |= dict(steps=60, images_per_step=128, wall_seconds=9.0, accuracy=0.5, similarity=0.9, loss=1.0)
    facts["machine"] = "a processor"
    path = report.RESULTS / f"{name}{''.join(changes)}_729_2x1_{seed}_of_60.csv"
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".json").write_text(json.dumps(facts))


def table_rows(text: str, columns: int) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in rows if len(row) == columns]


def test_the_report_ranks_by_consistency_and_shows_the_other_scores(report, tmp_path):
    write_run(report, "pinas", "Π-NAS", consistency=1, squared_error=-1)
    write_run(report, "pinas", "Π-NAS", seed=1, consistency=0.5, squared_error=1)
    write_run(report, "spos", "SPOS", consistency=-1, squared_error=0, cross_entropy=-1)
    write_run(report, "pinas_no_mt", "Π-NAS without mean teacher", consistency=0, squared_error=0)
    table = runs().read_rows(write_table(tmp_path / "table.csv"))
    importlib.import_module("nb201_figures").draw(report.report(table), table, report.RESULTS)
    text = report.RESULTS.with_suffix(".md").read_text()
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
    pairs = {row[1]: row[2:] for row in table_rows(text, 6) if row[0] == "SPOS"}
    assert list(pairs) == ["consistency", "probe", "classifier"]
    assert pairs["probe"][:2] == ["2 x 1", "0"]
    assert (pairs["consistency"][3], pairs["probe"][3]) == ("+2.000 [+2.000, +2.000]", "+1.000 [+1.000, +1.000]")
    assert any(row[0] == "each trained for 12 epochs" and row[11] == "-1.000" for row in table_rows(text, 15))
    assert any(row[0] == "Π-NAS without mean teacher" and row[5:] == ["0.900", "–", "–"] for row in table_rows(text, 8))
    assert len([row for row in table_rows(text, 6) if row[0] == "Π-NAS without mean teacher"]) == 1  # no probe's pair
    assert sorted(p.name for p in report.RESULTS.glob("*.svg"))[0] == "pinas_729_2x1_0_of_60.svg"
    assert report.RESULTS.with_suffix(".svg").is_file()


def test_ablations_stand_beside_what_they_change_nothing_else_of(report, tmp_path):
    other = ("learn.weight_decay=0.0",)
    write_run(report, "pinas", "Π-NAS", consistency=0)
    write_run(report, "pinas", "Π-NAS", consistency=1, changes=other)
    write_run(report, "pinas_no_mt", "Π-NAS without mean teacher", consistency=0, changes=other)
    table, found = runs().read_rows(write_table(tmp_path / "table.csv")), runs().read_found(report.RESULTS)
    assert {f.facts["run"] for f in report.tried(found)} == {"pinas"}
    pairs = table_rows("\n".join(report.pairs(found, table, 729)), 6)[2:]
    assert [row[0] for row in pairs] == [f"Π-NAS, {other[0]}", f"Π-NAS without mean teacher, {other[0]}"]
    rows = table_rows("\n".join(report.ablations(found, table)), 8)[2:]
    assert pairs[1][5].startswith("+1.000")  # less than Π-NAS with the same change
    assert [row[0] for row in rows] == [f"Π-NAS{text}, {other[0]}" for text in ("", " without mean teacher")]


def test_skip_connections_are_counted_among_the_best(report, monkeypatch):
    monkeypatch.setattr(report, "SKIPS_OF", 3)
    assert report.skip_counts(["111111", "012341", "000000", "111111"]) == [1, 0, 1, 0, 0, 0, 1]


def test_a_table_that_lacks_a_column_is_refused(report, tmp_path):
    with pytest.raises(UserError, match="expected cifar10_valid_acc of "):
        runs().read_rows(write_table(tmp_path / "table.csv", drop="cifar10_valid_acc"))
    with pytest.raises(UserError, match="expected flops_computed of "):
        runs().read_rows(write_table(tmp_path / "table.csv", drop="flops_computed"))


def test_the_runs_of_the_repository_are_whole_and_what_their_names_say(report, nb201, tmp_path):
    found = runs().read_found(BENCHMARKS / "results" / "nb201")
    assert found
    for f in found:
        facts = f.facts
        assert len(f.scores) == facts["scored"]
        setting = nb201.Setting(
            facts["run"], facts["architectures"], facts["seed"], facts["minutes"], facts["threads"], f.changes
        )
        assert f.name == nb201.results_of(setting, facts["scored"])
        config = setting.configuration(tmp_path, facts["steps"]).model_dump(mode="json", include={*facts["config"]})
        assert config == facts["config"], f"{f.name} was learned in another regime than it would be now"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--count", "5"), "expected --count of at least 30"),
        (("--minutes", "0"), "expected a positive number, got 0"),
        (("--threads", "0"), "argument --threads: invalid choice: 0"),
    ],
)
def test_budgets_that_make_no_sense_are_refused_before_anything_is_learned(words, message, nb201, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["nb201.py", "--table", "absent.csv", *words])
    with pytest.raises(SystemExit) as stopped:
        nb201.main()
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_images_that_are_none_are_one_clear_error(nb201, tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", pixels=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "empty.npz").touch()
    pack = dict(header=np.zeros(1, "u1"), body=np.zeros(2, "u1"), offsets=np.arange(3), labels=np.array([1, 77]))
    np.savez(tmp_path / "labels.npz", **pack)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "labels.npz").read_bytes()[:-30])
    for name in ("absent.npz", "text.npz", "other.npz", "array.npy", "empty.npz", "labels.npz", "cut.npz"):
        with pytest.raises(UserError, match=f"expected --images as a folder of CIFAR-10 or an .npz.*{name}"):
            nb201.image_folder(tmp_path / name, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_images_are_written_out_once_and_each_file_has_a_folder_of_its_own(nb201, tmp_path):
    pack = dict(header=np.array([1], "u1"), body=np.array([2, 3, 4], "u1"), offsets=np.array([0, 1, 3]))
    np.savez(tmp_path / "one.npz", **pack, labels=np.array([0, 9]))
    np.savez(tmp_path / "other.npz", **pack, labels=np.array([0, 8]))
    one, other = (nb201.image_folder(tmp_path / name, tmp_path / "work") for name in ("one.npz", "other.npz"))
    assert one != other
    assert (one / "train" / "truck" / "00001.jpg").read_bytes() == bytes([1, 3, 4])
    assert (other / "train" / "ship" / "00001.jpg").is_file()
    (one / "train" / "truck" / "00001.jpg").unlink()
    assert nb201.image_folder(tmp_path / "one.npz", tmp_path / "work") == one
    assert not (one / "train" / "truck" / "00001.jpg").exists()  # not written again
    with pytest.raises(UserError, match="absent"):
        nb201.image_folder(tmp_path / "absent.npz", tmp_path / "work")


def test_the_spread_of_fits_is_of_runs_with_scores_to_spare(report, monkeypatch, tmp_path):
    write_run(report, "pinas", "Π-NAS", consistency=1)
    write_run(report, "spos", "SPOS", consistency=0)
    table, found = runs().read_rows(write_table(tmp_path / "table.csv")), runs().read_found(report.RESULTS)
    assert report.fits(found, table, 729) == []  # 60 of 60 scores are one fit
    monkeypatch.setattr(report, "FITTED", 30)
    (ours, spos) = table_rows("\n".join(report.fits(found, table, 729)), 5)[2:]
    assert ours[:3] == ["Π-NAS, 60 scored", "2 x 1", "0"]
    low, high = (float(word) for word in ours[4].split(" to "))
    assert low < float(ours[3]) < high
    assert low > 0.7
    assert spos[3:] == ["+0.000", "+0.000 to +0.000"]


def test_trials_stand_apart_by_the_tuned_half_and_in_full_where_they_have_scores_enough(report, monkeypatch, tmp_path):
    write_run(report, "spos", "SPOS", consistency=1)
    write_run(report, "spos", "SPOS", consistency=-1, changes=("learn.lr=0.2",))
    write_run(report, "fairnas", "FairNAS", consistency=1)
    table = runs().read_rows(write_table(tmp_path / "table.csv"))
    found = report.report(table)
    assert len(found) == 3
    assert report.RESULTS.with_suffix(".md").read_text().count("SPOS, learn.lr=0.2") == 1
    importlib.import_module("nb201_figures").draw(found, table, report.RESULTS)
    assert "learn.lr" not in report.RESULTS.with_suffix(".svg").read_text()
    monkeypatch.setattr(report, "FITTED", 61)
    assert [f.title for f in report.report(table)] == ["FairNAS"]  # where nothing was tried, nothing is a trial
    text = report.RESULTS.with_suffix(".md").read_text()
    assert text.count("SPOS, learn.lr=0.2") == 0
    plain, tried = (row for row in table_rows(text[text.index("## Trials") :], 7) if row[0] == "SPOS")
    assert (plain[1], tried[1]) == ("nothing", "`learn.lr=0.2`")
    assert float(plain[6].removeprefix("consistency ")) > 0.9 > -0.9 > float(tried[6].removeprefix("consistency "))


def test_a_setting_names_its_files_by_what_it_changes(nb201, tmp_path):
    setting = nb201.Setting("spos", 729, 1, 4.0, 1, ("learn.lr=0.2", "views.scale=(0.9, 1.0)"))
    assert setting.name == "spos_learn.lr=0.2_views.scale=-0.9-1.0-_729_4x1_1"
    config = setting.configuration(tmp_path, 7)
    assert (config.learn.lr, config.views.scale, config.learn.steps, config.seed) == (0.2, (0.9, 1.0), 7, 1)
    with pytest.raises(UserError, match=r"unknown key 'learn\.rate'"):
        nb201.Setting("spos", 729, 1, 4.0, 1, ("learn.rate=0.2",)).configuration(tmp_path, 7)
