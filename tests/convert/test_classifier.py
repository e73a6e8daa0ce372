"""Checkpoints laid out as the authors' become model folders that compute what the authors' code computes."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from pinas_zoo import cli
from pinas_zoo.arch import Arch
from pinas_zoo.convert.classifier import SupernetOptions, convert_checkpoint, infer_args
from pinas_zoo.models.pinas import CANDIDATES, PiNAS, PiNASBlock, layer_specs, make_downsample
from pinas_zoo.weights.checkpoint_reader import read_checkpoint
from tests.golden import fill_, golden_tensor, seeded_input, shared_dir
from tests.golden_runs import relative_error
from tests.models.test_exactness import TOLERANCE

SMALL = dict(depths=(1, 2, 1, 1), widths=(16, 32, 64, 128), stem_width=8)


def convert(*argv: object) -> int:
    return cli.main(["convert", *map(str, argv)])


def golden_keys(name: str) -> dict:
    return json.loads((shared_dir() / "golden" / name).read_text())


def small_network(arch: str = "01231", **kwargs) -> PiNAS:
    return fill_(PiNAS(arch, **SMALL, num_classes=5, **kwargs)).eval()


def small_supernet(prefix: str = "", shift: float = 0.0) -> dict[str, torch.Tensor]:
    """A supernet of SMALL as the authors lay it out: every candidate of every layer, downsamples shared."""
    network = PiNAS("00000", **SMALL, num_classes=0)
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("layer")}
    for spec in layer_specs(**SMALL):
        downsample = make_downsample(spec)
        for choice, candidate in enumerate(CANDIDATES):
            for key, value in PiNASBlock(spec, candidate, downsample).state_dict().items():
                state[f"layer{spec.stage + 1}.{spec.block}.{choice}.{key}"] = value
    return {prefix + k: golden_tensor(k, v.shape) + shift * v.is_floating_point() for k, v in state.items()}


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    path = tmp_path / "small.pth.tar"
    torch.save({"epoch": 270, "state_dict": small_network().state_dict(), "best_pred": 0.5, "optimizer": {}}, path)
    return path


@pytest.mark.parametrize("name", ["alpha", "mixed"])
def test_official_checkpoint_gives_the_reference_logits(tmp_path, capsys, name):
    keys = golden_keys(f"official_keys_{name}.json")
    golden = np.load(shared_dir() / "golden" / f"backbone_{name}.npz")
    arch = str(Arch(tuple(keys["arch"])))
    state = {k: golden_tensor(k, shape) for k, shape in keys["keys"].items()}
    prefix = "module." if name == "mixed" else ""  # some are saved out of DataParallel
    torch.save({"epoch": 1, "state_dict": {prefix + k: v for k, v in state.items()}}, tmp_path / "official.pth.tar")
    assert convert(tmp_path / "official.pth.tar", "--out", tmp_path / "model", "--arch", arch) == 0
    assert arch in capsys.readouterr().out

    model = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True).eval()
    assert model.arch == arch
    logits = reference_logits(model, golden)
    assert relative_error(logits, torch.from_numpy(golden["logits"])) < TOLERANCE["logits"]


def test_supernet_path_is_the_network_of_its_candidates(tmp_path):
    """The path through the reference's supernet layout, with a downsample that is filled under candidate 0's name."""
    arch, keys = "3013231203213032", golden_keys("supernet_keys.json")
    backbone = {k: v for k, v in keys.items() if k.startswith("backbone.")}
    values = {k: golden_tensor(shared_name(k.removeprefix("backbone.")), shape) for k, shape in backbone.items()}
    small = {k: torch.zeros(1) for k in keys if k.startswith(("encoder_k.", "queue"))}
    torch.save({"meta": {"epoch": 100}, "state_dict": {**values, **small}}, tmp_path / "supernet.pth")
    assert convert(tmp_path / "supernet.pth", "--out", tmp_path / "model", "--path", arch) == 0
    model = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True)
    assert model.arch == arch
    assert model.num_classes == 0
    specs = {f"layer{s.stage + 1}.{s.block}": c for s, c in zip(layer_specs(), arch, strict=True)}
    for name, value in model.state_dict().items():
        layer = ".".join(name.split(".")[:2])
        stored = f"{layer}.{specs[layer]}.{name[len(layer) + 1 :]}" if layer in specs else name
        assert torch.equal(value, values[f"backbone.{stored}"]), name


def shared_name(name: str) -> str:
    head, found, tail = name.partition(".downsample.")
    return f"{head[: head.rindex('.')]}.0{found}{tail}" if found else name


def reference_logits(model: nn.Module, golden) -> torch.Tensor:
    """In fp64, since the authors' numbers are rounded to fp32 already."""
    seed, shape = int(golden["input_seed"]), golden["input_shape"].tolist()
    with torch.no_grad():
        return model.double()(seeded_input(shape, seed).double())


