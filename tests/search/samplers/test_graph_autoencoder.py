"""The autoencoder of arch2vec recovers architectures, and architectures that are alike lie close together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from pinas_zoo.search.samplers.graph_autoencoder import AutoencoderOptions, GraphAutoencoder, pretrained
from pinas_zoo.search.spaces.base import build_space

SPACE = build_space({"type": "nasbench201"})
INPUT, OUTPUT = 3, 4
CELLS = torch.tensor([(INPUT, *cell, OUTPUT) for cell in itertools.product(range(3), repeat=6)])  # 729 x 8
QUICK = AutoencoderOptions(hidden=64, epochs=30)


@pytest.fixture(scope="module")
def model() -> GraphAutoencoder:
    return pretrained(SPACE.graph(), CELLS, 5, QUICK, seed=0)


def test_operations_and_edges_of_the_whole_space_are_recovered(model):
    operations, edges = model.reconstruction(CELLS)
    assert operations > 0.99
    assert edges > 0.4  # all 28 pairs of nodes
    untrained = pretrained(SPACE.graph(), CELLS, 5, AutoencoderOptions(hidden=64, epochs=0), seed=0)
    assert max(untrained.reconstruction(CELLS)) < 0.05


def test_architectures_one_edit_apart_lie_nearer_than_random_ones(model):
    embeddings = model.embed(CELLS).double().numpy()  # 729 x latent
    edits = (CELLS[:, None] != CELLS[None]).sum(2).numpy()  # 729 x 729
    distances = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)
    by_edits = [np.median(distances[edits == count]) for count in range(1, 7)]
    assert by_edits == sorted(by_edits)
    assert by_edits[0] < 0.7 * np.median(distances[edits > 0])


def test_an_embedding_is_the_mean_of_what_messages_both_ways_make_of_the_nodes(model):
    """The encoder by its formula, node by node."""
    adjacency = np.zeros((8, 8))
    for source, to in SPACE.graph():
        adjacency[source, to] = adjacency[to, source] = 1
    x = torch.eye(5)[CELLS[100]]  # 8 x 5
    for layer, eps in zip(model.layers, model.eps, strict=True):
        rows = [(1 + eps) * x[k] + sum((x[j] for j in range(8) if adjacency[k, j]), torch.zeros(())) for k in range(8)]
        x = layer(torch.stack(rows))
    torch.testing.assert_close(model.mean(x).mean(0), model.embed(CELLS[100:101])[0])


def test_the_loss_is_that_of_the_formula():
    """Cross-entropy of nodes and of pairs of nodes, and the divergence of two Gaussians by torch."""
    model = pretrained(SPACE.graph(), CELLS[:64], 5, AutoencoderOptions(hidden=16, epochs=1, dropout=0.0), seed=1)
    labels = CELLS[:3]
    torch.manual_seed(0)
    loss = model.loss(labels)
    torch.manual_seed(0)
    mean, log_std = model.encode(labels)
    z = mean + log_std.exp() * torch.randn_like(mean)
    nodes = -torch.log_softmax(model.operation(z), 2)
    expected = torch.stack([nodes[n, k, labels[n, k]] for n in range(3) for k in range(8)]).mean()
    edges = {frozenset(pair) for pair in SPACE.graph()}
    pairs = [
        -torch.nn.functional.logsigmoid((z[n, i] @ z[n, j]) * (1 if {i, j} in edges else -1))
        for n in range(3)
        for i, j in itertools.combinations(range(8), 2)
    ]
    prior = torch.distributions.Normal(torch.zeros_like(mean), 1.0)
    divergence = torch.distributions.kl_divergence(torch.distributions.Normal(mean, log_std.exp()), prior)
    expected = expected + torch.stack(pairs).mean() + divergence.sum(2).mean() / 24
    torch.testing.assert_close(loss, expected)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generators():
    options = AutoencoderOptions(hidden=8, epochs=1)
    before = torch.random.get_rng_state()
    queued = torch.cuda._lazy_seed_tracker.manual_seed_all_cb  # a seed for GPUs that are not used yet
    on_card = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    one, same, other = (pretrained(SPACE.graph(), CELLS[:64], 5, options, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.cuda._lazy_seed_tracker.manual_seed_all_cb is queued
    assert on_card is None or torch.equal(on_card, torch.cuda.get_rng_state())
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
