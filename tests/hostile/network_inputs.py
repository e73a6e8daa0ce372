"""Networks by description and by weights: registry entries, config.json, checkpoints, safetensors, model words, cards."""

from __future__ import annotations

import copy
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pinas_zoo.convert.classifier import convert_checkpoint
from pinas_zoo.errors import UserError
from pinas_zoo.weights import entry_points
from pinas_zoo.weights.checkpoint_reader import read_checkpoint
from pinas_zoo.weights.model_folder import parse_config, parse_timm_config, read_facts, save_model_folder
from pinas_zoo.weights.tensors import load_tensors
from pinas_zoo.zoo import registry, registry_files
from pinas_zoo.zoo.resolve import resolve
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, file_of, given, table
from tests.hostile.table_inputs import JSON_FAULTS, special, specials

ARGS: dict[str, Any] = {"arch": "0123", "depths": [1, 1, 1, 1], "widths": [16, 32, 64, 128], "stem_width": 8}
CONFIG: dict[str, Any] = {
    "architecture": "pinas", "num_classes": 10, "model_args": {**ARGS, "num_classes": 10},
    "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.9, "interpolation": "bicubic"},
}  # fmt: skip
ARGUMENTS: dict[str, dict[str, Any]] = {  # of a network, each of which must be refused
    "depths-1e9": {"depths": [10**9, 1, 1, 1]}, "depths-3": {"depths": [1, 1, 1]}, "depths-text": {"depths": "1111"}, "depths-negative": {"depths": [-1, 1, 1, 1]}, "depths-fraction": {"depths": [1.5, 1, 1, 1]}, "depths-null": {"depths": None},
    "depths-513": {"depths": [513, 1, 1, 1]}, "depths-nested": {"depths": [[1], 1, 1, 1]}, "depths-true": {"depths": [True, True, True, True]},
    "widths-2e62": {"widths": [64, 128, 256, 2**62]}, "widths-heavy": {"widths": [2**15] * 4}, "widths-0": {"widths": [0, 16, 16, 16]}, "widths-nan": {"widths": [float("nan")] * 4}, "widths-object": {"widths": {"a": 1}},
    "stem-0": {"stem_width": 0}, "stem-huge": {"stem_width": 10**9}, "stem-text": {"stem_width": "8"}, "stem-digits": {"stem_width": 10**4000},
    "classes-2e62": {"num_classes": 2**62}, "classes-negative": {"num_classes": -1}, "classes-text": {"num_classes": "10"}, "classes-nan": {"num_classes": float("nan")},
    "chans-2e62": {"in_chans": 2**62}, "chans-0": {"in_chans": 0}, "chans-list": {"in_chans": [3]},
    "arch-long": {"arch": "0" * 10**6}, "arch-letters": {"arch": "abcd"}, "arch-4": {"arch": "4444"}, "arch-list-of-lists": {"arch": [[0]] * 4}, "arch-null": {"arch": None}, "arch-code": {"arch": "__import__('os')"}, "arch-fractions": {"arch": [0.5, 1, 2, 3]},
    "norm-evil": {"norm_layer": "evil"}, "norm-path": {"norm_layer": "os.system"}, "norm-object": {"norm_layer": {"a": 1}}, "act-evil": {"act_layer": "evil"}, "pool-evil": {"global_pool": "evil"}, "pool-list": {"global_pool": ["avg"]},
    "stride-7": {"output_stride": 7}, "stride-text": {"output_stride": "8"}, "drop-nan": {"drop_rate": float("nan")}, "drop-2": {"drop_rate": 2}, "drop-path-negative": {"drop_path_rate": -1}, "unknown": {"evil": 1}, "class-name": {"__class__": "x"},
    "zero-init-text": {"zero_init_last": "yes"},
}  # fmt: skip
CFGS: dict[str, dict[str, Any]] = {  # of timm's pretrained_cfg, each of which must be refused
    "std-0": {"std": [0, 0, 0]}, "std-negative-text": {"std": ["1", "1", "1"]}, "std-nan": {"std": [float("nan")] * 3}, "mean-nan": {"mean": [float("nan"), 0, 0]}, "mean-inf": {"mean": [float("inf"), 0, 0]}, "mean-text": {"mean": "0.5"}, "mean-object": {"mean": {"r": 0.5}}, "std-tiny": {"std": [1e-320] * 3},
    "crop-negative": {"crop_pct": -1}, "crop-0": {"crop_pct": 0}, "crop-tiny": {"crop_pct": 1e-7}, "crop-nan": {"crop_pct": float("nan")}, "crop-text": {"crop_pct": "0.9"}, "crop-mode-evil": {"crop_mode": "evil"},
    "input-huge": {"input_size": [3, 10**6, 10**6]}, "input-0": {"input_size": [3, 0, 0]}, "input-two": {"input_size": [32, 32]}, "input-text": {"input_size": "3x32x32"}, "input-fraction": {"input_size": [3, 32.5, 32]}, "interpolation-evil": {"interpolation": "no"}, "interpolation-list": {"interpolation": ["bicubic"]},
    "descriptions-list": {"label_descriptions": ["x"]}, "labels-number": {"label_names": 3}, "labels-of-objects": {"label_names": [{"a": 1}]}, "pool-size-text": {"pool_size": "7"},
}  # fmt: skip


