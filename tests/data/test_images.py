"""Images: deterministic splits that do not overlap, batches that follow from the step, files that cannot be read."""

from __future__ import annotations

import gzip
import io
import json
import multiprocessing
import resource
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pinas_zoo.data import decoding
from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.decoding import decode, fit
from pinas_zoo.data.images import DecodedImages, Files, Images, ViewsOptions, step_loader
from pinas_zoo.data.loader import StepSampler
from pinas_zoo.data.shards import ShardReader, expand
from pinas_zoo.data.splits import Splits, load_split, load_splits
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import Data, Views
from tests.golden import shared_dir


def cifar_folder(root, per_class: int = 12):
    """An image folder with the first images of each class of the CIFAR-10 pack: train and validation."""
    pack = np.load(shared_dir() / "data" / "cifar10_jpegpack.npz")
    header, body, offsets, labels = (pack[key] for key in ("header", "body", "offsets", "labels"))
    for split, start in (("train", 0), ("validation", 50_000)):
        for label in range(10):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for i in (
                np.flatnonzero(labels[start : start + (50_000 if split == "train" else 10_000)] == label)[:per_class]
                + start
            ):
                data = header.tobytes() + body[offsets[i] : offsets[i + 1]].tobytes()
                Image.open(io.BytesIO(data)).save(folder / f"{i}.png")
    return root


def test_digits_splits_are_disjoint_stratified_and_repeatable():
    options = Data(type="digits", image_size=16, val_per_class=20)
    a, b, c = load_splits(options, 0), load_splits(options, 0), load_splits(options, 1)
    assert len(a.train) + len(a.val) + len(a.test) == 1797
    assert torch.bincount(a.val.labels).tolist() == [20] * 10
    assert torch.equal(a.val.pixels, b.val.pixels)
    assert not torch.equal(a.val.pixels, c.val.pixels)
    rows = [{x.numpy().tobytes() for x in part.pixels} for part in (a.train, a.val, a.test)]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]


def test_limits_keep_a_fixed_part_of_the_digits():
    options = Data(type="digits", image_size=8, val_per_class=5, max_train=300, max_test=100)
    limited, whole = load_splits(options, 0), load_splits(Data(type="digits", image_size=8, val_per_class=5), 0)
    assert (len(limited.train) + len(limited.val), len(limited.test)) == (300, 100)
    assert {x.numpy().tobytes() for x in limited.test.pixels} <= {x.numpy().tobytes() for x in whole.test.pixels}
    train, test = (load_split(options, split)[0] for split in ("train", "validation"))
    assert (len(train), len(test)) == (300, 100)
    old = load_splits(options, 0, streams=1)  # of version 0.1, which had no limit of digits
    assert len(old.train) + len(old.val) + len(old.test) == 1797


def test_an_image_folder_through_timm(tmp_path):
    root = cifar_folder(tmp_path)
    splits = load_splits(Data(root=str(root), image_size=32, val_per_class=2), 0)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (100, 20, 120)
    assert splits.class_names == tuple(f"class{k}" for k in range(10))
    expected = np.asarray(Image.open(sorted((root / "validation" / "class0").iterdir())[0]).convert("RGB"))
    assert any(np.array_equal(x.permute(1, 2, 0).numpy(), expected) for x in splits.test.pixels)


def test_larger_images_keep_their_aspect(tmp_path):
    for split in ("train", "validation"):
        for label in "ab":
            (tmp_path / split / label).mkdir(parents=True)
            for k in range(2):
                picture = np.zeros((40, 80, 3), np.uint8)
                picture[:, 20:60] = 200  # the central square is bright, the sides are dark
                Image.fromarray(picture).save(tmp_path / split / label / f"{k}.png")
    splits = load_splits(Data(root=str(tmp_path), image_size=16, val_per_class=1), 0)
    (batch,) = splits.train.batches(2)
    assert batch["pixels"].shape == (2, 3, 16, 16)
    assert batch["pixels"].float().mean() > 190
    assert splits.train.pixels.shape == (2, 3, 40, 80)  # what views are cut from


