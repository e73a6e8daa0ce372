"""Exploration without training: distinct architectures, scores that do not depend on order, the whole of a space."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import timm
import torch
from optuna.trial import TrialState
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import Images
from pinas_zoo.engine.trainable import Batch
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import Explore
from pinas_zoo.search.ranking.main_effects import MainEffects, main_effects
from pinas_zoo.search.run_files import read_ranking
from pinas_zoo.search.samplers.arch2vec import LatentSpace
from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from pinas_zoo.search.stages.linear import LinearEvaluation
from pinas_zoo.search.study import leases, storage
from pinas_zoo.search.study import loop as explore_module
from pinas_zoo.search.study.constraints import latency_ms
from pinas_zoo.search.study.leases import CandidateLeases
from pinas_zoo.search.study.loop import explore_study
from pinas_zoo.search.study.ranking_file import write_ranking
from pinas_zoo.search.study.storage import open_study
from pinas_zoo.search.study.stored_trials import exploration_seconds, known_scores
from tests.search.study.explore_worker import main

TINY = dict(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)
SAMPLERS = ("action_space", "arch2vec", "nsga2", "tpe", "random")


@pytest.fixture
def space() -> ResNeSt50Space:
    return ResNeSt50Space(**TINY, zero_init_last=False)


def memory() -> optuna.Study:
    return optuna.create_study(direction="maximize")


def by_digits(calls: list[Arch], stop_after: int | None = None):
    """Scores by the digits' sum; like a kill, it stops within the evaluation after so many."""

    def scores(archs: list[Arch]) -> list[Score]:
        if stop_after is not None and len(calls) + len(archs) > stop_after:
            raise KeyboardInterrupt
        calls.extend(archs)
        return [Score(sum(arch) / 12, loss=arch[0]) for arch in archs]

    return scores


def options(evaluations: int, **more) -> Explore:
    return Explore(evaluations=evaluations, **{"population": 8, "random_first": 8, **more})


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_architecture_is_evaluated_twice_and_the_goal_is_met(space, sampler):
    calls: list[Arch] = []
    scores = explore_study(space, by_digits(calls), options(60, sampler=sampler), memory(), seed=0)
    assert len(scores) == len(calls) == len(set(calls)) == 60
    first, last = (sum(sum(a) for a in part) / 10 for part in (calls[:10], calls[-10:]))
    if sampler != "random":
        assert last > first  # it goes where scores are high


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_stopped_exploration_equals_an_undisturbed_one(space, sampler):
    """Stopped within evaluations, again and again, and between the first and the last result of a batch."""
    whole: list[Arch] = []
    explore_study(space, by_digits(whole), options(45, sampler=sampler), memory(), seed=3)
    calls: list[Arch] = []
    study = memory()
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
            scores = explore_study(space, by_digits(calls, stop), options(45, sampler=sampler), study, seed=3)
        except KeyboardInterrupt:
            assert stop is not None
    assert list(scores) == whole


def test_a_space_smaller_than_the_goal_is_scored_whole(space):
    space.num_candidates = 2  # 16 architectures
    calls: list[Arch] = []
    scores = explore_study(space, by_digits(calls), options(100), memory(), seed=0)
    assert len(scores) == len(calls) == space.size == 16


def test_going_on_with_a_larger_goal_keeps_what_is_known(space, tmp_path):
    calls: list[Arch] = []
    few = explore_study(space, by_digits(calls), options(8), open_study("", tmp_path), seed=0)
    more = explore_study(space, by_digits(calls), options(16), open_study("", tmp_path), seed=0)
    assert list(more)[:8] == list(few)
    assert len(calls) == 16


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_candidates_outside_the_limits_are_never_evaluated(space, sampler):
    """All that the limits allow are found and no other, where the goal is larger."""
    every = [Arch((a, b, c, d)) for a in range(4) for b in range(4) for c in range(4) for d in range(4)]
    costs = sorted(space.cost(arch, 32) for arch in every)
    limits = dict(max_params_m=costs[60][0], max_flops_g=sorted(c[1] for c in costs)[100])
    within = {
        arch
        for arch in every
        if space.cost(arch, 32)[0] <= limits["max_params_m"] and space.cost(arch, 32)[1] <= limits["max_flops_g"]
    }
    assert 5 < len(within) < 60
    calls: list[Arch] = []
    explore_study(space, by_digits(calls), options(200, sampler=sampler, **limits), memory(), 0, 32)
    assert set(calls) == within
    assert len(calls) == len(within)


