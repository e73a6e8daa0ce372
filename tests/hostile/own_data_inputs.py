"""Folders of users' own images, as ``pinas-zoo new-config`` looks at them, and the configs that it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pinas_zoo.openmmlab.launch import read_config
from pinas_zoo.openmmlab.new_config import new_config
from tests.hostile.dataset_inputs import coco, each, first
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, table
from tests.hostile.table_inputs import sparse, special
from tests.openmmlab.new_config.made_folders import image, mask

Change = Callable[[Path], object]
BACKBONE = "0" * 16
LOADED = ("sound", "class-", "names-", "root-", "mask-144mp", "lists-3gib", "file-3gib")  # and slow ones


def written(task: str, loads: bool) -> Callable[[Path], Any]:
    """A reader that writes a config; with ``loads``, the config must have the classes that were found."""

    def read(root: Path) -> Any:
        done = new_config(task, root, BACKBONE, "cfg.py", weights="none")
        assert "\x1b" not in Path("cfg.py").read_text("utf-8")
        assert all(len(note.splitlines()) == 1 for note in done.notes)
        if loads:
            dataset = read_config("cfg.py").train_dataloader.dataset
            assert tuple(dataset["metainfo"]["classes"]) == tuple(done.classes)
        return done

    return read


def beside(name: str, data: bytes) -> Change:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    return change


def plain_names(root: Path) -> None:
    """Annotations without COCO's usual names, so that every JSON file is looked at."""
    for file in (root / "annotations").iterdir():
        file.rename(file.with_name(file.name.removeprefix("instances_")))


