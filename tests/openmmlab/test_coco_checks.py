"""COCO files as other tools write them: each is learnt from, or refused in one line that says what to change."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("mmdet")
from mmengine.config import Config
from mmengine.registry import init_default_scope

import pinas_zoo.openmmlab  # noqa: F401  before mmdet
from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab import launch
from pinas_zoo.openmmlab.coco_annotations import read_coco, read_runs
from pinas_zoo.openmmlab.data_checks import check_data
from tests.openmmlab.made_up_data import CROWD, POLYGON, annotation_file, change, coco
from tests.openmmlab.small import DET

LOADERS = ("train_dataloader", "val_dataloader")
Content = dict[str, Any]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coco(tmp_path_factory.mktemp("sound") / "coco", [{"image_id": i % 2, **POLYGON} for i in range(4)])


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "coco"))


READ = launch.read_config(DET)


def config(root: Path, **options: Any) -> Config:
    cfg = copy.deepcopy(READ)
    cfg.merge_from_dict(options)
    launch.set_data_root(cfg, str(root))
    init_default_scope(cfg.default_scope)
    return cfg


def line(root: Path, **options: Any) -> str:
    with pytest.raises(UserError) as error:
        check_data(config(root, **options), LOADERS)
    assert "\n" not in str(error.value)
    return str(error.value)


def each(key: str, how: Callable[[Content], object]) -> Callable[[Content], object]:
    return lambda content: [how(entry) for entry in content[key]]


def first(key: str, **values: Any) -> Callable[[Content], object]:
    return lambda content: content[key][0].update(values)


SIZE = [64, 96]
FAULTS: dict[str, tuple[Callable[[Content], object], str]] = {
    "no area": (each("annotations", lambda a: a.pop("area")), "'area' in all annotations"),
    "no height": (each("images", lambda i: i.pop("height")), "'height' in all images"),
    "no box": (first("annotations", bbox=None), "as 'bbox' of annotations[0]"),
    "no mask": (lambda c: c["annotations"][1].pop("segmentation"), "1 of 4 have none (first id 2)"),
    "empty mask": (each("annotations", lambda a: a.update(segmentation=[])), "train boxes alone"),
    "text in a box": (first("annotations", bbox=["1", 2, 3, 4]), "4 finite numbers"),
    "three numbers": (first("annotations", bbox=[1, 2, 3]), "4 finite numbers"),
    "infinite box": (first("annotations", bbox=[1, 2, 1e999, 4]), "Infinity"),
    "text as height": (first("images", height="64"), "'64' (a text)"),
    "height as a fraction": (first("images", height=64.0), "a whole number"),
    "crowd as text": (first("annotations", iscrowd="0"), "0 or 1, got '0'"),
    "image id null": (first("annotations", image_id=None), "the id of an image"),
    "null for an image": (lambda c: c["images"].append(None), "got images[2], null"),
    "null for all": (lambda c: c.update(annotations=None), "a list of annotations"),
    "no images": (lambda c: c.update(images=[]), "a list of images"),
    "no categories": (lambda c: c.pop("categories"), "found no categories"),
    "image twice": (lambda c: c["images"].append(c["images"][0]), "every id of the images"),
    "annotation ids repeat": (each("annotations", lambda a: a.update(id=7)), "the first repeated one is 7"),
    "class twice": (first("categories", name="cat"), "every name of the categories"),
    "capitals": (first("categories", name="Person"), "'person' where the file has 'Person'"),
    "order": (lambda c: c["categories"].reverse(), "in the order of"),
    "flat polygon": (first("annotations", segmentation=[1, 2, 3, 4, 5, 6]), "a flat list"),
    "points": (first("annotations", segmentation=[[[1, 2], [3, 4], [5, 6]]]), "no list of numbers"),
    "number as mask": (first("annotations", segmentation=5), "a number where polygons"),
    "far polygon": (first("annotations", segmentation=[[0, 0, 1e9, 0, 1e9, 9]]), "far outside"),
    "RLE of another size": (first("annotations", segmentation={"size": [96, 64], "counts": [6144]}), "with size"),
    "RLE too short": (first("annotations", segmentation={"size": SIZE, "counts": [5, 5]}), "runs of 10 pixels"),
    "RLE of garbage": (first("annotations", segmentation={"size": SIZE, "counts": "o" * 9}), "inside a number"),
    "RLE of one number": (
        first("annotations", segmentation={"size": SIZE, "counts": "o" * 400_000}),
        "longer than any",
    ),
    "RLE without counts": (first("annotations", segmentation={"size": SIZE}), "without counts"),
    "boxes of fractions": (each("annotations", lambda a: a.update(bbox=[0.1, 0.1, 0.4, 0.3])), "less than a pixel"),
    "area 0": (each("annotations", lambda a: a.update(area=0)), "area is above 0"),
    "boxes outside": (each("annotations", lambda a: a.update(bbox=[900, 10, 20, 20])), "objects outside their image"),
    "other images": (each("annotations", lambda a: a.update(image_id=99)), "images that the file lacks"),
    "crowds only": (each("annotations", lambda a: a.update(CROWD)), "got 0: 2 images with crowds only"),
    "leads out": (first("images", file_name="../../../../etc/passwd"), "leads out of it"),
    "absolute": (first("images", file_name="/etc/passwd"), "leads out of it"),
    "missing image": (first("images", file_name="gone.jpg"), "1 of them is not there"),
    "other size": (first("images", width=90), "of 64 x 90 pixels"),
    "huge": (first("images", width=2**31), "a whole number"),
}


@pytest.mark.parametrize(("fault", "words"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_the_training_file_is_one_line(fault: Callable[..., object], words: str, root: Path) -> None:
    change(annotation_file(root), fault)
    assert words in line(root)


EVALUATED: dict[str, tuple[Callable[[Content], object], str]] = {
    "id 0": (first("annotations", id=0), "annotation ids from 1"),
    "id as text": (first("annotations", id="a1"), "the first is 'a1'"),
    "crowd not marked": (each("annotations", lambda a: a.pop("iscrowd")), "'iscrowd' 0 or 1"),
    "two points": (first("annotations", segmentation=[[1, 2, 3, 4], [1, 1, 9, 1, 9, 9]]), "polygons of 3 points"),
    "no annotations": (lambda c: c.pop("annotations"), "format_only=True"),
    "fewer classes": (lambda c: c["categories"].pop(), "'toothbrush'"),
}


@pytest.mark.parametrize(("fault", "words"), EVALUATED.values(), ids=EVALUATED)
def test_what_training_takes_and_evaluation_does_not(fault: Callable[..., object], words: str, root: Path) -> None:
    change(annotation_file(root, "val"), fault)
    text = line(root)
    assert words in text
    assert "val" in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b'{"images": [', "damaged file"),
        (b"null", "found null"),
        (b"[]", "found a list"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"images": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"images": "\xff"}', "utf-8"),
        (b"\x00" * 100, "damaged file"),
        (b'{"images": [NaN]}', "NaN"),
        (b'{"images": [{"id": 1e999}], "categories": []}', "got 'inf'"),
        (b"<html>", "damaged file"),
    ],
    ids=lambda value: str(value[:12]),
)
def test_files_that_are_no_coco_files(content: bytes, words: str, root: Path) -> None:
    annotation_file(root).write_bytes(content)
    text = line(root)
    assert words in text
    assert "instances_train2017.json" in text


@pytest.mark.parametrize("damage", ["empty", "text", "torn", "gif"])
def test_damaged_images_are_named(damage: str, root: Path) -> None:
    image = root / "train2017" / "1.jpg"
    whole = image.read_bytes()
    if damage == "gif":
        Image.new("RGB", (96, 64)).save(image, format="GIF")  # its name is wrong, but it is read
        assert check_data(config(root), LOADERS)
        return
    image.write_bytes({"empty": b"", "text": b"no image", "torn": whole[: len(whole) // 2]}[damage])
    assert str(image) in line(root)


def test_turned_photos_have_the_size_that_opencv_gives(root: Path) -> None:
    image = root / "train2017" / "0.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(image) as photo:
        photo.save(image, exif=exif)
    assert "EXIF" in line(root)
    change(annotation_file(root), first("images", width=64, height=96))
    assert check_data(config(root), LOADERS)


def test_images_that_vanish_when_they_are_resized(root: Path) -> None:
    Image.new("RGB", (5000, 1)).save(root / "val2017" / "0.jpg")
    change(annotation_file(root, "val"), first("images", width=5000, height=1))
    assert "1 x 5000 pixels" in line(root)


def test_boxes_alone(root: Path) -> None:
    for split in ("train", "val"):
        change(annotation_file(root, split), each("annotations", lambda a: a.update(segmentation=[])))
    boxes = {"model.type": "FasterRCNN", "model.roi_head.mask_head": None, "model.roi_head.mask_roi_extractor": None}
    boxes |= {f"{loader}.dataset.pipeline.{i}.with_mask": False for loader, i in zip(LOADERS, (1, 2), strict=True)}
    assert "for the metric 'segm'" in line(root, **boxes)
    assert check_data(config(root, **boxes, **{"val_evaluator.metric": "bbox"}), LOADERS)
    assert "with_mask=True" in line(root, **{"train_dataloader.dataset.pipeline.1.with_mask": False})


def test_a_test_set_without_annotations(root: Path) -> None:
    change(annotation_file(root, "val"), lambda content: content.pop("annotations"))
    options = {"val_evaluator.format_only": True, "val_evaluator.outfile_prefix": "results"}
    assert "0 annotations" in check_data(config(root, **options), LOADERS)[1]


def test_mmdets_own_transform_learns_rle_as_bitmaps_only(root: Path) -> None:
    rle = {"size": SIZE, "counts": [1000, 500, 64 * 96 - 1500]}
    change(annotation_file(root), first("annotations", segmentation=rle))
    place = "train_dataloader.dataset.pipeline.1"
    assert "LoadPolygonsOrRLE" in line(root, **{f"{place}.type": "LoadAnnotations"})
    assert check_data(config(root, **{f"{place}.type": "LoadAnnotations", f"{place}.poly2mask": True}), LOADERS)


def wrapped(cfg: Config, *wrappers: dict[str, Any]) -> Config:
    for wrapper in wrappers:
        inner = cfg.train_dataloader.dataset
        key = {"datasets": [inner, inner]} if wrapper["type"] == "ConcatDataset" else {"dataset": inner}
        cfg.train_dataloader.dataset = {**wrapper, **key}
    return cfg


REPEAT, CONCAT = {"type": "RepeatDataset", "times": 2}, {"type": "ConcatDataset"}
BALANCED = {"type": "ClassBalancedDataset", "oversample_thr": 0.1}


@pytest.mark.parametrize("wrappers", [[REPEAT], [CONCAT], [BALANCED], [CONCAT, REPEAT], [BALANCED, CONCAT, REPEAT]])
def test_wrapped_data_sets_are_moved_and_checked(wrappers: list[dict[str, Any]], root: Path) -> None:
    cfg = wrapped(launch.read_config(DET), *wrappers)
    launch.set_data_root(cfg, str(root))
    init_default_scope(cfg.default_scope)
    assert "4 annotations" in check_data(cfg, LOADERS)[0]
    from mmdet.registry import DATASETS

    assert len(DATASETS.build(cfg.train_dataloader.dataset)) >= 2
    change(annotation_file(root), first("categories", name="Person"))
    with pytest.raises(UserError, match="where the file has 'Person'"):
        check_data(cfg, LOADERS)


def test_arguments_and_evaluators_that_do_not_fit(root: Path, tmp_path: Path) -> None:
    text = line(root, **{"train_dataloader.dataset.metainfo.classes": "balloon"})
    assert "classes=('balloon',)" in text
    assert "nothing" in line(root, **{"train_dataloader.dataset.nothing": 1})
    assert "NoSuchStep" in line(root, **{"train_dataloader.dataset.pipeline.1.type": "NoSuchStep"})
    assert "is not there" in line(root, **{"val_evaluator.ann_file": str(tmp_path / "gone.json")})
    other = coco(tmp_path / "other", [{"image_id": 0, **POLYGON}], images=1)
    assert "lacks some of them" in line(root, **{"val_evaluator.ann_file": str(annotation_file(other, "val"))})


def test_the_real_files_are_read(root: Path) -> None:
    from tests.openmmlab.small import data

    assert read_coco(annotation_file(data("coco_mini"))).annotations
    assert read_runs("") == []
    assert json.loads(annotation_file(root).read_text())["images"][0]["id"] == 0  # image ids may start at 0