@pytest.mark.parametrize("depths", [(1, 1, 1, 1), (3, 4, 6, 3)], ids=["small", "the paper's"])
def test_limits_that_leave_nothing_say_the_smallest_cost(depths):
    space = ResNeSt50Space(depths=depths, widths=(16, 16, 16, 16), stem_width=8)
    least = min(space.cost(Arch((c,) * sum(depths)), 32)[0] for c in range(4))  # the cheapest is so in every layer
    calls: list[Arch] = []
    with pytest.raises(UserError, match=r"explore.max_params_m=0.0001, found none") as caught:
        explore_study(space, by_digits(calls), options(9, max_params_m=1e-4), memory(), 0, 32)
    assert f"{least:.4g} M params" in str(caught.value)
    assert calls == []


def test_latency_is_measured_once_and_kept(space):
    calls: list[Arch] = []
    measured: list[Arch] = []

    def latency(arch: Arch) -> float:
        measured.append(arch)
        return float(sum(arch))

    limited, study = options(20, max_latency_ms=5.0), memory()
    for stop in (8, None):
        try:
            scores = explore_study(space, by_digits(calls, stop), limited, study, 0, 32, latency)
        except KeyboardInterrupt:
            assert stop == 8
    assert len(scores) == 20
    assert all(sum(arch) <= 5 for arch in scores)
    assert max(Counter(measured).values()) == 1
    assert any(sum(arch) > 5 for arch in measured)
    kept = {t.user_attrs["arch"]: t.user_attrs["latency_ms"] for t in study.trials if "latency_ms" in t.user_attrs}
    assert kept == {str(arch): sum(arch) for arch in measured}


def test_a_latency_that_nothing_has_is_an_error(space, monkeypatch):
    monkeypatch.setattr(explore_module, "MAX_SLOW", 15)
    calls: list[Arch] = []
    limited = options(20, max_latency_ms=0.5)
    with pytest.raises(UserError, match=r"max_latency_ms=0\.5, measured 15 slower ones in a row; the fastest takes 1 "):
        explore_study(space, by_digits(calls), limited, memory(), 0, 32, lambda arch: 1.0 + sum(arch))
    assert calls == []


def test_latency_grows_with_the_image(space):
    torch.manual_seed(0)
    network = timm.create_model("pinas", num_classes=10, **space.model_args(Arch((1, 1, 1, 1))))
    small, large = latency_ms(network, 32), latency_ms(network, 256)
    assert 0.1 < small < large < 10_000


# many workers --------------------------------------------------------------------------------------------------------


