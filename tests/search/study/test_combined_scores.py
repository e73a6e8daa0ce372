"""Exploration by several scores: exact under resume and with several workers, and what the study and ranking keep."""

from __future__ import annotations

import json
import math
import multiprocessing
import time
from itertools import product
from multiprocessing.synchronize import Barrier
from pathlib import Path

import optuna
import pytest
from scipy.stats import rankdata

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import Explore
from pinas_zoo.search.ranking.main_effects import main_effects
from pinas_zoo.search.run_files import read_ranking
from pinas_zoo.search.scorers.log_ranks import smoothed_sums
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from pinas_zoo.search.study import leases
from pinas_zoo.search.study.loop import explore_study
from pinas_zoo.search.study.ranking_file import write_ranking
from pinas_zoo.search.study.storage import open_study
from pinas_zoo.search.study.stored_trials import check_trials, known_scores, trial_scores

WEIGHTS = {"consistency": 1.0, "flops": 0.5}


def new_space() -> ResNeSt50Space:
    return ResNeSt50Space(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)


@pytest.fixture
def space() -> ResNeSt50Space:
    return new_space()


def options(evaluations: int, **more) -> Explore:
    score = [[name, weight] for name, weight in WEIGHTS.items()]
    return Explore.model_validate(
        {"evaluations": evaluations, "score": score, "population": 8, "random_first": 8, **more}
    )


def two_scores(arch: Arch) -> Score:
    """Ties in both; they agree on the first layer alone."""
    parts = {
        "consistency": Score(arch[0] + arch[1] - arch[2], arch[3]),
        "flops": Score(arch[0] - arch[1], float(arch[2])),
    }
    return Score(parts["consistency"].accuracy, parts["consistency"].loss, parts)


def expected(archs: list[Arch]) -> dict[Arch, float]:
    """The shares of the sums of log ranks, by SciPy's ranks of a single key for each part."""
    found = {arch: two_scores(arch).parts for arch in archs}
    sums = dict.fromkeys(archs, 0.0)
    for name, weight in WEIGHTS.items():
        ranks = rankdata([-1000 * parts[name].accuracy + parts[name].loss for parts in found.values()])
        for arch, rank in zip(archs, ranks, strict=True):
            sums[arch] -= weight * math.log((len(archs) + 1 - rank) / len(archs))  # places from the last
    return {arch: 1 - value / (1.5 * math.log(len(archs))) for arch, value in sums.items()}


def evaluate(calls: list[Arch], stop_after: int | None = None):
    def scores(archs: list[Arch]) -> list[Score]:
        if stop_after is not None and len(calls) + len(archs) > stop_after:
            raise KeyboardInterrupt
        calls.extend(archs)
        return [two_scores(arch) for arch in archs]

    return scores


@pytest.mark.parametrize("sampler", ["action_space", "arch2vec", "nsga2", "tpe", "random"])
def test_a_stopped_exploration_equals_an_undisturbed_one(space, sampler):
    """Stopped within evaluations, again and again, and between the first and the last result of a batch."""
    whole: list[Arch] = []
    undisturbed = optuna.create_study(direction="maximize")
    ended = explore_study(space, evaluate(whole), options(45, sampler=sampler), undisturbed, seed=3)
    assert len(set(whole)) == 45
    calls: list[Arch] = []
    study = optuna.create_study(direction="maximize")
    tell = study.tell
    for stop in (0, 8, 24, None):
        study.tell = tell
        if stop == 24:  # a kill in the middle of telling a batch's results
            told = 0

            def some(*args, **kwargs):
                nonlocal told
                told += 1
                if told == 4:
                    raise KeyboardInterrupt
                return tell(*args, **kwargs)

            study.tell = some
        try:
            scores = explore_study(space, evaluate(calls, stop), options(45, sampler=sampler), study, seed=3)
        except KeyboardInterrupt:
            assert stop is not None
    assert list(scores) == whole
    assert scores == ended
    assert {arch: score.accuracy for arch, score in scores.items()} == pytest.approx(expected(whole))
    if sampler == "action_space":  # it goes where both are good
        first, last = (sum(expected(whole)[a] for a in part) / 10 for part in (whole[:10], whole[-10:]))
        assert last > first


def worker(storage: str, folder: Path, number: int, barrier: Barrier) -> None:
    """Scores a batch of nine in at least a tenth of a second, so that the other worker scores some, too."""

    def slowly(archs: list[Arch]) -> list[Score]:
        time.sleep(0.1)
        return [two_scores(arch) for arch in archs]

    leases.POLL = 0.05
    space, study = new_space(), open_study(storage, folder)
    space.num_candidates = 3  # 81 architectures
    barrier.wait(60)
    scores = explore_study(space, slowly, options(81, batch=9), study, seed=0)
    order = sorted(scores, key=lambda arch: (-scores[arch].accuracy, str(arch)))
    (folder / f"result.{number}").write_text(json.dumps([(str(arch), scores[arch].accuracy) for arch in order]))


