"""The Action Space sampler: Optuna's own cases for samplers, then what is promised beyond them."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest

pytest_samplers = pytest.importorskip("optuna.testing.pytest_samplers", reason="Optuna 5 publishes its sampler tests")

from optuna.samplers import BaseSampler  # noqa: E402

from pinas_zoo.search.samplers import ActionSpaceSampler  # noqa: E402

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
