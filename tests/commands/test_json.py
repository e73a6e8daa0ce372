"""``--json``: the output of a command as data, alone on stdout."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from pinas_zoo import cli
from pinas_zoo.models.pinas import PiNAS
from pinas_zoo.weights.model_folder import save_model_folder
from tests.golden import fill_
from tests.hub_server import TOKEN, HubServer

SMALL = dict(depths=(1, 2, 1, 1), widths=(16, 32, 64, 128), stem_width=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    model = fill_(PiNAS("01231", **SMALL, num_classes=3))
    cfg = {"input_size": (3, 48, 48), "label_names": ["ash", "bir\x1b[2Jch", "cedar"]}
    path = tmp_path_factory.mktemp("json") / "tiny"
    return save_model_folder(path, model.state_dict(), {"arch": "01231", **SMALL}, cfg)


@pytest.fixture
def read(capsys):
    """A function that runs a command with --json and returns its object."""

    def run(*words: object, code: int = 0):
        capsys.readouterr()
        assert cli.main([*map(str, words), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


def test_info(read, folder, tmp_path):
    found = read("info", folder, "--svg", tmp_path / "a.svg")
    assert found["model_args"]["arch"] == "01231"
    assert found["input_size"] == [3, 48, 48]
    assert sum(layer["params"] for layer in found["layers"]) == found["params"]
    assert sum(layer["macs"] for layer in found["layers"]) == found["macs"]
    assert found["pictures"] == [str(tmp_path / "a.svg")]
    paper = read("info", "pinas_cls", "--expect", "27.1,9.99", code=2)  # an error, and the object all the same
    assert [check["matches"] for check in paper["checks"]].count(False) == 1
    peer = read("info", "resnet18")
    assert (peer["model_args"], peer["layers"], peer["params"]) == (None, [], 11_689_512)


def test_classify(read, folder, tmp_path, capsys):
    Image.new("RGB", (50, 40), "red").save(tmp_path / "red.png")
    (tmp_path / "text.png").write_text("no image")
    (found,) = read("classify", tmp_path / "red.png", tmp_path / "text.png", "--model", folder, code=2)
    assert found["image"] == str(tmp_path / "red.png")
    assert sorted(each["label"] for each in found["classes"]) == ["ash", "bir\x1b[2Jch", "cedar"]
    assert sum(each["probability"] for each in found["classes"]) == pytest.approx(1, abs=1e-5)
    assert found["classes"][0]["probability"] == max(each["probability"] for each in found["classes"])
    capsys.readouterr()
    assert cli.main(["classify", str(tmp_path / "red.png"), "--model", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "bir\\x1b[2Jch" in out


@pytest.mark.skipif(os.name != "posix", reason="names of files with control characters")
def test_a_file_s_name_is_shown_escaped(folder, tmp_path, capsys):
    path = tmp_path / "evil\x1b[2J\n.png"
    Image.new("RGB", (50, 40), "red").save(path)
    assert cli.main(["classify", str(path), "--model", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == f"{tmp_path}/evil\\x1b[2J\\n.png"


def test_register_list_and_unregister(read, folder, zoo_home):
    entry = read("register", "mine", "--folder", folder)
    assert (entry["name"], entry["arch"], entry["folder"]) == ("mine", "01231", str(folder))
    assert entry["load"] == 'timm.create_model("mine", pretrained=True)'
    (row,) = read("list", "--mine")
    assert (row["name"], row["weights"], row["where"]) == ("mine", "local", str(folder))
    assert read("list", "no_such_name") == []
    assert read("unregister", "mine") == {"unregistered": ["mine"]}


def test_push_and_pull(read, folder, zoo_home, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with HubServer() as hub:
        hub.add("us/net", {f: (folder / f).read_bytes() for f in ("config.json", "model.safetensors")})
        plan = read("push", folder, "us/other")
        assert (plan["repo"], plan["sent"], plan["commit"]) == ("us/other", False, None)
        assert {file["path"] for file in plan["files"]} >= {"config.json", "model.safetensors", "README.md"}
        assert "us/other" not in hub.repos
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        pulled = read("pull", "us/net", tmp_path / "w", "--register", "pulled_here")
        assert (pulled["repo"], pulled["folder"], pulled["registered"]) == (
            "us/net",
            str(tmp_path / "w"),
            "pulled_here",
        )
        assert pulled["load"] == 'timm.create_model("pulled_here", pretrained=True)'


def test_doctor(read, zoo_home):
    rows = read("doctor")
    states = {row["name"]: row["state"] for row in rows}
    assert {"torch", "timm", "device", "operators", "pinas_cls"} <= set(states)
    assert all(set(row) == {"name", "state", "cure"} for row in rows)
