"""How the kinds of scores are shown: shares in percent, and what is measured in the supernet as such."""

from __future__ import annotations

import pytest

from pinas_zoo.search.config import parse_config
from pinas_zoo.search.ranking.winner_noise import score_noise
from pinas_zoo.search.score_kinds import score_kind
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space


@pytest.mark.parametrize(
    ("method", "score", "title", "shown"),
    [
        ("dna", "classifier", "held-out score", "-14.858"),  # a sum of errors is no share
        ("spos", "classifier", "held-out accuracy", "-1485.80%"),
        ("pinas", "consistency", "held-out consistency", "-1485.80%"),
        ("pinas", "flops", "multiply-adds", "-1485.80%"),  # a share of the largest, but no image is looked at
        ("pinas", "naswot", "NASWOT", "-14.858"),
        ("pinas", [["flops", 1.0], ["naswot", 1.0]], "combined score", "-1485.80%"),
        ("pinas", [["consistency", 1.0], ["flops", 1.0]], "combined score", "-1485.80%"),
    ],
)
def test_a_share_is_shown_in_percent_and_what_is_measured_on_images_is_called_held_out(method, score, title, shown):
    kind = score_kind(parse_config({"name": "x", "learn": {"method": method}, "explore": {"score": score}}))
    assert kind.title == title
    assert kind.shown(-14.858) == shown


def test_the_scatter_of_scores_that_are_no_shares_is_no_percentage():
    space = NASBench201Space()
    scores = {arch: Score(-10.0 - sum(arch) - k % 3, 0.0) for k, arch in enumerate(_archs(space))}
    kind = score_kind(parse_config({"name": "x", "learn": {"method": "dna"}}))
    text = score_noise(scores, next(iter(scores)), space.num_candidates, kind.shown).text
    assert "scatter of 0." in text
    assert "%" not in text


def _archs(space: NASBench201Space) -> list:
    return [space.parse(f"{a}{b}{c}000") for a in range(5) for b in range(5) for c in range(5)]
