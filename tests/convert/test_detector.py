"""A detectron2 Mask R-CNN, converted, is mmdet's of our configs: by name, layer by layer, and in what it detects."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open
from torch.nn import functional as F

pytest.importorskip("mmdet")
pytest.importorskip("pinas_zoo.openmmlab")  # supplies mmcv's operators, which mmdet's parts import

from mmdet.datasets import CocoDataset
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint

from pinas_zoo import cli
from pinas_zoo.arch import Arch
from pinas_zoo.convert.detector import convert_detector, name_in_file
from pinas_zoo.errors import UserError, WrongShapes
from pinas_zoo.models.pinas import ARCHS, PiNAS
from pinas_zoo.openmmlab.fit_check import check_config
from tests.convert.authors import MEAN, STD, Detector, anchors, decode, pool
from tests.golden import fill_, seeded_input, shared_dir

CONFIGS = Path(__file__).parents[2] / "configs" / "det"
ARCH = (3, 0, 1, 2)
SIZES = dict(depths=(1, 1, 1, 1), widths=(16, 32, 64, 128))
TINY = f"""
_base_ = {str(CONFIGS / "mask-rcnn_pinas_fpn_syncbn_1x_coco.py")!r}
model = dict(
    backbone=dict(arch="3012", depths=(1, 1, 1, 1), widths=(16, 32, 64, 128), stem_width=8),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, conv_out_channels=16, fc_out_channels=32, num_classes=5),
        mask_roi_extractor=dict(out_channels=16),
        mask_head=dict(in_channels=16, conv_out_channels=16, num_classes=5),
    ),
)
"""


def tiny_reference(**kwargs) -> Detector:
    """Its last layers are scaled to what trained ones give: scores that differ, boxes near their anchors."""
    reference = fill_(Detector(ARCH, **SIZES, stem=8, width=16, fc=32, **{"classes": 5, **kwargs})).eval()
    rpn, predictor = reference.proposal_generator.rpn_head, reference.roi_heads.box_predictor
    with torch.no_grad():
        for layer in (rpn.objectness_logits, rpn.anchor_deltas, predictor.bbox_pred):
            layer.weight /= 30
        predictor.cls_score.weight /= 8
    return reference


@pytest.fixture
def tiny_config(tmp_path) -> Path:
    (tmp_path / "tiny.py").write_text(TINY)
    return tmp_path / "tiny.py"


def convert(*argv: object) -> int:
    return cli.main(["convert", *map(str, argv)])


def our_model(config: Path, checkpoint: Path):
    """The config's model with the converted file, every name of it, as mmengine loads it."""
    init_default_scope("mmdet")
    model = MODELS.build(Config.fromfile(config).model)
    load_checkpoint(model, str(checkpoint), map_location="cpu", strict=True)
    return model.eval()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The reference, and our config's model with its converted weights."""
    folder, reference = tmp_path_factory.mktemp("both"), tiny_reference()
    (folder / "tiny.py").write_text(TINY)
    torch.save({"model": reference.state_dict(), "iteration": 89999, "optimizer": {}}, folder / "model_final.pth")
    assert convert(folder / "model_final.pth", "--out", folder / "m.safetensors") == 0
    return reference, our_model(folder / "tiny.py", folder / "m.safetensors")


@torch.no_grad()
def test_every_layer_computes_what_the_reference_computes(both):
    reference, ours = both
    x = seeded_input((1, 3, 96, 160), 1)
    close(ours.backbone(x), reference.backbone.bottom_up(x))
    maps = reference.backbone(x)
    close(ours.neck(ours.backbone(x)), maps)
    scores, deltas = ours.rpn_head(maps)
    for score, delta, level in zip(scores, deltas, maps, strict=True):
        rpn = reference.proposal_generator.rpn_head
        y = F.relu(rpn.conv(level))
        close(score, rpn.objectness_logits(y))
        close(delta, rpn.anchor_deltas(y))
    pooled = seeded_input((3, 16, 7, 7), 2)
    logits, deltas = reference.box_head(pooled)
    close(ours.roi_head.bbox_head(pooled), (logits, deltas.flatten(1)))
    pooled = seeded_input((3, 16, 14, 14), 3)
    close([ours.roi_head.mask_head(pooled)], [reference.mask_head(pooled)])


