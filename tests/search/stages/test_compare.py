"""The networks that are trained beside the winner: which they are, resumption, and what the run says of them."""

from __future__ import annotations

import csv
import io
import json
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.search import search
from pinas_zoo.search.config import Compare, SearchConfig, load_config, parse_config
from pinas_zoo.search.config_files import find_config
from pinas_zoo.search.context import Context
from pinas_zoo.search.pipeline import run as run_stages
from pinas_zoo.search.spaces.base import SearchSpace, build_space
from pinas_zoo.search.stages.compare import labels, like_cost

SPACE = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)
SPACES: list[dict[str, Any]] = [SPACE, dict(type="nasbench201", channels=4, cells=1)]


def config(score: str = "flops", **compare: Any) -> SearchConfig:
    """A search without a supernet, whose winner trains for two steps."""
    return parse_config(
        dict(
            name="tiny",
            space=SPACE,
            data=dict(type="digits", image_size=16, val_per_class=30),
            explore=dict(score=score, evaluations=4),
            train=dict(epochs=1, batch_size=512, log_every=1, compare=compare),
            log=dict(tensorboard=False),
        )
    )


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "train" / "comparison.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_ZOO_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[str]]:
    folder, lines = tmp_path_factory.mktemp("run") / "tiny", []
    asked = config(reference="resnest", random=2, within=0.5, seeds=2)
    with redirect_stderr(io.StringIO()) as progress:
        run_stages(Context.of(asked, folder, lines.append))
    (folder.parent / "progress.txt").write_text(progress.getvalue())
    return folder, lines


def test_winner_reference_and_random_networks_train_with_each_seed(finished):
    folder, lines = finished
    found = table(folder)
    winner = json.loads((folder / "explore" / "done.json").read_text())["winner"]
    archs = {role: list(dict.fromkeys(row["arch"] for row in found if row["role"] == role)) for role in
             ("winner", "reference", "random")}  # fmt: skip
    assert archs["winner"] == [winner]
    assert archs["reference"] == ["1111"]
    assert len(set(archs["random"]) - {winner, "1111"}) == 2
    assert [row["seed"] for row in found] == ["0", "1"] * 4
    flops_g = {row["arch"]: float(row["flops_g"]) for row in found}
    assert all(abs(flops_g[arch] - flops_g[winner]) <= 0.5 * flops_g[winner] for arch in archs["random"])
    assert sum(line.startswith("compare ") for line in lines) == 4
    done = json.loads((folder / "train" / "done.json").read_text())
    (line,) = [line for line in lines if line.startswith("train ")]
    assert done["comparison"]["sentence"] in line
    assert [verdict["role"] for verdict in done["comparison"]["verdicts"]] == ["reference", "random"]
    assert not [path for path in (folder / "train" / "compare").rglob("*") if path.suffix in (".pth", ".safetensors")]


def test_the_report_begins_with_the_comparison(finished):
    folder, _ = finished
    page = (folder / "report.html").read_text()
    done = json.loads((folder / "train" / "done.json").read_text())
    assert done["comparison"]["sentence"].replace("'", "&#39;") in page
    assert page.index('<section id="worth">') < page.index('<section id="winner">')
    first = page[page.index('<section id="worth">') :]
    assert first.index("test accuracy, %") < first.index("</svg>")
    caption = first[first.index("<figcaption>") : first.index("</figcaption>")]
    assert "trained alike, 1 epoch from scratch." in caption


def test_the_report_of_a_complete_run_keeps_the_sentence_that_it_stored(finished):
    """An earlier version had other intervals; the rerun prints its sentence, so that the report must not differ."""
    folder, _ = finished
    done = folder / "train" / "done.json"
    before = done.read_text()
    facts = json.loads(before)
    facts["comparison"]["sentence"] = "The winner is as it was."
    done.write_text(json.dumps(facts))
    asked = config(reference="resnest", random=2, within=0.5, seeds=2)
    for change, shown in ((facts["comparison"], True), ({"sentence": 3}, False), ("strange", False)):
        done.write_text(json.dumps({**facts, "comparison": change}))
        run_stages(Context.of(asked, folder, lambda line: None))
        page = (folder / "report.html").read_text()
        assert ("<strong>The winner is as it was.</strong>" in page) == shown
        assert '<section id="worth">' in page
    done.write_text(before)