def test_two_workers_make_the_ranking_that_one_makes(tmp_path):
    """All of a space are scored, so that every division of the work scores the same ones."""
    processes = multiprocessing.get_context("fork")
    open_study("", tmp_path)
    barrier = processes.Barrier(2)
    workers = [processes.Process(target=worker, args=("", tmp_path, k, barrier)) for k in range(2)]
    for process in workers:
        process.start()
    for process in workers:
        process.join(timeout=120)
    assert [process.exitcode for process in workers] == [0, 0]
    one, two = ((tmp_path / f"result.{k}").read_text() for k in range(2))
    assert one == two
    values = expected([Arch(digits) for digits in product(range(3), repeat=4)])
    assert dict(json.loads(one)) == pytest.approx({str(arch): value for arch, value in values.items()})
    by = {trial.user_attrs["worker"] for trial in open_study("", tmp_path).trials}
    assert len(by) == 2


def test_the_study_keeps_single_scores_and_the_ranking_file_each_part_and_the_sum(space, tmp_path):
    study = open_study("", tmp_path)
    scores = explore_study(space, evaluate([]), options(16), study, seed=0)
    stored = trial_scores(study.trials)
    assert stored == {arch: two_scores(arch) for arch in scores}
    check_trials(study, space, "here", WEIGHTS)
    effects = main_effects({arch: score.accuracy for arch, score in scores.items()}, 4)
    best = write_ranking(tmp_path / "ranking.csv", space, scores, 32, effects, "score", WEIGHTS)
    rows = read_ranking(tmp_path / "ranking.csv", WEIGHTS)
    first = write_ranking(tmp_path / "smoothed.csv", space, scores, 32, effects, "smoothed", WEIGHTS)
    smooth = read_ranking(tmp_path / "smoothed.csv", WEIGHTS)
    both = dict(zip(scores, smoothed_sums(list(scores.values()), [effects.score(a) for a in scores]), strict=True))
    assert [row["arch"] for row in smooth] == [str(arch) for arch in sorted(scores, key=both.__getitem__)]
    assert smooth[0]["arch"] == str(first)
    assert [float(row["smoothed"]) for row in smooth] == pytest.approx(sorted(both.values()), abs=1e-8)
    assert [row["arch"] for row in smooth] != [row["arch"] for row in rows]
    assert "smoothed" not in rows[0]
    assert list(rows[0])[:8] == ["rank", "arch", "accuracy", "loss", "params_m", "flops_g", "evaluation", "effects"]
    assert rows[0]["arch"] == str(best) == str(max(scores, key=lambda arch: scores[arch].accuracy))
    for row in rows:
        parts = scores[space.parse(row["arch"])].parts
        assert (float(row["consistency"]), float(row["flops_loss"])) == (
            parts["consistency"].accuracy,
            parts["flops"].loss,
        )
        total = sum(-w * math.log((17 - float(row[f"{name}_rank"])) / 16) for name, w in WEIGHTS.items())
        assert float(row["log_ranks"]) == pytest.approx(total, abs=1e-8)
        assert float(row["accuracy"]) == pytest.approx(1 - total / (1.5 * math.log(16)), abs=1e-8)


def test_a_study_without_the_parts_of_its_list_is_refused(space, tmp_path):
    study = open_study("", tmp_path)
    explore_study(space, lambda archs: [Score(0.5, 1.0) for _ in archs], options(4, score="flops"), study, seed=0)
    check_trials(study, space, "here")
    with pytest.raises(UserError, match="trial 0 with other scores than consistency, flops"):
        check_trials(study, space, "here", WEIGHTS)
    first = study.trials[0]
    stored = {**first.user_attrs["scored"], "parts": {first.user_attrs["arch"]: {"flops": ["a", 1]}}}
    other = optuna.create_study(direction="maximize")
    attributes = {**first.user_attrs, "scored": stored}  # which no version writes
    other.add_trial(
        optuna.create_trial(value=0.5, params=first.params, distributions=first.distributions, user_attrs=attributes)
    )
    with pytest.raises(UserError, match="trial 0 with scores"):
        check_trials(other, space, "here")


def test_a_single_score_that_is_not_finite_stops_the_search(space):
    def diverged(archs: list[Arch]) -> list[Score]:
        return [Score(0.0, 0.0, {"consistency": Score(0.0, 0.0), "flops": Score(math.nan, 0.0)}) for _ in archs]

    with pytest.raises(UserError, match="expected a finite score, got nan"):
        explore_study(space, diverged, options(8), optuna.create_study(direction="maximize"), seed=0)


def test_studies_of_one_score_are_read_as_before(space):
    study = optuna.create_study(direction="maximize")
    explore_study(space, lambda archs: [Score(a[0] / 3, a[1]) for a in archs], Explore(evaluations=9), study, seed=0)
    assert all(score == Score(arch[0] / 3, arch[1]) for arch, score in known_scores(study).items())
    assert {trial.value for trial in study.trials} <= {0, 1 / 3, 2 / 3, 1}
    assert not any("parts" in trial.user_attrs.get("scored", {}) for trial in study.trials)
