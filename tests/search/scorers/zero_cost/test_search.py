"""Whole runs whose candidates are scored without training."""

from __future__ import annotations

import csv
import json
import re

import pytest

from pinas_zoo.cli import main
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import parse_config
from pinas_zoo.search.context import Context
from pinas_zoo.search.pipeline import run
from pinas_zoo.search.plan import plan
from pinas_zoo.search.run_files import read_ranking
from pinas_zoo.search.spaces.resized import resized_space
from pinas_zoo.search.stages.needed import needs_labels, why_left_out
from pinas_zoo.search.study.ranking_file import digits

CONFIG = dict(
    name="tiny",
    until="explore",
    data=dict(type="digits", image_size=16, val_per_class=20),
    space=dict(type="nasbench201", channels=4, cells=1),
    explore=dict(evaluations=6, sampler="random", batch=4, zero_cost_images=16),
)


def config(score: str, **learn: str):
    return parse_config({**CONFIG, "explore": {**CONFIG["explore"], "score": score}, "learn": learn})


@pytest.mark.parametrize("score", ["jacov", "fisher", "reachable_flops"])
def test_a_search_learns_nothing_and_ranks(score, tmp_path, capsys):
    said: list[str] = []
    folder = tmp_path / "run"
    run(Context.of(config(score), folder, said.append))
    assert not (folder / "learn").exists()
    assert any("learn    left out: candidates are scored without training" in line for line in said)
    summary = next(line for line in said if line.startswith("explore"))
    assert re.search(r"6 of 15625 architectures, (jacov|Fisher|reachable multiply-adds) \S+ to \S+, best", summary)
    assert "%" not in summary
    rows = read_ranking(folder / "explore" / "ranking.csv")
    values = [float(row["accuracy"]) for row in rows]
    assert values == sorted(values, reverse=True)
    truth = tmp_path / "truth.csv"
    with truth.open("w", newline="") as file:
        csv.writer(file).writerows([("arch", "accuracy"), *((row["arch"], 90 - k) for k, row in enumerate(rows))])
    main(["rank", str(folder), "--truth", str(truth)])
    assert "tau of the scores   +" in capsys.readouterr().out
    assert json.loads((folder / "rank.json").read_text())["count"] == 6
    page = (folder / "report.html").read_text()
    assert "in the supernet" not in page.replace("scores in the supernet", "")


def test_which_stages_and_labels_a_run_needs():
    assert why_left_out(config("snip"), "linear") == "left out: candidates are scored without training"
    assert needs_labels(config("snip"))
    assert not needs_labels(config("jacov"))
    assert not needs_labels(config("jacov", method="spos"))  # it learns nothing, so that it needs no labels either
    assert needs_labels(config("consistency", method="spos"))


def test_small_and_large_scores_keep_their_digits():
    assert [digits(x) for x in (0.0, 0.97321, -65.26621, 0.00444975, 1.5e-7, -6.3e6, 3.2e9)] == [
        "0.00000", "0.97321", "-65.26621", "0.00444975", "1.5e-07", "-6.3e+06", "3.2e+09",
    ]  # fmt: skip


def test_untrained_networks_may_have_another_size_than_the_space(tmp_path, capsys):
    values = {**CONFIG, "explore": {**CONFIG["explore"], "score": "reachable_params", "zero_cost_space": {"cells": 2}}}
    found = {}
    for name, some in {"deep": values, "shallow": config("reachable_params").model_dump(mode="json")}.items():
        run(Context.of(parse_config(some), tmp_path / name, lambda text: None))
        rows = read_ranking(tmp_path / name / "explore" / "ranking.csv")
        found[name] = {row["arch"]: float(row["accuracy"]) for row in rows}
    assert found["deep"].keys() == found["shallow"].keys()
    assert all(found["deep"][arch] > found["shallow"][arch] for arch in found["deep"] if arch != "000000")
    said = plan(parse_config(values), tmp_path / "new").stages
    assert any("scored without training, untrained networks with cells=2" in stage.what for stage in said)
    other = plan(parse_config({**values, "explore": {**values["explore"], "score": "probe"}}), tmp_path / "new").stages
    assert not any("untrained networks" in stage.what for stage in other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "resnest50"}, "explore.zero_cost_space: expected keys that change the size of networks, got type="),
        (
            {"operations": ["none", "nor_conv_3x3"]},
            "leave their searched candidates as they are, none, skip_connect, .*",
        ),
        ({"subspace": ["none", "nor_conv_3x3"]}, "expected keys that change the size of networks, got subspace="),
        ({"sells": 2}, "space 'nasbench201': expected keys of operations, channels, cells, .*, got 'sells'"),
        ({"operations": None}, "space 'nasbench201': expected operations to be a list of none, .*, got None"),
        ({"cells": 0}, "explore.zero_cost_space: "),
    ],
)
def test_a_size_that_a_space_cannot_have_is_one_line_before_anything_is_learned(changes, message, tmp_path):
    values = parse_config({**CONFIG, "explore": {**CONFIG["explore"], "zero_cost_space": changes}})
    for start in (lambda: Context.of(values, tmp_path / "run"), lambda: plan(values, tmp_path / "run")):
        with pytest.raises(UserError, match=message) as found:
            start()
        assert "\n" not in str(found.value)
    assert not (tmp_path / "run").exists()


def test_layers_of_another_place_are_refused():
    space = dict(type="resnest50", depths=(1, 2, 2, 1), widths=(16, 16, 16, 16), stem_width=8)
    assert resized_space(space, {"stem_width": 16}).num_layers == 6
    with pytest.raises(UserError, match=r"leave their searched layers as they are, layer1\.0, layer2\.0, layer2\.1"):
        resized_space(space, {"depths": (2, 1, 1, 2)})
