from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
from timm.models import _hub

import pinas_zoo
from pinas_zoo import cli
from pinas_zoo.errors import BrokenWeights, NotPublished, UserError, WeightsMissing
from pinas_zoo.models import pinas as family
from pinas_zoo.models import timm_registry
from pinas_zoo.weights.model_folder import save_model_folder
from pinas_zoo.zoo import registry
from tests.networks import ROOT, TINY, python, same_weights, tiny, tiny_folder

pytestmark = pytest.mark.usefixtures("zoo_home")


def test_registered_arch_builds_here(zoo_home):
    entry = pinas_zoo.register("mine", arch="0123", num_classes=7, **TINY)
    model = timm.create_model("mine")
    assert (model.arch, model.num_classes) == ("0123", 7)
    assert timm.create_model("mine", num_classes=3, in_chans=1).fc.out_features == 3
    assert timm.list_models(module="registered_names") == ["mine"]
    assert entry.weights is None
    written = json.loads((zoo_home / "models" / "mine.json").read_text())
    assert written["model_args"]["arch"] == "0123"
    with pytest.raises(NotPublished, match="architecture alone"):
        timm.create_model("mine", pretrained=True)


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_entry_has_the_mode_of_the_umask(zoo_home):
    old = os.umask(0o027)
    try:
        pinas_zoo.register("mine", arch="0123", **TINY)
    finally:
        os.umask(old)
    assert (zoo_home / "models" / "mine.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "/x",
        "a/b",
        "a\\b",
        "C:x",
        "A",
        "Mine",
        "1a",
        "a.b",
        "a b",
        "a\n",
        "ä",
        "con",
        "nul",
        "com1",
        "x" * 65,
    ],
)
def test_names_stay_in_the_folder(zoo_home, name):
    with pytest.raises(UserError, match="expected a name"):
        pinas_zoo.register(name, arch="0123", **TINY)
    with pytest.raises(UserError):
        pinas_zoo.unregister(name)
    assert not zoo_home.exists()


@pytest.mark.parametrize("name", ["resnet50", "resnest50d", "pinas", "pinas_alpha", "default_cfgs"])
def test_names_do_not_shadow(name):
    with pytest.raises(UserError, match="not taken"):
        pinas_zoo.register(name, arch="0" * 16)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "neither"),
        ({"arch": "0123", "folder": "x"}, "both"),
        ({"arch": "0123"}, "16 layers"),
        ({"arch": "0124", **TINY}, "candidates 0 to 3"),
        ({"arch": "0123", **TINY, "no_such_argument": 1}, "no_such_argument"),
        ({"arch": "0123", **TINY, "act_layer": object()}, "plain data"),
        ({"folder": "x", "num_classes": 3}, "num_classes"),
    ],
)
def test_what_cannot_be_built_is_not_registered(zoo_home, given, message):
    with pytest.raises(UserError, match=message):
        pinas_zoo.register("mine", **given)
    assert not zoo_home.exists()
    assert not timm.is_model("mine")


def test_a_name_that_timm_gains_later_stays_timms(zoo_home):
    pinas_zoo.register("mine", arch="0123", **TINY)
    entry = json.loads((zoo_home / "models" / "mine.json").read_text())
    registry.write_json(zoo_home / "models" / "resnet18.json", {**entry, "name": "resnet18"})
    with pytest.warns(UserWarning, match=r"resnet18\.json skipped.*already a timm model"):
        registry.load_registry()
    assert type(timm.create_model("resnet18", device="meta")) is timm.models.ResNet
    assert timm.is_model("mine")


def test_folder_registered_loads_and_adapts(tmp_path):
    folder, model = tiny_folder(tmp_path / "w")
    entry = pinas_zoo.register("mine", folder=folder)
    assert same_weights(timm.create_model("mine", pretrained=True), model)
    assert timm.create_model("mine", pretrained=True).pretrained_cfg["file"] == str(entry.weights)
    assert timm.list_models("mine", pretrained=True) == ["mine"]
    assert timm.create_model("mine", pretrained=True, num_classes=3).fc.out_features == 3