@torch.no_grad()
def test_anchors_deltas_and_pooling_follow_the_same_rules(both):
    _, ours = both
    grids = [(5, 7), (3, 4), (2, 2), (1, 2), (1, 1)]
    for i, (found, grid) in enumerate(
        zip(ours.rpn_head.prior_generator.grid_priors(grids, device="cpu"), grids, strict=True)
    ):
        torch.testing.assert_close(found, anchors(4 * 2**i, *grid), atol=1e-3, rtol=0)
    boxes = torch.rand(50, 4, generator=torch.Generator().manual_seed(0)) * 300
    boxes[:, 2:] += boxes[:, :2]
    deltas = seeded_input((50, 4), 4) * torch.tensor([10, 10, 8, 8])  # some beyond the cap on growth
    for coder, weights in (
        (ours.rpn_head.bbox_coder, (1, 1, 1, 1)),
        (ours.roi_head.bbox_head.bbox_coder, (10, 10, 5, 5)),
    ):
        found = coder.decode(boxes, deltas.clamp(min=-4.1))  # mmdet caps shrinking, too: by 1000 / 16 at once
        torch.testing.assert_close(found, decode(boxes, deltas.clamp(min=-4.1), weights), atol=0.05, rtol=1e-4)
    maps = [seeded_input((1, 16, 200 // 2**i, 256 // 2**i), i) for i in range(4)]
    big = torch.tensor([[0.0, 0, 20, 30], [3, 4, 115.2, 116.1], [0, 0, 224, 224], [10, 10, 400, 500], [0, 0, 700, 790]])
    rois = torch.cat([torch.zeros(len(big), 1), big], 1)
    for extractor, size in ((ours.roi_head.bbox_roi_extractor, 7), (ours.roi_head.mask_roi_extractor, 14)):
        close([extractor(maps, rois)], [pool(maps, big, size)])


@torch.no_grad()
@pytest.mark.parametrize("agnostic", [False, True])
def test_the_same_objects_are_detected(tmp_path, tiny_config, capsys, agnostic):
    """Boxes, scores, classes and masks of an image whose sides are no multiples of 32, from pixels in BGR on."""
    reference = tiny_reference(agnostic=agnostic)
    image = torch.randint(0, 256, (3, 100, 149), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
    maps = reference.backbone(reference.preprocess(image.float()))
    logits, _ = reference.box_head(pool(maps, reference.proposals(maps, (100, 149)), 7))
    reference.roi_heads.box_predictor.cls_score.bias -= logits.mean(0)  # so that every class is the best somewhere
    torch.save({"model": reference.state_dict()}, tmp_path / "d.pth")
    assert convert(tmp_path / "d.pth", "--out", tmp_path / "m.pth", "--config", tiny_config) == 0
    printed = capsys.readouterr().out
    assert [f"class-agnostic {what}, repeated for each of 5 classes" in printed for what in ("boxes", "masks")] == [
        agnostic,
        agnostic,
    ]
    boxes, scores, classes, masks = reference.detect(image.float())
    sample = DetDataSample(metainfo=dict(img_shape=(100, 149), ori_shape=(100, 149), scale_factor=(1.0, 1.0)))
    model = our_model(tiny_config, tmp_path / "m.pth")
    found = model.test_step({"inputs": [image.flip(0)], "data_samples": [sample]})[0].pred_instances  # BGR, as read
    assert len(found) == len(boxes) == 100
    assert len(classes.unique()) > 2
    torch.testing.assert_close(found.scores, scores, atol=1e-4, rtol=0)
    assert torch.equal(found.labels, classes)
    torch.testing.assert_close(found.bboxes, boxes, atol=0.02, rtol=0)
    assert masks.any()
    assert (torch.as_tensor(found.masks) != masks).float().mean() < 1e-3  # a pixel at the threshold here and there


@pytest.mark.parametrize(
    ("name", "config"),
    [("pinas_gamma", "pinas_trans"), ("resnest50", "pinas")],
)
def test_full_size_names_and_shapes_are_the_config_s(name, config):
    """No numbers: every tensor is one zero, expanded; finite as they are, they are renamed like any."""
    arch = Arch.parse(ARCHS.get(name, "1" * 16))
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in Detector(tuple(arch)).state_dict().items()}
    assert len(shapes) == 586  # of the full-size networks, whatever the choices
    assert shapes["backbone.bottom_up.stem.conv1.2.norm.weight"] == (64,)
    assert shapes["backbone.bottom_up.res5.2.conv2.fc2.bias"] == (512 if arch[-1] == 0 else shapes_of_last(arch),)
    assert shapes["roi_heads.box_head.fc1.weight"] == (1024, 256 * 49)
    whole = convert_detector({k: torch.zeros(1).expand(s) if s else torch.zeros(()) for k, s in shapes.items()}, "here")
    assert whole.backbone_args["arch"] == str(arch)
    check_config(CONFIGS / f"mask-rcnn_{config}_fpn_syncbn_1x_coco.py", whole)


def shapes_of_last(arch: Arch) -> int:
    return {1: 1024, 2: 672, 3: 1280}[arch[-1]]


def test_backbone_names_are_those_of_the_reference_s_modules():
    network = PiNAS("3012", **SIZES, stem_width=8, num_classes=0, device="meta").state_dict()
    prefix = "backbone.bottom_up."
    named = {name_in_file(name): tuple(t.shape) for name, t in network.items()}
    reference = {k: tuple(v.shape) for k, v in tiny_reference().state_dict().items() if k.startswith(prefix)}
    assert named == reference


def test_the_backbone_alone_is_a_model_of_timm(tmp_path, capsys):
    reference = tiny_reference()
    torch.save({"model": reference.state_dict()}, tmp_path / "d.pth")
    assert convert(tmp_path / "d.pth", "--out", tmp_path / "model", "--to", "cls", "--arch", "3012") == 0
    assert "left out: heads of a Mask R-CNN of detectron2" in capsys.readouterr().out
    model = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True, features_only=True).eval()
    x = seeded_input((2, 3, 64, 96), 1)
    with torch.no_grad():
        close(model(x)[-4:], reference.backbone.bottom_up(x))


def test_where_the_weights_come_from_is_kept(tmp_path, tiny_config):
    torch.save({"model": tiny_reference().state_dict()}, tmp_path / "PiNAS.pth")
    assert convert(tmp_path / "PiNAS.pth", "--out", tmp_path / "m.safetensors") == 0
    assert convert(tmp_path / "PiNAS.pth", "--out", tmp_path / "m.pth") == 0
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        metadata = file.metadata()
    meta = torch.load(tmp_path / "m.pth", weights_only=True)["meta"]
    assert metadata["converted_from"] == meta["converted_from"] == "PiNAS.pth"
    assert metadata["sha256_of_checkpoint"] == meta["sha256_of_checkpoint"]
    assert meta["backbone"]["arch"] == "3012"
    assert meta["num_classes"] == 5


# Colours


def stem_answers(weight: torch.Tensor, image: torch.Tensor, mean, std) -> torch.Tensor:
    """The first convolution on an image that is normalised and then padded with zeros."""
    x = (image - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    return F.conv2d(x[None], weight, stride=2, padding=1)


def pixels(mean, std) -> dict[str, torch.Tensor]:
    return {"pixel_mean": torch.tensor(mean)[:, None, None], "pixel_std": torch.tensor(std)[:, None, None]}


@pytest.mark.parametrize(
    ("mean", "std", "bgr", "notes"),
    [
        (MEAN, STD, False, 0),
        (MEAN[::-1], STD[::-1], True, 1),
        (MEAN[::-1], (1.0, 1.0, 1.0), True, 1),
        (MEAN, (1.0, 2.0, 3.0), False, 1),
    ],
)
def test_the_first_convolution_answers_alike_to_either_order_of_colours(mean, std, bgr, notes):
    state = tiny_reference().state_dict()
    whole = convert_detector({**state, **pixels(mean, std)}, "here")
    assert len(whole.notes) == notes
    rgb = torch.rand(3, 17, 23, generator=torch.Generator().manual_seed(1)) * 255
    theirs = stem_answers(state["backbone.bottom_up.stem.conv1.0.weight"], rgb.flip(0) if bgr else rgb, mean, std)
    ours = stem_answers(whole.state_dict["backbone.conv1.0.weight"], rgb, MEAN, STD)
    torch.testing.assert_close(ours, theirs, atol=1e-3 * float(theirs.abs().max()), rtol=1e-4)


def test_colours_by_hand_are_held_against_the_file_s():
    state = tiny_reference().state_dict()
    turned = convert_detector(state, "here", colors="bgr").state_dict["backbone.conv1.0.weight"]
    assert torch.equal(turned, state["backbone.bottom_up.stem.conv1.0.weight"].flip(1))
    with pytest.raises(UserError, match="expected rgb for here, whose pixel_mean is in that order, got bgr"):
        convert_detector({**state, **pixels(MEAN, STD)}, "here", colors="bgr")
    with pytest.raises(WrongShapes, match=r"got \[102\.9"):
        convert_detector({**state, **pixels((102.98, 115.95, 122.77), (1.0, 1.0, 1.0))}, "here")


def test_stored_anchors_are_held_against_ours():
    state = tiny_reference().state_dict()
    name = "proposal_generator.anchor_generator.cell_anchors."
    cells = {f"{name}{i}": anchors(4 * 2**i, 1, 1) for i in range(5)}
    assert len(convert_detector({**state, **cells}, "here").state_dict) == len(state)
    with pytest.raises(WrongShapes, match="configs/det have no such detector"):
        convert_detector({**state, **cells, f"{name}2": cells[f"{name}2"].flip(0)}, "here")  # another order of ratios


def test_classes_stand_in_the_same_order():
    """detectron2 numbers COCO's classes by rising category id; mmdet lists names."""
    categories = json.loads((shared_dir() / "data/coco_mini/annotations/instances_val2017.json").read_text())[
        "categories"
    ]
    by_id = [c["name"] for c in sorted(categories, key=lambda c: c["id"])]
    assert tuple(by_id) == CocoDataset.METAINFO["classes"]


# What does not fit


def failure(capsys, *argv: object) -> str:
    """The one line of a refused conversion; nothing may be left behind."""
    out = Path(argv[argv.index("--out") + 1])
    before = sorted(out.parent.iterdir())
    assert convert(*argv) == 2
    assert sorted(out.parent.iterdir()) == before
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("backbone.fpn_output3.norm.bias"), "1 missing (first backbone.fpn_output3.norm.bias)"),
        (
            lambda s: [s.pop(k) for k in list(s) if "mask_fcn4" in k],
            "6 missing (first roi_heads.mask_head.mask_fcn4.weight",
        ),
        (
            lambda s: s.update({"roi_heads.box_head.fc2.weight": torch.zeros(1)}),
            "1 unknown (first roi_heads.box_head.fc2",
        ),
        (lambda s: [s.pop(k) for k in list(s) if "res4" in k], "none with backbone.bottom_up.res4.0.conv1.weight"),
        (lambda s: [s.pop(k) for k in list(s) if "conv1.0" in k and "stem" in k], "conv1.0.weight"),
        (lambda s: s.update({"backbone.bottom_up.res2.0.conv1.weight": torch.zeros(17, 16, 1, 1)}), "none of them"),
        (lambda s: s["roi_heads.box_head.fc1.bias"].fill_(float("inf")), "NaN or infinity in 1 tensors"),
        (
            lambda s: s.update({"roi_heads.mask_head.predictor.weight": torch.zeros(4, 16, 1, 1)}),
            "roi_heads.mask_head.predictor.weight: (4, 16, 1, 1), not (5, 16, 1, 1)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_told_by_the_file_s_names(tmp_path, capsys, change, says):
    state = tiny_reference().state_dict()
    change(state)
    torch.save({"model": state}, tmp_path / "d.pth")
    assert says in failure(capsys, tmp_path / "d.pth", "--out", tmp_path / "m.pth")


def test_a_config_of_another_model_is_refused(tmp_path, capsys, tiny_config):
    torch.save({"model": tiny_reference().state_dict()}, tmp_path / "d.pth")
    base = (tmp_path / "d.pth", "--out", tmp_path / "m.pth", "--config")
    (tmp_path / "arch.py").write_text(TINY.replace('"3012"', '"3011"'))
    assert "expected a backbone of arch 3011" in failure(capsys, *base, tmp_path / "arch.py")
    (tmp_path / "classes.py").write_text(TINY.replace("num_classes=5", "num_classes=7"))
    message = failure(capsys, *base, tmp_path / "classes.py")
    assert "model.roi_head.bbox_head.num_classes=7" in message
    assert "got 5 classes" in message
    (tmp_path / "width.py").write_text(TINY.replace("fc_out_channels=32", "fc_out_channels=64"))
    assert "4 of another shape (first roi_head.bbox_head.fc_cls.weight" in failure(capsys, *base, tmp_path / "width.py")
    assert "expected a config" in failure(capsys, *base, tmp_path / "none.py")


def test_options_that_do_not_fit_are_refused(tmp_path, capsys):
    torch.save({"model": tiny_reference().state_dict()}, tmp_path / "d.pth")
    base = (tmp_path / "d.pth", "--out", tmp_path / "m.pth")
    assert "expected a segmenter" in failure(capsys, *base, "--to", "seg")
    assert "not a supernet" in failure(capsys, *base, "--path", "3012")
    assert "expected architecture 3333" in failure(capsys, *base, "--arch", "3333")
    assert "ends in .safetensors or .pth" in failure(capsys, tmp_path / "d.pth", "--out", tmp_path / "folder")
    assert convert(*base) == 0
    assert "--overwrite" in failure(capsys, *base)
    assert convert(*base, "--overwrite") == 0


def test_a_pickle_of_arrays_is_refused_with_the_way_out(tmp_path, capsys):
    """detectron2's own .pkl files; the command that the message gives makes them readable."""
    arrays = {k: v.numpy() for k, v in tiny_reference().state_dict().items()}
    for protocol in (2, 4, 5):
        (tmp_path / "model_final.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "x"}, protocol))
        message = failure(capsys, tmp_path / "model_final.pkl", "--out", tmp_path / "m.pth")
        assert "numpy." in message
        program = message.split('python -c "')[1].split('"')[0]
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert convert(tmp_path / "tensors.pth", "--out", tmp_path / "m.pth") == 0


def close(found, expected) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5 * max(1.0, float(b.abs().max())), rtol=1e-4)
