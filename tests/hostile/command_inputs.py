"""Whole commands on hostile inputs: searches, runs that are resumed after somebody changed a file, the Hub, the registry."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from pinas_zoo.weights.new_folder import CONFIG_FILE, WEIGHTS_FILE
from pinas_zoo.zoo import registry
from tests.hostile.commands import Command, Printed, run, tool
from tests.hostile.folder_inputs import HUGE, bomb, header, images, root, tar
from tests.hostile.image_inputs import encoded, torn
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, file_of, table
from tests.hostile.network_inputs import ENTRIES, saved, with_args, with_cfg
from tests.hostile.network_inputs import bomb as zip_bomb
from tests.hostile.value_inputs import TINY

FOLDER = TINY.replace('data = dict(type="digits", image_size=16, val_per_class=10, max_train=200)', 'data = dict(root="data", image_size=16, val_per_class=1)').replace("batch_size=16", "batch_size=2")  # fmt: skip
STEPS = ["--set", "until=learn", "--set", "learn.steps=2"]
Prepared = Callable[[Path], object]


def search(*words: str, config: str = TINY, prepare: Prepared = lambda f: None, **command: Any) -> Make:
    """``pinas-zoo search cfg.py --work-dir run …`` in a folder that a function has prepared."""

    def make(folder: Path) -> Command:
        (folder / "cfg.py").write_text(config)
        prepare(folder)
        return Command(["search", "cfg.py", "--work-dir", "run", *words], **command)

    return make


def on_images(change: Prepared, *words: str) -> Make:
    """A search of two steps on a folder of images, which a function changes."""

    def prepare(folder: Path) -> None:
        root(folder)
        change(folder / "data")

    return search(*STEPS, *words, config=FOLDER, prepare=prepare)


def in_class(name: str, data: bytes) -> Prepared:
    return lambda data_root: (data_root / "train" / "cat" / name).write_bytes(data)


def ended_early() -> bytes:
    data = encoded("JPEG", size=(64, 64))
    return data[: len(data) // 2] + b"\xff\xd9"


def classify(data: bytes, name: str) -> Make:
    def make(folder: Path) -> Command:
        (folder / name).write_bytes(data)
        network_folder(folder / "net")
        return Command(["classify", name, "--model", "net"])

    return make


@functools.cache
def _network() -> Path:
    from tests.networks import tiny_folder

    return tiny_folder(Path(tempfile.mkdtemp(prefix="pinas-zoo-hostile-")) / "net", "0123")[0]


def network_folder(place: Path) -> Path:
    """A sound model folder of a tiny network."""
    return Path(shutil.copytree(_network(), place))


@functools.cache
def _run() -> Path:
    """A complete run of the tiny configuration."""
    from pinas_zoo.search import search as run_search

    place = Path(tempfile.mkdtemp(prefix="pinas-zoo-hostile-"))
    (place / "cfg.py").write_text(TINY)
    run_search(place / "cfg.py", work_dir=place / "run", say=lambda text: None)
    return place / "run"


def on_run(words: list[str], change: Prepared, **command: Any) -> Make:
    """A command on a complete run, which a function has changed."""

    def make(folder: Path) -> Command:
        (folder / "cfg.py").write_text(TINY)
        shutil.copytree(_run(), folder / "run")
        change(folder / "run")
        return Command(words, **command)

    return make


def resumed(change: Prepared, *again: str, **command: Any) -> Make:
    """The same search again, after the stages named have been opened and a function has changed the folder."""

    def changed(place: Path) -> None:
        for stage in again:
            (place / stage / "done.json").unlink()
        change(place)

    return on_run(["search", "cfg.py", "--work-dir", "run"], changed, **command)


def write(name: str, content: bytes) -> Prepared:
    return lambda place: (place / name).write_bytes(content)


def edit(name: str, **changes: Any) -> Prepared:
    def change(place: Path) -> None:
        values = json.loads((place / name).read_text())
        values.update(changes)
        (place / name).write_text(json.dumps(values))

    return change


def sql(*statements: str) -> Prepared:
    def change(place: Path) -> None:
        connection = sqlite3.connect(place / "explore" / "study.db")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return change


def no_script(folder: Path) -> None:
    report = folder / "run" / "report.html"
    assert not report.is_file() or "<script>alert(1)" not in report.read_text()


def unchanged(name: str, content: str) -> Callable[[Path], object]:
    def check(folder: Path) -> None:
        assert (folder / name).read_text() == content, "written through a link"

    return check


def linked(place: Path) -> None:
    (place / "learn" / "curve.csv").unlink()
    (place.parent / "target").write_text("mine")
    (place / "learn" / "curve.csv").symlink_to(place.parent / "target")


def resave(name: str, change: Callable[[dict[str, Any]], object]) -> Prepared:
    """Change the tensors of a safetensors file of the run."""

    def how(place: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(place / name)
        change(tensors)
        save_file(tensors, place / name, metadata={"format": "pt"})

    return how


def other_shape(tensors: dict[str, Any]) -> None:
    import torch

    name = next(k for k in tensors if k.endswith("num_batches_tracked"))
    tensors[name] = torch.zeros(7)


RESUMED: dict[str, tuple[Make, Promise]] = {
    "sound": (resumed(lambda r: None), Accepted(lambda p: isinstance(p, Printed))),
    "done-empty-learn": (resumed(write("learn/done.json", b"")), Refused("learn/done.json")),
    "done-empty-winner": (resumed(write("winner/done.json", b"")), Refused("winner/done.json")),
    "done-list": (resumed(write("explore/done.json", b"[]")), Refused("explore/done.json")),
    "done-deep": (resumed(write("linear/done.json", b"[" * 100_000)), Refused("linear/done.json")),
    "done-winner-evil": (resumed(edit("explore/done.json", winner="../../x"), "winner", "train"), Refused()),
    "done-winner-script": (resumed(edit("explore/done.json", winner="<script>alert(1)</script>"), "train", check=no_script), Refused()),
    "done-summary-script": (resumed(edit("learn/done.json", summary="<script>alert(1)</script>\x1b[2J"), "train", check=no_script), Accepted()),
    "rank-svg-evil": (resumed(write("rank.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'), "train", check=no_script), Accepted()),
    "rank-json-script": (resumed(write("rank.json", b'{"column": "<script>alert(1)</script>"}'), "train", check=no_script), Refused()),
    "curve-garbage": (resumed(write("learn/curve.csv", b"\xff\xfe\0\0"), "train"), Refused("curve.csv")),
    "supernet-trunc-linear": (resumed(lambda r: (r / "learn/supernet.safetensors").write_bytes(b"123"), "linear", "explore", "winner", "train"), Refused("supernet.safetensors")),
    "supernet-nan": (resumed(resave("learn/supernet.safetensors", lambda t: next(v for v in t.values() if v.ndim == 4).fill_(float("nan"))), "linear", "explore", "winner", "train"), Refused()),
    "supernet-gone": (resumed(lambda r: (r / "learn/supernet.safetensors").unlink(), "linear", "explore", "winner", "train"), Refused()),
    "classifier-gone": (resumed(lambda r: (r / "linear/classifier.safetensors").unlink(), "explore", "winner", "train"), Refused()),
    "winner-config-evil": (resumed(write("winner/config.json", b'{"architecture": "evil"}'), "train"), Refused()),
    "winner-weights-gone": (resumed(lambda r: (r / "winner" / WEIGHTS_FILE).unlink(), "train"), Refused()),
    "db-missing": (resumed(lambda r: [p.unlink() for p in (r / "explore").glob("study.db*")], "winner", "train"), Either()),
    "db-garbage": (resumed(lambda r: ([p.unlink() for p in (r / "explore").glob("study.db-*")], (r / "explore" / "study.db").write_bytes(b"no database" * 500)), "explore", "winner", "train"), Refused()),
    "wal-garbage": (resumed(write("explore/study.db-wal", b"garbage" * 500), "explore", "winner", "train"), Either()),
    "ckpt-nokeys": (resumed(lambda r: _torch_save({"evil": 1}, r / "train/checkpoint.pth"), "train"), Refused("checkpoint.pth")),
    "ckpt-step-big": (resumed(lambda r: _torch_save({"step": 10**9, "seconds": 1.0, "model": {}, "optimizers": {}, "schedulers": {}}, r / "train/checkpoint.pth"), "train"), Refused()),
    "ckpt-pickle": (resumed(write("train/checkpoint.pth", b"cos\nsystem\n(S'touch EXECUTED'\ntR."), "train"), Refused()),
    "study-no-arch": (resumed(sql("DELETE FROM trial_user_attributes WHERE key = 'arch'"), "explore", "winner", "train"), Refused("study")),
    "study-inf": (resumed(sql("UPDATE trial_values SET value = NULL, value_type = 'INF_POS'"), "explore", "winner", "train"), Refused("study")),
    "study-arch-of-another-space": (resumed(sql("UPDATE trial_user_attributes SET value_json = '\"9999\"' WHERE key = 'arch'"), "explore", "winner", "train"), Refused("study")),
    "ranking-torn": (resumed(lambda r: (r / "explore/ranking.csv").write_bytes((r / "explore/ranking.csv").read_bytes()[:70]), "train"), Refused("ranking.csv")),
    "link-curve": (resumed(linked, "train", check=unchanged("target", "mine")), Refused("link")),
    "link-stage": (resumed(lambda r: (r / "extra").symlink_to("/etc")), Refused("link")),
    "images-json-torn": (resumed(write("images.json", b"{"), "train"), Refused("images.json")),
    "images-json-other": (resumed(edit("images.json", classes=["a"]), "train"), Refused()),
    "config-torn": (resumed(write("config.json", b"{")), Refused("config.json")),
    "lock-garbage": (resumed(write(".lock", b"\xff" * 100)), Accepted()),
}  # fmt: skip


def _torch_save(value: Any, path: Path) -> None:
    import torch

    torch.save(value, path)


RANKED: dict[str, tuple[Make, Promise]] = {
    "missing-arch-last": (on_run(["rank", "run", "--truth", "t.csv"], lambda r: (r.parent / "t.csv").write_text("accuracy,arch\n50,0123\n60\n")), Refused("line 3")),
    "1e308": (on_run(["rank", "run", "--truth", "t.csv"], lambda r: (r.parent / "t.csv").write_text("arch,accuracy\n0123,1e308\n3210,-1e308\n")), Refused("line 2")),
    "devzero": (on_run(["rank", "run", "--truth", "/dev/zero"], lambda r: None), Refused()),
    "one-row": (on_run(["rank", "run", "--truth", "t.csv"], lambda r: (r.parent / "t.csv").write_text("arch,accuracy\n0123,50\n")), Refused()),
    "other-archs": (on_run(["rank", "run", "--truth", "t.csv"], lambda r: (r.parent / "t.csv").write_text("arch,accuracy\n9999,50\nevil,60\n")), Refused()),
    "ranking-nan": (on_run(["rank", "run", "--truth", "t.csv"], lambda r: ((r.parent / "t.csv").write_text("arch,accuracy\n0123,50\n"), (r / "explore/ranking.csv").write_text("rank,arch,accuracy,loss,params_m,flops_g\n1,0123,nan,1,1,1\n"))), Refused("ranking.csv")),
    **{f"config-space-{k}": (on_run(["rank", "run", "--truth", "t.csv"], lambda r, name=name: edit("config.json", space={"type": name})(r)), Refused()) for k, name in ((1, "evil"), (3, ".."), (7, "/"), (8, "os.path"), (9, "evil.py"))},  # type: ignore[misc]
    "similarity-seed-neg": (on_run(["similarity", "run", "--seed", "-5"], lambda r: None), Refused()),
    "similarity-images-0": (on_run(["similarity", "run", "--images", "0"], lambda r: None), Refused()),
    "similarity-supernet-shape": (on_run(["similarity", "run"], resave("learn/supernet.safetensors", other_shape)), Refused("supernet.safetensors")),
}  # fmt: skip

SEARCHES: dict[str, tuple[Make, Promise]] = {
    **{f"dry-{name}": (search("--dry-run", "--set", setting), Refused()) for name, setting in {
        "lr-1e999": "learn.lr=1e999", "wd-inf": "learn.weight_decay=1e999", "dim-neg": "learn.options.dim=-1", "depths-huge": "space.depths=(100000000,1,1,1)", "stem-0": "space.stem_width=0", "space-type-traversal": "space.type=../../os", "mean-nan": "data.mean=(1e999,0,0)", "bytes": "name=b'tiny'",
    }.items()},
    "run-temp-inf": (search("--set", "learn.options.temperature=1e999"), Refused()),
    "run-queue-huge": (search("--set", "learn.options.queue_size=1000000000000"), Refused("memory")),
    "run-lr-1e9": (search("--set", "learn.lr=1e9", "--set", "learn.steps=40"), Refused()),
    "run-eval-all": (search("--set", "explore.evaluations=1000000000", "--set", "explore.recalibration_images=8", "--set", "data.max_train=60", "--set", "data.val_per_class=1"), Accepted()),
    "run-storage-gone": (search("--set", "explore.storage=sqlite:////nowhere/x.db"), Refused()),
    "work-dir-is-file": (search(prepare=lambda f: (f / "run").write_text("x")), Refused("file")),
    "work-dir-is-device": (search("--work-dir", "/dev/null/x"), Refused()),
    "img-trunc-jpg-eoi": (on_images(in_class("x.jpg", ended_early())), Refused("x.jpg")),
    "img-bomb-170mp": (on_images(lambda r: Image.new("P", (17000, 10000)).save(r / "train/cat/x.png"), "--set", "data.memory_gib=4"), Refused("x.png")),
    "img-bomb-jpg-900mp": (on_images(lambda r: Image.new("L", (30000, 30000)).save(r / "train/cat/x.jpg")), Refused("x.jpg")),
    "img-dir": (on_images(lambda r: (r / "train/cat/x.png").mkdir()), Refused("x.png")),
    "img-fifo-lazy": (on_images(lambda r: os.mkfifo(r / "train/cat/x.png"), "--set", "data.memory_gib=0"), Refused("x.png")),
    "img-devzero-lazy": (on_images(lambda r: (r / "train/cat/x.png").symlink_to("/dev/zero"), "--set", "data.memory_gib=0"), Refused("x.png")),
    "img-eps": (on_images(in_class("x.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n")), Refused("x.png")),
    "folder-only-webp-class": (on_images(lambda r: [images(r / s / "eel", ending="webp") for s in ("train", "validation")]), Accepted()),
    "folder-symlink-to-root": (on_images(lambda r: (r / "train/cat/loop").symlink_to("/")), Either()),
    "folder-symlink-up": (on_images(lambda r: (r / "train/cat/loop").symlink_to("..")), Accepted()),
    "folder-split-dotdot": (on_images(lambda r: None, "--set", "data.train_split=.."), Refused()),
    "folder-split-same-dots": (on_images(lambda r: None, "--set", "data.train_split=train/../validation", "--set", "data.test_split=validation"), Refused()),
    "folder-workers-64": (on_images(lambda r: None, "--set", "data.workers=64", "--set", "data.memory_gib=0"), Accepted()),
    "folder-20000x1-jpg-at-224": (on_images(lambda r: Image.new("RGB", (20000, 1)).save(r / "train/cat/x.jpg"), "--set", "data.image_size=224"), Accepted()),
    "config-exit": (search(config=TINY + "\nimport sys\nsys.exit(0)\n"), Refused()),
    "config-import-missing": (search(config=TINY + "\nimport nosuchmodule\n"), Refused("nosuchmodule")),
    "config-loop": (search(config="_base_ = 'cfg.py'\n" + TINY), Refused()),
}  # fmt: skip


def shards(change: Callable[[dict[str, bytes]], object], *words: str, raw: bytes = b"", size: int = 0) -> Make:
    def prepare(folder: Path) -> None:
        for split in ("train", "validation"):
            members: dict[str, bytes] = {}
            for k in range(6):
                members |= {f"{k}.png": encoded("PNG", size=(16, 16)), f"{k}.cls": b"%d" % (k % 2)}
            if split == "train":
                change(members)
            tar(folder / "data" / f"{split}-0.tar", members)
        if raw:
            (folder / "data" / "train-0.tar").write_bytes(raw)
            os.truncate(folder / "data" / "train-0.tar", size)

    return search(*STEPS, "--set", "data.name=wds/", *words, config=FOLDER, prepare=prepare)


def in_json(members: dict[str, bytes]) -> None:
    del members["0.cls"]
    members["0.json"] = b'{"label": true}'


SHARDS: dict[str, tuple[Make, Promise]] = {
    "sound": (shards(lambda m: None), Accepted()),
    "label-1e9": (shards(lambda m: m.update({"0.cls": b"1000000000"})), Refused()),
    "label-1e30": (shards(lambda m: m.update({"0.cls": b"1" + b"0" * 30})), Refused()),
    "json-bool": (shards(in_json), Refused()),
    "longname-3gib": (shards(lambda m: None, raw=header("././@LongLink", HUGE, b"L"), size=HUGE + 4096), Refused()),
    "range-huge": (shards(lambda m: None, "--set", "data.train_split=train-{0..99999999}.tar"), Refused()),
}  # fmt: skip


def words(*line: str, prepare: Prepared = lambda f: None, **command: Any) -> Make:
    def make(folder: Path) -> Command:
        prepare(folder)
        return Command(list(line), **command)

    return make


def registered(name: str) -> Make:
    """``pinas-zoo list`` beside an entry of the corpus, which must be one line of warning."""
    return lambda folder: (ENTRIES[name][0](folder), Command(["list"], prepare=_load_registry, check=_one_warning))[1]


def _load_registry() -> None:
    warnings.simplefilter("default")
    registry.load_registry()  # as the import of the package does


def _one_warning(folder: Path) -> None:
    lines = (folder / "stderr.txt").read_text("utf-8", "replace").splitlines()
    assert len(lines) == 1, lines
    assert "skipped" in lines[0], lines


def nobody() -> None:
    """A user without a name and a home, as in a container."""
    if os.getuid() == 0:
        os.setuid(54321)


LISTED: dict[str, tuple[Make, Promise]] = {
    **{f"registry-{name}": (registered(name), Accepted()) for name in ("depths-1e9", "is-pipe", "sparse-3gib", "json-deep", "cfg-std-0", "name-escape")},
    "registry-home-is-file": (words("list", "--mine", prepare=lambda f: (f / "home").write_text("x")), Accepted()),
    "register-home-is-file": (words("register", "foo", "--arch", "0" * 16, prepare=lambda f: (f / "home").write_text("x")), Refused()),
    "register-depths-huge": (words("register", "foo", "--arch", "1111", "--depths", "1000000000,1,1,1"), Refused()),
    "register-chans-huge": (words("register", "foo", "--arch", "1" * 16, "--in-chans", "4611686018427387904"), Refused()),
    "register-info-huge": (words("info", "1111", "--depths", "1000000000,1,1,1"), Refused()),
    "register-arch-huge": (words("register", "foo", "--arch", "1" * 100_000), Refused()),
    "register-folder-device": (words("register", "foo", "--folder", "/dev/zero"), Refused()),
    "info-word-long": (words("info", "a" * 5000), Refused()),
    "info-nobodys-home": (words("info", "~nobodyatall/x"), Refused()),
    "env-no-home-no-passwd": (lambda folder: (folder.chmod(0o777), Command(["list"], {"HOME": None, "PINAS_ZOO_HOME": None, "XDG_DATA_HOME": None}, nobody))[1], Accepted()),
}  # fmt: skip


# The Hub


def hub(line: list[str], config: Any = None, fault: Any = None, env: Any = None) -> Make:
    """A command with a Hub on loopback that has one network, ``user/net``, and an image."""

    def make(folder: Path) -> Command:
        from tests.hub_server import TOKEN, HubServer

        server = HubServer()
        server.__enter__()  # its threads end with the shard's process
        network_folder(folder / "net")
        files = {name: (folder / "net" / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE)}
        if config is not None:
            files[CONFIG_FILE] = config if isinstance(config, bytes) else json.dumps(config).encode()
        server.add("user/net", files)
        if fault is not None:
            server.faults.append(fault())
        (folder / "x.png").write_bytes(encoded("PNG"))
        return Command(line, {"HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN, **(env or {})})

    return make


def fault(method: str, part: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        from tests.hub_server import Fault

        return Fault(method, part, **options)

    return make


PULL = ["pull", "user/net", "w"]
CLASSIFY = ["classify", "x.png", "--model", "hf-hub:user/net"]
LIES = '"' + "../" * 12 + 'tmp/evil"'
HUB: dict[str, tuple[Make, Promise]] = {
    "pull-sound": (hub(PULL), Accepted()),
    "classify-sound": (hub(CLASSIFY), Accepted()),
    **{f"pull-{name}": (hub(PULL, config), Refused()) for name, config in {
        "depths-1e9": with_args(depths=[10**9, 1, 1, 1]), "classes-2e62": with_args(num_classes=2**62), "norm": with_args(norm_layer="evil"), "stride-7": with_args(output_stride=7), "std-0": with_cfg(std=[0, 0, 0]), "crop-neg": with_cfg(crop_pct=-1), "deep": b"[" * 100_000,
    }.items()},
    **{f"classify-{name}": (hub(CLASSIFY, config), Refused()) for name, config in {
        "huge-input": with_cfg(input_size=[3, 10**6, 10**6]), "crop-tiny": with_cfg(crop_pct=1e-7), "std-0": with_cfg(std=[0, 0, 0]), "label-desc-list": with_cfg(label_descriptions=["x"]),
    }.items()},
    "classify-label-escapes": (hub(CLASSIFY, with_cfg(label_names=[f"\x1b[2J{k}\n" for k in range(10)])), Accepted()),
    "classify-etag-traversal": (hub(CLASSIFY, fault=fault("HEAD", "", headers={"ETag": LIES, "X-Linked-Etag": LIES})), Refused()),
    "pull-etag-traversal": (hub(PULL, fault=fault("HEAD", "", headers={"ETag": LIES, "X-Linked-Etag": LIES})), Accepted()),
    "pull-commit-traversal": (hub(PULL, fault=fault("HEAD", "", headers={"X-Repo-Commit": "../" * 9})), Accepted()),
    "pull-slow-drip-config": (hub(PULL, fault=fault("GET", CONFIG_FILE, drip=0.2)), Refused("slowly")),
    "pull-slow-drip-info": (hub(PULL, fault=fault("GET", "/api/models", drip=0.2)), Refused("slowly")),
    "pull-other-bytes": (hub(PULL, fault=fault("GET", "/store/", body=b"x" * 5000)), Refused()),
    "pull-revision-traversal": (hub(["pull", "user/net@../../x", "w"]), Refused()),
    "push-nan-metric": (hub(["push", "net", "user/new", "--metric", "accuracy=nan"]), Refused()),
    "push-injecting-dataset": (hub(["push", "net", "user/new", "--dataset", "a\n---\n# [x](javascript:1) <script>"]), Either()),
}  # fmt: skip


def convert(make: Make, *more: str, prepare: Prepared = lambda f: None) -> Make:
    def command(folder: Path) -> Command:
        make(folder)
        prepare(folder)
        return Command(["convert", "x.pth", "--out", "out", *more])

    return command


def _cast(kind: str) -> Make:
    import torch

    return saved(
        lambda s: s.update(
            {"layer1.0.conv1.weight": s["layer1.0.conv1.weight"].to(getattr(torch, kind) if kind != "meta" else "meta")}
        )
    )


OTHERS: dict[str, tuple[Make, Promise]] = {
    "classify-trunc-jpg-eoi": (classify(ended_early(), "x.jpg"), Refused("x.jpg")),
    "classify-torn-png": (classify(torn(encoded("PNG", size=(64, 64)), 0.5), "x.png"), Refused("x.png")),
    "classify-bomb": (classify(bomb(), "x.png"), Refused("x.png")),
    "classify-eps": (classify(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n", "x.eps"), Refused()),
    "classify-batch-0": (lambda folder: (network_folder(folder / "net"), (folder / "x.png").write_bytes(encoded("PNG")), Command(["classify", "x.png", "--model", "net", "--batch-size", "0"]))[2], Refused()),
    "convert-fp8": (convert(_cast("float8_e4m3fn")), Refused()),
    "convert-meta": (convert(_cast("meta")), Refused()),
    "convert-zip-bomb": (convert(zip_bomb), Refused()),
    "convert-out-file": (convert(saved(lambda s: None), "--overwrite", prepare=lambda f: (f / "out").write_text("x")), Refused()),
    "convert-pickle-of-objects": (convert(file_of(b"\x80\x02" + b"]0" * 2_000_000 + b"].", "x.pth")), Refused()),
    "convert-sound": (convert(saved(lambda s: None)), Accepted()),
}  # fmt: skip


def _train(*options: str, change: Prepared = lambda r: None) -> Make:
    """``tools/train.py`` of a detector on a small COCO folder."""

    def make(folder: Path) -> Command:
        from tests.hostile.dataset_inputs import coco
        from tests.openmmlab.small import DET, DET_OPTIONS

        root = coco(folder_change=change)(folder)
        more = [o for o in DET_OPTIONS if not o.startswith("val_dataloader.dataset.indices")]
        classes = ["train_dataloader.dataset.metainfo.classes=('cat','dog')", "val_dataloader.dataset.metainfo.classes=('cat','dog')", "model.roi_head.bbox_head.num_classes=2", "model.roi_head.mask_head.num_classes=2"]  # fmt: skip
        return Command(
            [str(DET), "--data-root", str(root), "--work-dir", "wd", "--cfg-options", *more, *classes, *options],
            main=tool("train"),
        )

    return make


TRAINED: dict[str, tuple[Make, Promise]] = {
    "workers-neg": (_train("train_dataloader.num_workers=-1"), Refused()),
    "load-missing": (_train("load_from=/nonexistent.pth"), Refused("nonexistent")),
    "load-evil": (_train("load_from=evil.pth", change=lambda r: (r.parent / "evil.pth").write_bytes(b"cos\nsystem\n(S'touch EXECUTED'\ntR.")), Refused("evil.pth")),
    "image-torn": (_train(change=lambda r: (r / "train2017/0.jpg").write_bytes((r / "train2017/0.jpg").read_bytes()[:500])), Refused("0.jpg")),
    "lr-inf": (_train("optim_wrapper.optimizer.lr=1e999"), Either()),
}  # fmt: skip


def inputs() -> tuple[Input, ...]:
    parts = {
        "search": SEARCHES,
        "resume": RESUMED,
        "ranked": RANKED,
        "shards": SHARDS,
        "list": LISTED,
        "hub": HUB,
        "other": OTHERS,
        "train": TRAINED,
    }
    return tuple(item for name, rows in parts.items() for item in table(f"cmd-{name}", run, rows))
