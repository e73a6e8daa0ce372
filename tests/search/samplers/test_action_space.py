"""The Action Space sampler: Optuna's own cases for samplers, then what is promised beyond them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from pinas_zoo.search.config import ActionSpace
from pinas_zoo.search.samplers.action_space import ActionSpaceSampler
from pinas_zoo.search.samplers.action_tree import ActionTree
from pinas_zoo.search.samplers.encoding import Encoding

pytest_samplers = pytest.importorskip("optuna.testing.pytest_samplers", reason="Optuna 5 publishes its sampler tests")
optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("startup", [0, 20], ids=["tree", "random first"])
class TestOptunasOwnCases(
    pytest_samplers.BasicSamplerTestCase,
    pytest_samplers.RelativeSamplerTestCase,
    pytest_samplers.SingleOnlySamplerTestCase,
):
    @pytest.fixture
    def sampler(self, startup: int) -> Callable[[], BaseSampler]:
        return lambda: ActionSpaceSampler(seed=1, n_startup_trials=startup, rebuild_every=1)


SMALL = {f"x{k}": CategoricalDistribution(("a", "b", "c")) for k in range(4)}  # 81 candidates
PAPER = {f"layer{k:02d}": CategoricalDistribution((0, 1, 2, 3)) for k in range(16)}


def score(params: dict[str, object]) -> float:
    """Some that is the largest where all are "c", and has an interaction."""
    digits = [("a", "b", "c").index(str(value)) for value in params.values()]
    return sum(digits) + 2.0 * (digits[0] == digits[1])


def searched(count: int, **more: object) -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=ActionSpaceSampler(seed=0, **more))  # type: ignore[arg-type]
    for _ in range(count):
        trial = study.ask(SMALL)
        study.tell(trial, score(trial.params))
    return study


AUTHORS = {k: v for k, v in ActionSpace(preset="authors").settings(20)._asdict().items() if k != "random_first"}


@pytest.mark.parametrize("options", [{}, {"ranked": False}, AUTHORS], ids=["default", "uniform", "authors"])
def test_a_finite_space_is_seen_whole_before_anything_comes_twice(options):
    study = searched(81, search_space=SMALL, **options)
    assert len({tuple(t.params.values()) for t in study.trials}) == 81
    trial = study.ask(SMALL)  # and then still goes on
    assert set(trial.params) == set(SMALL)


def test_batches_that_run_at_once_and_failed_trials_do_not_repeat():
    study = searched(0)
    seen = set()
    for batch in range(5):
        trials = [study.ask(SMALL) for _ in range(16)]
        seen |= {tuple(t.params.values()) for t in trials}
        for trial in trials:
            study.tell(trial, state=TrialState.FAIL) if batch == 2 else study.tell(trial, score(trial.params))
    assert len(seen) == 80


def test_a_loaded_study_goes_on_as_the_one_that_was_not_stopped(tmp_path):
    """Proposals follow from seed and trials: those of a new sampler on the first half's trials are the second half."""
    whole = searched(60, search_space=SMALL)
    half = searched(33, search_space=SMALL)
    copy = optuna.create_study(direction="maximize", sampler=ActionSpaceSampler(seed=0, search_space=SMALL))
    copy.add_trials(half.trials)
    for _ in range(27):
        trial = copy.ask(SMALL)
        copy.tell(trial, score(trial.params))
    assert [t.params for t in copy.trials] == [t.params for t in whole.trials]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_it_goes_where_values_are_good(direction):
    sign = 1 if direction == "maximize" else -1
    study = optuna.create_study(direction=direction, sampler=ActionSpaceSampler(seed=0))
    space = {"c": CategoricalDistribution(("a", "b", "c", "d")), "f": FloatDistribution(1e-4, 1, log=True)} | {
        f"i{k}": IntDistribution(0, 9) for k in range(3)
    }
    values = []
    for _ in range(100):
        trial = study.ask(space)
        p = trial.params
        values.append((p["c"] == "c") * 2 - abs(np.log10(p["f"]) + 2) - sum(abs(p[f"i{k}"] - 7) for k in range(3)) / 3)
        study.tell(trial, sign * values[-1])
    assert np.median(values[-40:]) > np.quantile(values[:20], 0.9)


def test_candidates_that_are_not_feasible_are_never_proposed():
    """Also where one in two hundred is."""
    few = lambda params: sum(params.values()) <= 12  # of 16 layers, 24 on average
    study = optuna.create_study(sampler=ActionSpaceSampler(seed=0, search_space=PAPER, feasible=few))
    for _ in range(60):
        trial = study.ask(PAPER)
        assert few(trial.params)
        study.tell(trial, sum(trial.params.values()))
    assert len({tuple(t.params.values()) for t in study.trials}) == 60