def test_registering_again_replaces(tmp_path):
    pinas_zoo.register("mine", folder=tiny_folder(tmp_path / "a", num_classes=4)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pinas_zoo.register("mine", folder=tiny_folder(tmp_path / "b", arch="2222", num_classes=6)[0])
    model = timm.create_model("mine", pretrained=True)
    assert (model.arch, model.num_classes) == ("2222", 6)


def test_folder_written_anew_is_read_anew(tmp_path):
    folder, _ = tiny_folder(tmp_path / "w", arch="0000", num_classes=4)
    pinas_zoo.register("mine", folder=folder)
    _, model = tiny_folder(folder, arch="3333", num_classes=6, seed=1)
    registry.load_registry()  # as a new process does
    assert same_weights(timm.create_model("mine", pretrained=True), model)


def test_moved_and_broken_folders_are_named(tmp_path):
    folder, _ = tiny_folder(tmp_path / "w")
    pinas_zoo.register("mine", folder=folder)
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(WeightsMissing, match="register mine --folder"):
        timm.create_model("mine", pretrained=True)
    assert timm.create_model("mine").arch == "3013"  # the architecture needs no weights
    with pytest.raises(WeightsMissing, match=r"config\.json"):
        pinas_zoo.register("other", folder=folder)
    weights = tmp_path / "elsewhere" / registry.WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(BrokenWeights, match="truncated"):
        pinas_zoo.register("other", folder=tmp_path / "elsewhere")


def test_unregister_is_known_to_timm(zoo_home, tmp_path):
    folder, _ = tiny_folder(tmp_path / "w")
    pinas_zoo.register("mine", folder=folder)
    pinas_zoo.unregister("mine")
    assert not timm.is_model("mine")
    assert (
        timm.list_models("mine*") == timm.list_pretrained("mine*") == timm.list_models(module="registered_names") == []
    )
    with pytest.raises(RuntimeError, match="Unknown model"):
        timm.create_model("mine")
    assert (folder / registry.WEIGHTS_FILE).is_file()
    assert list((zoo_home / "models").iterdir()) == []
    with pytest.raises(UserError, match="list --mine"):
        pinas_zoo.unregister("mine")
    pinas_zoo.register("mine", arch="0123", **TINY)  # free again
    assert timm.create_model("mine", device="meta").arch == "0123"


def test_unregister_where_timm_keeps_its_tables_elsewhere(monkeypatch):
    pinas_zoo.register("mine", arch="0123", **TINY)
    with monkeypatch.context() as later_timm:
        later_timm.setattr(timm_registry, "_registry", SimpleNamespace())
        pinas_zoo.unregister("mine")
    with pytest.raises(RuntimeError, match="unregistered"):
        timm.create_model("mine")
    timm_registry.forget("mine")


PICTURED = sorted(registry.PICTURED)


@pytest.mark.parametrize("name", PICTURED)
def test_pictured_names_say_how_to_supply_them(name):
    with pytest.raises(UserError, match=f"picture.*register.*{name}.*pinas-zoo register {name} --arch"):
        timm.create_model(name)
    with pytest.raises(UserError, match="picture"):
        timm.create_model(name, pretrained=True)
    assert name not in timm.list_models("pinas*")
    assert name not in timm.list_models(include_tags=True)


def test_pictured_name_once_supplied():
    pinas_zoo.register("pinas_beta", arch="0123" * 4)
    assert timm.create_model("pinas_beta", device="meta").arch == "0123" * 4
    assert "pinas_beta" in timm.list_models("pinas*")
    done = python("import pinas_zoo, timm; print(timm.create_model('pinas_beta', device='meta').arch)")
    assert done.stdout.strip() == "0123" * 4, done.stderr
    pinas_zoo.unregister("pinas_beta")
    with pytest.raises(UserError, match="picture"):
        timm.create_model("pinas_beta")
    assert "pinas_beta" not in timm.list_models("pinas*")


@pytest.mark.parametrize("sizes", [TINY, {"stem_width": 64}, {"depths": (4, 4, 4, 4)}])
def test_pictured_names_are_of_the_papers_size(sizes):
    layers = sum(sizes.get("depths", family.DEPTHS))
    with pytest.raises(UserError, match="paper's size"):
        pinas_zoo.register("pinas_beta", arch="0" * layers, **sizes)


def test_weights_for_a_name_of_the_family(tmp_path):
    model = timm.create_model("pinas_alpha")
    folder = save_model_folder(tmp_path / "alpha", model.state_dict(), {"arch": family.ARCHS["pinas_alpha"]}, {})
    with pytest.raises(UserError, match="expected weights of 'pinas_gamma'"):
        pinas_zoo.register("pinas_gamma", folder=folder)
    pinas_zoo.register("pinas_alpha", folder=folder)
    assert same_weights(timm.create_model("pinas_cls", pretrained=True), model)  # the same network by its other name
    with pytest.raises(NotPublished, match="planned"):
        timm.create_model("pinas_trans", pretrained=True)
    pinas_zoo.unregister("pinas_alpha")
    assert timm.is_model("pinas_alpha")  # it is the package's, weights or not
    with pytest.raises(NotPublished):
        timm.create_model("pinas_cls", pretrained=True)


def test_what_timm_exports_of_it_loads_without_the_registry(tmp_path):
    folder, model = tiny_folder(tmp_path / "w")
    pinas_zoo.register("mine", folder=folder)
    _hub.save_for_hf(timm.create_model("mine", pretrained=True), tmp_path / "out", safe_serialization=True)
    pinas_zoo.unregister("mine")
    assert same_weights(timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True), model)


