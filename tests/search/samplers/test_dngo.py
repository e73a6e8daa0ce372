"""DNGO's regression compared with formulas of Gaussian distributions."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm

from pinas_zoo.search.samplers.dngo import (
    BATCH,
    DNGO,
    EPOCHS,
    RATE,
    UNITS,
    expected_improvement,
    hidden_layer,
    log_evidence,
)  # fmt: skip


def observations(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 4)) * (1, 5, 0.1, 1) + 3
    return x, np.tanh(x[:, 0] - 3) * 0.3 + 0.02 * rng.normal(size=count)


def test_the_evidence_is_the_density_of_the_observations():
    rng = np.random.default_rng(1)
    basis, y = rng.normal(size=(9, 5)), rng.normal(size=9)
    _, singular, right = np.linalg.svd(basis, full_matrices=False)
    alpha, beta = 0.7, 12.0
    density = multivariate_normal(np.zeros(9), basis @ basis.T / alpha + np.eye(9) / beta).logpdf(y)
    found = log_evidence(np.log([alpha, beta]), singular, right @ (basis.T @ y), float(y @ y), basis.shape)
    assert found == pytest.approx(density)


@pytest.mark.parametrize("count", [12, 300], ids=["fewer than units", "more than units"])
def test_the_prediction_is_the_posterior(count):
    x, y = observations(count)
    model = DNGO(x, y, np.random.default_rng(0))
    new = observations(20)[0] + 0.1
    basis, at = (np.tanh((v - x.mean(0)) / x.std(0) @ model.weight + model.bias) for v in (x, new))
    covariance = np.linalg.inv(model.alpha * np.eye(UNITS) + model.beta * basis.T @ basis)
    mean, std = model.predict(new)
    np.testing.assert_allclose(mean, at @ covariance @ basis.T @ y * model.beta, atol=1e-6)
    np.testing.assert_allclose(std**2, np.sum(at @ covariance * at, 1) + 1 / model.beta, rtol=1e-5)


def test_many_inputs_are_predicted_in_parts():
    """The basis functions of all 100,000 together take 100 MB, several times."""
    x, y = observations(12)
    model, new = DNGO(x, y, np.random.default_rng(0)), np.tile(observations(50)[0], (2000, 1))
    tracemalloc.start()
    mean, std = model.predict(new)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6
    few_mean, few_std = model.predict(new[:50])
    np.testing.assert_allclose(mean, np.tile(few_mean, 2000), rtol=0, atol=1e-9)
    np.testing.assert_allclose(std, np.tile(few_std, 2000), rtol=1e-9)
    assert [len(part) for part in model.predict(new[:0])] == [0, 0]


def test_it_learns_a_function_and_knows_where_it_does_not():
    x, y = observations(200)
    model = DNGO(x[:150], y[:150], np.random.default_rng(0))
    mean, near = model.predict(x[150:])
    assert np.corrcoef(mean, y[150:])[0, 1] > 0.95
    assert np.median(model.predict(x[150:] * (1, 1, 1, -5))[1]) > 2 * np.median(near)


def test_the_hidden_layer_learns_as_in_torch():
    x, y = observations(35)
    x = (x - x.mean(0)) / x.std(0)
    weight, bias = hidden_layer(x, y, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    network = torch.nn.Sequential(torch.nn.Linear(4, UNITS), torch.nn.Tanh(), torch.nn.Linear(UNITS, 1)).double()
    with torch.no_grad():
        for bound, values in zip(
            (4, 4, UNITS, UNITS),
            (network[0].weight.T, network[0].bias, network[2].weight, network[2].bias),
            strict=True,
        ):
            values.copy_(torch.from_numpy(rng.uniform(-(bound**-0.5), bound**-0.5, values.shape)))
    adam = torch.optim.Adam(network.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        order = rng.permutation(35)
        for rows in (order[:BATCH], order[BATCH : 2 * BATCH], order[2 * BATCH : 3 * BATCH]):
            adam.zero_grad()
            output = network(torch.from_numpy(x[rows])).squeeze(1)
            torch.nn.functional.mse_loss(output, torch.from_numpy(y[rows])).backward()
            adam.step()
    np.testing.assert_allclose(weight, network[0].weight.detach().numpy().T, atol=1e-6)
    np.testing.assert_allclose(bias, network[0].bias.detach().numpy(), atol=1e-6)


def test_the_expected_improvement_is_an_integral():
    values = np.linspace(-20, 20, 400_001)
    for mean, std, best in ((0.3, 0.2, 0.5), (1.0, 2.0, 0.0), (-1.0, 0.5, 0.5)):
        gain = np.maximum(values - best, 0) * norm.pdf(values, mean, std)
        found = expected_improvement(np.array([mean]), np.array([std]), best)
        np.testing.assert_allclose(found, np.sum(gain) * (values[1] - values[0]), atol=1e-8)


def test_equal_observations_and_constant_inputs_do_not_fail():
    mean, std = DNGO(np.ones((5, 2)), np.zeros(5), np.random.default_rng(0)).predict(np.ones((3, 2)))
    assert np.isfinite(mean).all()
    assert (std > 0).all()