def test_the_folder_computes_what_the_checkpoint_s_network_computes(tmp_path, checkpoint):
    assert convert(checkpoint, "--out", tmp_path / "model", "--arch", "01231") == 0
    model = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True).eval()
    x = seeded_input((2, 3, 64, 64), 1)
    with torch.no_grad():
        assert torch.equal(model(x), small_network()(x))
    assert model.num_classes == 5


def test_the_folder_prepares_images_as_the_authors_verify(tmp_path, checkpoint):
    assert convert(checkpoint, "--out", tmp_path / "model") == 0
    cfg = json.loads((tmp_path / "model" / "config.json").read_text())["pretrained_cfg"]
    assert (cfg["input_size"], cfg["crop_pct"], cfg["interpolation"]) == ([3, 224, 224], 0.875, "bicubic")
    assert cfg["mean"] == [0.485, 0.456, 0.406]


@pytest.mark.parametrize("prefix", ["", "backbone.", "encoder_q.0."])
def test_supernet_under_each_of_its_names(tmp_path, prefix):
    torch.save({"state_dict": small_supernet(prefix)}, tmp_path / "s.pth")
    converted = convert_checkpoint(tmp_path / "s.pth", SupernetOptions(Arch.parse("32101")))
    assert converted.model_args["arch"] == "32101"
    plain = small_supernet()
    assert torch.equal(converted.state_dict["layer2.1.conv1.weight"], plain["layer2.1.1.conv1.weight"])
    assert not converted.left_out


def test_teacher_and_student_are_told_apart(tmp_path, capsys):
    state = {**small_supernet("encoder_q.0."), **small_supernet("encoder_k.0.", 1.0), "queue": torch.zeros(8, 4)}
    torch.save({"state_dict": state}, tmp_path / "s.pth")
    for teacher in (False, True):
        out = tmp_path / f"model{teacher}"
        assert convert(tmp_path / "s.pth", "--out", out, "--path", "01230", *(["--teacher"] if teacher else [])) == 0
        stem = timm.create_model(f"local-dir:{out}", pretrained=True).conv1[0].weight
        assert torch.equal(stem, golden_tensor("conv1.0.weight", stem.shape) + float(teacher))
    printed = capsys.readouterr().out
    assert f"left out: teacher ({len(small_supernet())} tensors)" in printed
    assert "left out: queue (1 tensors)" in printed


@pytest.mark.parametrize("arch", ["00000", "11111", "22222", "33333", "01233"])
@pytest.mark.parametrize("widths", [(16, 32, 64, 128), (64, 128, 256, 512)])
def test_architecture_and_sizes_are_read_off_the_shapes(arch, widths):
    args = dict(arch=arch, depths=[1, 2, 1, 1], widths=list(widths), stem_width=8, num_classes=7, in_chans=4)
    shapes = {k: tuple(v.shape) for k, v in PiNAS(**args, device="meta").state_dict().items()}
    found = infer_args(shapes, "here")
    assert PiNAS(**found, device="meta").state_dict().keys() == shapes.keys()
    assert {"widths": [64, 128, 256, 512], **found} == args


def failure(capsys, *argv: object) -> str:
    """The one line of a refused conversion; nothing may be left behind."""
    out = Path(argv[argv.index("--out") + 1])
    before = sorted(out.parent.iterdir())
    assert convert(*argv) == 2
    assert sorted(out.parent.iterdir()) == before
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


