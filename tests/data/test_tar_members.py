"""Hostile tar files, shards and labels: one line each, before anything large is allocated."""

from __future__ import annotations

import io
import json
import tarfile
import tracemalloc

import pytest
from PIL import Image

from pinas_zoo.data.options import Data
from pinas_zoo.data.shards import ShardReader, find_shards
from pinas_zoo.data.splits import load_splits
from pinas_zoo.data.tar_folders import TarFolders
from pinas_zoo.data.tar_members import regular_members
from pinas_zoo.errors import UserError

HUGE = 3 * 2**30


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    return buffer.getvalue()


def write_tar(path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header with any size, negative and huge ones too."""
    member = tarfile.TarInfo(name)
    member.type = kind
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


SPARSE = pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__realsize="999999999999")


@pytest.mark.parametrize(
    "content",
    [
        header("././@LongLink", HUGE, tarfile.GNUTYPE_LONGNAME),
        header("pax", HUGE, tarfile.XHDTYPE),
        header("pax", -1024, tarfile.XHDTYPE),
        header("a.jpg", -512),
        header("a.jpg", -1536) * 4,
        header("folder", -512, b"?"),
        header("a.jpg", 0) + header("b.jpg", -512, b"?"),
        header("a.jpg", 2**60),
        pax(path="x") * 3000,
        pax(size="-100000") + header("a.jpg", 0),
        pax(size="9" * 100) + header("a.jpg", 0),
        header("pax", 60000, tarfile.XHDTYPE) + b"1" * 60000 + bytes(-60000 % 512),
        SPARSE + header("a.jpg", 512) + b"1000000000000\n" + b"1\n" * 249,
        b"not a tar file" * 100,
        b"",
    ],
    ids=range(15),
)
def test_headers_that_lie_are_refused(tmp_path, content):
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(content)
        if content.startswith((b"././@LongLink", b"pax\0")):
            file.truncate(HUGE + 4096)  # sparse
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"expected an uncompressed tar file, got .*a\.tar"):
            list(regular_members(path))
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("label", ["1000000000000000000000000000000", "1e30", "", "x", "nan", "1_0", "9" * 5000])
def test_labels_in_cls_are_class_numbers(tmp_path, label):
    write_tar(tmp_path / "train-0.tar", {"a.jpg": jpeg(), "a.cls": label.encode()})
    with pytest.raises(UserError, match=r"expected a class number in \.cls beside a of"):
        ShardReader(tmp_path, "train")


@pytest.mark.parametrize(
    "text", ["true", "1e30", "NaN", "Infinity", "1.5", "null", "[1]", "1" + "0" * 400, "[" * 100_000]
)
def test_labels_in_json_are_class_numbers(tmp_path, text):
    write_tar(tmp_path / "train-0.tar", {"a.jpg": jpeg(), "a.json": f'{{"label": {text}}}'.encode()})
    with pytest.raises(UserError, match=r"expected a class number under 'label' in \.json beside a of"):
        ShardReader(tmp_path, "train")


def shards(root, labels) -> Data:
    for split in ("train", "validation"):
        files = {}
        for k, label in enumerate(labels):
            files |= {f"{k:03}.jpg": jpeg(), f"{k:03}.cls": str(label).encode()}
        write_tar(root / f"{split}-0.tar", files)
    return Data(name="wds/", root=str(root), image_size=8, val_per_class=1)


def test_a_large_label_does_not_make_as_many_classes(tmp_path):
    with pytest.raises(UserError, match="got 0 to 1000000000 of 7 images; number the classes from 0"):
        load_splits(shards(tmp_path, [0, 0, 0, 1, 1, 1, 10**9]), 0)


def test_images_of_negative_labels_are_left_out_and_counted(tmp_path):
    splits = load_splits(shards(tmp_path, [0, 0, 1, 1, -1]), 0)
    assert len(splits.trainval) == 4
    assert splits.notes[0] == "left out of the split 'train': 1 images of labels below 0"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("train-{0..99999999}.tar", "at most 1000 shards"),
        ("train-{0..999}{0..999}.tar", "at most 1000 shards"),
        ("{a,b}" * 500 + ".tar", "at most 8 braces"),
        ("train-{0..99999999999999999999}.tar", "found no such file"),
        ("/etc/*.tar", "expected shards as in"),
        ("t**n.tar", "expected shards as in"),
        ("../train-0.tar", "expected shards in data.root"),
        ("/train-0.tar", "expected shards in data.root"),
        ("a\0b.tar", "found no such file"),
    ],
)
def test_patterns_are_bounded_and_stay_in_the_root(tmp_path, pattern, message, monkeypatch):
    monkeypatch.setattr("pinas_zoo.data.shards.MAX_SHARDS", 1000)
    with pytest.raises(UserError, match=message):
        find_shards(tmp_path, pattern)


@pytest.mark.parametrize("names", [["/etc/passwd"], ["../x.tar"], [3], ["a\0b.tar"], "x.tar", None])
def test_files_that_info_names_are_in_the_root(tmp_path, names):
    (tmp_path / "_info.json").write_text(json.dumps({"splits": {"train": {"filenames": names}}}))
    with pytest.raises(UserError, match="expected"):
        find_shards(tmp_path, "train")
    for text in (b"[" * 100_000, b"\xff", b"3"):
        (tmp_path / "_info.json").write_bytes(text)
        with pytest.raises(UserError, match=r"expected splits with filenames in .*_info\.json"):
            find_shards(tmp_path, "train")


def test_one_shard_is_not_trained_and_tested_on(tmp_path):
    options = shards(tmp_path, [0, 0, 1, 1]).model_copy(update={"test_split": "train-0.tar"})
    with pytest.raises(UserError, match="expected a test split that is not trained on"):
        load_splits(options, 0)


def test_the_class_in_a_tar_file_is_the_folder_that_differs(tmp_path):
    names = ["./train/cat/day/1.jpg", "./train/cat/night/10.jpg", "./train/cat/night/2.jpg", "./train/dog/day/1.jpg"]
    files = {name: jpeg() for name in names} | {"./train/cat/._1.jpg": b"", "./train/read.me": b""}
    write_tar(tmp_path / "train.tar", files)
    found = TarFolders(tmp_path / "train.tar")
    assert found.class_names == ("cat", "dog")
    assert [member.name for member in found.members] == [names[0], names[2], names[1], names[3]]
    assert found.targets == [0, 0, 0, 1]
    assert found[3][0].read() == jpeg()
    assert ": 2 files that are hidden or no images" in found.note()


def test_a_tar_file_of_tar_files_has_a_class_each(tmp_path):
    for name in ("n02", "n01"):
        write_tar(tmp_path / f"{name}.tar", {f"{name}_{k}.JPEG": jpeg() for k in range(2)})
    write_tar(
        tmp_path / "train.tar", {f"{name}.tar": (tmp_path / f"{name}.tar").read_bytes() for name in ("n02", "n01")}
    )
    found = TarFolders(tmp_path / "train.tar")
    assert found.class_names == ("n01", "n02")
    assert found.targets == [0, 0, 1, 1]
    assert [found[k][0].read() for k in range(4)] == [jpeg()] * 4
