"""The configuration of an evidence and the runs that follow from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pinas_zoo.errors import UserError
from pinas_zoo.search.evidence.plan import PlannedRun, find_evidence, load_evidence
from pinas_zoo.search.evidence.results import read_runs
from tests.search.evidence.made_up_runs import CHECKOUT, CONFIG, evidence_config


def test_the_runs_of_the_repository_are_whole_and_what_their_names_say(tmp_path):
    evidence = evidence_config()
    runs = read_runs(CHECKOUT / "benchmarks" / "results" / "nb201", evidence.reference)
    assert runs
    for run in runs:
        facts = run.facts
        assert len(run.scores) == facts["scored"]
        budget = facts["minutes"], facts["threads"]
        planned = PlannedRun(evidence, run.method, run.size, run.seed, *budget, run.changes, run.scored)
        assert run.name == planned.result_name(facts["scored"])
        config = planned.search_config(tmp_path, facts["steps"]).model_dump(mode="json", include={*facts["config"]})
        config["learn"]["options"].pop("head_init", None)  # version 0.1.0 had no such option; its heads were torch's
        facts["config"]["learn"]["options"].pop("head_init", None)
        if recipe := planned.teacher_recipe(tmp_path):
            config["teacher"] = recipe.model_dump(mode="json", exclude={"data"})
        if data := facts["config"].get("data"):  # versions after 0.1.0 keep a part of it
            config["data"] = {key: config["data"][key] for key in data}
        assert config == facts["config"], f"{run.name} was learned in another regime than it would be now"


def test_the_benchmarks_own_size(tmp_path):
    full = load_evidence(find_evidence("nasbench201_full"))
    config = PlannedRun(full, "pinas", 15625, 0, 5.0, 1, steps=40).search_config(tmp_path, 40)
    assert (config.space["cells"], config.space["channels"], config.data.image_size) == (5, 16, 32)
    small = PlannedRun(load_evidence(find_evidence("nasbench201")), "pinas", 15625, 0, 5.0, 1)
    assert config.learn == small.search_config(tmp_path, 40).learn
    assert PlannedRun(full, "pinas", 15625, 0, 5.0, 1, steps=40).name == "pinas_15625_40steps_0"


def test_a_planned_run_names_its_files_by_what_it_changes(tmp_path):
    changes = ("learn.lr=0.2", "views.scale=(0.9, 1.0)")
    planned = PlannedRun(evidence_config(), "spos", 729, 1, 4.0, 1, changes)
    assert planned.name == "spos_learn.lr=0.2_views.scale=-0.9-1.0-_729_4x1_1"
    config = planned.search_config(tmp_path, 7)
    assert (config.learn.lr, config.views.scale, config.learn.steps, config.seed) == (0.2, (0.9, 1.0), 7, 1)
    with pytest.raises(UserError, match=r"unknown key 'learn\.rate'"):
        PlannedRun(evidence_config(), "spos", 729, 1, 4.0, 1, ("learn.rate=0.2",)).search_config(tmp_path, 7)


def test_an_ablation_changes_what_it_says_of_its_base_and_nothing_else(tmp_path):
    evidence = evidence_config()
    ours, ablated = (
        PlannedRun(evidence, name, 729, 0, 1, 1).search_config(tmp_path, 9).model_dump(exclude={"name"})
        for name in ("pinas", "pinas_no_mt")
    )
    assert ablated["learn"]["options"].pop("mean_teacher") is False
    assert ablated == ours
    assert [name for name in evidence.runs if evidence.is_ablation(name)] == [
        "pinas_no_cp", "pinas_no_mt", "pinas_no_negatives",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("minute = 3", "unknown key 'minute'; did you mean 'minutes'?"),
        ("runs = dict(spos=dict(lern=dict(lr=1.0)))", "unknown key 'runs.spos.lern'; did you mean 'runs.spos.learn'?"),
        ("reference = 'darts'", "expected reference to name one of pinas, spos, .*, got 'darts'"),
        ("runs = dict(spos=dict(base='darts'))", r"expected runs\.spos\.base to name one of .*, got 'darts'"),
        ("runs = dict(spos=dict(base='untrained'))", "the base of runs.spos to have no base of its own"),
        ("spaces = {64: ('none', 'skip_connect', 'conv')}", "expected operations of none, .*, got 'conv' for 64"),
        ("spaces = {100: ('none', 'skip_connect')}", "expected 100 architectures"),
        ("tuned = dict(size=64)", "expected tuned.size to be one of 729, 4096, 15625"),
        ("rank_by = 'cross_entropy'", "expected a score that all kept runs have: consistency or squared_error"),
        ("protocols = (dict(supernet=729, scored=4096),)", "of a space within the supernet's, got 4096 of 729"),
        ("protocols = (dict(supernet=729, scored=64),)", r"expected protocols\[0\].scored to be one of 729, 4096"),
        ("initialisations = dict(consistency=2)", "expected scores that need no supernet, .*, got 'consistency'"),
        ("initialisations = dict(jacov=0)", "initialisations.jacov"),
        ("runs = dict(spos=dict(title='SPOS | x'))", "expected one line"),
        ("tuned = dict(seed=-1)", "tuned.seed"),
        ("report = dict(resamples=10**12)", "report.resamples"),
        ("training_free = ('consistency',)", "expected scores that need no supernet, .*, got 'consistency'"),
        ("sums = (('consistency', 'evil'),)", "expected scores of consistency, .* in the list"),
        ("sums = ('consistency',)", "expected a list of lists of scores"),
        ("sums = (('consistency', ('flops', -1)),)", "expected a weight of 1e-06 to 1e.06 for flops"),
        ("training_free = ()", "expected sums of consistency, .* and what training_free names, got 'az_complexity'"),
        ("minutes = 0", "'minutes': expected greater than 0, got 0"),
        ("raise RuntimeError('no')", "got RuntimeError: no"),
    ],
)
def test_a_configuration_that_is_wrong_is_one_clear_error(tmp_path, change, message):
    path = tmp_path / "mine.py"
    path.write_text(f"_base_ = [{str(CONFIG)!r}]\n{change}\n")
    with pytest.raises(UserError, match=message) as error:
        load_evidence(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_configuration_is_found_by_its_path_or_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_evidence("nasbench201") == CONFIG
    (tmp_path / "mine.py").touch()
    assert find_evidence("mine.py") == Path("mine.py")
    with pytest.raises(UserError, match="one of nasbench201, nasbench201_full, got nb101"):
        find_evidence("nb101")
    with pytest.raises(UserError, match=r"got absent\.py, which is not there"):
        find_evidence("absent.py")


def test_the_command_imports_nothing_heavy():
    code = (
        "import sys, pinas_zoo; before = set(sys.modules)\n"
        "import pinas_zoo.commands.evidence\n"
        "print(*(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in loaded if "." in name} <= {
        "pinas_zoo.commands",
        "pinas_zoo.commands.evidence",
        "pinas_zoo.terminal",
    }
    assert not {"mmengine", "pydantic", "optuna", "matplotlib", "scipy"} & {name.split(".")[0] for name in loaded}
