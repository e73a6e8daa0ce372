"""arch2vec's sampler: the graphs it embeds, its pool, resumption, and what it finds."""

from __future__ import annotations

import itertools

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution

from pinas_zoo.arch import Arch
from pinas_zoo.models.nasbench201 import EDGES
from pinas_zoo.search.ranking.benchmark_table import read_table
from pinas_zoo.search.samplers.action_space import ActionSpaceSampler
from pinas_zoo.search.samplers.arch2vec import Arch2VecSampler, LatentSpace
from pinas_zoo.search.samplers.graph_autoencoder import AutoencoderOptions
from pinas_zoo.search.spaces.base import SearchSpace, build_space
from pinas_zoo.search.study.stored_trials import layer_name
from tests.networks import ROOT

optuna.logging.set_verbosity(optuna.logging.WARNING)
TABLE = ROOT.parent / "shared" / "data" / "nb201_cifar10.csv"
THREE = build_space({"type": "nasbench201", "subspace": ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")})
QUICK = AutoencoderOptions(hidden=32, epochs=8)


def parameters(space: SearchSpace) -> dict[str, CategoricalDistribution]:
    return {layer_name(k): CategoricalDistribution(choices) for k, choices in enumerate(space.choices)}


@pytest.fixture(scope="module")
def latent() -> LatentSpace:
    return LatentSpace(THREE, 0, options=QUICK)


def test_the_graph_of_a_cell_has_its_edges_as_nodes():
    """A way through the graph is a way through the cell, by brute force over ways."""
    graph = THREE.graph()
    ways, through = [(0,)], []
    while ways:
        way = ways.pop()
        ways += [(*way, to) for source, to in graph if source == way[-1]]
        if way[-1] == 7:
            through.append(tuple(EDGES[node - 1] for node in way[1:-1]))
    expected = [
        tuple(way)
        for count in (1, 2, 3)
        for way in itertools.permutations(EDGES, count)
        if way[0][0] == 0 and way[-1][1] == 3 and all(a[1] == b[0] for a, b in itertools.pairwise(way))
    ]
    assert sorted(through) == sorted(expected)
    assert len(through) == 4


def test_the_graph_of_layers_is_a_chain():
    space = build_space({"type": "resnest50", "depths": (1, 1, 1, 1), "widths": (16,) * 4, "stem_width": 8})
    assert space.graph() == ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5))


def test_nodes_have_the_candidates_of_the_subspace(latent):
    assert latent.labels(np.array([[0, 0, 1, 1, 2, 2]])).tolist() == [[5, 2, 2, 3, 3, 4, 4, 6]]
    assert str(latent.arch(np.array([0.0, 0, 1, 1, 2, 2]))) == "223344"
    assert latent.rows.shape == (729, 6)
    assert latent.embeddings.shape == (729, 16)
    np.testing.assert_allclose(latent.embed(latent.rows[:5]), latent.embeddings[:5], atol=1e-6)


def test_the_pool_of_a_large_space_is_random_distinct_and_within_the_limits():
    space = build_space({"type": "resnest50"})
    few = AutoencoderOptions(hidden=8, epochs=1, batch_size=256)
    feasible = lambda arch: sum(arch) < 20  # about a fourth of all
    rows = LatentSpace(space, 3, 300, few, feasible).rows
    assert len({row.tobytes() for row in rows}) == len(rows) == 300
    assert all(feasible(Arch(tuple(int(c) for c in row))) for row in rows)
    assert np.array_equal(rows, LatentSpace(space, 3, 300, few, feasible).rows)
    assert len(LatentSpace(space, 3, 300, few, lambda arch: False).rows) == 300


def test_a_loaded_study_continues_with_the_same_proposals(latent):
    space = parameters(THREE)

    def searched(study: optuna.Study, count: int) -> optuna.Study:
        for _ in range(count):
            trial = study.ask(space)
            study.tell(trial, float(sum(trial.params.values())))
        return study

    def new() -> optuna.Study:
        sampler = Arch2VecSampler(latent, seed=1, search_space=dict(space))
        return optuna.create_study(direction="maximize", sampler=sampler)

    whole, loaded = searched(new(), 40), new()
    loaded.add_trials(searched(new(), 27).trials)
    searched(loaded, 13)
    assert [t.params for t in loaded.trials] == [t.params for t in whole.trials]
    assert len({tuple(t.params.values()) for t in whole.trials}) == 40


@pytest.mark.skipif(not TABLE.is_file(), reason="needs ../shared/data")
def test_it_finds_better_cells_of_nas_bench_201_than_random_search(latent):
    """60 of 729 cells by their accuracy in the benchmark's table, medians of five seeds."""
    table = {arch: network.accuracies["cifar10_valid_acc"] for arch, network in read_table(TABLE).items()}
    space = parameters(THREE)

    def best(sampler: optuna.samplers.BaseSampler) -> float:
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for _ in range(60):
            trial = study.ask(space)
            study.tell(trial, table[Arch(tuple(trial.params.values()))])
        return study.best_value

    found = [best(Arch2VecSampler(latent, seed, search_space=dict(space))) for seed in range(5)]
    random = [best(ActionSpaceSampler(seed, 10**9, search_space=dict(space))) for seed in range(5)]
    top = max(value for arch, value in table.items() if set(arch) <= {2, 3, 4})
    assert top - np.median(found) < 0.5 * (top - np.median(random))
