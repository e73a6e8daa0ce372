"""The network that a search has found, as a timm model folder with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

import pinas_zoo
from pinas_zoo.arch import Arch
from pinas_zoo.search.study.loop import read_ranking
from pinas_zoo.weights.model_folder import save_model_folder

if TYPE_CHECKING:
    from pinas_zoo.search.pipeline import Run


def save_winner(run: Run, where: str, arch: Arch, state: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
    """Write a sub-folder of the run.

    Args:
        run: Has explored.
        where: Name of the sub-folder.
        arch: Of the run's space.
        state: The network's tensors.
        values: What else provenance.json is to say.
    """
    mean, std = run.normalisation
    size = run.config.data.image_size
    pretrained_cfg = {
        "num_classes": run.splits.num_classes,
        "input_size": [3, size, size],
        "architecture": run.space.architecture,
        "crop_pct": run.config.data.crop_pct,
        "interpolation": "bicubic",
        "mean": list(mean),
        "std": list(std),
        "label_names": list(run.splits.class_names),
    }
    facts = {
        "dataset": run.config.data.name or run.config.data.root if run.config.data.type == "timm" else "digits",
        "seed": run.config.seed,
        "commands": {  # in this folder
            "register": f"pinas-zoo register {run.config.name}_winner --folder .",
            "load to train on": "import pinas_zoo, timm; "
            f'model = timm.create_model("local-dir:.", pretrained=True, num_classes={run.splits.num_classes})',
        },
        "config": run.config.model_dump(mode="json"),
        "score": read_ranking(run.folder / "explore" / "ranking.csv")[0],
        "versions": {name: version(name) for name in ("torch", "timm", "mmengine", "optuna")}
        | {"pinas_zoo": pinas_zoo.__version__},
        **values,
    }
    args = {**run.space.model_args(arch), "num_classes": run.splits.num_classes}
    save_model_folder(run.folder / where, state, args, pretrained_cfg, facts)
