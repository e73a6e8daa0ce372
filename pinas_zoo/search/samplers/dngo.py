"""DNGO: Bayesian linear regression on the features of a small network (Snoek et al., ICML 2015).

The cost of a fit is linear in the number of observations, where that of a Gaussian process is cubic. A network with one
hidden layer is trained on the observations. Its hidden units are the basis functions of a linear model::

    w ~ N(0, I / a)      y ~ N(phi(x)^T w, 1 / b)

Its posterior is known in closed form. a and b maximise the likelihood of the observations with w integrated out.

The values are those of arch2vec (Yan et al., NeurIPS 2020), from its released code: 128 hidden units with tanh, trained
for 100 epochs by Adam with a rate of 0.01 and batches of 10; inputs of zero mean and unit variance. There, expected
improvement takes the predictive variance for the standard deviation; here it does not.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr

from pinas_zoo.search.samplers.encoding import Floats

UNITS, EPOCHS, BATCH, RATE = 128, 100, 10, 0.01
BETAS, EPSILON = (0.9, 0.999), 1e-8  # Adam's
CHUNK = 16_384  # inputs that are predicted at a time
RANGE = 10.0  # of the logarithms of a and of b


class DNGO:
    """The regression, fitted to observations.

    Args:
        x: Inputs, observations x dimensions.
        y: Their values. The prior mean is 0, so values should be centred.
        rng: Draws the initial weights and the batches.
    """

    def __init__(self, x: Floats, y: Floats, rng: np.random.Generator):
        std = x.std(0)
        self.center, self.scale = x.mean(0), np.where(std > 0, std, 1.0)
        x = (x - self.center) / self.scale
        self.weight, self.bias = hidden_layer(x, y, rng)
        basis = self._basis_of_scaled(x)  # observations x units
        _, singular, right = np.linalg.svd(basis, full_matrices=False)
        projected = right @ (basis.T @ y)  # along the singular vectors
        start = np.log([1.0, 100.0])
        found = minimize(
            lambda logs: -log_evidence(logs, singular, projected, float(y @ y), basis.shape),
            start,
            method="Nelder-Mead",
            bounds=[(-RANGE, RANGE)] * 2,
        )
        self.alpha, self.beta = np.exp(found.x)
        self._right = right
        self._shrunk = 1 / (self.alpha + self.beta * singular**2)  # posterior variances along the singular vectors
        self._weights = right.T @ (self.beta * self._shrunk * projected)

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the value of each input, x: n x dimensions."""
        parts = [self._predict(x[k : k + CHUNK]) for k in range(0, max(len(x), 1), CHUNK)]
        return np.concatenate([mean for mean, _ in parts]), np.concatenate([std for _, std in parts])

    def _predict(self, x: Floats) -> tuple[Floats, Floats]:
        basis = self._basis_of_scaled((x - self.center) / self.scale)  # n x units
        along = basis @ self._right.T
        rest = np.maximum((basis**2).sum(1) - (along**2).sum(1), 0.0)  # where no observation lies
        variance = (along**2) @ self._shrunk + rest / self.alpha + 1 / self.beta
        return basis @ self._weights, np.sqrt(variance)

    def _basis_of_scaled(self, x: Floats) -> Floats:
        return np.tanh(x @ self.weight + self.bias)


def hidden_layer(x: Floats, y: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Train a network with one hidden layer of tanh on the squared error, and return that layer.

    Args:
        x: Inputs, observations x dimensions.
        y: Values.
        rng: Draws the initial weights, uniform as torch's, and the batches.

    Returns:
        Weight, dimensions x units, and bias.
    """
    count, dimensions = x.shape
    shapes = ((dimensions, UNITS), (UNITS,), (UNITS,), (1,))  # hidden weight and bias, output weight and bias
    bounds = (dimensions**-0.5, dimensions**-0.5, UNITS**-0.5, UNITS**-0.5)
    flat = np.concatenate([rng.uniform(-b, b, math.prod(shape)) for b, shape in zip(bounds, shapes, strict=True)])
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    weight, bias, out, shift = (part.reshape(s) for part, s in zip(np.split(flat, ends), shapes, strict=True))
    first, second = np.zeros_like(flat), np.zeros_like(flat)
    batch, step = min(BATCH, count), 0
    for _ in range(EPOCHS):
        order = rng.permutation(count)
        for begin in range(0, count - batch + 1, batch):
            rows = order[begin : begin + batch]
            hidden = np.tanh(x[rows] @ weight + bias)  # batch x units
            error = 2 / batch * (hidden @ out + shift - y[rows])
            before = np.outer(error, out) * (1 - hidden**2)  # gradient at the input of tanh
            gradient = np.concatenate([(x[rows].T @ before).ravel(), before.sum(0), error @ hidden, [error.sum()]])
            step += 1
            first += (1 - BETAS[0]) * (gradient - first)
            second += (1 - BETAS[1]) * (gradient**2 - second)
            scale = np.sqrt(second / (1 - BETAS[1] ** step)) + EPSILON
            flat -= RATE / (1 - BETAS[0] ** step) * first / scale  # weight, bias, out and shift are views of it
    return weight, bias


def log_evidence(logs: Floats, singular: Floats, projected: Floats, square: float, shape: tuple[int, ...]) -> float:
    """Logarithm of the likelihood of the observations, with the weights integrated out.

    Args:
        logs: Logarithms of a and b.
        singular: Singular values of the basis functions at the observations.
        projected: The product of these, transposed, with the values, along the right singular vectors.
        square: Sum of the squared values.
        shape: Numbers of observations and of basis functions.
    """
    alpha, beta = np.exp(logs)
    precision = alpha + beta * singular**2  # of the posterior; alpha along all other directions
    exponent = beta * square - beta**2 * (projected**2 / precision).sum()
    log_det = np.log(precision / alpha).sum() - shape[0] * math.log(beta)
    return float(-0.5 * (exponent + log_det + shape[0] * math.log(2 * math.pi)))


def expected_improvement(mean: Floats, std: Floats, best: float) -> Floats:
    """Expected improvement of each candidate over a value, where larger values are better."""
    z = (mean - best) / std
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    improvement: Floats = std * (z * ndtr(z) + density)
    return improvement