def put(name: str, kind: str) -> Change:
    def change(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        special(Path(name).name, kind)((root / name).parent)

    return change


NAMES = {"quote": "a'b\"c", "lines": "a\nb", "backslash": "a\\", "template": "{{ fileDirname }}", "template-import": "{{ _base_.x }}", "triple": '"""', "escape": "\x1b[2J", "bidi": "\u202ea", "surrogate": "a\udce9", "code": "'); import os; os.system('touch EXECUTED'); ('", "long": "x" * 5000, "emoji": "🙂", "percent": "%s%n", "format": "{0.__class__}", "space": " "}  # fmt: skip
SPLITS = ("train", "val")


def both(**category: Any) -> Make:
    """A COCO folder, of both files of which the first category is changed."""

    def change(root: Path) -> None:
        for split in SPLITS:
            file = root / "annotations" / f"instances_{split}2017.json"
            values = json.loads(file.read_text())
            values["categories"][0].update(category)
            file.write_text(json.dumps(values))

    return coco(folder_change=change)


TRAIN = "annotations/instances_train2017.json"
COCO: dict[str, tuple[Make, Promise]] = {
    "sound": (coco(), Accepted(lambda done: done.classes == ("cat", "dog"))),
    **{f"class-{name}": (both(name=text), Either()) for name, text in NAMES.items()},
    "class-id-text": (both(id="1"), Either()),
    "images-twice": (coco(lambda c: c["images"].append(c["images"][0])), Refused("once")),
    "boxes-outside": (coco(each("annotations", bbox=[900, 10, 20, 20])), Either()),
    "box-nan": (coco(first("annotations", bbox=[float("nan")] * 4)), Refused()),
    "mask-garbage": (coco(each("annotations", segmentation={"size": [40, 60], "counts": "o" * 99})), Either()),
    "mask-ints": (coco(each("annotations", segmentation=[1, 2, 3])), Refused()),
    "mask-empty-polygon": (coco(each("annotations", segmentation=[[]]), split="val"), Either()),
    "crowds-alone": (coco(each("annotations", iscrowd=1)), Refused("crowds")),
    "other-images": (coco(each("annotations", image_id=99)), Either()),
    "image-traversal": (coco(first("images", file_name="../../../../etc/passwd")), Either()),
    "image-absolute": (coco(each("images", file_name="/etc/passwd")), Either()),
    "image-long": (coco(each("images", file_name="a" * 5000)), Refused()),
    "images-gone": (coco(folder_change=lambda r: [p.unlink() for p in r.rglob("*.jpg")]), Refused("found none")),
    "sizes-2e30": (coco(each("images", width=2**30, height=1)), Either()),
    "file-3gib": (coco(folder_change=lambda r: (plain_names(r), sparse("more.json")(r))), Refused("more.json")),
    "file-torn": (coco(folder_change=lambda r: (plain_names(r), beside("more.json", b'{"images": [')(r))), Refused("more.json")),
    "file-deep": (coco(folder_change=lambda r: (plain_names(r), beside("more.json", b"[" * 100_000)(r))), Refused("more.json")),
    "file-not-utf8": (coco(folder_change=lambda r: (plain_names(r), beside("more.json", b'{"\xff": 1}')(r))), Refused("more.json")),
    **{f"file-{kind}": (coco(folder_change=put("more.json", kind)), Accepted()) for kind in ("pipe", "device", "loop")},
    **{f"train-{kind}": (coco(folder_change=put(TRAIN, kind)), Either()) for kind in ("pipe", "device", "loop", "folder")},
    "train-torn": (coco(b'{"images": ['), Refused("instances_train2017.json")),
    "train-empty": (coco(b""), Refused("instances_train2017.json")),
    "train-3gib": (coco(folder_change=lambda r: sparse(TRAIN)(r)), Refused("instances_train2017.json")),
    "loop": (coco(folder_change=lambda r: (r / "loop").symlink_to("..")), Accepted()),
    "folder-not-utf8": (coco(folder_change=lambda r: (r / "z\udce9").mkdir()), Accepted()),
    "folder-escape": (coco(folder_change=lambda r: (r / "\x1b[2J").mkdir()), Accepted()),
    "root-not-utf8": (lambda folder: coco()(folder).rename(folder / "z\udce9"), Either()),
    "root-template": (lambda folder: coco()(folder).rename(folder / "{{ fileDirname }}"), Accepted()),
    "root-code": (lambda folder: coco()(folder).rename(folder / "a'); open('EXECUTED', 'w'); ('"), Accepted()),
    "root-is-file": (lambda folder: (beside("x", b"")(folder), folder / "x")[1], Refused("a file")),
    "root-empty": (lambda folder: (folder / "empty", (folder / "empty").mkdir())[0], Refused("found none")),
    "root-device": (lambda folder: Path("/dev/null"), Refused()),
}  # fmt: skip


def roads(change: Change = lambda root: None) -> Make:
    """Images with index masks of three classes, in which something is changed."""

    def make(folder: Path) -> Path:
        root = folder / "roads"
        for split in SPLITS:
            for k in range(3):
                image(root / "images" / split / f"{k}.png")
                mask(root / "masks" / split / f"{k}.png", (0, 1, 2))
        change(root)
        return root

    return make


def as_mask(made: Image.Image, name: str = "masks/train/0.png") -> Change:
    return lambda root: made.save(root / name)


HUGE = Image.new("L", (16000, 9000))
ONE = "masks/train/0.png"
ROADS: dict[str, tuple[Make, Promise]] = {
    "sound": (roads(), Accepted(lambda done: len(done.classes) == 3)),
    **{f"names-{name}": (roads(beside("classes.txt", f"{text}\ncar\nsky\n".encode("utf-8", "surrogateescape"))), Either()) for name, text in NAMES.items()},
    **{f"names-json-{name}": (roads(beside("classes.json", text)), Refused("classes.json")) for name, text in {
        "empty": b"", "deep": b"[" * 100_000, "not-utf8": b'["\xff"]', "numbers": b"[1, 2, 3]", "twice": b'["a", "a", "b"]', "gaps": b'{"0": "a", "9": "b"}', "digits": b'{"' + b"9" * 5000 + b'": "a"}', "nested": b'{"0": ["a"]}', "null": b"null", "text": b'"abc"',
    }.items()},
    "names-few": (roads(beside("classes.txt", b"road\n")), Refused("classes.txt")),
    "names-3gib": (roads(lambda r: sparse("classes.txt")(r)), Either()),
    **{f"names-{kind}": (roads(put("classes.txt", kind)), Either()) for kind in ("pipe", "device", "loop", "folder")},
    "lists-3gib": (lambda folder: _one_folder(folder, lambda r: (sparse("train.txt")(r), beside("val.txt", b"0\n")(r))), Either()),
    "lists-not-utf8": (lambda folder: _one_folder(folder, lambda r: (beside("train.txt", b"\xff\n0\n")(r), beside("val.txt", b"1\n")(r))), Either()),
    "mask-rgb": (roads(as_mask(Image.new("RGB", (64, 48)), ONE)), Refused(ONE)),
    "mask-16-bits": (roads(as_mask(Image.fromarray(np.full((48, 64), 2, np.uint16)), ONE)), Accepted()),
    "mask-16-bits-beyond": (roads(as_mask(Image.fromarray(np.full((48, 64), 60000, np.uint16)), ONE)), Refused()),
    "mask-32-bits-negative": (roads(as_mask(Image.fromarray(np.full((48, 64), -5, np.int32)).convert("I"), "masks/train/0.tif")), Either()),
    "mask-float": (roads(lambda r: ((r / ONE).unlink(), Image.fromarray(np.full((48, 64), np.nan, np.float32)).save(r / "masks/train/0.tif"))), Refused("0.tif")),
    "mask-cmyk": (roads(lambda r: ((r / ONE).unlink(), Image.new("CMYK", (64, 48)).save(r / "masks/train/0.tif"))), Refused("0.tif")),
    "mask-jpeg-named-png": (roads(lambda r: Image.new("L", (64, 48)).save(r / ONE, format="JPEG")), Refused(ONE)),
    "mask-other-size": (roads(as_mask(Image.new("L", (48, 64)), ONE)), Refused(ONE)),
    "mask-empty": (roads(beside(ONE, b"")), Refused(ONE)),
    "mask-torn": (roads(lambda r: (r / ONE).write_bytes((r / ONE).read_bytes()[:60])), Refused(ONE)),
    "mask-eps": (roads(beside(ONE, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n")), Refused(ONE)),
    "mask-144mp": (roads(lambda r: (HUGE.save(r / ONE), HUGE.save(r / "images/train/0.png"))), Refused(ONE)),
    "masks-of-one-class": (roads(lambda r: [Image.new("L", (64, 48)).save(p) for p in (r / "masks").rglob("*.png")]), Refused("two classes")),
    "masks-all-255": (roads(lambda r: [Image.new("L", (64, 48), 255).save(p) for p in (r / "masks").rglob("*.png")]), Refused()),
    **{f"mask-{kind}": (roads(put(ONE, kind)), Either()) for kind in ("pipe", "device", "loop", "folder")},
    "image-torn": (roads(beside("images/train/0.png", b"\x89PNG\r\n\x1a\n")), Refused("0.png")),
    "image-name-escape": (roads(lambda r: [(r / part / "train/0.png").rename(r / part / "train/\x1b[2J.png") for part in ("images", "masks")]), Either()),
    "image-name-not-utf8": (roads(lambda r: [(r / part / "train/0.png").rename(r / part / "train/z\udce9.png") for part in ("images", "masks")]), Either()),
    "image-name-lines": (roads(lambda r: [(r / part / "train/0.png").rename(r / part / "train/a\nb.png") for part in ("images", "masks")]), Either()),
    "loop": (roads(lambda r: (r / "images/train/loop").symlink_to("../..")), Accepted()),
    "masks-alone": (roads(lambda r: [p.unlink() for p in (r / "images").rglob("*.png")]), Refused()),
}  # fmt: skip


def _one_folder(folder: Path, change: Change) -> Path:
    for k in range(4):
        image(folder / "one" / f"{k}.jpg")
        mask(folder / "one" / f"{k}.png", (0, 1))
    change(folder / "one")
    return folder / "one"


BACKBONES: dict[str, str] = {"nothing": "evil", "digits-long": "0" * 100_000, "digits-short": "01", "out": "../../x", "device": "/dev/zero", "escape": "\x1b[2J", "nul": "a\0", "hub": "hf-hub:../x"}  # fmt: skip


def backbone(material: tuple[Path, str]) -> Any:
    root, word = material
    return new_config("seg", root, word, "cfg.py", weights="none")


def _parts(rows: dict[str, tuple[Make, Promise]], loaded: bool) -> dict[str, tuple[Make, Promise]]:
    """The inputs whose config is read, or the others: a config takes half a second."""
    return {name: row for name, row in rows.items() if name.startswith(LOADED) == loaded}


def inputs() -> tuple[Input, ...]:
    words: dict[str, tuple[Make, Promise]] = {
        name: (lambda folder, word=word: (roads()(folder), word), Refused()) for name, word in BACKBONES.items()
    }
    return (
        *table("new-det", written("det", loads=False), _parts(COCO, loaded=False)),
        *table("new-seg", written("seg", loads=False), _parts(ROADS, loaded=False)),
        *table("new-backbone", backbone, words),
    )


def slow_inputs() -> tuple[Input, ...]:
    return (
        *table("new-det", written("det", loads=True), _parts(COCO, loaded=True)),
        *table("new-seg", written("seg", loads=True), _parts(ROADS, loaded=True)),
    )
