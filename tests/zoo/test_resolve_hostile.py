"""``classify`` of networks whose files lie: sizes, means, labels, weights; each is one line and exit code 2."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pinas_zoo import cli
from pinas_zoo.weights.new_folder import CONFIG_FILE, WEIGHTS_FILE
from tests.hub_server import Fault, HubServer
from tests.networks import tiny_folder

pytestmark = pytest.mark.usefixtures("zoo_home")


@pytest.fixture(scope="module")
def server():
    with HubServer() as server:
        yield server


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    server.reset()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return server


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "x.png"
    Image.new("RGB", (40, 30), (10, 200, 30)).save(path)
    return str(path)


@pytest.fixture
def folder(tmp_path):
    return tiny_folder(tmp_path / "net")[0]


def changed(folder, **changes):
    config = json.loads((folder / CONFIG_FILE).read_text())
    for key, value in changes.items():
        (config if key in ("model_args", "num_classes") else config["pretrained_cfg"])[key] = value
    (folder / CONFIG_FILE).write_text(json.dumps(config))


CASES = {
    "huge input": {"input_size": [3, 10**6, 10**6]},
    "tiny crop": {"crop_pct": 1e-7},
    "std 0": {"std": [0, 0, 0]},
    "NaN": {"mean": [float("nan")] * 3},
    "descriptions": {"label_descriptions": ["x"]},
    "interpolation": {"interpolation": "no"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("place", ["folder", "hub"])
def test_a_config_that_lies(hub, folder, image, capsys, case, place):
    changed(folder, **CASES[case])
    if place == "hub":
        hub.add("us/net", {name: (folder / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE)})
    assert cli.main(["classify", image, "--model", str(folder) if place == "folder" else "hf-hub:us/net"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "expected" in err


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(hub, folder, image, capsys, value):
    state = load_file(folder / WEIGHTS_FILE)
    state["layer2.0.bn1.running_var"][3] = value
    save_file(state, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    hub.add("us/net", {name: (folder / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE)})
    for words in (
        ["classify", image, "--model", str(folder)],
        ["classify", image, "--model", "hf-hub:us/net"],
        ["register", "mine", "--folder", str(folder)],
        ["pull", "us/net", str(folder.parent / "w")],
        ["push", str(folder), "us/net", "--dataset", "x"],
    ):
        assert cli.main(words) == 2
        err = capsys.readouterr().err
        assert "finite weights" in err
        assert err.count("\n") == 1
    assert not (folder.parent / "w").exists()


def test_timm_asks_the_hub_for_nothing(hub, folder, image, capsys):
    """A second answer, to huggingface_hub itself, could announce another hash."""
    hub.add("us/net", {name: (folder / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE)})
    hub.faults.append(Fault("HEAD", CONFIG_FILE, times=1))  # the first is answered as usual
    hub.faults.append(Fault("HEAD", CONFIG_FILE, headers={"ETag": '"../../../../evil"'}))
    assert cli.main(["classify", image, "--model", "hf-hub:us/net"]) == 0
    assert sum("HEAD" in line and CONFIG_FILE in line for line in hub.requests) == 1
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_labels_of_a_repo_cannot_move_the_cursor(hub, folder, image, capsys):
    changed(folder, label_names=[f"\x1b[2J\x1b]0;{k}\x07\n‮x" for k in range(10)])
    hub.add("us/net", {name: (folder / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE)})
    assert cli.main(["classify", image, "--model", "hf-hub:us/net"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "‮" not in out
    assert len(out.splitlines()) == 6
    assert torch.is_grad_enabled()
