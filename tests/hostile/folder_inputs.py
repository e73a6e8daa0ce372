"""Data folders, tar files of folders and shards: links, loops, devices, names, splits, labels, headers that lie."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from pinas_zoo.data.options import Data
from pinas_zoo.data.splits import Splits, load_splits
from tests.hostile.image_inputs import encoded
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, table

HUGE = 3 * 2**30
PNG = encoded("PNG", size=(8, 8))


def read(options: Mapping[str, Any]) -> Splits:
    """A run's images, decoded to their end."""
    found = load_splits(Data(**{"image_size": 8, "val_per_class": 1, **options}), seed=0)
    for part in (found.train, found.val, found.test):
        for _ in part.batches(64):
            pass
    return found


def images(folder: Path, count: int = 3, ending: str = "png", size: tuple[int, int] = (8, 8)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        Image.new("RGB", size, (40 * k, 9, len(folder.name))).save(folder / f"{k}.{ending}")


def root(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), ending: str = "png") -> Path:
    for split in ("train", "validation"):
        for name in classes:
            images(folder / "data" / split / name, ending=ending)
    return folder / "data"


def tree(change: Callable[[Path], object] = lambda r: None, **options: Any) -> Make:
    """A sound folder of two classes, which a function of its root changes."""

    def make(folder: Path) -> dict[str, Any]:
        change(root(folder))
        return {"root": str(folder / "data"), **options}

    return make


def counts(train: int, *names: str) -> Callable[[Splits], bool]:
    """Training images before any are held out, and the classes."""
    return lambda s: len(s.train) + len(s.val) == train and s.class_names == names


def link(place: str, target: str) -> Callable[[Path], object]:
    return lambda r: (r / place).symlink_to(target)


def nested(r: Path, depth: int) -> None:
    deep = r / "train" / "cat" / "/".join("d" * 1 for _ in range(depth))
    images(deep, 1)


def links_of_links(r: Path) -> None:
    """Folders that link to each other: 2^20 paths to the same image."""
    for k in range(20):
        (r / "train" / "cat" / f"l{k}").mkdir()
        for side in "ab":
            (r / "train" / "cat" / f"l{k}" / side).symlink_to(f"../l{k + 1}")
    images(r / "train" / "cat" / "l20", 1)