class Malicious:
    def __init__(self, touched: Path):
        self.touched = touched

    def __reduce__(self):
        return os.mkdir, (str(self.touched),)


@pytest.mark.parametrize("write", ["zip", "legacy", "pickle"])
def test_a_pickle_that_wants_more_is_refused_and_not_run(tmp_path, capsys, write):
    touched, file = tmp_path / "touched", tmp_path / "bad.pth.tar"
    content = {"state_dict": {"conv1.0.weight": torch.zeros(1)}, "x": Malicious(touched)}
    if write == "pickle":
        file.write_bytes(pickle.dumps({"x": Malicious(touched)}))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=write == "zip")
    message = failure(capsys, file, "--out", tmp_path / "model")
    assert "posix.mkdir" in message or "nt.mkdir" in message
    assert not touched.exists()
    if write == "pickle":
        pickle.loads(file.read_bytes())
        assert touched.is_dir()  # it would have run


def test_what_others_allow_torch_to_read_stays_allowed(tmp_path):
    """mmengine's checkpoints are read through such a list, in the same process."""
    torch.save({"state_dict": small_network().state_dict(), "best_pred": np.float64(0.63)}, tmp_path / "c.pth.tar")
    allowed = torch.serialization.get_safe_globals()  # by other tests of this process; the block below forgets np.dtype
    with torch.serialization.safe_globals([np.dtype]):
        read_checkpoint(tmp_path / "c.pth.tar")
        assert np.dtype in torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(allowed)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("module", ["numpy._core.multiarray", "numpy.core.multiarray"])
def test_a_score_that_is_a_number_of_numpy_is_read(tmp_path, zipped, module):
    """PyTorch-Encoding keeps the best score so, under the module name of whatever numpy was installed."""
    content = {"state_dict": small_network().state_dict(), "best_pred": np.float64(0.63), "epoch": np.int64(119)}
    torch.save(content, tmp_path / "c.pth.tar", _use_new_zipfile_serialization=zipped)
    file = rename_module(tmp_path / "c.pth.tar", "numpy._core.multiarray", module)
    assert convert(file, "--out", tmp_path / "model", "--arch", "01231") == 0


def rename_module(file: Path, old: str, new: str) -> Path:
    """The same checkpoint with another module's name in its pickle, of protocol 2: names end with a line feed."""
    if not zipfile.is_zipfile(file):
        file.write_bytes(file.read_bytes().replace(f"c{old}\n".encode(), f"c{new}\n".encode()))
        return file
    renamed = file.with_name("renamed.pth.tar")
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(renamed, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert f"c{old}\n".encode() in data
                data = data.replace(f"c{old}\n".encode(), f"c{new}\n".encode())
            target.writestr(entry.filename, data)
    return renamed


def test_a_whole_module_is_refused_by_name(tmp_path, capsys):
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    assert "torch.nn.modules.linear.Linear" in failure(capsys, tmp_path / "module.pth", "--out", tmp_path / "model")


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused(tmp_path, capsys, keep, zipped):
    file = tmp_path / "cut.pth.tar"
    torch.save({"state_dict": small_network().state_dict()}, file, _use_new_zipfile_serialization=zipped)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep)])
    message = failure(capsys, file, "--out", tmp_path / "model")
    assert "expected a whole checkpoint" in message or "expected a checkpoint written by torch.save" in message