def test_errors_name_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match="no folder 'nowhere'"):
        load_splits(Data(root="nowhere"), 0)
    with pytest.raises(UserError, match=r"data\.type 'digits' or 'timm', got 'tinm'"):
        load_splits(Data(type="tinm"), 0)
    with pytest.raises(UserError, match="lower it"):
        load_splits(Data(type="digits", image_size=8, val_per_class=1000), 0)
    for split in ("train", "validation"):
        (tmp_path / split / "a").mkdir(parents=True)
        for name in ("torn", "also_torn"):
            (tmp_path / split / "a" / f"{name}.jpg").write_bytes(b"\xff\xd8\xff\xe0 not an image")
    with pytest.raises(UserError, match=r"torn\.jpg cannot be read"):
        load_splits(Data(root=str(tmp_path), image_size=16, val_per_class=1), 0)


def test_a_split_that_is_not_there_is_not_the_whole_folder(tmp_path):
    """timm reads every image below the root when no folder has the split's name; training images would be tested on."""
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(tmp_path / split / "a" / "1.png")
        Image.new("RGB", (16, 16)).save(tmp_path / split / "a" / "2.png")
    with pytest.raises(UserError, match="expected the folder 'validation'"):
        load_splits(Data(root=str(tmp_path), image_size=16, val_per_class=1), 0)
    assert len(load_splits(Data(root=str(tmp_path), image_size=16, val_per_class=1, test_split="test"), 0).test) == 2


def test_normalisation_sees_every_class():
    pixels = torch.cat([torch.zeros(6000, 3, 32, 32), torch.full((6000, 3, 32, 32), 255.0)]).to(torch.uint8)
    images = Images(pixels, torch.zeros(12000, dtype=torch.long))
    mean, _ = Splits(images, images, images, ("a",)).normalisation()
    assert mean == pytest.approx((0.5, 0.5, 0.5), abs=0.01)


def test_batches_follow_from_seed_and_step_wherever_one_starts():
    whole = list(StepSampler(10, 3, seed=1, start=0, stop=9))
    assert list(StepSampler(10, 3, seed=1, start=4, stop=9)) == whole[4:]
    for epoch in range(3):
        seen = [i for batch in whole[3 * epoch : 3 * epoch + 3] for i in batch.indices]
        assert len(set(seen)) == 9  # no image twice in an epoch; the incomplete batch is left out
    assert whole != list(StepSampler(10, 3, seed=2, start=0, stop=9))
    with pytest.raises(UserError, match="expected at least one batch"):
        StepSampler(2, 3, seed=0, start=0, stop=1)


def test_ranks_share_a_batch_in_order():
    whole = list(StepSampler(40, 12, seed=1, start=2, stop=9))
    ranks = [list(StepSampler(40, 12, seed=1, start=2, stop=9, rank=r, world=3)) for r in range(3)]
    for batch, shares in zip(whole, zip(*ranks, strict=True), strict=True):
        assert batch.indices == [i for share in shares for i in share.indices]
        assert [share.first for share in shares] == [0, 4, 8]
        assert {share.step for share in shares} == {batch.step}
    with pytest.raises(UserError, match="5 processes can share equally, got 12; 10 or 15 would do"):
        StepSampler(40, 12, seed=1, start=0, stop=1, rank=0, world=5)


def write_folder(root, sizes=((40, 60), (30, 30), (64, 48))):
    """JPEGs of several sizes: train and validation, two classes, and the same as one tar file a split."""
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for label in "ab":
            (root / split / label).mkdir(parents=True)
            for k, (height, width) in enumerate(sizes):
                coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize((width, height)).save(root / split / label / f"{k}.jpg", quality=95)
        with tarfile.open(root / f"{split}.tar", "w") as tar:
            for label in "ab":
                tar.add(root / split / label, arcname=label)
    return root


def fitted(images) -> torch.Tensor:
    return torch.cat([batch["pixels"] for batch in images.batches(2)])


