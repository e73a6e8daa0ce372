"""Data sets of the transfer: COCO annotations and index masks, read as ``tools/train.py`` reads them before training."""

from __future__ import annotations

import copy
import json
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.hostile.image_inputs import png
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, file_of, table
from tests.hostile.table_inputs import specials

Content = dict[str, Any]
CLASSES = ("cat", "dog")
HEIGHT, WIDTH = 40, 60
POLYGON = {"bbox": [5.0, 5.0, 30.0, 20.0], "segmentation": [[5, 5, 35, 5, 35, 25, 5, 25]]}
RLE = {"size": [HEIGHT, WIDTH], "counts": [100, 300, HEIGHT * WIDTH - 400]}


def noise(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 60).convert("RGB").save(path)


def content() -> Content:
    return {
        "images": [{"id": k, "file_name": f"{k}.jpg", "width": WIDTH, "height": HEIGHT} for k in range(3)],
        "annotations": [{"id": k + 1, "image_id": k, "category_id": k % 2 + 1, "area": 600.0, "iscrowd": 0, **POLYGON} for k in range(3)],
        "categories": [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)],
    }  # fmt: skip


def coco(change: Callable[[Content], object] | bytes = lambda c: None, folder_change: Callable[[Path], object] = lambda r: None, split: str = "train") -> Make:  # fmt: skip
    """A COCO folder, in which a function changes the annotations of a split, or bytes replace them."""

    def make(folder: Path) -> Path:
        root = folder / "coco"
        (root / "annotations").mkdir(parents=True)
        for name in ("train", "val"):
            for k in range(3):
                noise(root / f"{name}2017" / f"{k}.jpg")
            values = content()
            file = root / "annotations" / f"instances_{name}2017.json"
            if callable(change) and name == split:
                change(values)
            file.write_text(json.dumps(values))
            if isinstance(change, bytes) and name == split:
                file.write_bytes(change)
        folder_change(root)
        return root

    return make


def each(key: str, **values: Any) -> Callable[[Content], object]:
    return lambda c: [entry.update(copy.deepcopy(values)) for entry in c[key]]


def first(key: str, **values: Any) -> Callable[[Content], object]:
    return lambda c: c[key][0].update(values)


def without(key: str, name: str) -> Callable[[Content], object]:
    return lambda c: [entry.pop(name) for entry in c[key]]


def detector_data(root: Path) -> list[str]:
    """The checks of a detector's config on a COCO folder."""
    from mmengine.registry import init_default_scope

    from pinas_zoo.openmmlab import launch
    from pinas_zoo.openmmlab.data_checks import check_data
    from tests.openmmlab.small import DET

    if DET not in _CONFIGS:
        _CONFIGS[DET] = launch.read_config(DET)
    cfg = copy.deepcopy(_CONFIGS[DET])
    for loader in ("train_dataloader", "val_dataloader"):
        cfg[loader].dataset.metainfo = {"classes": CLASSES}
    cfg.model.roi_head.bbox_head.num_classes = cfg.model.roi_head.mask_head.num_classes = len(CLASSES)
    launch.set_data_root(cfg, str(root))
    init_default_scope(cfg.default_scope)
    return check_data(cfg, ("train_dataloader", "val_dataloader"))


_CONFIGS: dict[Path, Any] = {}
VALUES = {
    "null": None,
    "text": "x",
    "list": [1],
    "object": {"a": 1},
    "nan": float("nan"),
    "inf": float("inf"),
    "digits": 10**400,
    "true": True,
}


