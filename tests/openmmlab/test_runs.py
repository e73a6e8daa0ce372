"""Our configs run for real on real images: train, validate, resume, test, look at a picture."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mmdet")
from pinas_zoo import cli
from tests.openmmlab.small import (
    CITY,
    DET,
    DET_OPTIONS,
    ROOT,
    SEG,
    SEG_OPTIONS,
    data,
    model_options,
    tool,
)


def train(config: Path, root: Path, work_dir: Path, options: list[str], *more: str) -> int:
    args = [str(config), "--data-root", str(root), "--work-dir", str(work_dir), *more]
    return tool("train").main([*args, "--cfg-options", *options])


def logged(work_dir: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(work_dir.glob("*/*.log")))


def picture(command: str, config: Path, weights: Path, image: Path, out: Path, options: list[str], capsys: Any) -> str:
    """Run ``pinas-zoo detect`` or ``segment``; what it printed."""
    capsys.readouterr()
    args = [command, str(image), "--config", str(config), "--weights", str(weights), "--out", str(out)]
    args += ["--score", "0.0"] if command == "detect" else []
    assert cli.main([*args, "--cfg-options", *model_options(options)]) == 0
    with Image.open(out / f"{image.stem}.png") as drawn, Image.open(image) as original:
        assert drawn.size == original.size
        drawn_pixels, pixels = (np.asarray(i.convert("RGB")).astype(int) for i in (drawn, original))
    assert (drawn_pixels != pixels).any()
    if command == "detect":  # what is not drawn on keeps its colour: red and blue are not exchanged
        assert (abs(drawn_pixels - pixels).max(-1) <= 2).mean() > 0.2
    return capsys.readouterr().out


def test_detector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = data("coco_mini")
    assert train(DET, root, tmp_path, DET_OPTIONS) == 0
    assert re.search(r"Iter\(train\) \[2/2\].* loss_rpn_cls: .* loss_cls: .* loss_mask: ", logged(tmp_path))
    longer = [o.replace("max_iters=2", "max_iters=4").replace("val_interval=2", "val_interval=9") for o in DET_OPTIONS]
    assert train(DET, root, tmp_path, longer, "--resume") == 0
    assert "resumed epoch: 0, iter: 2" in logged(tmp_path)
    assert (tmp_path / "iter_4.pth").is_file()
    assert "coco/segm_mAP: " in logged(tmp_path)  # of the validation after 2 iterations
    image = sorted((root / "val2017").glob("*.jpg"))[0]
    text = picture("detect", DET, tmp_path / "iter_4.pth", image, tmp_path / "out", DET_OPTIONS, capsys)
    assert "5 objects" in text


@pytest.mark.slow
def test_detector_test_script(tmp_path: Path) -> None:
    root = data("coco_mini")
    assert train(DET, root, tmp_path, DET_OPTIONS) == 0
    args = [str(DET), str(tmp_path / "iter_2.pth"), "--data-root", str(root), "--work-dir", str(tmp_path / "test")]
    assert tool("test").main([*args, "--show-dir", str(tmp_path / "shown"), "--cfg-options", *DET_OPTIONS]) == 0
    assert len(list((tmp_path / "shown").rglob("*.jpg"))) == 4
    assert "coco/bbox_mAP: " in logged(tmp_path / "test")


def test_segmenter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = data("ADEChallengeData2016")
    assert train(SEG, root, tmp_path, SEG_OPTIONS) == 0
    assert re.search(r"Iter\(train\) \[2/2\].* decode.loss_ce: .* aux.loss_ce: ", logged(tmp_path))
    assert "mIoU: " in logged(tmp_path)
    longer = [o.replace("max_iters=2", "max_iters=3").replace("val_interval=2", "val_interval=9") for o in SEG_OPTIONS]
    assert train(SEG, root, tmp_path, longer, "--resume") == 0
    assert "resumed epoch: 0, iter: 2" in logged(tmp_path)
    image = sorted((root / "images" / "validation").glob("*.jpg"))[0]
    text = picture("segment", SEG, tmp_path / "iter_2.pth", image, tmp_path / "out", SEG_OPTIONS, capsys)
    assert "%" in text
    small = [*SEG_OPTIONS, "test_dataloader.dataset.pipeline.1.scale=(64,64)"]
    args = [str(SEG), str(tmp_path / "iter_2.pth"), "--data-root", str(root), "--work-dir", str(tmp_path / "test")]
    assert tool("test").main([*args, "--show-dir", str(tmp_path / "shown"), "--cfg-options", *small]) == 0
    assert len(list((tmp_path / "shown").rglob("*.png"))) == 1


@pytest.mark.slow
def test_segmenter_with_flips_and_scales(tmp_path: Path) -> None:
    root = data("ADEChallengeData2016")
    assert train(SEG, root, tmp_path, SEG_OPTIONS) == 0
    small = [
        *SEG_OPTIONS,
        *(f"tta_pipeline.1.transforms.0.{i}.scale=({s},{s})" for i, s in enumerate(range(48, 144, 16))),
    ]
    args = [str(SEG), str(tmp_path / "iter_2.pth"), "--data-root", str(root), "--work-dir", str(tmp_path / "test")]
    assert tool("test").main([*args, "--tta", "--cfg-options", *small]) == 0
    assert "mIoU: " in logged(tmp_path / "test")


def test_cityscapes_after_the_labels_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "cityscapes"
    shutil.copytree(data("cityscapes_layout"), root)
    for path in root.rglob("*_gtFine_labelTrainIds.png"):
        path.unlink()
    assert train(CITY, root, tmp_path / "run", SEG_OPTIONS) == 2
    assert "--make-train-ids" in capsys.readouterr().err
    assert cli.main(["doctor", "--make-train-ids", str(root)]) == 0
    from mmseg.datasets import CityscapesDataset

    names = CityscapesDataset.METAINFO["classes"]
    assert [names[i] for i in (0, 13, 18)] == ["road", "car", "bicycle"]  # Cityscapes' ids 7, 26 and 33
    for path in root.rglob("*_gtFine_labelTrainIds.png"):
        ids = np.asarray(Image.open(str(path).replace("labelTrainIds", "labelIds")))
        train_ids = np.asarray(Image.open(path))
        for official, train_id in {7: 0, 8: 1, 11: 2, 21: 8, 23: 10, 24: 11, 26: 13, 33: 18, 0: 255, 9: 255}.items():
            assert (train_ids[ids == official] == train_id).all()
    assert train(CITY, root, tmp_path / "run", SEG_OPTIONS) == 0
    assert "mIoU: " in logged(tmp_path / "run")


SITE = Path(__import__("mmdet").__file__).parents[1]


def script(library: str, name: str) -> Path:
    path = SITE / library / ".mim" / "tools" / name
    if not path.is_file():
        pytest.skip(f"{library} was installed without its tools")
    return path


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, cwd=ROOT, check=False)


def data_options(root: Path, task: str) -> list[str]:
    options = [f"{split}_dataloader.dataset.data_root={root}" for split in ("train", "val", "test")]
    if task == "det":
        options += [
            f"{split}_evaluator.ann_file={root}/annotations/instances_val2017.json" for split in ("val", "test")
        ]
    return options


def test_mmdets_own_train_script(tmp_path: Path) -> None:
    root = data("coco_mini")
    options = [*DET_OPTIONS, *data_options(root, "det"), "train_cfg.val_interval=9"]
    result = run(sys.executable, script("mmdet", "train.py"), DET, "--work-dir", tmp_path, "--cfg-options", *options)
    assert result.returncode == 0, result.stderr[-2000:]
    assert (tmp_path / "iter_2.pth").is_file()


@pytest.mark.slow
def test_mmsegs_own_scripts_and_mmdets_test_script(tmp_path: Path) -> None:
    root = data("ADEChallengeData2016")
    options = [*SEG_OPTIONS, *data_options(root, "seg")]
    train_script, test_script = script("mmseg", "train.py"), script("mmseg", "test.py")
    for command in (
        [train_script, SEG, "--work-dir", tmp_path],
        [train_script, SEG, "--work-dir", tmp_path, "--resume"],
        [test_script, SEG, tmp_path / "iter_2.pth", "--work-dir", tmp_path],
    ):
        result = run(sys.executable, *command, "--cfg-options", *options)
        assert result.returncode == 0, result.stderr[-2000:]
    root = data("coco_mini")
    assert train(DET, root, tmp_path / "det", DET_OPTIONS) == 0
    options = [*DET_OPTIONS, *data_options(root, "det")]
    command = [script("mmdet", "test.py"), DET, tmp_path / "det" / "iter_2.pth", "--work-dir", tmp_path]
    result = run(sys.executable, "-m", "pinas_zoo.openmmlab", *command, "--cfg-options", *options)
    assert result.returncode == 0, result.stderr[-2000:]


@pytest.mark.slow
def test_two_processes_on_cpus(tmp_path: Path) -> None:
    root = data("ADEChallengeData2016")
    options = [*SEG_OPTIONS, "train_cfg.val_interval=9"]
    result = run(
        "env",
        f"PYTHON={sys.executable}",
        "PORT=29611",
        "bash",
        "tools/dist_train.sh",
        SEG,
        2,
        "--data-root",
        root,
        "--work-dir",
        tmp_path,
        "--cfg-options",
        *options,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert (tmp_path / "iter_2.pth").is_file()
