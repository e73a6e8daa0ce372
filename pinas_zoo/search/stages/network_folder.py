"""Stand-alone networks of a search: writing a timm model folder with provenance, and measuring test accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import ImageSet
from pinas_zoo.engine.finite_checks import first_of, non_finite_tensors
from pinas_zoo.errors import UserError
from pinas_zoo.made_with import made_with
from pinas_zoo.search.context import Context
from pinas_zoo.search.run_files import read_ranking
from pinas_zoo.search.run_folder import DONE
from pinas_zoo.weights.entry_points import on_meta
from pinas_zoo.weights.model_folder import plain_args, read_config, save_model_folder
from pinas_zoo.weights.new_folder import WEIGHTS_FILE
from pinas_zoo.weights.tensors import load_state


def save_network(
    context: Context, where: str, arch: Arch, state: Mapping[str, torch.Tensor], values: Mapping[str, Any]
) -> None:
    """Write a timm model folder into the run's folder.

    Args:
        context: Context of a run whose explore stage is complete.
        where: Name of the sub-folder.
        arch: The architecture, in the run's space.
        state: State dict of the network.
        values: Additional facts for ``provenance.json``.

    Raises:
        UserError: A weight is NaN or infinite.
    """
    wrong = non_finite_tensors(state)
    if wrong:
        raise UserError(
            f"expected finite weights of {arch} for {context.folder / where}, got NaN or infinity in "
            f"{first_of(wrong)}; the likely cause is a learning rate that is too high: lower it and search in another "
            "folder"
        )
    mean, std = context.normalisation
    size = context.config.data.image_size
    pretrained_cfg = {
        "num_classes": context.splits.num_classes,
        "input_size": [3, size, size],
        "architecture": context.space.architecture,
        "crop_pct": context.config.data.crop_pct,
        "interpolation": context.config.data.interpolation,
        "mean": list(mean),
        "std": list(std),
        "label_names": list(context.splits.class_names),
    }
    data = context.config.data
    facts = {
        "dataset": data.name or data.root if data.type == "timm" else "digits",
        "seed": context.config.seed,
        "commands": {  # to be run in this folder
            "register": f"pinas-zoo register {context.config.name}_winner --folder .",
            "load to train on": "import pinas_zoo, timm; "
            f'model = timm.create_model("local-dir:.", pretrained=True, num_classes={context.splits.num_classes})',
        },
        "config": context.config.shown().model_dump(mode="json"),
        "score": read_ranking(context.folder / "explore" / "ranking.csv")[0],
        **made_with(),
        **values,
    }
    args = {**context.space.model_args(arch), "num_classes": context.splits.num_classes}
    save_model_folder(context.folder / where, state, args, pretrained_cfg, facts)


def check_network(context: Context, where: str, arch: Arch) -> None:
    """Check that a model folder within the run's folder holds the network of an architecture, and finite weights.

    Raises:
        UserError: It is missing or damaged, or holds another network.
    """
    folder = context.folder / where
    cure = f"delete {folder / DONE} to write it anew"
    try:
        args, cfg = read_config(folder)
        name = context.space.architecture
        expected = {**context.space.model_args(arch), "num_classes": context.splits.num_classes}
        if cfg["architecture"] != name or plain_args(expected) != args:
            raise UserError(f"expected the network {arch} of this run in {folder}, got {args}")
        load_state(on_meta(name, args).to_empty(device="cpu"), folder / WEIGHTS_FILE)
    except UserError as error:
        raise UserError(f"{error}; {cure}") from None


@torch.no_grad()
def accuracy(model: nn.Module, images: ImageSet, normalise: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Top-1 accuracy in 0..1 of a model, which is put into eval mode."""
    model.eval()
    device = next(model.parameters()).device
    correct = sum(
        int((model(normalise(b["pixels"]).to(device)).argmax(1).cpu() == b["labels"]).sum())
        for b in images.batches(256)
    )
    return correct / len(images)