def _coco() -> dict[str, tuple[Make, Promise]]:
    rows: dict[str, tuple[Make, Promise]] = {"sound": (coco(), Accepted(lambda notes: "3 annotations" in notes[0]))}
    for name, value in VALUES.items():
        for key, field in (("annotations", "bbox"), ("annotations", "category_id"), ("annotations", "image_id"), ("annotations", "segmentation"), ("annotations", "area"), ("annotations", "iscrowd"), ("annotations", "id"), ("images", "file_name"), ("images", "height"), ("images", "id"), ("categories", "name"), ("categories", "id")):  # fmt: skip
            either = (field, name) in (("iscrowd", "true"), ("iscrowd", "null"), ("file_name", "text"), ("name", "text")) or (field.endswith("id") and name in ("text", "true", "digits"))  # fmt: skip
            rows[f"{key}-{field}-{name}"] = (coco(first(key, **{field: value})), Either() if either else Refused())
        rows[f"all-{name}"] = (coco(lambda c, value=value: c.update(annotations=value)), Refused())  # type: ignore[misc]
    for key, field in (("annotations", "bbox"), ("annotations", "category_id"), ("annotations", "image_id"), ("annotations", "segmentation"), ("annotations", "area"), ("annotations", "id"), ("images", "file_name"), ("images", "height"), ("images", "width"), ("images", "id"), ("categories", "name"), ("categories", "id")):  # fmt: skip
        rows[f"no-{key}-{field}"] = (coco(without(key, field)), Refused())
    for key in ("images", "annotations", "categories"):
        rows[f"no-{key}"] = (coco(lambda c, key=key: c.pop(key)), Refused())  # type: ignore[misc]
        rows[f"empty-{key}"] = (coco(lambda c, key=key: c.update({key: []})), Refused())  # type: ignore[misc]
        rows[f"{key}-twice"] = (coco(lambda c, key=key: c[key].append(c[key][0])), Refused())  # type: ignore[misc]
        rows[f"{key}-holds-null"] = (coco(lambda c, key=key: c[key].append(None)), Refused())  # type: ignore[misc]
        rows[f"{key}-is-object"] = (coco(lambda c, key=key: c.update({key: {}})), Refused())  # type: ignore[misc]
    masks: dict[str, Any] = {
        "empty": [], "ints": [1, 2, 3, 4, 5, 6], "points": [[[1, 2], [3, 4], [5, 6]]], "odd": [[1, 2, 3, 4, 5, 6, 7]], "text": [["1", "2", "3", "4", "5", "6"]], "nan": [[float("nan")] * 6], "far": [[0, 0, 1e9, 0, 1e9, 9]], "number": 5,
        "rle-other-size": {"size": [WIDTH, HEIGHT], "counts": RLE["counts"]}, "rle-short": {"size": RLE["size"], "counts": [5, 5]}, "rle-negative": {"size": RLE["size"], "counts": [-5, HEIGHT * WIDTH + 5]}, "rle-huge": {"size": RLE["size"], "counts": [2**62, 5]}, "rle-garbage": {"size": RLE["size"], "counts": "o" * 99},
        "rle-no-counts": {"size": RLE["size"]}, "rle-no-size": {"counts": [5]}, "rle-size-huge": {"size": [2**31, 2**31], "counts": [5]}, "rle-fractions": {"size": RLE["size"], "counts": [0.5, 5]}, "rle-unicode": {"size": RLE["size"], "counts": "\u1234" * 9}, "rle-true": {"size": RLE["size"], "counts": [True, 3]},
    }  # fmt: skip
    rows |= {f"mask-{name}": (coco(each("annotations", segmentation=mask)), Refused()) for name, mask in masks.items()}
    rows |= {
        f"mask-{name}-val": (coco(each("annotations", segmentation=mask), split="val"), Refused())
        for name, mask in masks.items()
        if name in ("ints", "empty", "rle-garbage")
    }
    boxes: dict[str, Any] = {
        "three": [1, 2, 3],
        "five": [1, 2, 3, 4, 5],
        "text": ["1", 2, 3, 4],
        "inf": [1, 2, float("inf"), 4],
        "nan": [float("nan")] * 4,
        "digits": [1, 2, 10**400, 4],
        "nested": [[1], 2, 3, 4],
        "null": [None] * 4,
    }
    rows |= {f"box-{name}": (coco(first("annotations", bbox=box)), Refused()) for name, box in boxes.items()}
    return rows | {
        "rle": (coco(each("annotations", segmentation=RLE)), Accepted()),
        "box-negative": (coco(each("annotations", bbox=[5, 5, -30, -20])), Refused()),
        "box-outside": (coco(each("annotations", bbox=[900, 10, 20, 20])), Refused()),
        "box-of-fractions": (coco(each("annotations", bbox=[0.1, 0.1, 0.4, 0.3])), Refused()),
        "area-0": (coco(each("annotations", area=0)), Refused()),
        "area-negative": (coco(each("annotations", area=-5)), Refused()),
        "crowds-alone": (coco(each("annotations", iscrowd=1, segmentation=RLE)), Refused()),
        "other-images": (coco(each("annotations", image_id=99)), Refused()),
        "other-class": (coco(first("annotations", category_id=99)), Accepted(lambda notes: "categories that the file lacks" in notes[0])),
        "dup-annotation-id": (coco(each("annotations", id=7)), Refused()),
        "class-name-other": (coco(first("categories", name="Cat")), Refused("Cat")),
        "class-escape": (coco(first("categories", name="\x1b[2J")), Refused()),
        "class-more": (coco(lambda c: c["categories"].append({"id": 9, "name": "eel"})), Either()),
        "image-traversal": (coco(first("images", file_name="../../../../etc/passwd")), Refused("leads out")),
        "image-absolute": (coco(first("images", file_name="/etc/passwd")), Refused("leads out")),
        "image-nul": (coco(first("images", file_name="a\0.jpg")), Refused()),
        "image-long": (coco(first("images", file_name="a" * 5000 + ".jpg")), Refused()),
        "image-url": (coco(first("images", file_name="http://127.0.0.1:9/x.jpg")), Refused()),
        "image-gone": (coco(first("images", file_name="gone.jpg")), Refused("not there")),
        "image-other-size": (coco(first("images", width=WIDTH - 1)), Refused("pixels")),
        "image-2e31-wide": (coco(first("images", width=2**31)), Refused()),
        "image-empty": (coco(folder_change=lambda r: (r / "train2017/0.jpg").write_bytes(b"")), Refused("0.jpg")),
        "image-text": (coco(folder_change=lambda r: (r / "train2017/0.jpg").write_bytes(b"no image")), Refused("0.jpg")),
        "image-torn": (coco(folder_change=lambda r: (r / "train2017/0.jpg").write_bytes((r / "train2017/0.jpg").read_bytes()[:500])), Refused("0.jpg")),
        "image-bomb": (coco(folder_change=lambda r: (r / "train2017/0.jpg").write_bytes(png(30000, 30000, 1, 0, zlib.compress(bytes(2**20))))), Refused("0.jpg")),
        "image-pipe": (coco(folder_change=lambda r: ((r / "train2017/0.jpg").unlink(), os.mkfifo(r / "train2017/0.jpg"))), Refused("0.jpg")),
        "image-folder": (coco(folder_change=lambda r: ((r / "train2017/0.jpg").unlink(), (r / "train2017/0.jpg").mkdir())), Refused("0.jpg")),
        "image-device": (coco(folder_change=lambda r: ((r / "train2017/0.jpg").unlink(), (r / "train2017/0.jpg").symlink_to("/dev/zero"))), Refused("0.jpg")),
        "image-eps": (coco(folder_change=lambda r: (r / "train2017/0.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n")), Refused("0.jpg")),
        "image-1x5000-val": (coco(lambda c: c["images"][0].update(width=5000, height=1), lambda r: Image.new("RGB", (5000, 1)).save(r / "val2017/0.jpg"), "val"), Refused()),
        **{f"file-{name}": (coco(text), Refused("instances_train2017.json")) for name, text in {
            "empty": b"", "torn": b'{"images": [', "null": b"null", "list": b"[]", "bom": b"\xef\xbb\xbf{}", "deep": b'{"images": ' + b"[" * 100_000, "not-utf8": b'{"images": "\xff"}', "zeros": bytes(100), "nan": b'{"images": [NaN]}', "html": b"<html>", "number": b"3", "pickle": b"cos\nsystem\n(S'touch EXECUTED'\ntR.", "digits": b'{"images": ' + b"9" * 5000 + b"}",
        }.items()},
        "file-empty-val": (coco(b"", split="val"), Refused("instances_val2017.json")),
        "file-is-pipe": (coco(folder_change=lambda r: ((r / "annotations/instances_train2017.json").unlink(), os.mkfifo(r / "annotations/instances_train2017.json"))), Refused()),
        "file-is-device": (coco(folder_change=lambda r: ((r / "annotations/instances_train2017.json").unlink(), (r / "annotations/instances_train2017.json").symlink_to("/dev/zero"))), Refused()),
        "file-gone": (coco(folder_change=lambda r: (r / "annotations/instances_train2017.json").unlink()), Refused()),
        "root-gone": (lambda folder: folder / "gone", Refused()),
    }  # fmt: skip