def test_a_constraint_that_is_violated_ranks_below_any_that_is_not():
    study = searched(0)
    for _ in range(80):
        trial = study.ask(SMALL)
        worst = trial.params["x3"] == "c"
        distributions = {name: SMALL[name] for name in trial.params}
        study.tell(trial, state=TrialState.FAIL)
        study.add_trial(
            optuna.create_trial(
                params=trial.params,
                distributions=distributions,
                value=score(trial.params),
                system_attrs={"constraints": [1.0 if worst else -1.0]},
            )
        )
    later = [t for t in study.trials if t.state == TrialState.COMPLETE][20:45]
    assert sum(t.params["x3"] == "c" for t in later) < 6  # a third by chance; without the constraint most


def test_rows_and_parameters_are_the_same_thing():
    space = {
        "c": CategoricalDistribution((None, "x", 3)),
        "i": IntDistribution(3, 11, step=2),
        "l": IntDistribution(1, 300, log=True),
        "f": FloatDistribution(-10.2, 10.2, step=0.1),
        "u": FloatDistribution(1e-7, 10, log=True),
    }
    encoding = Encoding(space)
    for row in encoding.uniform(np.random.default_rng(0), 200):
        params = encoding.params(row)
        trial = optuna.create_trial(params=params, distributions=space, value=0.0)
        back = encoding.row(trial)
        assert back is not None
        np.testing.assert_allclose(back, row, atol=1e-9)
        assert np.array_equal(back[:4], row[:4])


def depth(tree: ActionTree, index: int = 0) -> int:
    children = tree.nodes[index].children
    return 0 if children is None else 1 + max(depth(tree, child) for child in children)


@pytest.mark.parametrize(("trials", "height"), [(399, 1), (407, 2), (799, 2), (807, 3), (1607, 4)])
def test_the_authors_tree_has_one_split_and_grows_by_one(trials, height):
    study = optuna.create_study(direction="maximize", sampler=ActionSpaceSampler(0, 80, search_space=PAPER, **AUTHORS))
    rng = np.random.default_rng(0)
    for row in rng.integers(4, size=(trials, 16)).tolist():
        params = dict(zip(PAPER, row, strict=True))
        study.add_trial(optuna.create_trial(params=params, distributions=PAPER, value=float(np.sum(row))))
    study.ask(PAPER)
    plan = study.sampler._history.plan  # type: ignore[attr-defined]
    assert depth(plan.tree) == height
    assert plan.fitted == 80 + (trials - 80) // 8 * 8  # rebuilt every 8 trials
    assert plan.model is None  # nothing ranks the candidates of a leaf


def test_a_median_split_is_of_the_trials_above_the_median():
    """A fourth of the trials is good, those with two small choices; the sum of two weights would not separate them."""
    rows = np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1).T.astype(np.float64)  # 256 x 4
    features = Encoding({f"x{k}": CategoricalDistribution((0, 1, 2, 3)) for k in range(4)}).features(rows)
    good = (rows[:, 0] < 2) & (rows[:, 1] < 2)
    tree = ActionTree(features, np.where(good, 0.75, 0.25), 1, "median")
    assert (tree.apply(features) == np.where(good, 1, 2)).all()
    most = ActionTree(features, np.where(good, 0.25, 0.75), 1, "median")  # the median is the best score itself
    assert (most.apply(features) == np.where(good, 2, 1)).all()


def test_a_median_split_of_equal_scores_is_none():
    assert ActionTree(np.eye(40), np.full(40, 0.5), 1, "median").nodes[0].children is None


def test_without_exploration_the_leaf_with_the_best_mean_comes_first_however_often_it_was_visited():
    features = np.repeat(np.eye(2), 20, axis=0)
    tree = ActionTree(features, np.repeat([0.75, 0.25], 20), 1, "median")
    tree.visit(np.repeat([[1.0, 0.0]], 10_000, axis=0))
    assert next(tree.leaves(exploration=0.0)) == 1
    assert next(tree.leaves(exploration=1.0)) == 2


def test_the_authors_candidates_are_uniform_in_the_best_leaf():
    """After 80 trials, each proposal is of the good half, and the choices that do not matter are all drawn."""
    space = {f"x{k}": CategoricalDistribution((0, 1, 2, 3)) for k in range(6)}
    study = optuna.create_study(direction="maximize", sampler=ActionSpaceSampler(0, 80, search_space=space, **AUTHORS))
    for _ in range(180):
        trial = study.ask(space)
        study.tell(trial, float(trial.params["x0"] >= 2))
    late = [trial.params for trial in study.trials[88:]]
    assert np.mean([params["x0"] >= 2 for params in late]) > 0.95
    assert all({params[f"x{k}"] for params in late} == {0, 1, 2, 3} for k in range(1, 6))
