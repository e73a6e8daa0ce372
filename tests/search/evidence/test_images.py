"""CIFAR-10 from a packed file."""

from __future__ import annotations

import os

import numpy as np
import pytest

from pinas_zoo.errors import UserError
from pinas_zoo.search.evidence.images import image_folder


def test_images_that_are_none_are_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", pixels=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "empty.npz").touch()
    pack = dict(header=np.zeros(1, "u1"), body=np.zeros(2, "u1"), offsets=np.arange(3), labels=np.array([1, 77]))
    np.savez(tmp_path / "labels.npz", **pack)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "labels.npz").read_bytes()[:-30])
    pack["labels"] = np.array([1, 2])
    for name, offsets in (("falling", [0, 2, 1]), ("negative", [-1, 0, 1]), ("beyond", [0, 1, 3])):
        kind = "u8" if name == "falling" else "i8"  # unsigned differences would not be negative
        np.savez(tmp_path / f"{name}.npz", **{**pack, "offsets": np.array(offsets, kind)})
    np.savez_compressed(tmp_path / "huge.npz", **{**pack, "body": np.zeros(2**21, "u1")})
    monkeypatch.setattr("pinas_zoo.search.evidence.images.MAX_BYTES", 2**20)
    os.mkfifo(tmp_path / "pipe.npz")
    wrong = ["absent.npz", "text.npz", "other.npz", "array.npy", "empty.npz", "labels.npz", "cut.npz"]
    for name in [*wrong, "falling.npz", "negative.npz", "beyond.npz", "huge.npz", "pipe.npz"]:
        with pytest.raises(UserError, match=f"expected --images as a folder of CIFAR-10 or an .npz.*{name}"):
            image_folder(tmp_path / name, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_images_are_written_out_once_and_each_file_has_a_folder_of_its_own(tmp_path):
    pack = dict(header=np.array([1], "u1"), body=np.array([2, 3, 4], "u1"), offsets=np.array([0, 1, 3]))
    np.savez(tmp_path / "one.npz", **pack, labels=np.array([0, 9]))
    np.savez(tmp_path / "other.npz", **pack, labels=np.array([0, 8]))
    one, other = (image_folder(tmp_path / name, tmp_path / "work") for name in ("one.npz", "other.npz"))
    assert one != other
    assert (one / "train" / "truck" / "00001.jpg").read_bytes() == bytes([1, 3, 4])
    assert (other / "train" / "ship" / "00001.jpg").is_file()
    (one / "train" / "truck" / "00001.jpg").unlink()
    assert image_folder(tmp_path / "one.npz", tmp_path / "work") == one
    assert not (one / "train" / "truck" / "00001.jpg").exists()  # not written again
    with pytest.raises(UserError, match="absent"):
        image_folder(tmp_path / "absent.npz", tmp_path / "work")