def config(content: Any) -> Make:
    return given(content if isinstance(content, bytes) else json.dumps(content).encode())


def with_args(**changes: Any) -> dict[str, Any]:
    changed = copy.deepcopy(CONFIG)
    changed["model_args"].update(changes)
    return changed


def with_cfg(**changes: Any) -> dict[str, Any]:
    changed = copy.deepcopy(CONFIG)
    changed["pretrained_cfg"].update(changes)
    return changed


def network(content: bytes) -> Any:
    """The network that a config.json describes, without memory for its weights."""
    args, cfg = parse_config(content, "config.json")
    return entry_points.on_meta(cfg["architecture"], args)


def any_config(content: bytes) -> str:
    return parse_timm_config(content, "config.json")[0]


CONFIGS: dict[str, tuple[Make, Promise]] = {
    "sound": (config(CONFIG), Accepted(lambda n: n.arch == "0123" or str(n.arch) == "0123")),
    **{name: (config(with_args(**change)), Refused()) for name, change in ARGUMENTS.items()},
    **{f"cfg-{name}": (config(with_cfg(**change)), Refused()) for name, change in CFGS.items()},
    **{f"json-{name}": (config(text), Refused()) for name, text in JSON_FAULTS.items()},
    "json-nan-outside": (config(b'{"architecture": NaN}'), Refused()),
    "no-arch": (config({**CONFIG, "model_args": {}}), Refused()),
    "args-list": (config({**CONFIG, "model_args": [1]}), Refused()),
    "args-text": (config({**CONFIG, "model_args": "arch"}), Refused()),
    "cfg-list": (config({**CONFIG, "pretrained_cfg": [1]}), Refused()),
    "architecture-other": (config({**CONFIG, "architecture": "resnet50"}), Refused()),
    "architecture-list": (config({**CONFIG, "architecture": ["pinas"]}), Refused()),
    "architecture-path": (config({**CONFIG, "architecture": "../../x"}), Refused()),
    "architecture-hub": (config({**CONFIG, "architecture": "hf-hub:user/net"}), Refused()),
    "architecture-picture": (config({**CONFIG, "architecture": "pinas_beta", "model_args": {}}), Refused()),
    "long": (config(b'{"a": "' + b"x" * (17 * 2**20) + b'"}'), Refused()),
    "custom-load": (config(with_cfg(custom_load=True, url="http://127.0.0.1:9/x.pth", file="/etc/passwd")), Accepted()),
    "labels-with-escapes": (config(with_cfg(label_names=["\x1b[2J"] * 10)), Accepted()),
    "cells-1e9": (config({"architecture": "nasbench201", "model_args": {"arch": "012301", "cells": 10**9}, "pretrained_cfg": {}}), Refused("cells")),
    "channels-1e9": (config({"architecture": "nasbench201", "model_args": {"arch": "012301", "channels": 10**9}, "pretrained_cfg": {}}), Refused("channels")),
    "nasbench-sound": (config({"architecture": "nasbench201", "model_args": {"arch": "012301"}, "pretrained_cfg": {}}), Accepted()),
}  # fmt: skip
ANY_CONFIGS: dict[str, tuple[Make, Promise]] = {
    "sound": (config({"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 64, 64]}}), Accepted(lambda name: name == "resnet18")),
    **{name: (config({"architecture": "resnet18", "pretrained_cfg": change}), Refused()) for name, change in CFGS.items()},
}  # fmt: skip

# Registry


def entries(home: Path) -> list[str]:
    """The names that load from a registry, of which ``sound`` is one; a hostile one must be left out with a warning."""
    import warnings

    os.environ["PINAS_ZOO_HOME"] = str(home)
    registry_files._reported.clear()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        registry.load_registry()
    names = [entry.name for entry in registry.known()]
    for name in names:
        registry.forget(name)
    texts = [str(warning.message) for warning in seen]
    assert "sound" in names, (names, texts)
    assert len(texts) + len(names) == 2, (names, texts)
    assert all("\n" not in text and "\x1b" not in text and len(text) < 2000 for text in texts), texts
    if len(names) == 1:
        raise UserError(texts[0])
    return names


def entry(content: Any, name: str = "hostile") -> Make:
    def make(folder: Path) -> Path:
        models = folder / "home" / "models"
        models.mkdir(parents=True)
        (models / "sound.json").write_text(json.dumps({"name": "sound", "model_args": ARGS}))
        if callable(content):
            content(models)
        else:
            (models / f"{name}.json").write_bytes(
                content if isinstance(content, bytes) else json.dumps(content).encode()
            )
        return folder / "home"

    return make


def of(name: str = "hostile", folder: Any = None, cfg: Any = None, **args: Any) -> dict[str, Any]:
    return {"name": name, "model_args": {**ARGS, **args}, "folder": folder, "pretrained_cfg": cfg or {}}


ENTRIES: dict[str, tuple[Make, Promise]] = {
    "sound": (entry(of()), Accepted(lambda names: names == ["hostile", "sound"])),
    "folder-gone": (entry(of(folder="/nowhere/net")), Accepted()),
    **{name: (entry(of(**change)), Refused("skipped")) for name, change in ARGUMENTS.items() if name not in ("class-name", "stem-digits", "classes-nan")},
    **{f"cfg-{name}": (entry(of(cfg=change)), Refused("skipped")) for name, change in CFGS.items()},
    **{f"json-{name}": (entry(text), Refused("skipped")) for name, text in JSON_FAULTS.items()},
    "name-other": (entry(of("other")), Refused("skipped")),
    "name-of-timm": (entry(of("resnet50"), "resnet50"), Refused("skipped")),
    "name-traversal": (entry(of("../x")), Refused("skipped")),
    "name-number": (entry({**of(), "name": 3}), Refused("skipped")),
    "name-escape": (entry(of("e\x1b[2J"), "e\x1b[2J"), Refused("skipped")),
    "name-paper": (entry(of("pinas_alpha"), "pinas_alpha"), Refused("skipped")),
    "unknown-key": (entry({**of(), "exec": "x"}), Refused("skipped")),
    "no-args": (entry({"name": "hostile"}), Refused("skipped")),
    "args-list": (entry({**of(), "model_args": [1]}), Refused("skipped")),
    "cfg-number": (entry({**of(), "pretrained_cfg": 3}), Refused("skipped")),
    "cfg-unknown": (entry(of(cfg={"evil": 1})), Refused("skipped")),
    "folder-number": (entry(of(folder=3)), Refused("skipped")),
    "folder-nul": (entry(of(folder="\0")), Either()),
    "folder-device": (entry(of(folder="/dev/zero")), Either()),
    "cells": (entry({**of(), "model_args": {"arch": "012301", "cells": 10**9}, "pretrained_cfg": {"architecture": "nasbench201"}}), Refused("skipped")),
    "is-pipe": (entry(lambda models: os.mkfifo(models / "hostile.json")), Refused("skipped")),
    "is-folder": (entry(lambda models: (models / "hostile.json").mkdir()), Refused("skipped")),
    "is-device": (entry(lambda models: (models / "hostile.json").symlink_to("/dev/zero")), Refused("skipped")),
    "is-loop": (entry(lambda models: (models / "hostile.json").symlink_to("hostile.json")), Refused("skipped")),
    "sparse-3gib": (entry(lambda models: ((models / "hostile.json").touch(), os.truncate(models / "hostile.json", 3 * 2**30))), Refused("skipped")),
}  # fmt: skip

# Weights

NAME = "layer1.0.conv1.weight"


def state() -> dict[str, Any]:
    from tests.networks import tiny

    return dict(tiny("0123").state_dict())


def saved(change: Callable[[dict[str, Any]], Any], old: bool = False) -> Make:
    """A checkpoint of a tiny network that a function changes, or replaces by what it returns."""

    def make(folder: Path) -> Path:
        import torch

        tensors = state()
        content = change(tensors)
        torch.save(
            {"state_dict": tensors} if content is None else content,
            folder / "x.pth",
            _use_new_zipfile_serialization=not old,
        )
        return folder / "x.pth"

    return make


def tensor(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda tensors: tensors.update({NAME: change(tensors[NAME])})


def convert(file: Path) -> Any:
    """As ``pinas-zoo convert FILE --out out``."""
    found = convert_checkpoint(file)
    save_model_folder(file.parent / "out", found.state_dict, found.model_args, {})
    return found


class Runs:
    def __reduce__(self) -> Any:
        return os.system, ("touch EXECUTED",)


def damaged_directory(before: bytes, after: bytes) -> Callable[[Path], Path]:
    """A zipped checkpoint whose directory, or what names it, has other bytes."""

    def make(folder: Path) -> Path:
        import torch

        torch.save({"state_dict": {"a": torch.zeros(4)}}, folder / "x.pth")
        content = (folder / "x.pth").read_bytes()
        at = content.rindex(before)
        (folder / "x.pth").write_bytes(content[:at] + after + content[at + len(after) :])
        return folder / "x.pth"

    return make


def bomb(folder: Path) -> Path:
    """A checkpoint that unpacks to 256 MiB from some hundred kilobytes."""
    import torch

    torch.save({"state_dict": {"a": torch.zeros(4)}}, folder / "a.pth")
    with (
        zipfile.ZipFile(folder / "a.pth") as source,
        zipfile.ZipFile(folder / "x.pth", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
    ):
        for member in source.infolist():
            with packed.open(member.filename, "w") as target:
                target.write(source.read(member))
                for _ in range(32 if member.filename.endswith("data/0") else 0):
                    target.write(bytes(2**23))
    return folder / "x.pth"


def _changes() -> dict[str, Callable[[Any], Any]]:
    import torch

    return {
        "fp8": lambda t: t.to(torch.float8_e4m3fn), "fp8-e5m2": lambda t: t.to(torch.float8_e5m2), "meta": lambda t: t.to("meta"), "sparse": lambda t: t.to_sparse(), "csr": lambda t: t.flatten(1).to_sparse_csr(),
        "quantised": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "complex": lambda t: t.to(torch.complex64), "repeated": lambda t: torch.zeros(1).expand(2**40, 2**18), "nan": lambda t: t * float("nan"), "inf": lambda t: t / 0,
        "int8": lambda t: t.to(torch.int8), "bool": lambda t: t > 0, "other-shape": lambda t: t[:1], "scalar": lambda t: torch.tensor(1.0), "empty": lambda t: t[:0], "text": lambda t: "weights", "expand-int": lambda t: torch.zeros(1, dtype=torch.int64).expand(2**60),
    }  # fmt: skip


def weights() -> dict[str, tuple[Make, Promise]]:
    return {
        "sound": (saved(lambda s: None), Accepted(lambda n: n.model_args["arch"] == "0123")),
        "sound-old": (saved(lambda s: None, old=True), Accepted()),
        "prefix": (saved(lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}), Accepted()),
        "half": (saved(lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()}), Accepted()),
        "transposed-view": (saved(tensor(lambda t: t.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0))), Accepted()),
        **{f"{name}{'-old' * old}": (saved(tensor(change), old), Refused()) for name, change in _changes().items() for old in (False, True)},
        "missing-tensor": (saved(lambda s: s.__delitem__(NAME)), Refused()),
        "one-more": (saved(lambda s: s.update({"evil.weight": s[NAME]})), Refused()),
        "no-tensors": (saved(lambda s: {"state_dict": {}}), Refused()),
        "list": (saved(lambda s: [1, 2]), Refused()),
        "number-keys": (saved(lambda s: {"state_dict": {3: s[NAME]}}), Refused()),
        "escape-in-a-key": (saved(lambda s: {"state_dict": {"\x1b[2J": s[NAME]}}), Refused()),
        "key-of-1mb": (saved(lambda s: {"state_dict": {"a" * 2**20: s[NAME]}}), Refused()),
        "depth-of-layers": (saved(lambda s: s.update({f"layer1.{10**9}.conv1.weight": s[NAME]})), Refused()),
        "runs-code": (saved(lambda s: {"state_dict": s, "x": Runs()}), Refused()),
        "runs-code-old": (saved(lambda s: {"state_dict": s, "x": Runs()}, old=True), Refused()),
        "zip-bomb": (bomb, Refused("unpack")),
        "zip-directory-magic": (damaged_directory(b"PK\x01\x02", b"PK\x01\x03"), Refused()),
        "zip-directory-name": (damaged_directory(b"data.pkl", b"\xb9\xff"), Refused()),
        "zip-directory-size": (damaged_directory(b"PK\x05\x06", b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff"), Refused()),
        "pickle-print": (file_of(pickle.dumps(print), "x.pth"), Refused()),
        "pickle-system": (file_of(b"cos\nsystem\n(S'touch EXECUTED'\ntR.", "x.pth"), Refused()),
        "pickle-memo": (file_of(b"\x80\x02]r\xff\xff\xff\x7f.", "x.pth"), Refused()),
        "pickle-long-text": (file_of(b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"x.", "x.pth"), Refused()),
        "pickle-deep": (file_of(b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b".", "x.pth"), Refused()),
        "pickle-doubling": (file_of(b"\x80\x02]q\0" + b"(h\0h\0tq\0" * 60 + b".", "x.pth"), Refused()),
        **{f"file-{name}": (file_of(content, "x.pth"), Refused()) for name, content in {"empty": b"", "pk": b"PK", "zip": b"PK\x03\x04" + bytes(100), "proto": b"\x80\x02", "dict": b"\x80\x02}q\0.", "html": b"<html>", "zeros": bytes(5000), "tar": bytes(257) + b"ustar" + bytes(250)}.items()},
        **{f"is-{kind}": value for kind, value in specials("x.pth").items() if kind != "sparse-3gib"},
        "is-sparse-3gib": (special_sparse, Refused()),
    }  # fmt: skip


def special_sparse(folder: Path) -> Path:
    (folder / "x.pth").touch()
    os.truncate(folder / "x.pth", 3 * 2**30)
    return folder / "x.pth"


def header(text: bytes | Mapping[str, Any], data: int = 0, length: int | None = None) -> Make:
    """A safetensors file of any header, and a hole as data."""
    content = text if isinstance(text, bytes) else json.dumps(text).encode()

    def make(folder: Path) -> Path:
        with (folder / "x.safetensors").open("wb") as file:
            file.write((len(content) if length is None else length).to_bytes(8, "little") + content)
            file.truncate(8 + len(content) + data)
        return folder / "x.safetensors"

    return make


def one(dtype: str = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


HEADERS: dict[str, tuple[Make, Promise]] = {
    "sound": (header(one(), 16), Accepted(lambda t: t["a"].shape == (4,))),
    "metadata": (header({**one(), "__metadata__": {"format": "pt"}}, 16), Accepted()),
    "sparse-3gib": (header(one(shape=[3 * 2**28], offsets=[0, 3 * 2**30]), 3 * 2**30), Refused()),
    "f8": (header(one("F8_E4M3", [4], [0, 4]), 4), Refused()),
    "i8-weights": (header(one("I8", [4], [0, 4]), 4), Either()),
    **{name: (header(*args), Refused()) for name, args in {
        "torn": (one(), 3), "dtype-evil": (one("EVIL"), 16), "dtype-null": (one(None), 16), "shape-2e63": (one(shape=[2**63, 2]), 16), "shape-overflow": (one(shape=[2**32, 2**32]), 16), "shape-negative": (one(shape=[-4]), 16), "shape-text": (one(shape="4"), 16),
        "offsets-back": (one(offsets=[16, 0]), 16), "offsets-beyond": (one(offsets=[0, 2**60]), 16), "offsets-hole": (one(offsets=[16, 32]), 32), "offsets-one": (one(offsets=[0]), 16), "overlap": ({**one(), "b": one()["a"]}, 16), "more-data": (one(), 64),
        "list": (b"[]",), "null": (b"null",), "deep": (b"[" * 100_000,), "not-utf8": (b'{"\xff": 1}',), "empty-header": (b"",), "nan": (b'{"a": NaN}',), "number": (b'{"a": 3}',), "metadata-numbers": ({**one(), "__metadata__": {"a": 1}}, 16),
        "length-2e63": (one(), 16, 2**63), "length-100mb": (one(), 16, 10**8), "length-1": (one(), 16, 1), "many-tensors": ({str(k): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for k in range(70_000)}, 0),
    }.items()},
    **{f"file-{name}": (file_of(content, "x.safetensors"), Refused()) for name, content in {"empty": b"", "seven": b"1234567", "zip": b"PK\x03\x04" + bytes(200), "html": b"<html>" * 9, "zeros": bytes(64), "pickle": b"\x80\x02}."}.items()},
    **{f"is-{kind}": (special("x.safetensors", kind), Refused()) for kind in ("pipe", "folder", "device", "loop", "gone")},
}  # fmt: skip

# Words for a network, facts and cards

WORDS = ["", "..", "../..", "/dev/zero", "/", "evil", "local-dir:", "local-dir:/dev/zero", "local-dir:/nowhere", "hf-hub:", "hf-hub:x", "hf-hub:../x", "hf-hub:a/b@../c", "hf_hub:/etc/passwd", "http://127.0.0.1:9/x", "file:///etc/passwd", "0123\n", "4" * 16, "0" * 17, "0" * 10**5, "a\0b", "local-dir:a\0b", "\x1b[2J", "\udce9", "a" * 5000, "pinas_beta", "pinas:x", "~nobodyatall/x", "local-dir:~nobodyatall/x"]  # fmt: skip
WORDS_NOT_YET = ("hf-hub:x",)  # said when the Hub is asked


def word(text: str) -> Any:
    return resolve(text).on_meta()


def inputs() -> tuple[Input, ...]:
    facts: dict[str, tuple[Make, Promise]] = {
        **{name: (_in_folder("provenance.json", text), Refused()) for name, text in JSON_FAULTS.items() if name not in ("surrogate-key", "digits")},
        "sound": (_in_folder("provenance.json", b'{"seed": 1}'), Accepted(lambda f: f == {"seed": 1})),
    }  # fmt: skip
    words: dict[str, tuple[Make, Promise]] = {
        f"{k}-" + "".join(c if c.isascii() and c.isalnum() else "_" for c in text)[:30]: (given(text), Refused() if text not in WORDS_NOT_YET else Either())
        for k, text in enumerate(WORDS)
    }  # fmt: skip
    return (
        *table("hub-config", network, CONFIGS),
        *table("timm-config", any_config, ANY_CONFIGS),
        *table("registry", entries, ENTRIES),
        *table("convert", convert, weights()),
        *table("safetensors", load_tensors, HEADERS),
        *table("safetensors-checkpoint", read_checkpoint, {k: v for k, v in HEADERS.items() if k in ("sound", "sparse-3gib", "f8", "torn", "deep", "overlap")}),
        *table("provenance", read_facts, facts),
        *table("word", word, words),
    )  # fmt: skip


def _in_folder(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder

    return make
