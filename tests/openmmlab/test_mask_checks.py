"""Masks as other tools write them: each is learnt from, or refused in one line that says what to change."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mmdet")
from mmengine.config import Config
from mmengine.registry import init_default_scope

import pinas_zoo.openmmlab  # noqa: F401  before mmseg
from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab import launch, mask_checks
from pinas_zoo.openmmlab.data_checks import check_data
from pinas_zoo.openmmlab.index_masks import label_counts
from pinas_zoo.openmmlab.mask_checks import labels_after_loading
from tests.openmmlab.made_up_data import ade
from tests.openmmlab.small import SEG

LOADERS = ("train_dataloader", "val_dataloader")
ADE20K = launch.read_config(SEG)


def stripes(labels: int) -> np.ndarray:
    """Masks of 30 x 40 with labels 0 to ``labels`` - 1 in vertical stripes."""
    return np.tile(np.arange(40, dtype=np.uint8) % labels, (30, 1))


def own_classes(root: Path, classes: Any = ("road", "car", "sky"), heads: int = 3, **options: Any) -> Config:
    """The ADE20K config turned into one for a data set with a user's own classes."""
    cfg = copy.deepcopy(ADE20K)
    for loader in LOADERS:
        dataset = cfg[loader].dataset
        dataset.update(type="BaseSegDataset", metainfo=dict(classes=classes))
        for step in dataset.pipeline:
            step.pop("reduce_zero_label", None)
    cfg.model.decode_head.num_classes = cfg.model.auxiliary_head.num_classes = heads
    cfg.merge_from_dict(options)
    launch.set_data_root(cfg, str(root))
    init_default_scope(cfg.default_scope)
    return cfg


def line(cfg: Config) -> str:
    with pytest.raises(UserError) as error:
        check_data(cfg, LOADERS)
    assert "\n" not in str(error.value)
    return str(error.value)


def palette(labels: np.ndarray) -> Image.Image:
    image = Image.fromarray(labels).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    return image


SOUND: dict[str, Callable[[int], Any]] = {
    "indices": lambda i: stripes(3),
    "palette": lambda i: palette(stripes(3)),
    "16 bits": lambda i: stripes(3).astype(np.uint16),
    "16 bits, ignored is 65535": lambda i: np.where(stripes(4) == 3, 65535, stripes(4)).astype(np.uint16),
    "1 bit": lambda i: stripes(2) > 0,
    "ignored edges": lambda i: np.where(stripes(4) == 3, 255, stripes(4)).astype(np.uint8),
    "one image of one class": lambda i: stripes(3) * (i > 0),
}


@pytest.mark.parametrize("mask", SOUND.values(), ids=SOUND)
def test_sound_masks(mask: Callable[[int], Any], tmp_path: Path) -> None:
    notes = check_data(own_classes(ade(tmp_path / "ade", mask)), LOADERS)
    assert "2 masks read" in notes[0]


FAULTS: dict[str, tuple[Callable[[int], Any], str]] = {
    "black and white": (lambda i: stripes(2) * 255, "write 1 in place of 255"),
    "labels beyond": (lambda i: stripes(3) * 9, "got 9, 18"),
    "from 1": (lambda i: stripes(3) + 1, "counted from 1 need reduce_zero_label=True"),
    "one too many": (lambda i: stripes(4), "name all classes, the background too"),
    "16 bits beyond": (lambda i: stripes(3).astype(np.uint16) * 256, "got 256, 512"),
    "colours": (lambda i: np.stack([stripes(3) * 100] * 3, -1), "mode RGB"),
    "transparent": (lambda i: np.stack([stripes(3)] * 4, -1), "mode RGBA"),
    "grey with alpha": (lambda i: Image.fromarray(stripes(3)).convert("LA"), "mode LA"),
    "fractions": (lambda i: stripes(3).astype(np.float32), "cannot be read"),
    "one class": (lambda i: stripes(1) + 1, "class 1 (car) alone"),
    "all ignored": (lambda i: stripes(1) + 255, "all of them ignored"),
    "other size": (lambda i: stripes(3)[:20], "got 20 x 40"),
    "turned": (lambda i: stripes(3).T, "got 40 x 30"),
    "missing": (lambda i: None if i else stripes(3), "1 of them is not there"),
}


