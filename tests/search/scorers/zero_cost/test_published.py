"""Scores of NAS-Bench-201's own networks rank as published scores do (one initialisation of each)."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr

from pinas_zoo.models.nasbench201 import ENTRY_POINT, parse_arch
from pinas_zoo.search.ranking.truth_csv import read_csv
from pinas_zoo.search.scorers.zero_cost.base import CountScorer, ZeroCostScorer
from pinas_zoo.search.scorers.zero_cost.fisher import FisherScorer
from pinas_zoo.search.scorers.zero_cost.grad_norm import GradNormScorer
from pinas_zoo.search.scorers.zero_cost.jacov import JacovScorer
from pinas_zoo.search.scorers.zero_cost.naswot import NASWOTScorer
from pinas_zoo.search.scorers.zero_cost.reachable import ReachableFLOPsScorer, ReachableParamsScorer
from pinas_zoo.search.scorers.zero_cost.snip import SNIPScorer
from pinas_zoo.search.scorers.zero_cost.synflow import SynFlowScorer
from pinas_zoo.search.scorers.zero_cost.zen import ZenScorer
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space
from tests.networks import ROOT

DATA = ROOT.parent / "shared" / "data"
PUBLISHED, PIXELS = DATA / "nb201_zero_cost.csv", DATA / "cifar10_jpegpack.npz"
COLUMNS = {
    "naswot": "nwot", "jacov": "jacov", "synflow": "synflow", "grad_norm": "grad_norm", "snip": "snip",
    "fisher": "fisher", "zen": "zen",
}  # fmt: skip
SCORERS: dict[str, type[ZeroCostScorer]] = {
    "naswot": NASWOTScorer, "jacov": JacovScorer, "synflow": SynFlowScorer, "grad_norm": GradNormScorer,
    "snip": SNIPScorer, "fisher": FisherScorer, "zen": ZenScorer,
}  # fmt: skip
COUNTS: dict[str, type[CountScorer]] = {
    "reachable_flops": ReachableFLOPsScorer, "reachable_params": ReachableParamsScorer,
}  # fmt: skip
COUNT, IMAGES = 60, 64
NOISY = {"jacov": 3}  # initialisations, where two of our own agree less than 0.95 with each other
pytestmark = pytest.mark.skipif(not (PUBLISHED.is_file() and PIXELS.is_file()), reason="needs ../shared/data")


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    with np.load(PIXELS) as pack:
        header, body, offsets, labels = (pack[key] for key in ("header", "body", "offsets", "labels"))
    chosen = np.random.default_rng(0).permutation(50_000)[:IMAGES]
    files = (header.tobytes() + body[offsets[k] : offsets[k + 1]].tobytes() for k in chosen)
    pixels = torch.stack([torch.from_numpy(np.array(Image.open(io.BytesIO(file)))) for file in files])  # N x H x W x 3
    mean, std = (torch.tensor(ENTRY_POINT.default_cfg[key]) for key in ("mean", "std"))
    return ((pixels / 255 - mean) / std).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels[chosen]).long()


@pytest.mark.slow
@pytest.mark.parametrize("name", COLUMNS)
def test_a_score_ranks_as_the_published_one(name, batch):
    rows = read_csv(PUBLISHED).rows
    rows = tuple(rows[k] for k in np.random.default_rng(0).permutation(len(rows))[:COUNT])
    scorer = SCORERS[name](NASBench201Space(), *batch, num_classes=10, initialisations=NOISY.get(name, 1))
    scores = scorer.scores([parse_arch(row.text("net_str")) for row in rows])
    published = [row.number(COLUMNS[name]) for row in rows]
    assert spearmanr([score.accuracy for score in scores], published).statistic >= 0.95


@pytest.mark.parametrize(("name", "column"), [("reachable_flops", "flops"), ("reachable_params", "params")])
def test_reachable_costs_are_the_published_ones(name, column):
    rows = read_csv(PUBLISHED).rows
    scorer = COUNTS[name](NASBench201Space(), 32)
    scores = [score.accuracy for score in scorer.scores([parse_arch(row.text("net_str")) for row in rows])]
    published = [row.number(column) for row in rows]
    assert spearmanr(scores, published).statistic > 0.99  # published multiply-adds count norms and pooling too
    if column == "params":
        assert np.allclose(np.array(scores) + 650 / 1e6, published, atol=1e-6)  # with the classifier