def log(folder: Path) -> list[tuple[str, str, int]]:
    path = folder / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(what, arch, int(pid)) for what, arch, pid in (line.split() for line in lines)]


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_three_workers_one_of_them_killed(kind, tmp_path):
    """Each architecture is scored once, what the killed one held too; all end at the goal with the same ranking."""
    goal = 40
    storage = "" if kind == "sqlite" else str(tmp_path / "study.journal")
    processes = multiprocessing.get_context("fork")  # torch is not imported anew
    workers = [processes.Process(target=main, args=(storage, tmp_path, goal, hangs)) for hangs in (False, False, True)]
    for process in workers:
        process.start()
    victim = workers[2]

    def wait(until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 180
        while not until():
            assert time.monotonic() < deadline
            assert all(w.is_alive() for w in workers)
            time.sleep(0.02)

    wait(lambda: len(list(tmp_path.glob("ready.*"))) == 3)
    (tmp_path / "go").touch()
    wait(lambda: sum(pid == victim.pid and what == "begin" for what, _, pid in log(tmp_path)) == 8)
    victim.kill()
    victim.join()  # a process that nobody has waited for counts as alive until it has not beaten for long
    for process in workers:
        process.join(timeout=180)
    assert [process.exitcode for process in workers] == [0, 0, -signal.SIGKILL]
    results = [path.read_text() for path in tmp_path.glob("result.*")]
    assert len(results) == 2
    assert results[0] == results[1]
    assert results[0].split()[1] == str(goal)
    lines = log(tmp_path)
    began = Counter(arch for what, arch, _ in lines if what == "begin")
    ended = Counter(arch for what, arch, _ in lines if what == "end")
    of_victim = [(what, arch) for what, arch, pid in lines if pid == victim.pid]
    left = {arch for _, arch in of_victim} - {arch for what, arch in of_victim if what == "end"}
    assert len(left) == 4
    assert set(ended) == set(began)
    assert len(ended) == goal
    assert set(ended.values()) == {1}
    assert {arch for arch, times in began.items() if times > 1} == left


def template(arch: str, worker: str = "") -> optuna.trial.FrozenTrial:
    distribution = optuna.distributions.CategoricalDistribution((0, 1, 2, 3))
    return optuna.create_trial(
        state=TrialState.RUNNING,
        params={f"layer{k:02d}": int(choice) for k, choice in enumerate(arch)},
        distributions={f"layer{k:02d}": distribution for k in range(len(arch))},
        user_attrs={"arch": arch, "worker": worker},
    )


def test_a_worker_elsewhere_is_dead_once_it_has_not_beaten_for_long(monkeypatch):
    study = memory()
    study.add_trial(template("0123", "alive:1:x"))
    study.add_trial(template("3210", "dead:1:x"))
    mine = CandidateLeases(study, goal=10)
    monkeypatch.setattr(leases, "DEAD_AFTER", 0.3)
    assert mine.orphans() == []
    for beat in range(8):
        study.set_user_attr("worker alive:1:x", beat)
        left = mine.orphans()
        time.sleep(0.1)
    assert [t.state.name for t in study.trials] == ["RUNNING", "FAIL"]
    assert [t.user_attrs["arch"] for t in left] == ["3210"]
    assert mine.lease(left[0]) is not None
    assert [t.state.name for t in study.trials] == ["RUNNING", "FAIL", "RUNNING"]
    assert study.trials[2].params == study.trials[1].params
    assert study.trials[2].user_attrs["worker"] == mine.worker
    study.set_user_attr("worker alive:1:x", "again")
    assert mine.orphans() == []


def test_of_two_leases_the_lower_number_holds_and_no_more_than_the_goal(tmp_path):
    one, two = CandidateLeases(open_study("", tmp_path), goal=2), CandidateLeases(open_study("", tmp_path), goal=2)
    two.worker = "elsewhere:1:x"
    assert one.lease(template("0123")) is not None
    assert two.lease(template("0123")) is None
    assert two.lease(template("3210")) is not None
    assert one.lease(template("1111")) is None
    assert [t.state.name for t in one.trials()] == ["RUNNING", "FAIL", "RUNNING", "FAIL"]
    assert one.orphans() == []  # of those that were given up, none waits for anyone


def test_storage_that_is_none_is_one_clear_error(tmp_path):
    for place, message in (("study.txt", "ends in .journal or .log"), ("nosuch://here", "cannot be opened")):
        with pytest.raises(UserError, match=message):
            open_study(place, tmp_path)
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    open_study(shared, tmp_path, "digits", "aaaa")
    open_study(shared, tmp_path, "digits", "aaaa")
    with pytest.raises(UserError, match="another configuration"):
        open_study(shared, tmp_path, "digits", "bbbb")


def test_two_commits_a_candidate_and_one_a_batch(space, tmp_path, monkeypatch):
    commits = []

    class Counting(storage.WriteAheadConnection):
        def commit(self) -> None:
            commits.append(self.in_transaction)  # whether it changed something
            super().commit()

    monkeypatch.setattr(storage, "WriteAheadConnection", Counting)
    monkeypatch.setattr(storage, "on_local_disk", lambda folder: True)
    monkeypatch.setattr(leases, "HEARTBEAT", 3600.0)
    study = open_study("", tmp_path)
    commits.clear()
    explore_study(space, by_digits([]), options(24, batch=8), study, seed=0)
    assert sum(commits) == 24 * 2 + 24 // 8 + 1  # and the first beat


def test_sqlite_writes_ahead_on_disks_of_this_machine_alone(tmp_path, monkeypatch):
    def pragmas(folder: Path) -> list[str | int]:
        folder.mkdir()
        with open_study("", folder)._storage._backend.engine.connect() as connection:
            names = ("journal_mode", "synchronous", "busy_timeout")
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    monkeypatch.setattr(storage, "on_local_disk", lambda folder: folder.name == "local")
    assert pragmas(tmp_path / "local") == ["wal", 1, 60_000]
    assert pragmas(tmp_path / "shared") == ["delete", 2, 60_000]


def test_a_disk_is_local_when_the_nearest_mount_is(tmp_path):
    line = "36 35 98:0 / {} rw,noatime master:1 - {} source rw\n"
    mounts = tmp_path / "mountinfo"
    disks = {"/": "ext4", "/home": "nfs4", "/home/my\\040disk": "xfs", "/data": "fuse.sshfs"}
    mounts.write_text("".join(line.format(*disk) for disk in disks.items()))
    folders = ("/var/run_a", "/home/a", "/home/my disk/a", "/data", "/database")
    assert [storage.on_local_disk(Path(f), mounts) for f in folders] == [True, False, True, False, True]
    assert not storage.on_local_disk(tmp_path, tmp_path / "nothing")


def test_a_worker_that_was_taken_for_dead_while_it_scored_goes_on(space):
    study, calls = memory(), []

    def stalled(archs):
        if not calls:  # of its first batch, another worker gives up the first
            study.tell(study.get_trials()[0].number, state=TrialState.FAIL)
        calls.extend(archs)
        return [Score(sum(arch) / 12, float(arch[0])) for arch in archs]

    scores = explore_study(space, stalled, options(8, batch=4), study, seed=0)
    assert len(scores) == 8
    assert all(score.loss == arch[0] for arch, score in scores.items())
    assert len(calls) == 9  # one of them twice


def test_the_autoencoder_shows_its_progress_before_explore_and_counts_in_its_seconds(space, capsys, monkeypatch):
    """A user saw 82 silent seconds in a stage that took 1 s by its own account."""
    train, spent = LatentSpace.train, []

    def timed(latent: LatentSpace, bar: bool = False) -> None:
        started = time.perf_counter()
        train(latent, bar)
        spent.append(time.perf_counter() - started)

    monkeypatch.setattr(LatentSpace, "train", timed)
    few = dict(random_first=4, hidden=8, epochs=4, batch_size=16)
    study = memory()
    explore_study(space, by_digits([]), options(8, batch=4, sampler="arch2vec", arch2vec=few), study, seed=0)
    lines = capsys.readouterr().err.splitlines()
    assert "arch2vec: 64/64 steps" in " ".join(lines)
    assert max(k for k, line in enumerate(lines) if line.startswith("arch2vec")) < min(
        k for k, line in enumerate(lines) if line.startswith("explore")
    )
    assert exploration_seconds(study) >= sum(spent) > 0

    explore_study(space, by_digits([]), options(8, sampler="arch2vec", arch2vec=few), study, seed=0)  # complete
    explore_study(space, by_digits([]), options(4, sampler="arch2vec", arch2vec=few), memory(), seed=0)  # random ones
    assert "arch2vec" not in capsys.readouterr().err
    assert len(spent) == 1


def test_scores_of_an_older_study_are_read():
    study = memory()
    study.add_trial(optuna.create_trial(value=0.5, user_attrs={"arch": "0123", "loss": 1.5, "seconds": 2.0}))
    assert known_scores(study) == {Arch((0, 1, 2, 3)): Score(0.5, 1.5)}
    assert exploration_seconds(study) == 2.0


def effects_of(scores: dict[Arch, Score]) -> MainEffects:
    return main_effects({arch: score.accuracy for arch, score in scores.items()}, 4)


def test_ranking_breaks_ties_by_loss(space, tmp_path):
    a, b, c = Arch((0, 0, 0, 0)), Arch((1, 1, 1, 1)), Arch((2, 2, 2, 2))
    scores = {a: Score(0.5, 1.0), b: Score(0.9, 2.0), c: Score(0.9, 1.5)}
    assert write_ranking(tmp_path / "ranking.csv", space, scores, 32, effects_of(scores), "score") == c
    rows = read_ranking(tmp_path / "ranking.csv")
    assert [r["arch"] for r in rows] == ["2222", "1111", "0000"]
    assert [r["evaluation"] for r in rows] == ["2", "1", "0"]


def test_ranking_by_effects_puts_what_is_good_on_average_before_one_lucky_score(space, tmp_path):
    archs = [Arch((a, b, 0, 0)) for a in range(4) for b in range(4)]
    scores = {arch: Score(0.1 * (arch[0] + arch[1]), 0.0) for arch in archs}
    lucky, good = archs[0], Arch((3, 3, 0, 0))
    scores[lucky] = Score(0.7, 0.0)
    path = tmp_path / "ranking.csv"
    effects = effects_of(scores)
    assert write_ranking(path, space, scores, 32, effects, "score") == lucky
    assert write_ranking(path, space, scores, 32, effects, "effects") == good
    rows = read_ranking(path)
    assert (rows[0]["arch"], rows[0]["rank"], rows[0]["accuracy"]) == ("3300", "1", "0.60000")
    assert [float(r["effects"]) for r in rows] == sorted((float(r["effects"]) for r in rows), reverse=True)


def test_the_order_of_evaluation_changes_no_score(space):
    torch.manual_seed(0)
    supernet = space.supernet()
    images = Images(torch.randint(0, 256, (24, 3, 32, 32)).to(torch.uint8), torch.arange(24) % 3)
    classifier = nn.Linear(supernet.num_features, 3)
    evaluator = PathEvaluator(supernet, classifier, images, images, lambda x: x.float() / 255, batch_size=10)
    paths = [Arch((0, 1, 2, 3)), Arch((3, 2, 1, 0)), Arch((1, 1, 1, 1))]
    forward = [evaluator.score(path) for path in paths]
    backward = [evaluator.score(path) for path in reversed(paths)]
    assert forward == backward[::-1]
    assert len({score.loss for score in forward}) == 3


def test_linear_evaluation_trains_the_classifier_and_nothing_else(space):
    torch.manual_seed(0)
    network = LinearEvaluation(space, space.supernet(), num_classes=3, seed=0)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network.train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0)
    losses = network.losses(Batch(torch.randn(8, 1, 3, 32, 32), torch.arange(8) % 3), 0, network.phases[0])
    losses["loss"].backward()
    optimizer.step()
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("score", [Score(0.5, float("nan")), Score(float("nan"), 1.0), Score(float("inf"), 1.0)])
def test_scores_that_are_no_numbers_are_no_ranking(space, score):
    study = memory()
    with pytest.raises(UserError, match=r"explore stopped at architecture \d{4}: expected a finite score"):
        explore_study(space, lambda archs: [score for _ in archs], options(8), study, seed=0)
    assert not study.get_trials(states=(TrialState.COMPLETE,))