FOLDERS: dict[str, tuple[Make, Promise]] = {
    "sound": (tree(), Accepted(counts(6, "cat", "dog"))),
    "symlink-to-root": (tree(link("train/cat/loop", "../../..")), Accepted(counts(6, "cat", "dog"))),
    "symlink-to-itself": (tree(link("train/cat/loop", ".")), Accepted(counts(6, "cat", "dog"))),
    "symlink-to-split": (tree(link("train/cat/loop", "..")), Accepted(counts(6, "cat", "dog"))),
    "symlink-to-filesystem": (tree(link("train/cat/loop", "/proc/self/root/proc/self/task")), Either()),
    "symlinks-to-each-other": (tree(lambda r: (link("train/cat/a", "b")(r), link("train/cat/b", "a")(r))), Either()),
    "links-of-links": (tree(links_of_links), Accepted(counts(7, "cat", "dog"))),
    "dangling-folder": (tree(link("train/cat/gone", "nowhere")), Either()),
    "dangling-image": (tree(link("train/cat/gone.png", "nowhere.png")), Refused()),
    "image-is-folder": (tree(lambda r: images(r / "train" / "cat" / "x.png")), Refused("folder")),
    "image-is-pipe": (tree(lambda r: os.mkfifo(r / "train" / "cat" / "x.png")), Refused("pipe")),
    "image-is-pipe-lazy": (tree(lambda r: os.mkfifo(r / "train" / "cat" / "x.png"), memory_gib=0), Refused("pipe")),
    "image-is-dev-zero": (tree(link("train/cat/x.png", "/dev/zero")), Refused("no file")),
    "image-is-dev-zero-lazy": (tree(link("train/cat/x.png", "/dev/zero"), memory_gib=0), Refused("no file")),
    "image-is-empty": (tree(lambda r: (r / "train/cat/x.png").write_bytes(b"")), Refused("empty")),
    "image-is-empty-lazy": (tree(lambda r: (r / "train/cat/x.png").write_bytes(b""), memory_gib=0), Refused("empty")),
    "image-is-torn": (tree(lambda r: (r / "train/cat/x.png").write_bytes(PNG[:60])), Refused("x.png")),
    "image-is-torn-lazy": (tree(lambda r: (r / "train/cat/x.png").write_bytes(PNG[:60]), memory_gib=0), Refused("x.png")),
    "image-is-eps": (tree(lambda r: (r / "train/cat/x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")), Refused("x.png")),
    "eps-beside": (tree(lambda r: (r / "train/cat/x.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")), Accepted(counts(6, "cat", "dog"))),
    "hidden-files": (tree(lambda r: (r / "train/cat/._0.png").write_bytes(b"mac")), Accepted(counts(6, "cat", "dog"))),
    "macosx": (tree(lambda r: images(r / "train" / "__MACOSX" / "cat")), Accepted(counts(6, "cat", "dog"))),
    "empty-class": (tree(lambda r: (r / "train" / "eel").mkdir()), Accepted(counts(6, "cat", "dog"))),
    "class-of-text": (tree(lambda r: ((r / "train" / "eel").mkdir(), (r / "train/eel/a.txt").write_text("x"))), Refused("eel")),
    "class-in-train-alone": (tree(lambda r: images(r / "train" / "eel")), Refused("eel")),
    "class-case": (tree(lambda r: (r / "validation" / "cat").rename(r / "validation" / "Cat")), Refused("Cat")),
    "only-webp-class": (tree(lambda r: [images(r / s / "eel", ending="webp") for s in ("train", "validation")]), Accepted(counts(9, "cat", "dog", "eel"))),
    "day-and-night": (tree(lambda r: (images(r / "train/cat/day"), images(r / "train/dog/night"))), Accepted(counts(12, "cat", "dog"))),
    "one-class": (tree(lambda r: [__import__("shutil").rmtree(r / s / "dog") for s in ("train", "validation")]), Either()),
    "one-image-a-class": (tree(val_per_class=3), Refused("val_per_class")),
    "no-classes": (tree(lambda r: [(r / "train" / c).rename(r / c) for c in ("cat", "dog")]), Refused()),
    "nothing": (lambda folder: {"root": str(folder)}, Refused()),
    "gone": (lambda folder: {"root": str(folder / "gone")}, Refused("gone")),
    "root-is-file": (lambda folder: ((folder / "data").write_text("x"), {"root": str(folder / "data")})[1], Refused()),
    "root-is-device": (lambda folder: {"root": "/dev/zero"}, Refused()),
    "split-is-file": (tree(lambda r: (r / "extra").write_text("x"), train_split="extra"), Refused()),
    "split-dotdot": (tree(train_split=".."), Refused()),
    "split-dots-inside": (tree(train_split="train/../validation", test_split="validation"), Refused()),
    "split-same": (tree(test_split="train"), Refused()),
    "split-same-slash": (tree(train_split="validation/", test_split="validation"), Refused()),
    "split-same-dot": (tree(train_split="./validation", test_split="validation"), Refused()),
    "split-absolute": (tree(train_split="/etc"), Refused()),
    "split-link-to-the-other": (tree(link("third", "validation"), train_split="third"), Refused()),
    "split-within-the-other": (tree(train_split=".", test_split="validation"), Refused()),
    "split-nul": (tree(train_split="tra\0in"), Refused()),
    "split-empty": (tree(train_split=""), Refused()),
    "split-long": (tree(train_split="a" * 5000), Refused()),
    "held-out-through-a-link": (tree(link("train/cat/copies", "../../validation/cat")), Refused()),
    "not-utf8": (tree(lambda r: [images_bytes(r, s) for s in ("train", "validation")]), Accepted(lambda s: len(s.class_names) == 3 and s.class_names[2].encode())),
    "escapes-in-a-name": (tree(lambda r: [images(r / s / "e\x1b[2J\n") for s in ("train", "validation")]), Accepted(lambda s: len(s.class_names) == 3)),  # escaped where it is printed
    "many-digits-in-a-name": (tree(lambda r: [images(r / s / ("9" * 200)) for s in ("train", "validation")]), Accepted()),
    "dot-dot-in-a-name": (tree(lambda r: [images(r / s / "..x") for s in ("train", "validation")]), Either()),
    "depth-60": (tree(lambda r: nested(r, 60)), Accepted(counts(7, "cat", "dog"))),
    "depth-400": (tree(lambda r: nested(r, 400)), Refused()),
    "no-permission": (tree(lambda r: (r / "train" / "cat").chmod(0)), Either()),
    "size-20000x1": (tree(lambda r: Image.new("RGB", (20000, 1)).save(r / "train/cat/x.png"), image_size=224), Accepted(counts(7, "cat", "dog"))),
    "size-1x20000-jpeg": (tree(lambda r: Image.new("RGB", (1, 20000)).save(r / "train/cat/x.jpg"), image_size=64), Accepted(counts(7, "cat", "dog"))),
    "bomb-900mp": (tree(lambda r: (r / "train/cat/x.png").write_bytes(bomb())), Refused("pixels")),
    "bomb-900mp-lazy": (tree(lambda r: (r / "train/cat/x.png").write_bytes(bomb()), memory_gib=0), Refused("pixels")),
    "mean-alone": (tree(mean=(0.5, 0.5, 0.5)), Refused("data.std")),
    "unknown-type": (tree(type="torch"), Refused()),
    "unknown-reader": (tree(name="nosuch/reader"), Accepted(counts(6, "cat", "dog"))),  # timm reads folders then
    "reader-of-hub": (tree(name="hfds/user/data"), Refused()),
    "max-train-1": (tree(max_train=1), Refused()),
}  # fmt: skip


