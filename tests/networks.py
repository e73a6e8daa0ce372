"""Tiny networks of the family, as folders, for tests that load and move weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import timm
import torch

import pinas_zoo  # noqa: F401  registers the family
from pinas_zoo.weights.model_folder import save_model_folder

ROOT = Path(__file__).resolve().parents[1]
TINY: dict[str, Any] = {"depths": (1, 1, 1, 1), "widths": (16, 32, 64, 128), "stem_width": 8}


def tiny(arch: str = "3013", num_classes: int = 10, seed: int = 0, **kwargs: Any) -> Any:
    """A network with random weights in eval mode."""
    torch.manual_seed(seed)
    return timm.create_model("pinas", arch=arch, num_classes=num_classes, **TINY, **kwargs).eval()


def tiny_folder(folder: Path, arch: str = "3013", facts: Any = None, **kwargs: Any) -> tuple[Path, Any]:
    """A model folder with a tiny network, and that network."""
    model = tiny(arch, **kwargs)
    cfg = {"input_size": (model.in_chans, 32, 32)}
    return save_model_folder(folder, model.state_dict(), {"arch": arch, **TINY}, cfg, facts), model


def same_weights(a: Any, b: Any) -> bool:
    """Whether two networks hold the same tensors under the same names."""
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new process, away from the project's folder."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **env},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(sys.executable).parent,
        check=False,
    )
