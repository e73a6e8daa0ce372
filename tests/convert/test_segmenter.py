"""PyTorch-Encoding's DeepLabV3, converted, is the model of our configs: by name and by what it computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("mmseg")
pytest.importorskip("pinas_zoo.openmmlab")  # supplies mmcv's operators, which mmseg's parts import

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint

from pinas_zoo import cli
from pinas_zoo.arch import Arch
from pinas_zoo.convert.segmenter import convert_segmenter
from pinas_zoo.models.pinas import PiNAS
from pinas_zoo.openmmlab.fit_check import check_config
from tests.convert.authors import MEAN, STD, encoding_aux, encoding_head, encoding_names
from tests.golden import fill_, golden_tensor, seeded_input, shared_dir

CONFIGS = Path(__file__).parents[2] / "configs" / "seg"
SIZES = dict(depths=(1, 1, 2, 1), widths=(16, 32, 64, 128), stem_width=8)
TINY = f"""
_base_ = {str(CONFIGS / "deeplabv3_pinas-d8_120e_ade20k-480x480.py")!r}
model = dict(
    backbone=dict(arch="30121", depths=(1, 1, 2, 1), widths=(16, 32, 64, 128), stem_width=8),
    decode_head=dict(in_channels=512, channels=64, num_classes=7),
    auxiliary_head=dict(in_channels=256, channels=64, num_classes=7),
)
"""


def tiny_file() -> dict[str, Tensor]:
    backbone = PiNAS("30121", **SIZES, num_classes=0, device="meta").state_dict()
    names = encoding_names({k: v.shape for k, v in backbone.items()}, deep=512, third=256, width=64, aux=64, classes=7)
    return {name: golden_tensor(name.removeprefix("pretrained."), shape) for name, shape in names.items()}


def convert(*argv: object) -> int:
    return cli.main(["convert", *map(str, argv)])


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    torch.save({"epoch": 119, "state_dict": tiny_file(), "best_pred": np.float64(0.6)}, tmp_path / "PiNAS_ade.pth.tar")
    (tmp_path / "tiny.py").write_text(TINY)
    return tmp_path / "PiNAS_ade.pth.tar"


@torch.no_grad()
def test_the_same_logits_from_the_same_pixels(tmp_path, checkpoint):
    """Backbone, both heads and the enlarged answer, against the formulas by the file's names."""
    out = tmp_path / "m.safetensors"
    assert convert(checkpoint, "--out", out, "--config", tmp_path / "tiny.py") == 0
    init_default_scope("mmseg")
    model = MODELS.build(Config.fromfile(tmp_path / "tiny.py").model)
    load_checkpoint(model, str(out), map_location="cpu", strict=True)
    model.eval()

    file = tiny_file()
    backbone = fill_(PiNAS("30121", **SIZES, num_classes=0, output_stride=8)).eval()
    image = torch.randint(0, 256, (3, 97, 121), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    x = ((image.float() - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])[None]
    maps = backbone.maxpool(backbone.act1(backbone.bn1(backbone.conv1(x))))
    stages = [maps := backbone.get_submodule(f"layer{i}")(maps) for i in (1, 2, 3, 4)]
    assert stages[3].shape[2:] == stages[1].shape[2:]
    logits = encoding_head(file, stages[3])
    close(model.decode_head(stages), logits)
    close(model.auxiliary_head(stages), encoding_aux(file, stages[2]))

    batch = model.data_preprocessor({"inputs": [image.flip(0)]})["inputs"]  # BGR, as read; no padding in testing
    meta = [dict(img_shape=(97, 121), ori_shape=(97, 121))]
    enlarged = F.interpolate(logits, (97, 121), mode="bilinear", align_corners=True)
    close(model.encode_decode(batch, meta), enlarged)


@torch.no_grad()
def test_branches_are_concatenated_in_the_file_s_order():
    """If all branches but one output zero, the projection's output depends only on that branch, for each branch."""
    file, x = tiny_file(), seeded_input((1, 512, 9, 9), 2)
    whole = encoding_head(file, x)
    answers = []
    for i in range(5):
        weight = torch.zeros_like(file["head.aspp.project.0.weight"])
        weight[:, 64 * i : 64 * (i + 1)] = file["head.aspp.project.0.weight"][:, 64 * i : 64 * (i + 1)]
        changed = {**file, "head.aspp.project.0.weight": weight}
        head = our_head(changed)
        close(head(x), encoding_head(changed, x))
        answers.append(head(x))
    assert all((a - whole).abs().max() > 1e-2 for a in answers)
    assert all((a - b).abs().max() > 1e-2 for i, a in enumerate(answers) for b in answers[:i])


def our_head(file: dict[str, Tensor]):
    from pinas_zoo.openmmlab.aspp import EncodingASPPHead

    norm = dict(type="BN")
    head = EncodingASPPHead(
        in_channels=512, channels=64, in_index=0, num_classes=7, norm_cfg=norm, align_corners=True
    ).eval()
    state = convert_segmenter(file, "here").state_dict
    inner = {k.removeprefix("decode_head."): v for k, v in state.items() if k.startswith("decode_head.")}
    head.load_state_dict(inner, strict=True)
    return lambda x: head([x])


@pytest.mark.parametrize(
    ("golden", "config", "classes"),
    [("alpha", "pinas_cls-d8_120e_ade20k-480x480", 150), ("alpha", "pinas_cls-d8_240e_cityscapes-768x768", 19)],
)
def test_full_size_names_and_shapes_are_the_config_s(golden, config, classes):
    """The backbone's names are those of the authors' own code, as listed with the reference numbers."""
    listed = json.loads((shared_dir() / "golden" / f"official_keys_{golden}.json").read_text())
    backbone = {k: torch.Size(s) for k, s in listed["keys"].items() if not k.startswith("fc.")}
    names = encoding_names(backbone, deep=2048, third=1024, width=256, aux=256, classes=classes)
    whole = convert_segmenter({k: torch.zeros(1).expand(s) if s else torch.zeros(()) for k, s in names.items()}, "here")
    assert whole.backbone_args["arch"] == str(Arch(tuple(listed["arch"])))
    assert whole.num_classes == classes
    check_config(CONFIGS / f"deeplabv3_{config}.py", whole)


def test_the_backbone_alone_is_a_model_of_timm(tmp_path, checkpoint):
    import timm

    assert convert(checkpoint, "--out", tmp_path / "model", "--to", "cls") == 0
    model = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True)
    assert model.arch == "30121"
    assert torch.equal(model.conv1[0].weight, golden_tensor("conv1.0.weight", model.conv1[0].weight.shape))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("head.aspp.b4.gap.2.bias"), "1 missing (first head.aspp.b4.gap.2.bias)"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("auxlayer")], "auxlayer.conv5.0.weight"),
        (lambda s: s.update({"head.fc.0.weight": torch.zeros(1)}), "1 unknown (first head.fc.0.weight)"),
        (lambda s: s.update({"auxlayer.conv5.4.bias": torch.zeros(8)}), "auxlayer.conv5.4.bias: (8,), not (7,)"),
        (lambda s: s.pop("head.block.4.weight"), "expected a DeepLabV3 of PyTorch-Encoding with head.block.4.weight"),
    ],
)
def test_tensors_that_do_not_fit_are_told_by_the_file_s_names(tmp_path, capsys, checkpoint, change, says):
    state = tiny_file()
    change(state)
    torch.save({"state_dict": state}, checkpoint)
    assert convert(checkpoint, "--out", tmp_path / "m.pth") == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "m.pth").exists()


def test_what_does_not_fit_a_segmenter_is_refused(tmp_path, capsys, checkpoint):
    base = (checkpoint, "--out", tmp_path / "m.pth")
    for options, says in (
        (("--colors", "rgb"), "expected no --colors"),
        (("--to", "det"), "expected a detector"),
        (
            ("--config", CONFIGS / "deeplabv3_pinas_cls-d8_120e_ade20k-480x480.py"),
            "expected a backbone of arch 3013231203",
        ),
        (("--to", "cls", "--config", "x.py"), "expected no --config"),
    ):
        assert convert(*base, *options) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    assert not (tmp_path / "m.pth").exists()


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=2e-5 * max(1.0, float(expected.abs().max())), rtol=1e-4)