@pytest.mark.parametrize("workers", [0, 2])
def test_images_decoded_as_needed_are_those_in_memory(tmp_path, workers):
    root = write_folder(tmp_path)
    options = Data(root=str(root), image_size=24, val_per_class=1, workers=workers)
    memory = load_splits(options, 0)
    files = load_splits(options.model_copy(update={"memory_gib": 0.0}), 0)
    assert isinstance(memory.train, DecodedImages)
    assert isinstance(files.train, Files)
    for part in ("train", "val", "test", "trainval"):
        kept, read = getattr(memory, part), getattr(files, part)
        assert torch.equal(kept.labels, read.labels)
        assert torch.equal(fitted(read), fitted(kept))
        assert all(np.array_equal(read.read(row), kept.read(row)) for row in range(len(read)))
    assert memory.normalisation() == files.normalisation()


def test_a_tar_file_holds_what_its_folder_holds(tmp_path):
    root = write_folder(tmp_path)
    options = Data(root=str(root), image_size=24, val_per_class=1)
    tar = options.model_copy(update=dict(train_split="train.tar", test_split="validation.tar", memory_gib=0.0))
    folder, packed = load_splits(options, 0), load_splits(tar.model_copy(update={"workers": 2}), 0)
    assert packed.class_names == folder.class_names == ("a", "b")
    assert torch.equal(fitted(packed.train), fitted(folder.train))


def write_shards(root, per_shard: int = 4, suffix: str = "cls") -> dict[str, list[tuple[bytes, int]]]:
    """Shards of a few JPEGs and PNGs a split, with members that are neither image nor label; what is in them."""
    rng, held = np.random.default_rng(0), {}
    for split, shards in (("train", 3), ("validation", 1)):
        held[split] = []
        for shard in range(shards):
            with tarfile.open(root / f"{split}-{shard:04d}.tar", "w") as tar:
                for k in range(per_shard):
                    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((30 + 8 * k, 40))
                    file, label, key = io.BytesIO(), k % 2, f"./part/{shard:04d}{k:04d}"
                    coarse.save(file, "PNG" if k == 1 else "JPEG")
                    labels = {
                        "cls": str(label).encode(),
                        "json": f'{{"label": {label}, "other": {1 - label}}}'.encode(),
                    }
                    members = [("pickle", b"cos\nsystem\n."), ("png" if k == 1 else "jpg", file.getvalue())]
                    for extension, data in [*members, (suffix, labels[suffix])]:
                        member = tarfile.TarInfo(f"{key}.{extension}")
                        member.size = len(data)
                        tar.addfile(member, io.BytesIO(data))
                    held[split].append((file.getvalue(), label))
    return held


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("suffix", ["cls", "json"])
def test_shards_are_read_in_any_order(tmp_path, workers, suffix):
    held = write_shards(tmp_path, suffix=suffix)
    options = Data(name="wds/", root=str(tmp_path), image_size=24, val_per_class=2, memory_gib=0.0, workers=workers)
    files = load_splits(options, 0)
    assert isinstance(files.train, Files)
    assert (len(files.trainval), len(files.test), files.class_names) == (12, 4, ("0", "1"))
    last = files.trainval.subset(torch.arange(11, -1, -1))
    memory = load_splits(options.model_copy(update={"memory_gib": 1.0}), 0).trainval.subset(torch.arange(11, -1, -1))
    assert torch.equal(torch.cat([b["pixels"] for b in last.batches(5)]), fitted(memory))
    for row, number in enumerate(last.index):
        encoded, label = held["train"][number]
        assert np.array_equal(last.read(row), decode(encoded))
        assert last.labels[row] == label


def test_shards_are_named_by_pattern_or_by_info(tmp_path):
    write_shards(tmp_path)

    def count(split: str) -> dict[int, int]:
        return Counter(ShardReader(tmp_path, split).places[:, 0].tolist())

    assert count("train") == count("train-{0000..0002}.tar|12") == count("train-*.tar") == {0: 4, 1: 4, 2: 4}
    assert list(expand("{a,b}-{08..10}.{tar}")) == [f"{a}-{k}.tar" for a in "ab" for k in ("08", "09", "10")]
    two = ShardReader(tmp_path, "train-0002.tar::validation-0000.tar")
    assert [shard.name for shard in two.shards] == ["train-0002.tar", "validation-0000.tar"]
    info = {"splits": {"train": {"filenames": ["train-0001.tar"]}, "held": {"filenames": [], "alt_label": "other"}}}
    (tmp_path / "_info.json").write_text(json.dumps(info))
    assert ShardReader(tmp_path, "train").filename(3) == f"./part/00010003 of {tmp_path / 'train-0001.tar'}"
    info["splits"]["held"]["filenames"] = ["held.tar"]
    (tmp_path / "_info.json").write_text(json.dumps(info))
    write_shards(tmp_path, suffix="json")
    (tmp_path / "validation-0000.tar").rename(tmp_path / "held.tar")
    assert ShardReader(tmp_path, "held").targets == [1, 0, 1, 0]


