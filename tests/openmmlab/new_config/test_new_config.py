"""From a folder of images to a trained model and its pictures, by the commands that new-config prints."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mmdet")
from mmengine.config import Config

from pinas_zoo import cli, config_files
from pinas_zoo.errors import UserError
from pinas_zoo.models.pinas import PiNAS
from pinas_zoo.openmmlab.fit_check import build_empty
from pinas_zoo.openmmlab.new_config import new_config
from pinas_zoo.weights.model_folder import save_model_folder
from tests.golden import fill_
from tests.openmmlab.new_config.made_folders import coco, image, mask, write
from tests.openmmlab.small import DET_OPTIONS, SEG_OPTIONS, data, tool

SIZES = dict(depths=(1, 1, 1, 1), widths=(16, 32, 48, 64), stem_width=8)
OF_A_TEST = [  # small options that the config's own backbone and iterations do not need
    option
    for option in (*DET_OPTIONS, *SEG_OPTIONS)
    if not re.search(
        r"backbone|max_iters|interval|head.in_channels=128|neck.in_channels|indices|^test_pipeline", option
    )
]
DET = [option for option in OF_A_TEST if option in DET_OPTIONS]
SEG = [option for option in OF_A_TEST if option in SEG_OPTIONS]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = fill_(PiNAS("0123", **SIZES, num_classes=3))
    path = tmp_path_factory.mktemp("backbone") / "tiny"
    return save_model_folder(path, model.state_dict(), {"arch": "0123", **SIZES}, {"mean": (0.5, 0.5, 0.5)})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """What ``pinas-zoo new-config --json`` prints."""
    capsys.readouterr()
    assert cli.main(["new-config", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def check_and_train(commands: dict[str, str], options: Sequence[str]) -> None:
    """Run the first printed commands, small."""
    assert cli.main(shlex.split(commands["check"])[1:]) == 0
    run_tool("train", commands, options)


def run_tool(name: str, commands: dict[str, str], options: Sequence[str]) -> None:
    words = shlex.split(commands[name])
    assert words[1].endswith(f"tools/{name}.py")
    assert tool(name).main([*words[2:], "--cfg-options", *options]) == 0


def evaluate_and_look(
    commands: dict[str, str], options: Sequence[str], picture: Path, capsys: Any
) -> list[dict[str, Any]]:
    """Run the other printed commands, small; what the last one prints as JSON."""
    run_tool("test", commands, options)
    words = shlex.split(commands["look"].replace("IMAGE", shlex.quote(str(picture))))[1:]
    words += ["--score", "0.0"] if words[0] == "detect" else []
    small = [option for option in options if option.startswith(("model.", "test_dataloader"))]
    small += [option.replace("test_dataloader.dataset.", "test_") for option in small]
    capsys.readouterr()
    assert cli.main([*words, "--json", "--cfg-options", *small]) == 0
    return json.loads(capsys.readouterr().out)


def cut_of_coco(root: Path) -> Path:
    """People and cars of COCO mini, images of both splits beside one annotation file."""
    source, names = data("coco_mini"), ("person", "car")
    content = json.loads((source / "annotations" / "instances_train2017.json").read_text())
    ids = {category["id"] for category in content["categories"] if category["name"] in names}
    content["categories"] = [category for category in content["categories"] if category["id"] in ids]
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] in ids]
    classes = {
        i["id"]: {a["category_id"] for a in content["annotations"] if a["image_id"] == i["id"]}
        for i in content["images"]
    }
    content["images"] = sorted(content["images"], key=lambda i: 3 not in classes[i["id"]])[:10]  # cars first
    used = {i["id"] for i in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in used]
    write(root / "annotations.json", content)
    (root / "images").mkdir()
    for each in content["images"]:
        shutil.copy(source / "train2017" / each["file_name"], root / "images")
    return root


def cut_of_ade20k(root: Path) -> Path:
    """Building, tree, person, sky and road of ADE20K as 0 to 4, the rest as 255."""
    source = data("ADEChallengeData2016")
    table = np.full(256, 255, np.uint8)
    table[[2, 5, 13, 3, 7]] = range(5)
    for path in sorted((source / "annotations").rglob("*.png")):
        target = root / "masks" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(table[np.asarray(Image.open(path))]).save(target)
    shutil.copytree(source / "images", root / "images")
    (root / "classes.txt").write_text("building\ntree\nperson\nsky\nroad\n")
    return root


def test_a_detector_of_two_classes(here: Path, backbone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = cut_of_coco(here / "street")
    made = make(capsys, "det", "--data", root, "--backbone", backbone, "--iterations", 2, "--batch-size", 2)
    assert made["config"] == "street_det_tiny.py"
    assert made["classes"] == ["person", "car"]
    assert made["images"] == {"train": 8, "val": 2}
    assert sorted(path.name for path in here.glob("street_*")) == sorted([made["config"], *made["files"]])
    picture = next((root / "images").iterdir())
    check_and_train(made["commands"], DET)
    (found,) = evaluate_and_look(made["commands"], DET, picture, capsys)
    assert found["image"] == str(picture)
    assert 0 < len(found["objects"]) <= 5
    from pycocotools.mask import decode

    for each in found["objects"]:
        assert each["label"] == ["person", "car"][each["class"]]
        assert 0 <= each["score"] <= 1
        assert len(each["box"]) == 4
        assert decode(each["mask"]).shape == (found["height"], found["width"])
    with Image.open(found["picture"]) as drawn:
        assert drawn.size == (found["width"], found["height"])


def test_a_segmenter_of_five_classes(here: Path, backbone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = cut_of_ade20k(here / "rooms")
    made = make(capsys, "seg", "--data", root, "--backbone", backbone, "--iterations", 2, "--batch-size", 2)
    assert made["classes"] == ["building", "tree", "person", "sky", "road"]
    assert made["images"] == {"train": 4, "val": 1}
    assert made["files"] == []
    (picture,) = (root / "images" / "validation").iterdir()
    check_and_train(made["commands"], SEG)
    (found,) = evaluate_and_look(made["commands"], SEG, picture, capsys)
    assert sum(each["share"] for each in found["classes"]) == pytest.approx(1, abs=1e-5)
    assert all(each["label"] == made["classes"][each["class"]] for each in found["classes"])
    with Image.open(found["picture"]) as drawn:
        assert drawn.size == (found["width"], found["height"])


def test_boxes_alone(here: Path, backbone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = {f"{k}.jpg": [k % 2] for k in range(4)}
    write(here / "boxes" / "a.json", coco(images, ("cat", "dog"), 0, segmentation=None))
    for name in images:
        image(here / "boxes" / "images" / name)
    made = make(capsys, "det", "--data", "boxes", "--backbone", backbone, "--iterations", 1, "--batch-size", 1)
    assert cli.main(shlex.split(made["commands"]["check"])[1:]) == 0
    model = build_empty(Path(made["config"]))
    assert not model.roi_head.with_mask
    assert model.roi_head.bbox_head.num_classes == 2
    assert Config.fromfile(made["config"]).val_evaluator.metric == ["bbox"]


def test_white_masks_hold_both_classes(here: Path, backbone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(5):
        image(here / "roads" / "images" / f"{k}.jpg")
        mask(here / "roads" / "masks" / f"{k}.png", (0, 255))
    made = make(capsys, "seg", "--data", "roads", "--backbone", backbone, "--iterations", 1, "--batch-size", 2)
    assert made["notes"][0] == "the masks hold 0 and 255 alone: read as class 0, background, and class 1, object"
    assert cli.main(shlex.split(made["commands"]["check"])[1:]) == 0
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS

    cfg = Config.fromfile(made["config"])
    init_default_scope("mmseg")
    cfg.train_dataloader.dataset.pipeline = cfg.train_pipeline[:2]
    loaded = DATASETS.build(cfg.train_dataloader.dataset)[0]["gt_seg_map"]
    assert np.unique(loaded, return_counts=True)[1].tolist() == [32 * 48, 32 * 48]
    assert set(np.unique(loaded)) == {0, 1}


def test_images_of_two_suffixes_and_a_registered_backbone(
    here: Path, backbone: Path, zoo_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(10):
        image(here / "mixed" / "images" / f"{k}.{'JPG' if k % 2 else 'png'}")
        mask(here / "mixed" / "masks" / f"{k}.png", (0, 50, 200))
    assert cli.main(["register", "mine", "--folder", str(backbone)]) == 0
    made = make(capsys, "seg", "--data", "mixed", "--backbone", "mine")
    cfg = Config.fromfile(made["config"])
    assert (cfg.model.backbone.arch, cfg.model.backbone.init_cfg.checkpoint) == ("mine", "pinas:mine")
    assert cli.main(shlex.split(made["commands"]["check"])[1:]) == 0
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS

    init_default_scope("mmseg")
    parts = [DATASETS.build(cfg[f"{split}_dataloader"].dataset) for split in ("train", "val")]
    assert [len(part) for part in parts] == [8, 2]
    assert parts[0].metainfo["classes"] == ("class_0", "class_50", "class_200")


def test_text_of_the_data_stays_text(here: Path) -> None:
    names = ("it's", 'a "quoted" one', "{{ $HOME:x }}", "{{ fileDirname }}", "back\\slash", "Яблоко", "#")
    folder = here / "odd {{ name }} 'x'"
    write(folder / "a.json", coco({f"{k}.jpg": range(7) for k in range(5)}, names))
    for k in range(5):
        image(folder / f"{k}.jpg")
    made = new_config("det", folder, "1" * 16, here / "out" / "a.py", command="x {{ $HOME:x }}\nimport os")
    cfg = Config.fromfile(str(made.path))
    assert tuple(cfg.metainfo["classes"]) == names
    assert cfg.data_root == str(folder)
    assert cfg.val_evaluator.ann_file == str(here / "out" / "a_val.json")
    assert "os" not in cfg


def test_it_stays_right_when_the_config_and_its_files_are_moved(here: Path) -> None:
    write(here / "data" / "a.json", coco({f"{k}.jpg": [0] for k in range(5)}, ("cat",)))
    for k in range(5):
        image(here / "data" / f"{k}.jpg")
    made = new_config("det", "data", "1" * 16, "here/a.py")
    (here / "here").rename(here / "there")
    cfg = Config.fromfile("there/a.py")
    assert Path(cfg.train_dataloader.dataset.ann_file) == here / "there" / "a_train.json"
    assert Path(cfg.train_dataloader.dataset.ann_file).is_file()
    assert made.classes == ("cat",)


def test_wrong_words_are_one_line_and_nothing_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "data" / "a.json", coco({f"{k}.jpg": [0] for k in range(5)}, ("cat",)))
    for k in range(5):
        image(here / "data" / f"{k}.jpg")
    usual = {"--data": "data", "--backbone": "1" * 16}
    for change, message in (
        ({"--data": "nowhere"}, "got nowhere, which is not there"),
        ({"--data": "data/a.json"}, "got data/a.json, which is a file"),
        ({"--backbone": "pinas_tranz"}, "did you mean"),
        ({"--backbone": "resnest50d"}, "expected a network of the Π-NAS space as --backbone, got resnest50d"),
        ({"--weights": "no.safetensors"}, "expected a file or model folder as --weights, got no.safetensors"),
        ({"--weights": "pinas_cls"}, "try pinas:pinas_cls"),
        ({"--out": "a.txt"}, "expected a file *.py as --out, got a.txt"),
        ({"--batch-size": "0"}, "expected --batch-size of 1 and more, got 0"),
    ):
        words = [word for pair in {**usual, **change}.items() for word in pair]
        assert cli.main(["new-config", "det", *words]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert message in lines[0]
        assert [path.name for path in here.iterdir()] == ["data"]
    words = [word for pair in usual.items() for word in pair]
    assert cli.main(["new-config", "det", *words]) == 0
    assert "note: training starts" not in capsys.readouterr().out
    assert cli.main(["new-config", "det", *words]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main(["new-config", "det", *words, "--overwrite"]) == 0


def test_annotations_outside_the_data_and_weights_in_a_folder(
    here: Path, backbone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "val"):
        write(here / "notes" / f"{split}.json", coco({f"{split}.jpg": [0, 1]}, ("cat", "dog")))
        image(here / "data" / f"{split}.jpg")
    files = ("--annotations", here / "notes" / "train.json", here / "notes" / "val.json")
    sizes = ("--iterations", 1, "--batch-size", 1)
    made = make(capsys, "det", "--data", "data", "--backbone", backbone, "--weights", backbone, *files, *sizes)
    cfg = Config.fromfile(made["config"])
    assert cfg.val_evaluator.ann_file == cfg.val_dataloader.dataset.ann_file == str(here / "notes" / "val.json")
    assert cfg.model.backbone.init_cfg.checkpoint == f"local-dir:{backbone}"
    assert cli.main(shlex.split(made["commands"]["check"])[1:]) == 0
    written = Path(made["config"]).read_text().splitlines()[0].removeprefix("# Written by: ")
    assert cli.main([*shlex.split(written)[1:], "--overwrite"]) == 0
    assert Path(made["config"]).read_text().splitlines()[0].endswith(written)


def test_base_configs_by_name() -> None:
    for name in ("det/mask-rcnn_fpn_syncbn_1x_coco", "seg/deeplabv3-d8"):
        assert Path(config_files.base_config(name)).is_file()
    with pytest.raises(UserError, match=r"expected a base config .*seg/deeplabv3-d8, .* got 'seg/x'"):
        config_files.base_config("seg/x")