# Masks


def stripes(labels: int) -> np.ndarray:
    return np.tile(np.arange(WIDTH, dtype=np.uint8) % labels, (HEIGHT, 1))


def ade(mask: Callable[[int], Any] = lambda k: stripes(3), change: Callable[[Path], object] = lambda r: None) -> Make:
    def make(folder: Path) -> Path:
        root = folder / "ade"
        for split in ("training", "validation"):
            (root / "annotations" / split).mkdir(parents=True)
            for k in range(2):
                noise(root / "images" / split / f"{k}.jpg")
                labels = mask(k) if split == "training" else stripes(3)
                path = root / "annotations" / split / f"{k}.png"
                if isinstance(labels, bytes):
                    path.write_bytes(labels)
                elif labels is not None:
                    (labels if isinstance(labels, Image.Image) else Image.fromarray(labels)).save(path)
        change(root)
        return root

    return make


def segmenter_data(root: Path) -> list[str]:
    """The checks of a segmenter's config, with three classes of one's own, on a folder of images and masks."""
    from mmengine.registry import init_default_scope

    from pinas_zoo.openmmlab import launch
    from pinas_zoo.openmmlab.data_checks import check_data
    from tests.openmmlab.small import SEG

    loaders = ("train_dataloader", "val_dataloader")
    if SEG not in _CONFIGS:
        _CONFIGS[SEG] = launch.read_config(SEG)
    cfg = copy.deepcopy(_CONFIGS[SEG])
    for loader in loaders:
        dataset = cfg[loader].dataset
        dataset.update(type="BaseSegDataset", metainfo={"classes": ("road", "car", "sky")})
        for step in dataset.pipeline:
            step.pop("reduce_zero_label", None)
    cfg.model.decode_head.num_classes = cfg.model.auxiliary_head.num_classes = 3
    launch.set_data_root(cfg, str(root))
    init_default_scope(cfg.default_scope)
    return check_data(cfg, loaders)