def test_shards_that_cannot_be_used_are_named(tmp_path):
    write_shards(tmp_path)
    options = Data(name="wds/", root=str(tmp_path), image_size=16, val_per_class=1)
    for changes, message in (
        (dict(train_split="learn"), r"split 'learn' in .*found none as learn-\*\.tar"),
        (dict(train_split="train-{0000..0003}.tar"), r"expected the shard .*train-0003\.tar"),
        (dict(root="https://example.org/train-0000.tar"), r"found no folder 'https:"),
        (dict(name="hfids/user/name"), "try hfds/ in place of hfids/, or copy its tar shards"),
        (dict(name="TFDS/mnist"), "data.name=wds/"),
    ):
        with pytest.raises(UserError, match=message):
            load_splits(options.model_copy(update=changes), 0)
    whole = (tmp_path / "train-0000.tar").read_bytes()
    (tmp_path / "train-0000.tar").write_bytes(whole[:9000])
    with pytest.raises(UserError, match=r"uncompressed tar file, got .*train-0000\.tar"):
        load_splits(options, 0)
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        third = tar.getmembers()[6].offset
    for torn in (whole[:third], whole[: third + 100], whole[:third] + b"?" * 512 + whole[third + 512 :]):
        (tmp_path / "train-0000.tar").write_bytes(torn)
        with pytest.raises(UserError, match=rf"train-0000\.tar: no header and no end at byte {third}; copy"):
            load_splits(options, 0)
    (tmp_path / "train-0000.tar").write_bytes(gzip.compress(whole))
    with pytest.raises(UserError, match=r"uncompressed tar file, got .*train-0000\.tar"):
        load_splits(options, 0)
    (tmp_path / "train-0000.tar").write_bytes(whole.replace(b"\xff\xd9", b"\0\0"))  # JPEGs without an end
    with pytest.raises(UserError, match=r"image ./part/00000000 of .*train-0000\.tar cannot be read"):
        load_splits(options, 0)
    write_shards(tmp_path)
    with tarfile.open(tmp_path / "train-0000.tar", "a") as tar:
        tar.addfile(tarfile.TarInfo("lonely.jpg"))
    with pytest.raises(UserError, match=r"expected a label in \.cls or \.json beside lonely of"):
        load_splits(options, 0)


@pytest.mark.parametrize("memory_gib", [0.0, 1.0])
def test_views_of_files_do_not_depend_on_workers_or_ranks(tmp_path, memory_gib):
    root = write_folder(tmp_path)
    options = ViewsOptions(Views(), 4, seed=7)

    def views(workers: int, world: int) -> torch.Tensor:
        images = load_splits(
            Data(root=str(root), image_size=16, val_per_class=1, memory_gib=memory_gib, workers=workers), 0
        ).train
        ranks = [
            [b["views"] for b in step_loader(images, StepSampler(4, 4, 1, 1, 4, rank, world), options, workers)]
            for rank in range(world)
        ]
        return torch.stack([torch.cat(shares) for shares in zip(*ranks, strict=True)])  # steps x N x V x 3 x S x S

    alone = views(0, 1)
    assert alone.shape == (3, 4, 4, 3, 16, 16)
    assert torch.equal(alone, views(2, 1))
    assert torch.equal(alone, views(0, 2))
    assert not torch.equal(alone[0], alone[1])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_torn_file_is_named_when_it_is_needed(tmp_path, workers):
    root = write_folder(tmp_path)
    bad = root / "train" / "a" / "1.jpg"
    bad.write_bytes(bad.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"1\.jpg cannot be read"):
        list(
            load_splits(Data(root=str(root), image_size=16, val_per_class=1, memory_gib=0.0, workers=workers), 0)
            .trainval.batches(8)
        )  # fmt: skip