DAMAGED = {
    "empty": "",
    "binary": "\x00\x01",
    "cut": '{"name": "cut", "model_args": {"ar',
    "list": "[]",
    "deep": "[" * 100_000,
    "unknown_key": '{"name": "unknown_key", "model_args": {"arch": "0"}, "surprise": 1}',
    "no_args": '{"name": "no_args"}',
    "args_text": '{"name": "args_text", "model_args": "0123"}',
    "misnamed": '{"name": "other", "model_args": {"arch": "0123012301230123"}}',
    "short": '{"name": "short", "model_args": {"arch": "0123"}}',
    "huge": '{"name": "huge", "model_args": {"arch": "0123", "depths": [1, 1, 1, "1"]}}',
    "bad_cfg": '{"name": "bad_cfg", "model_args": {"arch": "0123012301230123"}, "pretrained_cfg": {"surprise": 1}}',
    "Upper": '{"name": "Upper", "model_args": {"arch": "0123012301230123"}}',
}


def test_damaged_entries_do_not_break_the_import(zoo_home):
    pinas_zoo.register("sound", arch="0123", **TINY)
    for name, text in DAMAGED.items():
        (zoo_home / "models" / f"{name}.json").write_text(text)
    (zoo_home / "models" / "folder.json").mkdir()
    done = python(
        "import pinas_zoo, timm\n"
        "print(timm.create_model('sound', device='meta').arch, timm.list_models(module='registered_names'))"
    )
    assert done.stdout.strip() == "0123 ['sound']", done.stderr
    for name in (*DAMAGED, "folder"):
        assert f"{name}.json skipped" in done.stderr


def test_import_stands_where_warnings_are_errors(zoo_home):
    (zoo_home / "models").mkdir(parents=True)
    (zoo_home / "models" / "bad.json").write_text("{")
    env = {"PINAS_ZOO_HOME": str(zoo_home), "PYTHONWARNINGS": "error::UserWarning"}
    done = python("import pinas_zoo; print('here')", **env)
    assert done.stdout == "here\n", done.stderr
    assert "bad.json" in done.stderr


def test_damaged_folder_leaves_the_architecture(tmp_path):
    folder, _ = tiny_folder(tmp_path / "w")
    pinas_zoo.register("mine", folder=folder)
    (folder / "config.json").write_text("{")
    registry.forget("mine")
    with pytest.warns(UserWarning, match=str(folder)):
        registry.load_registry()
    assert timm.create_model("mine").arch == "3013"
    with pytest.raises(NotPublished):
        timm.create_model("mine", pretrained=True)


def test_unregistered_by_another_process_is_forgotten():
    pinas_zoo.register("mine", arch="0123", **TINY)
    registry.entry_path("mine").unlink()
    with pytest.raises(UserError, match="registered name"):
        pinas_zoo.unregister("mine")
    assert not timm.is_model("mine")
    with pytest.raises(UserError, match="registered name"):
        pinas_zoo.unregister("resnet50")
    assert timm.is_model("resnet50")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("PINAS_ZOO_HOME", str(tmp_path / "file" / "home"))
    assert cli.main(["register", "mine", "--arch", "0" * 16]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("command", "said"), [("list", False), ("search", True)])
