"""Wrong data, classes, weights and installations: one line that says what to do; odd annotations are learnt around."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mmdet")
from pinas_zoo import cli
from pinas_zoo.openmmlab.coco_annotations import read_coco
from pinas_zoo.openmmlab.coco_checks import left_out
from tests.networks import python
from tests.openmmlab.made_up_data import CROWD, POLYGON, TWO_POINTS, coco, error_of, train_error
from tests.openmmlab.small import DET, DET_OPTIONS, ROOT, SEG, SEG_OPTIONS, model_options, tool


def test_a_data_root_that_is_not_there_or_a_level_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a folder as --data-root, got" in train_error(DET, tmp_path / "nowhere", tmp_path, DET_OPTIONS, capsys)
    (tmp_path / "empty").mkdir()
    text = train_error(DET, tmp_path / "empty", tmp_path, DET_OPTIONS, capsys)
    assert "empty/annotations/instances_train2017.json" in text
    assert "annotations/instances_{train,val}2017.json, train2017/*.jpg" in text
    root = coco(tmp_path / "data" / "coco", [{"image_id": 0, **POLYGON}])
    assert f"it is under {root}" in train_error(DET, tmp_path / "data", tmp_path, DET_OPTIONS, capsys)
    assert f"it is under {root}" in train_error(DET, root / "annotations", tmp_path, DET_OPTIONS, capsys)
    assert "images/{training,validation}/*.jpg" in train_error(SEG, tmp_path, tmp_path, SEG_OPTIONS, capsys)
    assert not (tmp_path / "run").exists()


def test_no_image_with_an_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = train_error(DET, coco(tmp_path / "coco", []), tmp_path, DET_OPTIONS, capsys)
    assert "every image of a data set is without annotations" in text


def test_crowds_only_two_point_polygons_and_empty_images_are_learnt_around(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = [
        {"image_id": 0, **CROWD},
        {"image_id": 1, **TWO_POINTS},
        {"image_id": 1, **POLYGON},
    ]
    root = coco(tmp_path / "coco", annotations, images=3)
    file = read_coco(root / "annotations" / "instances_train2017.json")
    filters = {"filter_empty_gt": True, "min_size": 32}
    assert left_out(file, file.names, ["rle", "short", "polygons"], filters)[1] == {
        "annotations without a polygon of 3 points (not learnt from)": 1,
        "images without annotations (left out of training)": 1,
        "images with crowds only (background in training)": 1,
    }
    text = train_error(DET, root, tmp_path, DET_OPTIONS, capsys)  # before training, where COCO's evaluation fails later
    assert "polygons of 3 points" in text
    assert "first id 2" in text
    val = root / "annotations" / "instances_val2017.json"
    content = json.loads(val.read_text())
    content["annotations"] = [a for a in content["annotations"] if a["id"] != 2]
    val.write_text(json.dumps(content))
    args = [str(DET), "--data-root", str(root), "--work-dir", str(tmp_path / "run"), "--cfg-options", *DET_OPTIONS]
    options = ["val_dataloader.dataset.indices=3", "default_hooks.checkpoint.interval=9"]
    assert tool("train").main([*args, *options]) == 0
    log = next((tmp_path / "run").glob("*/*.log")).read_text()
    assert "loss_mask: " in log
    assert "nan" not in log.split("Iter(train)")[-1].splitlines()[0]


def test_images_smaller_than_the_crop_are_padded(tmp_path: Path) -> None:
    for split in ("training", "validation"):
        for kind in ("images", "annotations"):
            (tmp_path / "ade" / kind / split).mkdir(parents=True)
        for i in range(2):
            pixels = np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "ade" / "images" / split / f"{i}.jpg")
            Image.fromarray(pixels[..., 0] % 151).save(tmp_path / "ade" / "annotations" / split / f"{i}.png")
    options = [o for o in SEG_OPTIONS if "pipeline.2.scale" not in o]
    options += ["train_dataloader.dataset.pipeline.2.scale=(30,30)", "default_hooks.checkpoint.interval=9"]
    args = [str(SEG), "--data-root", str(tmp_path / "ade"), "--work-dir", str(tmp_path / "run")]
    assert tool("train").main([*args, "--cfg-options", *options]) == 0


def test_places_that_are_not_there_are_told_before_anything_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing")
    for args, reason in (([str(DET), "--data-root", missing], "a folder as --data-root"), ([missing], missing)):
        # a wrong option is read later
        assert reason in error_of(tool("train").main, [*args, "--cfg-options", "no_sign"], capsys)


def test_classes_that_do_not_match_the_heads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = coco(tmp_path / "coco", [{"image_id": 0, **POLYGON}])
    options = [*DET_OPTIONS, "model.roi_head.bbox_head.num_classes=81"]
    text = train_error(DET, root, tmp_path, options, capsys)
    assert "model.roi_head.bbox_head.num_classes=80" in text
    assert "got 81" in text
    options = [*DET_OPTIONS, "train_dataloader.dataset.metainfo.classes=('cat','dog')"]
    assert "num_classes=2" in train_error(DET, root, tmp_path, options, capsys)


def test_weights_of_another_model_and_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from pinas_zoo.openmmlab import launch
    from tests.openmmlab.small import BACKBONE

    image = tmp_path / "image.png"
    Image.new("RGB", (40, 30), "red").save(image)
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04 torn")
    cfg = launch.read_config(DET)
    from mmengine.config import DictAction

    cfg.merge_from_dict({k: DictAction._parse_iterable(v) for k, _, v in (o.partition("=") for o in DET_OPTIONS)})
    model = launch.load_model(cfg, None, "cpu")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "detector.pth")
    command = ["detect", str(image), "--config", str(DET), "--out", str(tmp_path / "out"), "--weights"]
    options = ["--cfg-options", *model_options(DET_OPTIONS)]
    for weights, words in (("gone.pth", "not there"), ("torn.pth", "broken or truncated")):
        assert words in error_of(cli.main, [*command, str(tmp_path / weights), *options], capsys)
    other = ["--cfg-options", *(o.replace("arch=0123", "arch=3333") for o in model_options(DET_OPTIONS))]
    text = error_of(cli.main, [*command, str(tmp_path / "detector.pth"), *other], capsys)
    assert "the same backbone, classes and heads" in text
    assert BACKBONE[0] == "model.backbone.arch=0123"
    segment = ["segment", *command[1:], str(tmp_path / "detector.pth")]
    assert "use `pinas-zoo detect`" in error_of(cli.main, segment, capsys)
    assert not (tmp_path / "out").exists()
    assert cli.main([*command, str(tmp_path / "detector.pth"), *options]) == 0


def test_a_first_checkpoint_of_another_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.networks import tiny_folder

    folder, _ = tiny_folder(tmp_path / "other")
    root = coco(tmp_path / "coco", [{"image_id": 0, **POLYGON}, {"image_id": 1, **POLYGON}])
    options = [*DET_OPTIONS, f"load_from=local-dir:{folder}"]
    assert "another backbone" in train_error(DET, root, tmp_path, options, capsys)


def test_configs_that_are_not_there_or_not_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text("model = dict(\n")
    (tmp_path / "other.py").write_text("default_scope = 'mmpose'\nmodel = dict()\n")
    for name, words in (("gone.py", "not there"), ("broken.py", "SyntaxError"), ("other.py", "mmpose")):
        assert words in error_of(tool("train").main, [str(tmp_path / name)], capsys)


def test_without_the_extra() -> None:
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('mmdet', 'mmcv') else find(name, *a)\n"
        "from pinas_zoo.cli import main; sys.stderr = sys.stdout\n"
        "print(main(['detect', 'a.jpg', '--config', 'c.py', '--weights', 'w.pth']))\n"
        "print(main(['doctor']))"
    )
    result = python(code)
    assert result.returncode == 0, result.stderr
    assert 'found no mmcv, mmdet; run `pip install "pinas-zoo[openmmlab]"`' in result.stdout
    assert [line for line in result.stdout.splitlines() if line in ("0", "2")] == ["2", "2"]
    script = "import sys; sys.modules['mmdet'] = None; import runpy\n"
    script += "sys.argv = ['train.py', 'mask-rcnn_r50_fpn_syncbn_1x_coco']\n"
    tool_run = subprocess.run(
        [sys.executable, "-c", script + f"runpy.run_path({str(ROOT / 'tools/train.py')!r}, run_name='__main__')"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert tool_run.returncode == 2
    assert 'pip install "pinas-zoo[openmmlab]"' in tool_run.stderr


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = (
        "import sys, importlib, pinas_zoo; from pinas_zoo.cli import COMMANDS, build_parser, module_of\n"
        "build_parser()\n"
        "for name in COMMANDS: importlib.import_module(module_of(name))\n"
        "print(*sys.modules)"
    )
    loaded = {name.split(".")[0] for name in python(code).stdout.split()}
    assert not loaded & {"mmcv", "mmdet", "mmseg", "mmengine", "cv2"}


def test_doctor_finds_operators_data_and_what_is_missing(
    tmp_path: Path, zoo_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "roi_align_forward" in out or "compiled" in out
    root = coco(tmp_path / "coco", [{"image_id": 0, **POLYGON}])
    config = str(DET).replace("_pinas_", "_pinas_cls_")
    assert cli.main(["doctor", "--config", config, "--data-root", str(root), "--all"]) == 2
    captured = capsys.readouterr()
    assert "1 images without annotations" in captured.out
    assert "pinas-zoo register pinas_cls" in captured.out
    assert "1 missing" in captured.err


@pytest.mark.parametrize("name", ["train", "test"])
def test_help_of_the_tools_needs_no_torch(name: str) -> None:
    file = str(ROOT / "tools" / f"{name}.py")
    code = (
        "import sys, runpy; sys.modules['torch'] = None; sys.argv = ['tool', '--help']\n"
        f"runpy.run_path({file!r}, run_name='__main__')"
    )
    result = python(code)
    assert result.returncode == 0, result.stderr
    assert "--cfg-options" in result.stdout
