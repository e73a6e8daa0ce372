"""Folders that an earlier version wrote, kept as JSON without weights, and built anew for a test.

A fixture is ``fixtures/VERSION/NAME.json``: an object from relative path to content, which is one of

- ``{"text": [line, ...]}``;
- ``{"tensors": {name: tensor, ...}, "metadata": {...}}``: safetensors;
- ``{"checkpoint": value}``: what ``torch.load`` gives. Mappings keep their class, their order and the types of their
  keys; torch's ``_metadata`` of a state dict is left out;
- ``{"sqlite": [line, ...]}``: SQL that makes the database.

A tensor is ``[shape, dtype]``, and ``[shape, dtype, values]`` if it holds whole numbers. Floating-point values are not
kept: :func:`fill` draws them from the tensor's name. Scores of such weights are finite and mean nothing.

In texts and SQL, ``{FOLDER}`` stands for the folder in which the fixture is built, and ``{WORKER}`` for a worker of
this machine whose process has ended.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sqlite3
import subprocess
import sys
import zlib
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

FIXTURES = Path(__file__).resolve().parent / "fixtures"
FOLDER, WORKER = "{FOLDER}", "{WORKER}"
MAPPINGS = {kind.__name__: kind for kind in (dict, OrderedDict, Counter)}
Encoded = dict[str, Any]  # of one file


def materialise(name: str, folder: Path, version: str = "0.1.0") -> Path:
    """Build a fixture's files in ``folder``, which is made; returns the folder."""
    replaced = {FOLDER: folder.resolve().as_posix(), WORKER: ended_worker()}
    for relative, encoded in json.loads((FIXTURES / version / f"{name}.json").read_text(encoding="utf-8")).items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, encoded, replaced)
    return folder


def write_file(path: Path, encoded: Encoded, replaced: Mapping[str, str]) -> None:
    """Write one file of a fixture."""
    if "tensors" in encoded:
        tensors = {name: decode_tensor(name, tensor) for name, tensor in encoded["tensors"].items()}
        save_file(tensors, path, metadata=encoded.get("metadata"))
    elif "checkpoint" in encoded:
        torch.save(decode(encoded["checkpoint"]), path)
    else:
        text = "\n".join(encoded.get("sqlite") or encoded["text"])
        for placeholder, value in replaced.items():
            text = text.replace(placeholder, value)
        if "sqlite" in encoded:
            with closing(sqlite3.connect(path)) as database:
                database.executescript(text)
        else:
            path.write_text(text, encoding="utf-8", newline="")


def read_file(path: Path, replaced: Mapping[str, str]) -> Encoded:
    """Encode one file; the inverse of :func:`write_file` except for floating-point values.

    Args:
        path: What it holds is told by its suffix.
        replaced: Text to the placeholder that takes its place.
    """
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        tensors = {name: encode_tensor(tensor) for name, tensor in load_file(path).items()}
        return {"tensors": tensors, **({"metadata": metadata} if metadata else {})}
    if path.suffix == ".pth":
        return {"checkpoint": encode(torch.load(path, map_location="cpu", weights_only=True))}
    if path.suffix == ".db":
        with closing(sqlite3.connect(path)) as database:
            (mode,) = database.execute("PRAGMA journal_mode").fetchone()
            text = "\n".join([f"PRAGMA journal_mode = {mode};", *database.iterdump()])
    else:
        text = path.read_bytes().decode("utf-8")
    for old, placeholder in replaced.items():
        text = text.replace(old, placeholder)
    return {"sqlite" if path.suffix == ".db" else "text": text.split("\n")}


def encode(value: Any) -> Any:
    """A checkpoint's value as JSON: a mapping becomes ``{class: {key: value}}``, or pairs where a key is no text."""
    if isinstance(value, torch.Tensor):
        return {"tensor": encode_tensor(value)}
    if type(value).__name__ in MAPPINGS:
        items = [(key, encode(item)) for key, item in value.items()]
        named = all(isinstance(key, str) for key in value)
        return {type(value).__name__: dict(items) if named else [list(pair) for pair in items]}
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"expected tensors and plain values in a checkpoint, got {type(value).__name__}")


def decode(encoded: Any, name: str = "") -> Any:
    """The inverse of :func:`encode`; ``name`` is the path of keys to the value, joined by dots."""
    if isinstance(encoded, list):
        return [decode(item, _joined(name, k)) for k, item in enumerate(encoded)]
    if not isinstance(encoded, dict):
        return encoded
    ((kind, content),) = encoded.items()
    if kind == "tensor":
        return decode_tensor(name, content)
    if kind == "tuple":
        return tuple(decode(content, name))
    pairs = content.items() if isinstance(content, dict) else content
    return MAPPINGS[kind]({key: decode(item, _joined(name, key)) for key, item in pairs})


def _joined(name: str, key: object) -> str:
    return f"{name}.{key}" if name else str(key)


def encode_tensor(tensor: torch.Tensor) -> list[Any]:
    kept = [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
    return kept if tensor.is_floating_point() else [*kept, tensor.flatten().tolist()]


def decode_tensor(name: str, encoded: Sequence[Any]) -> torch.Tensor:
    shape, dtype = encoded[0], getattr(torch, encoded[1])
    return torch.tensor(encoded[2], dtype=dtype).reshape(shape) if len(encoded) == 3 else fill(name, shape).to(dtype)


def fill(name: str, shape: Sequence[int]) -> torch.Tensor:
    """Values that follow from a tensor's name, and keep a network's outputs finite.

    A supernet's tensors are the same wherever it stands: alone, in a method, or in the linear stage.
    """
    if name.endswith("running_mean"):
        return torch.zeros(shape)
    if name.endswith("running_var"):
        return torch.ones(shape)
    generator = torch.Generator().manual_seed(zlib.crc32(name.rpartition("supernet.")[2].encode()))
    noise = torch.randn(shape, generator=generator)
    if name.endswith("momentum_buffer"):  # large enough to be seen in where training goes from there
        return noise
    if name.endswith("weight") and len(shape) == 1:  # of a norm
        return 1 + 0.1 * noise
    if len(shape) < 2:
        return 0.05 * noise
    return noise * math.sqrt(2 / math.prod(shape[1:]))


def this_place() -> str:
    """The identifier of a worker's machine in version 0.1.0: host name and PID namespace."""
    try:
        return f"{socket.gethostname()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()}/"


def ended_worker() -> str:
    """The name of a worker of this machine whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{this_place()}:{process.pid}:0a1b2c3d"