def test_no_batch_of_one_image():
    images = Images(torch.zeros(9, 3, 4, 4, dtype=torch.uint8), torch.arange(9))
    assert [len(b["labels"]) for b in images.batches(4)] == [4, 5]
    assert torch.cat([b["labels"] for b in images.batches(4)]).tolist() == list(range(9))


@pytest.mark.parametrize("sizes", [[(32, 32)] * 3, [(40, 60)] * 3, [(40, 60), (30, 30), (64, 48)]], ids=str)
@pytest.mark.parametrize("size", [16, 32, 48])
def test_nothing_depends_on_where_images_are_kept(tmp_path, sizes, size):
    """One size and several, smaller than the network's and larger: the same images, views and normalisation."""
    root = write_folder(tmp_path, sizes)
    options = Data(root=str(root), image_size=size, val_per_class=1, memory_gib=1.0)
    memory, files = load_splits(options, 0), load_splits(options.model_copy(update={"memory_gib": 0.0}), 0)
    assert isinstance(memory.train, Images if len(set(sizes)) == 1 else DecodedImages)
    assert memory.normalisation() == files.normalisation()
    for part in ("train", "val", "test", "trainval"):
        assert torch.equal(fitted(getattr(memory, part)), fitted(getattr(files, part)))
    make = BatchViews(Views(), (0.0,) * 3, (1 / 255,) * 3)

    def views(splits: Splits) -> torch.Tensor:
        batches = step_loader(splits.train, StepSampler(4, 4, 1, 0, 3), ViewsOptions(Views(), 4, seed=7), 0)
        return torch.cat([b["views"].float() if "views" in b else make.views(b["pixels"], b["draws"]) for b in batches])

    kept, read = views(memory), views(files)
    assert kept.shape == (12, 4, 3, size, size)
    assert (kept - read).abs().mean() < 0.25  # levels of 255; tests/data/test_augmentation.py has more on it
    if isinstance(memory.train, DecodedImages):
        assert torch.equal(kept, read)


def test_draws_of_images_in_memory_do_not_depend_on_workers_or_ranks():
    images = load_splits(Data(type="digits", image_size=16, val_per_class=10), 0).train
    options = ViewsOptions(Views(), 2, seed=7)

    def views(workers: int, world: int) -> torch.Tensor:
        make = BatchViews(Views(), (0.0,) * 3, (1.0,) * 3)
        ranks = [
            [make.views(b["pixels"], b["draws"])
             for b in step_loader(images, StepSampler(len(images), 8, 1, 1, 3, rank, world), options, workers)]
            for rank in range(world)
        ]  # fmt: skip
        return torch.stack([torch.cat(shares) for shares in zip(*ranks, strict=True)])  # steps x N x V x 3 x S x S

    alone = views(0, 1)
    assert torch.equal(alone, views(2, 1))
    torch.testing.assert_close(views(0, 2), alone)
    assert not torch.equal(alone[0], alone[1])


def test_memory_is_counted_by_real_sizes(tmp_path):
    """Native pixels, and those at the network's size where they differ: one byte less and nothing is held."""
    root = write_folder(tmp_path, [(40, 60), (30, 30), (64, 48)])
    needed = 3 * 2 * 2 * ((40 * 60 + 16 * 16) + (30 * 30 + 16 * 16) + (64 * 48 + 16 * 16))
    for spare, kind in ((0, DecodedImages), (-1, Files)):
        options = Data(root=str(root), image_size=16, val_per_class=1, memory_gib=(needed + spare) / 2**30)
        assert isinstance(load_splits(options, 0).train, kind)
    same = write_folder(tmp_path / "same", [(16, 16)] * 3)
    for spare, kind in ((0, Images), (-1, Files)):
        options = Data(root=str(same), image_size=16, val_per_class=1, memory_gib=(36 * 256 + spare) / 2**30)
        assert isinstance(load_splits(options, 0).train, kind)