@pytest.mark.parametrize(("mask", "words"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_masks_is_one_line(mask: Callable[[int], Any], words: str, tmp_path: Path) -> None:
    def saved(i: int) -> Any:
        labels = mask(i)
        return Image.fromarray(labels.squeeze()) if isinstance(labels, np.ndarray) else labels

    try:
        root = ade(tmp_path / "ade", saved)
    except OSError:  # PNG has no fractions: TIFF under its name
        root = ade(tmp_path / "tiff", lambda i: stripes(3))
        Image.fromarray(mask(0)).save(root / "annotations" / "training" / "0.png", format="TIFF")
        words = "mode F"
    assert words in line(own_classes(root))


@pytest.mark.parametrize("damage", ["empty", "text", "torn", "jpeg"])
def test_damaged_masks_are_named(damage: str, tmp_path: Path) -> None:
    root = ade(tmp_path / "ade", lambda i: np.random.default_rng(i).integers(0, 3, (30, 40)).astype(np.uint8))
    mask = root / "annotations" / "training" / "1.png"
    whole = mask.read_bytes()
    if damage == "jpeg":
        Image.fromarray(stripes(3)).save(mask, format="JPEG")
    else:
        mask.write_bytes({"empty": b"", "text": b"mask", "torn": whole[: len(whole) // 2]}[damage])
    text = line(own_classes(root))
    assert str(mask) in text
    assert ("a JPEG file" in text) == (damage == "jpeg")


def test_images_and_masks_under_other_names(tmp_path: Path) -> None:
    root = ade(tmp_path / "ade", lambda i: stripes(3))
    for path in (root / "images" / "training").iterdir():
        path.rename(path.with_suffix(".jpeg"))
    assert "but .jpeg; set img_suffix" in line(own_classes(root))
    suffix = {"train_dataloader.dataset.img_suffix": ".jpeg", "train_dataloader.dataset.seg_map_suffix": "_gt.png"}
    assert "1 of them" not in (text := line(own_classes(root, **suffix)))
    assert "_gt.png" in text


def test_classes_palettes_and_reduction_that_do_not_fit(tmp_path: Path) -> None:
    root = ade(tmp_path / "ade", lambda i: stripes(3))
    train = "train_dataloader.dataset"
    assert "num_classes=3" in line(own_classes(root, heads=4))
    assert "learns nothing" in line(own_classes(root, classes=("road",), heads=1))
    assert "classes=('road',)" in line(own_classes(root, classes="road", heads=1))
    assert "palette" in line(own_classes(root, **{f"{train}.metainfo.palette": [[0, 0, 0]]}))
    text = line(own_classes(root, classes=("road", "balloon", "sky"), **{f"{train}.type": "ADE20KDataset"}))
    assert "got 'balloon'; for classes of your own set type='BaseSegDataset'" in text
    reduced = own_classes(root, **{f"{train}.pipeline.1.reduce_zero_label": True})
    assert f"{train}.reduce_zero_label=True" in line(reduced)
    assert "LoadAnnotations" in line(own_classes(root, **{f"{train}.pipeline": [{"type": "LoadImageFromFile"}]}))
    balanced = own_classes(root)
    balanced[LOADERS[0]].dataset = dict(
        type="ClassBalancedDataset", oversample_thr=0.1, dataset=balanced[LOADERS[0]].dataset
    )
    assert "use RepeatDataset" in line(balanced)


def test_a_long_thin_image_vanishes_when_it_is_resized(tmp_path: Path) -> None:
    root = ade(tmp_path / "ade", lambda i: stripes(3))
    Image.new("RGB", (5000, 1)).save(root / "images" / "training" / "0.jpg")
    assert "1 x 5000 pixels" in line(own_classes(root))


def test_labels_are_those_that_mmseg_loads(tmp_path: Path) -> None:
    """The table of labels after loading agrees with mmseg's own transform for every number and both reductions."""
    from mmseg.registry import DATASETS, TRANSFORMS

    root = ade(tmp_path / "ade", lambda i: np.arange(256, dtype=np.uint8).reshape(16, 16), images=1)
    names = ADE20K.train_dataloader.dataset.type
    for reduce in (False, True):
        for classes in (None, ("sky", "wall")):
            dataset = DATASETS.build(
                dict(
                    type=names,
                    data_root=str(root),
                    data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
                    reduce_zero_label=reduce,
                    metainfo=dict(classes=classes) if classes else None,
                )
            )
            loaded = TRANSFORMS.build(dict(type="LoadAnnotations"))(dataset.get_data_info(0))["gt_seg_map"]
            np.testing.assert_array_equal(loaded.ravel(), labels_after_loading(dataset))


def test_a_set_without_masks_is_tested_where_nothing_is_compared(tmp_path: Path) -> None:
    cfg = own_classes(ade(tmp_path / "ade", lambda i: stripes(3)))
    for path in (tmp_path / "ade" / "annotations" / "validation").iterdir():
        path.unlink()
    assert "not there" in line(cfg)
    dataset = cfg.val_dataloader.dataset
    dataset.pipeline = [step for step in dataset.pipeline if step.type != "LoadAnnotations"]
    assert "format_only=True" in line(cfg)
    cfg.val_evaluator = dict(type="IoUMetric", format_only=True, output_dir="out")
    assert check_data(cfg, LOADERS)[1].startswith("val_dataloader: 2 images in")


def test_labels_are_counted_as_stored(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1], [1, 7]], dtype=np.uint8)).save(tmp_path / "mask.png")
    assert label_counts(tmp_path / "mask.png") == {0: 1, 1: 2, 7: 1}


def test_a_mask_that_is_not_among_the_opened_ones_starts_no_program(tmp_path, monkeypatch):
    root = ade(tmp_path / "ade", lambda i: stripes(3), images=5)
    Image.fromarray(stripes(3)).save(root / "annotations" / "training" / "2.png", format="EPS")
    monkeypatch.setattr(mask_checks, "OPENED", 2)
    monkeypatch.setattr(mask_checks, "DECODED", 2)
    text = line(own_classes(root))
    assert "2.png, which is a PostScript program" in text
