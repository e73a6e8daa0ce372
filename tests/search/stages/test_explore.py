"""The explore stage: which study a configuration belongs to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import pinas_zoo
from pinas_zoo.arch import Arch
from pinas_zoo.search.config import load_config, parse_config
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from pinas_zoo.search.stages import explore
from pinas_zoo.search.stages.explore import signature

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "search"
OF_0_1_0 = {"digits": "b44947dcf222b5a3", "cifar10": "9e538e7cc6aba1b4", "nasbench201_three": "bb64edf6daf077b5"}


SINCE_CHANGED = {  # values of these configurations in that version
    "nasbench201_three": {
        "explore.score": "consistency",
        "explore.rank_by": "effects",
        "explore.zero_cost_initialisations": 1,
        "explore.held_out_images": None,
        "explore.zero_cost_space": None,
        "learn.steps": 20_000,
    },
    "digits": {
        "data.val_per_class": 30,
        "learn.options.queue_size": 1024,
        "learn.steps": 300,
        "linear.steps": 300,
        "train.epochs": 15,
        "train.batch_size": 64,
        "train.channels_last": False,
        "train.compare.reference": "",
        "train.compare.random": 0,
        "train.compare.seeds": 3,
        "train.compare.epochs": None,
    },
}


@pytest.mark.parametrize("name", OF_0_1_0)
def test_a_study_of_version_0_1_0_belongs_to_the_same_configuration(name):
    config = load_config(CONFIGS / f"{name}.py", SINCE_CHANGED.get(name))
    if name == "nasbench201_three":  # without what the file did not name in that version
        values = config.model_dump(mode="json") | {"name": "nasbench201", "linear": {}}
        values["learn"]["options"].pop("head_init")
        config = parse_config(values)
    assert signature(config) == OF_0_1_0[name]
    assert signature(config.model_copy(update={"streams": 1})) == OF_0_1_0[name]
    assert signature(config.model_copy(update={"seed": 1})) != OF_0_1_0[name]


def test_an_architecture_that_the_user_registered_is_scored_under_its_name(monkeypatch, zoo_home):
    """The scorer is replaced: a supernet of the paper's size is no test's business."""
    pinas_zoo.register("pinas_beta", arch="0" * 16)
    asked: list[str] = []

    class Scorer:
        def scores(self, paths: list[Arch]) -> list[Score]:
            asked.extend(map(str, paths))
            return [Score(0.1 * arch[0], 1.0) for arch in paths]

    monkeypatch.setattr(explore, "build_scorer", lambda context: Scorer())
    context = SimpleNamespace(space=ResNeSt50Space())
    resnest = Arch((1,) * 16)
    found = explore.score_references(context, {resnest: Score(0.9, 1.0)})
    assert found == {
        "resnest50d": 0.9,
        "pinas_alpha": pytest.approx(0.3),
        "pinas_gamma": pytest.approx(0.3),
        "pinas_beta": 0,
    }
    assert str(resnest) not in asked  # it was a candidate
    assert len(asked) == 3
