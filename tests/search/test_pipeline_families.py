"""Whole runs, as a user starts them, of every method on spaces other than the paper's; and of a user's own files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import timm

from pinas_zoo.analysis.cost import count_module
from pinas_zoo.arch import Arch
from pinas_zoo.cli import main
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import arch_string
from pinas_zoo.search.config import load_config
from pinas_zoo.search.context import Context
from pinas_zoo.search.pipeline import run as run_stages
from pinas_zoo.search.plugins import load_class
from pinas_zoo.search.run_files import read_ranking
from pinas_zoo.search.spaces.base import SPACES, SearchSpace, build_space
from pinas_zoo.search.stages.network_folder import accuracy
from tests.networks import python

ROOT = Path(__file__).resolve().parents[2]
STEPS = """
data = dict(type="digits", image_size=16, val_per_class=20, max_train=400)
linear = dict(steps=4, batch_size=16, log_every=1)
explore = dict(evaluations=4, population=2, recalibration_images=32)
train = dict(epochs=1, batch_size=64, log_every=1)
views = dict(flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0)
"""
CELLS = 'space = dict(type="nasbench201", operations=("nor_conv_1x1", "nor_conv_3x3"), channels=4, cells=1)'
RESNEST = "space = dict(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)"


def learn(method: str, **options: object) -> str:
    return f"learn = dict(method={method!r}, options={options}, steps=4, batch_size=16, log_every=1)"


def write(folder: Path, *tables: str, name: str = "tiny") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.py"
    path.write_text("\n".join([f"name = {name!r}", STEPS, *tables]))
    return path


def search(config: Path, folder: Path) -> list[str]:
    """A whole run in this process; what it said."""
    said: list[str] = []
    run_stages(Context.of(load_config(config), folder, say=said.append), register_anyway=True)
    return said


@pytest.mark.parametrize(
    ("method", "space"), [("spos", CELLS), ("fairnas", CELLS), ("pinas", CELLS), ("fairnas", RESNEST)]
)
def test_every_method_ends_in_a_winner_that_loads_by_name(method, space, tmp_path, zoo_home, capsys):
    options = dict(queue_size=32) if method == "pinas" else {}
    config, folder = write(tmp_path, space, learn(method, **options)), tmp_path / "run"
    said = search(config, folder)
    assert (folder / "linear").exists() == (method == "pinas")
    report = (folder / "report.html").read_text()
    assert {"pinas": "Π-NAS", "spos": "SPOS", "fairnas": "FairNAS"}[method] + " loss" in report
    assert ("Π-NAS" in report) == (method == "pinas")
    assert "<title>Winner " in report
    run = Context.of(load_config(config), folder, say=lambda text: None)
    normalise = run.views(run.config.views).normalise
    model = timm.create_model("tiny_winner", pretrained=True)
    value = accuracy(model, run.splits.test, normalise)
    assert 100 * value == pytest.approx(float(said[-1].rsplit(" ", 1)[1].rstrip("%")), abs=0.01)
    assert type(model).__name__ == ("NASBench201" if space == CELLS else "PiNAS")
    assert model.pretrained_cfg["label_names"][3] == "3"
    best = read_ranking(folder / "explore" / "ranking.csv")[0]
    cut = timm.create_model(f"local-dir:{folder / 'winner'}", pretrained=True)
    assert accuracy(cut, run.splits.val, normalise) == pytest.approx(float(best["accuracy"]), abs=1e-4)
    assert run.space.parse(best["arch"]) == run.space.parse(run.space.describe(run.space.parse(best["arch"])))
    again = "\n".join(search(config, folder))
    assert again.count("complete already") == (5 if method == "pinas" else 4)
    if space == CELLS:  # what shows a network knows this one too
        for words, text in ((("list", "--mine"), "tiny_winner"), (("info", str(folder / "winner")), "nasbench201")):
            capsys.readouterr()
            assert main(words) == 0
            assert text in capsys.readouterr().out
    if method == "spos":
        code = "import timm, pinas_zoo\nprint(timm.create_model('tiny_winner', pretrained=True).arch)"
        assert python(code, PINAS_ZOO_HOME=str(zoo_home)).stdout.strip() == model.arch


def test_a_nasbench201_network_is_trained_and_kept_by_its_architecture_string(tmp_path):
    from pinas_zoo.train.config import Recipe
    from pinas_zoo.train.network import Start
    from pinas_zoo.train.run import train

    recipe = Recipe.model_validate(
        dict(
            model_args=dict(arch=arch_string("234012"), channels=4, cells=1),
            data=dict(type="digits", image_size=16),
            schedule=dict(epochs=1, warmup_epochs=0),
        )
    )
    assert train(recipe, Start("nasbench201", "nasbench201", "nasbench201"), tmp_path / "run", lambda text: None)
    model = timm.create_model(f"local-dir:{tmp_path / 'run' / 'trained'}", pretrained=True)
    assert (model.arch, model.num_classes) == ("234012", 10)
    plain = recipe.model_copy(update={"model_args": dict(channels=4, cells=1)})  # the entry point's own architecture
    assert train(plain, Start("nasbench201", "nasbench201", "nasbench201"), tmp_path / "plain", lambda text: None)
    again = timm.create_model(f"local-dir:{tmp_path / 'plain' / 'trained'}", pretrained=True)
    assert again.arch == timm.create_model("nasbench201", channels=4, cells=1).arch


def test_a_nasbench201_network_is_pushed_with_a_card_and_registered_by_its_arch(tmp_path, zoo_home):
    import pinas_zoo
    from pinas_zoo.weights.model_folder import read_config, save_model_folder
    from pinas_zoo.zoo import publish

    model = timm.create_model("nasbench201", arch="234012", channels=4, cells=1, num_classes=7)
    args = dict(arch="234012", channels=4, cells=1)
    folder = save_model_folder(tmp_path / "net", model.state_dict(), args, {"architecture": "nasbench201"})
    stored, cfg = read_config(folder)
    assert (stored["arch"], stored["num_classes"], cfg["architecture"]) == ("234012", 7, "nasbench201")
    again = timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert all((again.state_dict()[k] == v).all() for k, v in model.state_dict().items())
    card = publish.plan_push(folder, "us/net").card
    assert f"{sum(p.numel() for p in model.parameters()):,}" in card
    assert "`nasbench201`" in card
    with pytest.raises(UserError, match="another network"):
        save_model_folder(tmp_path / "x", model.state_dict(), {**args, "cells": 2}, {"architecture": "nasbench201"})
    text = "|nor_conv_1x1~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|skip_connect~1|nor_conv_1x1~2|"
    entry = pinas_zoo.register("mine_201", arch=text, architecture="nasbench201", channels=4, cells=1)
    assert entry.arch == "234012"
    assert timm.create_model("mine_201", num_classes=3).fc.out_features == 3
    features = timm.create_model("mine_201", features_only=True)
    assert features.feature_info.channels() == [4, 8, 16]
    with pytest.raises(UserError, match="import the module"):
        pinas_zoo.register("mine_x", arch="0", architecture="no_such_net")


def example(page: str) -> str:
    """The page's one example file: its first block of Python."""
    (block, *_) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)
    assert len(block.splitlines()) < 60
    return block