def test_only_a_search_goes_on(monkeypatch, capsys, command, said):
    def stopped(args):
        raise KeyboardInterrupt

    parser = SimpleNamespace(parse_known_args=lambda argv: (SimpleNamespace(command=command, run=stopped), []))
    monkeypatch.setattr(cli, "build_parser", lambda: parser)
    assert cli.main([]) == 130
    assert ("rerun the same command to resume" in capsys.readouterr().err) is said


def test_names_of_the_paper_stand_for_its_functions(tmp_path):
    args = {"arch": family.ARCHS["pinas_alpha"]}
    model = timm.create_model("pinas_cls", act_layer="silu")
    folder = save_model_folder(tmp_path / "w", model.state_dict(), {**args, "act_layer": "silu"}, {})
    with pytest.raises(UserError, match="act_layer"):
        pinas_zoo.register("pinas_cls", folder=folder)
    assert pinas_zoo.register("mine", folder=folder).arch == args["arch"]


def test_list_goes_on_past_a_bad_network(capsys):
    pinas_zoo.register("mine", arch="333333", architecture="nasbench201", channels=4, cells=1)
    registry._mine["bad"] = registry.Entry("bad", {"arch": "0123", "widths": [1]})
    try:
        assert cli.main(["list", "--mine"]) == 0
    finally:
        del registry._mine["bad"]
    shown = capsys.readouterr()
    (mine,) = (line for line in shown.out.splitlines() if "mine" in line)
    assert "  3.22 M  " in mine  # multiply-adds, not 0.00 G
    assert "bad skipped" in shown.err


def test_home_that_is_no_folder_does_not_break_the_import(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PINAS_ZOO_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="registry .* skipped"):
        assert registry.entries() == []


WRITER = """
import sys, pinas_zoo
digit = sys.argv[1]
print("ready", flush=True); sys.stdin.readline()
for turn in range(12):
    pinas_zoo.register("shared", arch=digit * 4, depths=(1, 1, 1, 1), widths=(16, 32, 64, 128), stem_width=8)
    pinas_zoo.register(f"own_{digit}_{turn % 5}", arch=digit * 4, depths=(1, 1, 1, 1), widths=(16, 32, 64, 128))
"""


def test_two_processes_write_at_once(zoo_home):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, digit], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for digit in "12"
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    reads, seen = 0, set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an entry that is read half-written would warn
        while any(writer.poll() is None for writer in writers):
            seen |= {entry.arch for entry in registry.entries() if entry.name == "shared"}
            reads += 1
    assert [writer.wait() for writer in writers] == [0, 0]
    for writer in writers:
        writer.stdin.close()
        writer.stdout.close()
    assert reads > 10
    assert seen == {"1111", "2222"}
    expected = {"shared", *(f"own_{d}_{i}" for d in "12" for i in range(5))}
    assert {entry.name for entry in registry.entries()} == expected
    assert {p.stem for p in (zoo_home / "models").iterdir()} == expected  # no temporary file is left


def test_commands(tmp_path, capsys):
    folder, _ = tiny_folder(tmp_path / "w")
    assert cli.main(["register", "mine", "--folder", str(folder)]) == 0
    assert 'create_model("mine", pretrained=True)' in capsys.readouterr().out
    assert cli.main(["register", "bare", "--arch", "0123", "--depths", "1,1,1,1", "--num-classes", "5"]) == 0
    assert cli.main(["list", "--mine"]) == 0
    out = capsys.readouterr().out
    assert "local" in out
    assert str(folder) in out
    assert cli.main(["unregister", "mine", "bare"]) == 0
    capsys.readouterr()
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    assert "pinas_alpha    3013231203213032           27.05 M  5.33 G" in out
    assert "known from a picture only" in out
    for argv in (["unregister", "mine"], ["register", "../x", "--arch", "0"], ["register", "mine", "--folder", "no"]):
        assert cli.main(argv) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"pinas-zoo {argv[0]}: expected")
        assert err.count("\n") == 1


def test_list_counts_as_torch_does(capsys):
    pinas_zoo.register("mine", arch="3013", num_classes=10, **TINY)
    assert cli.main(["list", "mine", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["params"] == sum(p.numel() for p in tiny().parameters())
    assert row["weights"] == "none"


def test_home_moves_by_the_environment(monkeypatch):
    monkeypatch.delenv("PINAS_ZOO_HOME")
    assert registry.home().name == "pinas_zoo"
    monkeypatch.setenv("PINAS_ZOO_HOME", "~/somewhere")
    assert registry.home() == Path.home() / "somewhere"