def test_decoding_ends_when_the_limit_is_passed(tmp_path, monkeypatch):
    """The sample says that all fit, real sizes do not."""
    root = write_folder(tmp_path, [(16, 16)] * 40 + [(900, 900)] + [(16, 16)] * 40)
    read = []
    original = Files.read
    monkeypatch.setattr(Files, "read", lambda self, row: read.append(row) or original(self, row))
    splits = load_splits(Data(root=str(root), image_size=16, val_per_class=1, memory_gib=1e6 / 2**30), 0)
    assert isinstance(splits.train, Files)
    assert len(read) < 200  # of 324


def test_images_of_which_one_has_another_size_are_held_as_they_are(tmp_path):
    root = write_folder(tmp_path, [(16, 16)] * 60 + [(20, 16)] + [(16, 16)] * 60)
    options = Data(root=str(root), image_size=16, val_per_class=1)
    memory, files = load_splits(options, 0), load_splits(options.model_copy(update={"memory_gib": 0.0}), 0)
    assert isinstance(memory.train, DecodedImages)
    assert isinstance(memory.val, DecodedImages)
    for part in ("train", "val", "test"):
        kept, needed = getattr(memory, part), getattr(files, part)
        assert all(np.array_equal(kept.read(row), needed.read(row)) for row in range(len(needed)))


@pytest.mark.parametrize("how", ["bicubic", "bilinear"])
def test_interpolation_is_that_of_the_option_wherever_images_are(tmp_path, how):
    """Pillow's filter, of which bicubic is the default; views are made the same with either."""
    root = write_folder(tmp_path)
    options = Data(root=str(root), image_size=20, val_per_class=1, crop_pct=0.8, interpolation=how)
    kept = load_splits(options, 0).train
    files = load_splits(options.model_copy(update={"memory_gib": 0.0}), 0).train
    image = Image.fromarray(kept.read(0))
    scale = 25 / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    resized = image.resize((width, height), Image.Resampling[how.upper()])
    left, top = (width - 20) // 2, (height - 20) // 2
    expected = torch.from_numpy(np.array(resized.crop((left, top, left + 20, top + 20)))).permute(2, 0, 1)
    same_size = Images(torch.from_numpy(kept.read(0)).permute(2, 0, 1)[None], torch.zeros(1), 20, 0.8, how)
    for images in (kept, files, same_size):
        assert torch.equal(next(iter(images.batches(2)))["pixels"][0], expected)
    other = Data(root=str(root), image_size=20, val_per_class=1, crop_pct=0.8)
    assert torch.equal(fitted(load_splits(other, 0).train), fitted(kept)) == (how == "bicubic")


def test_images_of_one_size_keep_the_option_when_they_are_held_in_memory(tmp_path):
    root = write_folder(tmp_path, sizes=((40, 40),) * 3)
    held = load_splits(Data(root=str(root), image_size=20, val_per_class=1, interpolation="bilinear"), 0)
    assert isinstance(held.val, Images)
    assert held.val.interpolation == held.test.interpolation == "bilinear"


def test_a_long_narrow_image_is_cropped_before_it_is_resized():
    """In 200 MiB, where all of it at the network's size would take gigabytes; what it is does not change."""
    column = np.random.default_rng(0).integers(0, 256, (20000, 1, 3), dtype=np.uint8)

    def narrow() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + 200 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for image in (column, column.transpose(1, 0, 2)):
            assert fit(image, 224, 1.0).shape == (224, 224, 3)

    if Path("/proc/self/statm").is_file():
        process = multiprocessing.get_context("fork").Process(target=narrow)
        process.start()
        process.join()
        assert process.exitcode == 0
    for shape in ((901, 3, 3), (2, 700, 3)):
        image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        width, height = (side * 8 // min(shape[:2]) for side in (shape[1], shape[0]))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decoding, "LARGEST", 10**6)
            whole = fit(image, 8, 1.0)
        assert width * height > decoding.LARGEST * 64
        assert np.abs(fit(image, 8, 1.0).astype(int) - whole).mean() < 1  # of noise, whose overshoots Pillow clips