@pytest.mark.parametrize(
    "text", ["<!DOCTYPE html><html>Too many users</html>", "cos: an ordinary text\n" * 20, "PK, or so"]
)
def test_a_text_file_is_refused(tmp_path, capsys, text):
    (tmp_path / "page.pth.tar").write_text(text)
    message = failure(capsys, tmp_path / "page.pth.tar", "--out", tmp_path / "model")
    assert "checkpoint" in message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("layer3.0.conv3.weight"), "layer3.0.conv3.weight"),
        (lambda s: s.pop("layer2.1.bn3.bias"), "1 missing (first layer2.1.bn3.bias)"),
        (lambda s: s.update({"layer5.0.x": torch.zeros(1)}), "1 unknown (first layer5.0.x)"),
        (lambda s: s.update({"bn1.bias": torch.zeros(3)}), "1 of another shape (first bn1.bias: (3,), not (16,))"),
        (lambda s: s.update({"layer1.0.conv1.weight": torch.zeros(17, 16, 1, 1)}), "which is none of them"),
        (lambda s: s["bn1.bias"].fill_(float("nan")), "NaN or infinity in 1 tensors (first bn1.bias)"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("layer4")], "stage 4"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("layer")], "expected tensors of a network"),
    ],
)
def test_tensors_that_do_not_fit_are_listed(tmp_path, capsys, change, says):
    state = small_network().state_dict()
    change(state)
    torch.save({"state_dict": state}, tmp_path / "c.pth")
    assert says in failure(capsys, tmp_path / "c.pth", "--out", tmp_path / "model")


def test_options_that_do_not_fit_are_refused(tmp_path, capsys, checkpoint):
    out = ("--out", tmp_path / "model")
    assert "expected architecture 11111" in failure(capsys, checkpoint, *out, "--arch", "11111")
    assert "not a supernet" in failure(capsys, checkpoint, *out, "--path", "01231")
    assert "one digit per layer" in failure(capsys, checkpoint, *out, "--arch", "alpha!")
    assert "not there" in failure(capsys, tmp_path / "none.pth", *out)
    torch.save({"state_dict": small_supernet()}, tmp_path / "s.pth")
    assert "expected a path" in failure(capsys, tmp_path / "s.pth", *out)
    assert "architecture of 5 layers, got 4" in failure(capsys, tmp_path / "s.pth", *out, "--path", "0123")
    assert "candidates 0 to 3" in failure(capsys, tmp_path / "s.pth", *out, "--path", "01234")
    assert "expected a supernet's teacher" in failure(capsys, tmp_path / "s.pth", *out, "--path", "01230", "--teacher")
    torch.save({"epoch": 1}, tmp_path / "e.pth")
    assert "expected a state_dict" in failure(capsys, tmp_path / "e.pth", *out)


def test_a_model_folder_is_replaced_only_when_asked(tmp_path, capsys, checkpoint):
    out = tmp_path / "model"
    assert convert(checkpoint, "--out", out) == 0
    weights = (out / "model.safetensors").read_bytes()
    capsys.readouterr()
    torch.save({"state_dict": small_network("33333").state_dict()}, tmp_path / "other.pth")
    assert "--overwrite" in failure(capsys, tmp_path / "other.pth", "--out", out)
    assert (out / "model.safetensors").read_bytes() == weights
    assert convert(tmp_path / "other.pth", "--out", out, "--overwrite") == 0
    assert json.loads((out / "config.json").read_text())["model_args"]["arch"] == "33333"


def test_the_checkpoint_s_fingerprint_is_kept(tmp_path, checkpoint):
    import hashlib

    convert(checkpoint, "--out", tmp_path / "model")
    facts = json.loads((tmp_path / "model" / "provenance.json").read_text())
    assert facts["sha256_of_checkpoint"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()


def test_the_command_from_a_shell(tmp_path, checkpoint):
    done = subprocess.run(
        [sys.executable, "-m", "pinas_zoo.cli", "convert", checkpoint, "--out", tmp_path / "m"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m" / "model.safetensors").is_file()


def test_a_checkpoint_without_batch_counters_is_read(tmp_path):
    """PyTorch before 0.4.1 kept no num_batches_tracked."""
    state = {k: v for k, v in small_network().state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth")
    found = convert_checkpoint(tmp_path / "old.pth").state_dict
    assert found.keys() == small_network().state_dict().keys()
    assert found["bn1.num_batches_tracked"].dtype == torch.int64


def test_safetensors_are_read_too_and_damaged_ones_refused(tmp_path, capsys):
    state = small_network().state_dict()
    save_file(state, tmp_path / "s.safetensors")
    assert convert(tmp_path / "s.safetensors", "--out", tmp_path / "model") == 0
    content = (tmp_path / "s.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[:-10])
    capsys.readouterr()
    assert "truncated" in failure(capsys, tmp_path / "cut.safetensors", "--out", tmp_path / "other")