def test_what_is_complete_is_skipped_and_what_is_missing_trained_again(finished):
    """As after a kill: one training and the stage's own result are missing."""
    folder, _ = finished
    before = table(folder)
    kept, lost = (folder / "train" / "compare" / f"1111-{seed}" for seed in (0, 1))
    stamp = (kept / "done.json").stat().st_mtime_ns
    (lost / "done.json").unlink()
    (folder / "train" / "done.json").unlink()
    lines: list[str] = []
    asked = config(reference="resnest", random=2, within=0.5, seeds=2)
    run_stages(Context.of(asked, folder, lines.append))
    assert (kept / "done.json").stat().st_mtime_ns == stamp
    assert [{**row, "seconds": ""} for row in table(folder)] == [{**row, "seconds": ""} for row in before]
    assert any(line.startswith("explore  complete already") for line in lines)


def test_progress_tells_which_of_the_random_networks_is_trained(finished):
    shown = [line.split(":")[0] for line in (finished[0].parent / "progress.txt").read_text().splitlines()]
    names = [f"{name}, seed {seed}" for name in ("winner", "reference", "random 1/2", "random 2/2") for seed in (0, 1)]
    assert [name for name in dict.fromkeys(shown) if "seed" in name] == names
    assert labels(["winner", "random"]) == ["winner", "random"]


def test_a_winner_that_is_the_reference_is_compared_with_nothing_of_it(finished, tmp_path):
    winner = table(finished[0])[0]["arch"]
    lines: list[str] = []
    run_stages(Context.of(config(reference=winner, seeds=1), tmp_path / "run", lines.append))
    assert [row["role"] for row in table(tmp_path / "run")] == ["winner"]
    assert f"compare  the winner is the reference {winner}" in lines
    assert "worth" not in (tmp_path / "run" / "report.html").read_text()


def test_without_a_comparison_the_winner_alone_is_trained(tmp_path):
    run_stages(Context.of(config(), tmp_path / "run", lambda line: None))
    assert not (tmp_path / "run" / "train" / "compare").exists()
    assert "comparison" not in json.loads((tmp_path / "run" / "train" / "done.json").read_text())


