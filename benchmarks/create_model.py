"""Time of `timm.create_model("hf-hub:…", pretrained=True)` with weights in the Hub's cache, beside that of timm.

python benchmarks/create_model.py

The script puts our ResNeSt-50 (``arch="1" * 16``) and timm's ``resnest50d``, 27.5 M parameters each, with random
weights into a temporary Hub cache, and works offline. Each is loaded once in a new process, after the imports. The bare
limit is the time to read the same safetensors file into memory.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timm

import pinas_zoo  # noqa: F401

COMMIT = "0" * 40
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {"ours": ("pinas", {"arch": "1" * 16}), "peer": ("resnest50d", {})}
LOAD = """
import sys, time
import safetensors.torch, timm
if sys.argv[1] == "ours":
    import pinas_zoo
start = time.perf_counter()
timm.create_model(f"hf-hub:bench/{sys.argv[1]}", pretrained=True)
print(time.perf_counter() - start)
"""
READ = """
import sys, time
import safetensors.torch
start = time.perf_counter()
tensors = [tensor.clone() for tensor in safetensors.torch.load_file(sys.argv[1]).values()]  # the file is mapped
print(time.perf_counter() - start)
"""


def fill_cache(cache: Path) -> Path:
    """Write both networks into the cache of huggingface_hub. Returns the path of our weights."""
    for name, (architecture, args) in NETWORKS.items():
        repo = cache / f"models--bench--{name}"
        snapshot = repo / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text(COMMIT)
        model = timm.create_model(architecture, **args)
        timm.models.save_for_hf(model, str(snapshot), safe_serialization=True)
    return cache / "models--bench--ours" / "snapshots" / COMMIT / "model.safetensors"


def printed_seconds(code: str, argument: str, environment: dict[str, str]) -> float:
    command = [sys.executable, "-c", code, argument]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def measure(repeats: int) -> dict[str, list[float]]:
    """Seconds of ``ours``, ``peer`` and ``limit`` in each round; every other round runs in reverse order."""
    with tempfile.TemporaryDirectory() as folder:
        weights = fill_cache(Path(folder))
        environment = {**os.environ, "HF_HUB_CACHE": folder, "HF_HUB_OFFLINE": "1"}
        runs: dict[str, Callable[[], float]] = {
            "ours": partial(printed_seconds, LOAD, "ours", environment),
            "peer": partial(printed_seconds, LOAD, "peer", environment),
            "limit": partial(printed_seconds, READ, str(weights), environment),
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(repeats):
            for name in list(runs) if turn % 2 else reversed(runs):
                seconds[name].append(runs[name]())
    return seconds


def main() -> None:
    median = {name: statistics.median(seconds) for name, seconds in measure(repeats=5).items()}
    print(f"pinas       {median['ours']:.2f} s")
    print(f"resnest50d  {median['peer']:.2f} s, {median['peer'] / median['ours']:.2f} x ours")
    print(f"file alone  {median['limit']:.2f} s")


if __name__ == "__main__":
    main()
