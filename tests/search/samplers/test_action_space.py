"""The Action Space sampler: Optuna's own cases for samplers, then what is promised beyond them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from pinas_zoo.search.samplers.action_space import ActionSpaceSampler
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


@pytest.mark.parametrize("ranked", [True, False])
def test_a_finite_space_is_seen_whole_before_anything_comes_twice(ranked):
    study = searched(81, ranked=ranked, search_space=SMALL)
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