def mask_file(how: Callable[[Path], object]) -> Callable[[Path], object]:
    """Replaces one training mask."""

    def change(root: Path) -> None:
        path = root / "annotations/training/1.png"
        path.unlink()
        how(path)

    return change


def image_file(data: bytes) -> Callable[[Path], object]:
    return lambda root: (root / "images/training/1.jpg").write_bytes(data)


def torn(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:300])


def palette() -> Image.Image:
    image = Image.fromarray(stripes(3)).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    return image


MASKS: dict[str, tuple[Make, Promise]] = {
    "sound": (ade(), Accepted()),
    "palette": (ade(lambda k: palette()), Accepted()),
    "sixteen-bits": (ade(lambda k: stripes(3).astype(np.uint16)), Accepted()),
    "one-bit": (ade(lambda k: Image.fromarray(stripes(2) > 0)), Accepted()),
    "ignored": (ade(lambda k: np.where(stripes(4) == 3, 255, stripes(4)).astype(np.uint8)), Accepted()),
    **{name: (ade(mask), Refused()) for name, mask in {
        "values-200": lambda k: stripes(2) * 200, "values-255": lambda k: stripes(2) * 255, "from-1": lambda k: stripes(3) + 1, "one-too-many": lambda k: stripes(4), "sixteen-bits-beyond": lambda k: stripes(3).astype(np.uint16) * 256,
        "rgb": lambda k: np.stack([stripes(3) * 100] * 3, -1), "rgba": lambda k: np.stack([stripes(3)] * 4, -1), "grey-alpha": lambda k: Image.fromarray(stripes(3)).convert("LA"), "one-class": lambda k: stripes(1) + 1, "all-ignored": lambda k: stripes(1) + 255,
        "other-size": lambda k: stripes(3)[:20], "turned": lambda k: stripes(3).T.copy(), "missing": lambda k: None if k else stripes(3), "empty": lambda k: b"", "text": lambda k: b"mask", "html": lambda k: b"<html>", "one-pixel": lambda k: stripes(3)[:1, :1],
        "bomb": lambda k: png(30000, 30000, 1, 0, zlib.compress(bytes(2**20))), "says-2e31": lambda k: png(2**31 - 1, 2**31 - 1), "eps": lambda k: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n",
    }.items()},
    "torn": (ade(change=mask_file(torn)), Refused("1.png")),
    "jpeg": (ade(change=mask_file(lambda p: Image.fromarray(stripes(3)).save(p, "JPEG"))), Refused("JPEG")),
    "float-tiff": (ade(change=mask_file(lambda p: Image.fromarray(stripes(3).astype(np.float32)).save(p, "TIFF"))), Refused()),
    "pipe": (ade(change=mask_file(os.mkfifo)), Refused("1.png")),
    "folder": (ade(change=mask_file(Path.mkdir)), Refused()),
    "device": (ade(change=mask_file(lambda p: p.symlink_to("/dev/zero"))), Refused("1.png")),
    "dangling": (ade(change=mask_file(lambda p: p.symlink_to("gone"))), Refused()),
    "image-empty": (ade(change=image_file(b"")), Refused("1.jpg")),
    "image-text": (ade(change=image_file(b"no image")), Refused("1.jpg")),
    "image-bomb": (ade(change=image_file(png(30000, 30000, 1, 0, zlib.compress(bytes(2**20))))), Refused("1.jpg")),
    "image-1x5000": (ade(change=lambda r: Image.new("RGB", (5000, 1)).save(r / "images/training/0.jpg")), Refused()),
    "image-pipe": (ade(change=lambda r: ((r / "images/training/0.jpg").unlink(), os.mkfifo(r / "images/training/0.jpg"))), Accepted(lambda notes: "1 images" in notes[0])),  # mmseg lists files alone
    "png-of-17-bits": (ade(lambda k: png(WIDTH, HEIGHT, 17, 0, b"")), Refused()),
    "png-bad-checksum": (ade(lambda k: png(WIDTH, HEIGHT, 8, 0, zlib.compress(bytes((WIDTH + 1) * HEIGHT))).replace(struct.pack(">I", WIDTH), struct.pack(">I", WIDTH + 1))), Refused()),
    "no-masks": (ade(lambda k: None), Refused()),
    "root-gone": (lambda folder: folder / "gone", Refused()),
}  # fmt: skip


def coco_file(path: Path) -> Any:
    from pinas_zoo.openmmlab.coco_annotations import read_coco

    return read_coco(path)


def mmengine_weights(path: Path) -> Mapping[str, Any]:
    from pinas_zoo.openmmlab.checkpoints import read_weights

    return read_weights(str(path))


def inputs() -> tuple[Input, ...]:
    weights: dict[str, tuple[Make, Promise]] = {
        **{name: (file_of(data, "x.pth"), Refused()) for name, data in {"empty": b"", "pickle": b"cos\nsystem\n(S'touch EXECUTED'\ntR.", "zip": b"PK\x03\x04" + bytes(100), "html": b"<html>", "zeros": bytes(5000)}.items()},
        **{f"is-{kind}": value for kind, value in specials("x.pth").items() if kind in ("folder", "gone", "pipe", "device")},
    }  # fmt: skip
    files = {kind: (make, Refused()) for kind, (make, _) in specials("x.json").items() if kind != "sparse-3gib"}
    return (
        *table("coco", detector_data, _coco()),
        *table("annotations", coco_file, files),
        *table("ade", segmenter_data, MASKS),
        *table("load-from", mmengine_weights, weights),
    )
