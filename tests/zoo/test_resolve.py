"""A user's name of a network resolves to the same network in all commands."""

from __future__ import annotations

import shutil

import pytest
import timm

import pinas_zoo
from pinas_zoo.errors import NotPublished, UserError, WeightsMissing
from pinas_zoo.models.pinas import ARCHS
from pinas_zoo.models.spec import NetworkSpec
from pinas_zoo.zoo import resolve
from pinas_zoo.zoo.resolve import weights_file
from tests.hub_server import HubServer
from tests.networks import TINY, tiny_folder

pytestmark = pytest.mark.usefixtures("zoo_home")


@pytest.fixture
def folder(tmp_path):
    return tiny_folder(tmp_path / "net", arch="3013", num_classes=6)[0]


def test_every_form_of_one_network_has_one_specification(folder, tmp_path, monkeypatch):
    pinas_zoo.register("mine", folder=folder)
    spec = NetworkSpec("3013", **TINY, num_classes=6)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        files = {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors")}
        hub.add("us/net", files)
        forms = {
            "mine": ("name", "mine"),
            str(folder): ("folder", f"local-dir:{folder}"),
            f"local-dir:{folder}": ("folder", f"local-dir:{folder}"),
            "hf-hub:us/net": ("hub", "hf-hub:us/net"),
            "3013": ("arch", "pinas"),
        }
        for word, (kind, timm_name) in forms.items():
            network = resolve(word, {**TINY, "num_classes": 6})
            assert (network.kind, network.timm_name, network.architecture) == (kind, timm_name, "pinas")
            assert network.spec == spec
            assert NetworkSpec.from_model(network.on_meta()) == spec
            assert network.input_size == (3, 224, 224) if kind == "arch" else (3, 32, 32)
        assert not any("store" in line for line in hub.requests)  # no weights so far
        for word in ("mine", str(folder), f"local-dir:{folder}", "hf-hub:us/net"):
            assert weights_file(word).read_bytes() == files["model.safetensors"]


def test_a_name_means_the_same_beside_a_folder_of_that_name(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, "pinas_cls")
    assert resolve("pinas_cls").spec == NetworkSpec(ARCHS["pinas_alpha"])
    assert str(resolve("./pinas_cls").spec.arch) == "3013"


@pytest.mark.parametrize("name", ["pinas_alpha", "pinas_cls", "pinas_gamma", "pinas_trans"])
def test_names_of_the_paper_are_known_without_being_built(name):
    network = resolve(name)
    assert network.spec == NetworkSpec.from_model(timm.create_model(name, device="meta"))
    with pytest.raises(NotPublished, match="planned"):
        network.source()


def test_networks_of_other_spaces_have_no_specification(tmp_path):
    peer = resolve("resnet50.a1_in1k")
    assert (peer.kind, peer.architecture, peer.spec) == ("name", "resnet50.a1_in1k", None)
    assert peer.source().repo == "timm/resnet50.a1_in1k"
    pinas_zoo.register("cell", arch="234012", architecture="nasbench201", channels=4, cells=1)
    cell = resolve("cell")
    assert (cell.architecture, cell.spec, cell.args["channels"]) == ("nasbench201", None, 4)
    assert cell.input_size == (3, 32, 32)


def test_a_run_is_known_as_one_and_names_its_networks(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run" / "winner")
    run = resolve(str(tmp_path / "run"))
    assert (run.kind, run.folder) == ("run", tmp_path / "run")
    for ask in (lambda: run.spec, lambda: run.args, run.on_meta):
        with pytest.raises(UserError, match="give its winner/ or trained/"):
            ask()
    assert str(resolve(str(tmp_path / "run" / "winner")).spec.arch) == "3013"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("pinas_clz", "none of them; did you mean pinas_cls"),
        ("no/such/folder", "none of them; `pinas-zoo list` shows the names"),
        ("pinas_beta", "picture"),
        ("hf-hub:net", "owner/name"),
    ],
)
def test_what_names_nothing_is_one_line(word, says):
    with pytest.raises(UserError, match=says) as raised:
        resolve(word)
    assert "\n" not in str(raised.value)


def test_a_folder_without_config_is_named(tmp_path):
    for word in (str(tmp_path), f"local-dir:{tmp_path / 'none'}"):
        with pytest.raises(WeightsMissing, match=r"config\.json"):
            resolve(word)
    with pytest.raises(UserError, match="16 layers"):
        _ = resolve("0123").spec