def images_bytes(r: Path, split: str) -> None:
    folder = os.fsencode(r / split) + b"/z\xe9\xff"
    os.mkdir(folder)
    for k in range(3):
        with open(folder + b"/%d.png" % k, "wb") as file:
            file.write(PNG)


def bomb() -> bytes:
    import zlib

    from tests.hostile.image_inputs import png

    return png(30000, 30000, 1, 0, zlib.compress(bytes(2**20)))


# Tar files


def tar(path: Path, members: Mapping[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """A header with any size, negative and huge ones too."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (b"\xff" if size < 0 else b"\x80") + (size % 2**88).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(**fields: str) -> bytes:
    body = b""
    for key, value in fields.items():
        record = f" {key.replace('__', '.')}={value}\n".encode()
        length = len(record) + len(str(len(record) + 2))
        body += str(length).encode() + record
    return header("pax", len(body), tarfile.XHDTYPE) + body + b"\0" * (-len(body) % 512)


def shard(change: Callable[[dict[str, bytes]], object] = lambda m: None, **options: Any) -> Make:
    """Shards of two classes, whose training members a function changes."""

    def make(folder: Path) -> dict[str, Any]:
        for split in ("train", "validation"):
            members: dict[str, bytes] = {}
            for k in range(6):
                members[f"{k}.png"] = PNG
                members[f"{k}.cls"] = b"%d" % (k % 2)
            if split == "train":
                change(members)
            tar(folder / "data" / f"{split}-0000.tar", members)
        return {"name": "wds/", "root": str(folder / "data"), **options}

    return make


def raw(content: bytes, sparse: int = 0) -> Make:
    """Shards of which the training one has this content, and then a hole up to a size."""

    def make(folder: Path) -> dict[str, Any]:
        options: dict[str, Any] = shard()(folder)
        with (folder / "data" / "train-0000.tar").open("wb") as file:
            file.write(content)
            if sparse:
                file.truncate(sparse)
        return options

    return make


def label(text: bytes) -> Make:
    return shard(lambda members: members.update({"0.cls": text}))


def in_json(text: bytes) -> Make:
    def change(members: dict[str, bytes]) -> None:
        for k in range(6):
            del members[f"{k}.cls"]
            members[f"{k}.json"] = b'{"label": %d}' % (k % 2)
        members["0.json"] = b'{"label": ' + text + b"}"

    return shard(change)


def info(content: bytes) -> Make:
    def make(folder: Path) -> dict[str, Any]:
        options: dict[str, Any] = shard()(folder)
        (folder / "data" / "_info.json").write_bytes(content)
        return options

    return make


def splits_json(**splits: Any) -> bytes:
    sound = {s: {"filenames": [f"{s}-0000.tar"], "num_samples": 6} for s in ("train", "validation")}
    return json.dumps({"splits": {**sound, **splits}}).encode()


SHARDS: dict[str, tuple[Make, Promise]] = {
    "sound": (shard(), Accepted(lambda s: len(s.train) + len(s.val) == 6 and s.num_classes == 2)),
    **{f"label-{name}": (label(text), Refused("class number")) for name, text in {
        "1e9-digits": b"9" * 5000, "1e30": b"1000000000000000000000000000000", "float": b"1e30", "empty": b"", "text": b"cat",
        "nan": b"nan", "underscore": b"1_0", "2e62": b"4611686018427387904", "hex": b"0x1", "utf16": "1".encode("utf-16"),
    }.items()},
    "label-1e9": (label(b"1000000000"), Refused()),
    "label-77": (label(b"77"), Refused()),
    "label-negative": (label(b"-1"), Accepted()),
    "label-with-space": (label(b" 1\n"), Accepted()),
    "label-missing": (shard(lambda m: m.pop("0.cls")), Refused("label")),
    **{f"json-{name}": (in_json(text), Refused()) for name, text in {
        "bool": b"true", "1e30": b"1e30", "nan": b"NaN", "infinity": b"Infinity", "1.5": b"1.5", "null": b"null", "list": b"[1]",
        "text": b'"x"', "digits": b"1" + b"0" * 400, "deep": b"[" * 100_000, "object": b"{}", "torn": b'"',
    }.items()},
    "json-long": (in_json(b"0" + b" " * 2**21), Refused()),
    "image-torn": (shard(lambda m: m.update({"0.png": PNG[:50]})), Refused()),
    "image-empty": (shard(lambda m: m.update({"0.png": b""})), Refused()),
    "image-eps": (shard(lambda m: m.update({"0.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"})), Refused()),
    "image-bomb": (shard(lambda m: m.update({"0.png": bomb()})), Refused("pixels")),
    "name-traversal": (shard(lambda m: m.update({"../../out.png": PNG, "../../out.cls": b"0"})), Accepted()),
    "name-absolute": (shard(lambda m: m.update({"/tmp/out.png": PNG, "/tmp/out.cls": b"0"})), Accepted()),
    "name-escape": (shard(lambda m: m.update({"\x1b[2J.png": PNG, "\x1b[2J.cls": b"0"})), Accepted()),
    "no-images": (shard(lambda m: [m.pop(f"{k}.png") for k in range(6)]), Refused()),
    "gaps-in-classes": (shard(lambda m: m.update({"0.cls": b"3"})), Refused()),
    "longname-3gib": (raw(header("././@LongLink", HUGE, tarfile.GNUTYPE_LONGNAME), HUGE + 4096), Refused()),
    "longlink-3gib": (raw(header("././@LongLink", HUGE, tarfile.GNUTYPE_LONGLINK), HUGE + 4096), Refused()),
    "pax-3gib": (raw(header("pax", HUGE, tarfile.XHDTYPE), HUGE + 4096), Refused()),
    "global-pax-3gib": (raw(header("pax", HUGE, tarfile.XGLTYPE), HUGE + 4096), Refused()),
    "image-3gib": (raw(header("0.png", HUGE) , HUGE + 4096), Refused()),
    "pax-negative": (raw(header("pax", -1024, tarfile.XHDTYPE)), Refused()),
    "member-negative": (raw(header("0.png", -512)), Refused()),
    "member-back-to-itself": (raw(header("0.png", -1536) * 4), Refused()),
    "member-2e60": (raw(header("0.png", 2**60)), Refused()),
    "pax-3000-times": (raw(pax(path="x") * 3000), Refused()),
    "pax-size-negative": (raw(pax(size="-100000") + header("0.png", 0)), Refused()),
    "pax-size-googol": (raw(pax(size="9" * 100) + header("0.png", 0)), Refused()),
    "pax-path-nul": (raw(pax(path="a\0b.png") + header("0.png", 0) + bytes(1024)), Refused()),
    "sparse-members": (raw(pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__realsize="999999999999") + header("0.png", 512) + b"1000000000000\n" + b"1\n" * 249), Refused()),
    "links-alone": (raw(header("0.png", 0, tarfile.SYMTYPE, "/etc/passwd") + header("0.cls", 0, tarfile.LNKTYPE, "/etc/passwd") + bytes(1024)), Refused()),
    "devices-alone": (raw(header("0.png", 0, tarfile.CHRTYPE) + header("1.png", 0, tarfile.FIFOTYPE) + bytes(1024)), Refused()),
    "gzip": (raw(gzip.compress(header("0.png", 0) + bytes(1024))), Refused()),
    "not-a-tar": (raw(b"not a tar file" * 100), Refused()),
    "empty-file": (raw(b""), Refused()),
    "zeros": (raw(bytes(10240)), Refused()),
    "torn-member": (raw(header("0.png", 4096) + bytes(512)), Refused()),
    "torn-header": (raw(header("0.png", 0)[:300]), Refused()),
    "bad-checksum": (raw(b"a" + header("0.png", 0)[1:] + bytes(1024)), Refused()),
    **{f"pattern-{name}": (shard(train_split=pattern), Refused()) for name, pattern in {
        "huge": "train-{0..99999999}.tar", "back": "train-{9..0}.tar", "nested": "{" * 50 + "a" + "}" * 50 + ".tar", "deep": "{a,b}" * 40 + ".tar",
        "open": "train-{0..1.tar", "traversal": "../train-{0..1}.tar", "absolute": "/etc/passwd.tar", "nul": "train-\0.tar", "star-out": "../../*.tar",
        "stars": "**/**/**/**/**/**.tar", "googol": "train-{0.." + "9" * 100 + "}.tar", "gone": "gone-{0..3}.tar",
    }.items()},
    "info-sound": (info(splits_json()), Accepted(lambda s: len(s.train) + len(s.val) == 6)),
    **{f"info-{name}": (info(content), Refused()) for name, content in {
        "empty": b"", "list": b"[]", "null": b"null", "deep": b"[" * 100_000, "not-utf8": b"\xff\xfe", "no-splits": b"{}",
        "splits-a-list": b'{"splits": [1]}', "out": splits_json(train={"filenames": ["../../x.tar"]}), "absolute": splits_json(train={"filenames": ["/etc/passwd"]}),
        "numbers": splits_json(train={"filenames": [3]}), "nul": splits_json(train={"filenames": ["a\0.tar"]}), "none": splits_json(train={"filenames": []}),
        "text": splits_json(train={"filenames": "train-0000.tar"}), "alt-label": splits_json(train={"filenames": ["train-0000.tar"], "alt_label": "x"}),
        "alt-label-list": splits_json(train={"filenames": ["train-0000.tar"], "alt_label": [1]}), "gone": splits_json(train={"filenames": ["gone.tar"]}),
    }.items()},
}  # fmt: skip


def tar_folder(members: Mapping[str, bytes] | bytes) -> Make:
    """A tar file of class folders for training, and a sound one for tests."""
    sound = {f"{name}/{k}.png": PNG for name in ("cat", "dog") for k in range(3)}

    def make(folder: Path) -> dict[str, Any]:
        tar(folder / "data" / "validation.tar", sound)
        path = folder / "data" / "train.tar"
        path.write_bytes(members) if isinstance(members, bytes) else tar(path, {**sound, **members})
        return {"root": str(folder / "data"), "train_split": "train.tar", "test_split": "validation.tar"}

    return make


TARS: dict[str, tuple[Make, Promise]] = {
    "sound": (tar_folder({}), Accepted(counts(6, "cat", "dog"))),
    "traversal": (tar_folder({"../../../out/x.png": PNG}), Either()),
    "absolute": (tar_folder({"/etc/x.png": PNG}), Either()),
    "dot-names": (tar_folder({"./cat/9.png": PNG, "cat/./8.png": PNG}), Either()),
    "nested-tar": (tar_folder({"cat/inner.tar": b"\0" * 1024}), Either()),
    "torn-image": (tar_folder({"cat/9.png": PNG[:50]}), Refused("9.png")),
    "empty-image": (tar_folder({"cat/9.png": b""}), Refused("9.png")),
    "class-more": (tar_folder({"eel/9.png": PNG}), Refused("eel")),
    "same-name-twice": (tar_folder(header("cat/0.png", 0) * 2 + bytes(1024)), Refused()),
    "escape": (tar_folder({"cat/\x1b[2J.png": PNG}), Accepted(lambda s: "\x1b" not in s.sources["train"].name(0))),
    "not-utf8": (tar_folder({"cat/z\udce9.png": PNG}), Accepted()),
    "not-a-tar": (tar_folder(b"x" * 5000), Refused()),
    "empty-tar": (tar_folder(bytes(10240)), Refused()),
    "deep": (tar_folder({"cat/" + "a/" * 300 + "x.png": PNG}), Either()),
}  # fmt: skip


def inputs() -> tuple[Input, ...]:
    return (*table("folder", read, FOLDERS), *table("shard", read, SHARDS), *table("tar", read, TARS))
