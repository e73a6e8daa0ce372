"""Checkpoints that are small on disk and large in memory, or hold what is no dense finite number."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from pinas_zoo import cli
from pinas_zoo.errors import BrokenWeights, NotSafetensors, UserError, WrongShapes
from pinas_zoo.weights.checkpoint_reader import read_checkpoint
from pinas_zoo.weights.new_folder import CONFIG_FILE, WEIGHTS_FILE, new_folder
from pinas_zoo.weights.tensors import load_state, load_tensors, save_tensors
from tests.networks import tiny, tiny_folder

pytestmark = pytest.mark.usefixtures("zoo_home")
NAME = "layer1.0.conv1.weight"


@pytest.fixture(scope="module")
def state():
    return tiny().state_dict()


CHANGES = {
    "fp8": lambda t: t.to(torch.float8_e4m3fn),
    "meta": lambda t: t.to("meta"),
    "sparse": lambda t: t.to_sparse(),
    "csr": lambda t: t.flatten(1).to_sparse_csr(),
    "quantised": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
    "complex": lambda t: t.to(torch.complex64),
    "repeated": lambda t: torch.zeros(1).expand(2**40, 2**18),
    "NaN": lambda t: t.fill_(float("nan")),
    "infinite": lambda t: t.fill_(float("inf")),
    "whole numbers": lambda t: t.to(torch.int8),
    "huge whole number shape": lambda t: torch.zeros(1, dtype=torch.int64).expand(2**60),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("old", [False, True])
def test_convert_refuses_what_is_no_dense_finite_number(state, tmp_path, monkeypatch, capsys, change, old):
    monkeypatch.chdir(tmp_path)
    changed = {**state, NAME: CHANGES[change](state[NAME].clone())}
    torch.save({"state_dict": changed}, "x.pth", _use_new_zipfile_serialization=not old)
    assert cli.main(["convert", "x.pth", "--out", "out"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert [p.name for p in tmp_path.iterdir()] == ["x.pth"]


def test_a_zip_file_that_unpacks_to_more_than_it_can_hold(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(100)}}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as source,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for member in source.infolist():
            with bomb.open(member.filename, "w") as target:
                target.write(source.read(member))
                if member.filename.endswith("data/0"):
                    for _ in range(64):
                        target.write(bytes(2**20))
    with pytest.raises(BrokenWeights, match="unpack to"):
        read_checkpoint(tmp_path / "bomb.pth")


def test_a_list_of_more_objects_than_any_checkpoint_has(tmp_path):
    content = b"\x80\x02" + b"]0" * 2_000_000 + b"]."
    (tmp_path / "old.pth").write_bytes(content)
    with pytest.raises(BrokenWeights, match="pickle of more than 2000000 objects"):
        read_checkpoint(tmp_path / "old.pth")


def test_a_usual_checkpoint_is_read(state, tmp_path):
    for old in (False, True):
        torch.save({"state_dict": state}, tmp_path / "x.pth", _use_new_zipfile_serialization=not old)
        assert read_checkpoint(tmp_path / "x.pth").keys() == state.keys()
    view = {
        **state,
        NAME: state[NAME].permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    }
    torch.save(view, tmp_path / "v.pth")
    assert torch.equal(read_checkpoint(tmp_path / "v.pth")[NAME], state[NAME])


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"PK\x03\x04" + b"\0" * 100, b"\x80\x02", b"\x80\x02}q\0.", pickle.dumps(print), b"<html>",
     b"\0" * 5000],
    ids=range(8),
)  # fmt: skip
def test_files_that_are_no_checkpoints(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises((BrokenWeights, NotSafetensors, WrongShapes)):
        read_checkpoint(tmp_path / "x.pth")


def test_safetensors_sizes_are_read_before_the_numbers(tmp_path, monkeypatch):
    save_file({"a": torch.zeros(4, dtype=torch.float8_e4m3fn)}, tmp_path / "f8.safetensors")
    with pytest.raises(WrongShapes, match="F8_E4M3"):
        load_tensors(tmp_path / "f8.safetensors")
    header = b'{"a":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}' % (3 * 2**28, 3 * 2**30)
    with (tmp_path / "sparse.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 3 * 2**30)
    with pytest.raises(WrongShapes, match="M numbers"):
        load_tensors(tmp_path / "sparse.safetensors")


KILLED = """
import os, signal, sys
from pathlib import Path
from pinas_zoo.weights.new_folder import new_folder
with new_folder(Path(sys.argv[1])) as temporary:
    if sys.argv[2] == "half":
        (temporary / "model.safetensors").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("left", ["half", "nothing"])
def test_what_a_killed_writer_left_is_removed_by_the_next(left, tmp_path):
    place = tmp_path / "net"
    subprocess.run([sys.executable, "-c", KILLED, str(place), left], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with new_folder(place) as living:  # a second writer at the same time keeps this one's
        with new_folder(place) as temporary:
            (temporary / CONFIG_FILE).write_text("{}")
        assert living.is_dir()
        (living / CONFIG_FILE).write_text("{}")
    assert [p.name for p in tmp_path.iterdir()] == ["net"]
    assert [p.name for p in place.iterdir()] == [CONFIG_FILE]


def test_weights_of_a_folder_that_are_not_finite(tmp_path):
    import timm

    folder, _ = tiny_folder(tmp_path / "w")
    state = load_file(folder / WEIGHTS_FILE)
    state["fc.bias"][0] = float("inf")
    save_file(state, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    with pytest.raises(UserError, match="finite weights"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_supernet_of_no_finite_weights_is_not_loaded(value, tmp_path):
    network = torch.nn.Linear(2, 2)
    save_tensors(tmp_path / "a.safetensors", {**network.state_dict(), "bias": torch.tensor([0.0, value])})
    with pytest.raises(BrokenWeights, match="NaN or infinity in bias"):
        load_state(network, tmp_path / "a.safetensors")