def test_the_method_of_the_docs_goes_the_whole_way(tmp_path, zoo_home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sandwich.py").write_text(example("add_a_method.md"))
    search(write(tmp_path, CELLS, learn("sandwich.py")), Path("run"))
    assert "Sandwich loss" in Path("run/report.html").read_text()
    assert timm.create_model("tiny_winner", pretrained=True).num_classes == 10


def test_the_space_of_the_docs_goes_the_whole_way_and_loads_where_its_file_is_imported(tmp_path, zoo_home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("kernels.py").write_text(example("add_a_space.md"))
    search(write(tmp_path, 'space = dict(type="kernels.py", layers=3)', learn("spos")), Path("run"))
    space = build_space(dict(type="kernels.py", layers=3))
    for arch in (Arch((0, 1, 2)), Arch((2, 2, 0))):
        network = timm.create_model("kernel_net", num_classes=0, **space.model_args(arch))
        assert space.cost(arch, 32)[0] * 1e6 == pytest.approx(sum(p.numel() for p in network.parameters()))
        assert space.cost(arch, 32)[1] * 1e9 == pytest.approx(count_module(network, (3, 32, 32)).macs)
    for first, works in (("", False), ("import kernels\n", True)):
        code = "import warnings; warnings.simplefilter('error', UserWarning)\nimport sys, timm, pinas_zoo\n"
        code += f"sys.path.insert(0, {str(tmp_path)!r})\n{first}"
        code += "print(type(timm.create_model('tiny_winner', pretrained=True)).__name__)"
        new = python(code, PINAS_ZOO_HOME=str(zoo_home))
        assert (new.returncode == 0) == works, new.stderr
        assert ("KernelNet" in new.stdout) if works else ("import the module that registers it" in new.stderr)


def test_a_run_folder_does_not_execute_the_file_that_it_names(tmp_path):
    ran = tmp_path / "ran"
    (tmp_path / "mine.py").write_text(
        f"open({str(ran)!r}, 'a').write('x')\nfrom pinas_zoo.search.spaces.nasbench201 import NASBench201Space\n"
    )
    name = str(tmp_path / "mine.py")
    config = load_config(write(tmp_path, f"space = dict(type={name!r})"))
    kept = tmp_path / "run" / "config.json"
    kept.parent.mkdir()
    kept.write_text(config.model_dump_json())
    learns = config.model_copy(update={"space": {}, "learn": config.learn.model_copy(update={"method": name})})
    for content, key in ((config, "space.type"), (learns, "learn.method")):
        kept.write_text(content.model_dump_json())
        for overrides in ({}, {"name": "x"}):
            with pytest.raises(UserError, match=f"add --set {key}="):
                load_config(kept, overrides)
        assert not ran.exists()
    kept.write_text(config.model_dump_json())
    Context.of(load_config(kept, {"space.type": name}), tmp_path / "run", say=lambda text: None)
    assert ran.read_text() == "x"
    Context.of(load_config(kept, {"space.type": name}), tmp_path / "run", say=lambda text: None)
    assert ran.read_text() == "x"  # once a process


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a Python file"),
        ("1 / 0", "ZeroDivisionError"),
        ("x = 1", "expected one class that is a SearchSpace"),
    ],
)
def test_a_file_that_does_not_serve_is_named(content, message, tmp_path):
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message):
        load_class(str(path), SPACES, SearchSpace, "space.type")


def test_linear_cannot_be_left_out_of_a_method_without_classifier(tmp_path):
    config = load_config(write(tmp_path, CELLS, "linear = dict(enabled=False)"))
    with pytest.raises(UserError, match="learns no classifier"):
        run_stages(Context.of(config, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
