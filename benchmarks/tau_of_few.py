"""How far Kendall's tau over a few networks spreads by chance, as over the 13 of the paper's Tables 3 and 7.

    python benchmarks/tau_of_few.py                               # 13 networks; taus 0.79 and 0.48 (Table 7)
    python benchmarks/tau_of_few.py --networks 729 --taus 0.75

Scores and accuracies are drawn from a normal distribution with two correlated components, whose tau is
2/pi * arcsin(correlation). Each of the draws takes so many networks at random; the table shows how their taus spread.
For no correlation, the standard error is sqrt(2 (2n + 5) / (9 n (n - 1))).
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy.stats import kendalltau

DRAWS = 20_000


def sampled_taus(tau: float, networks: int, draws: int, seed: int) -> np.ndarray:
    """Taus of ``draws`` random samples of ``networks`` each, from a population whose tau is ``tau``."""
    rng = np.random.default_rng(seed)
    correlation = math.sin(math.pi / 2 * tau)
    taus = np.empty(draws)
    for k in range(draws):
        score, noise = rng.standard_normal((2, networks))
        taus[k] = kendalltau(score, correlation * score + math.sqrt(1 - correlation**2) * noise).statistic
    return taus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=13)
    parser.add_argument("--taus", type=float, nargs="+", default=[0.79, 0.48])
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    n = args.networks
    print(f"{n} networks; standard error without correlation {math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1))):.3f}")
    print("| tau of the population | mean of samples | standard error | 95% of samples |")
    print("| --- | --- | --- | --- |")
    for tau in args.taus:
        taus = sampled_taus(tau, n, args.draws, args.seed)
        low, high = np.quantile(taus, (0.025, 0.975))
        print(f"| {tau:.2f} | {taus.mean():.3f} | {taus.std(ddof=1):.3f} | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    main()