def test_a_recipe_trains_the_networks_in_place_of_the_train_table(tmp_path):
    """By timm's optimiser, mixing and moving average; two trainings of the same seed and network are equal."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "name = 'mine'\nmodel = 'resnet18'\nbatch_size = 400\naugment = dict(hflip=0.0)\nkeep = 'best'\n"
        "mix = dict(mixup_alpha=0.2)\noptim = dict(opt='adamw', lr=1e-3)\nema = dict(enabled=True)\n"
        "schedule = dict(epochs=5, warmup_epochs=1)\n"
    )
    values = config().model_dump()
    values["train"]["compare"] = dict(recipe=str(mine), reference="resnest", seeds=1, epochs=2)
    lines: list[str] = []
    search(values, work_dir=tmp_path / "run", say=lines.append)
    (line,) = [line for line in lines if line.startswith("train ")]
    assert "from scratch, 2 epochs by the recipe mine, 1 seeds each" in line
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["train"]["compare"]["recipe"]
    assert (kept["optim"]["opt"], kept["schedule"]["epochs"]) == ("adamw", 5)
    for arch in {row["arch"] for row in table(tmp_path / "run")}:
        assert (tmp_path / "run" / "train" / "compare" / f"{arch}-0" / "epochs.csv").read_text().count("\n") == 1 + 1
    mine.unlink()  # the run keeps what it says
    before = table(tmp_path / "run")
    for done in (tmp_path / "run" / "train").rglob("done.json"):
        done.unlink()
    run_stages(Context.of(load_config(tmp_path / "run" / "config.json"), tmp_path / "run", lines.append))
    assert [{**row, "seconds": ""} for row in table(tmp_path / "run")] == [{**row, "seconds": ""} for row in before]
    assert "by one recipe" in (tmp_path / "run" / "report.html").read_text()


def test_recipes_by_name_and_what_is_no_recipe(tmp_path):
    named = config(recipe="digits").train.compare.recipe
    assert named is not None
    assert named.name == "digits_trained"
    run = tmp_path / "config.json"
    values = config().model_dump(mode="json")
    values["train"]["compare"]["recipe"] = str(tmp_path / "mine.py")
    (tmp_path / "mine.py").write_text("raise SystemExit('executed')")
    run.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"expected a recipe of configs/cls \(cifar10, digits"):
        load_config(run)
    for other in ({"train": {"epochs": 3}}, {"train.compare": {"seeds": 2}}, {"train.compare.recipe.batch_size": 8}):
        with pytest.raises(UserError, match=r"expected a recipe of configs/cls \(cifar10, digits"):
            load_config(run, other)
    mine = str(tmp_path / "mine.py")
    for named_by_user in (
        {"train.compare.recipe": mine},
        {"train.compare": {"recipe": mine}},
        {"train": {"compare": {"recipe": mine}}},
    ):
        with pytest.raises(UserError, match="executed"):
            load_config(run, named_by_user)


def test_keys_of_a_recipe_that_is_named_can_be_changed(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "_base_ = ['configs/search/digits.py']\ntrain = dict(compare=dict(recipe='digits'))\n".replace(
            "configs/search", str(find_config("digits").parent)
        )
    )
    changed = load_config(mine, {"train.compare.recipe.batch_size": 8}).train.compare.recipe
    assert changed is not None
    assert (changed.name, changed.batch_size) == ("digits_trained", 8)
    keys = {"train.compare.recipe": "cifar10", "train.compare.recipe.batch_size": 8}
    for overrides in (keys, dict(reversed(keys.items()))):
        other = load_config(mine, overrides).train.compare.recipe
        assert other is not None
        assert (other.name, other.batch_size) == ("cifar10", 8)


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        (dict(random=1, recipe="imagenet_fast", epochs=2), "expected schedule.warmup_epochs below schedule.epochs"),
        (dict(random=1, recipe=dict(sync_bn=True)), "expected sync_bn=False in train.compare.recipe"),
        (dict(reference="resnet"), r"a reference of the space \('resnest'\) or one of its architectures, got 'resnet'"),
        (dict(random=1, start="supernet"), "expected train.compare.start='scratch' with explore.score='flops'"),
    ],
)
def test_what_cannot_be_compared_is_said_before_the_search(compare, message, tmp_path):
    with pytest.raises(UserError, match=message):
        run_stages(Context.of(config(**compare), tmp_path / "run", lambda line: None))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", SPACES)
@pytest.mark.parametrize("seed", range(5))
def test_random_networks_are_different_and_of_like_cost(options, seed):
    space: SearchSpace = build_space(options)
    rng = np.random.default_rng(seed)
    (winner,) = space.sample(rng)
    others = {winner, *space.sample(rng)}
    share = float(rng.uniform(0.05, 0.5))
    drawn = like_cost(space, winner, others, Compare(random=6, within=share), 16, seed)
    assert len(set(drawn)) == len(drawn) <= 6
    assert not others & set(drawn)
    cost = space.cost(winner, 16)[1]
    assert all(abs(space.cost(arch, 16)[1] - cost) <= share * cost for arch in drawn)
    assert drawn == like_cost(space, winner, others, Compare(random=6, within=share), 16, seed)


def test_random_networks_stay_in_the_subspace():
    space = build_space({**SPACE, "subspace": (0, 2)})
    drawn = like_cost(space, Arch.parse("0202"), set(), Compare(random=8, within=1.0), 16, 0)
    assert len(drawn) == 8
    assert all(set(arch.choices) <= {0, 2} for arch in drawn)


def test_random_networks_see_the_image_and_differ_in_what_has_an_effect():
    space = build_space(SPACES[1])
    winner = Arch.parse("000300")  # one convolution, from the input to the output
    drawn = like_cost(space, winner, {winner}, Compare(random=30), 16, 0)
    assert len(drawn) == 30
    assert all(space.sees_image(arch) for arch in drawn)
    assert len({winner, *map(space.reachable, drawn)}) == 31
