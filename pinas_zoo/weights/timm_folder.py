"""A model folder of a network that is none of this package: config.json in timm's own format, and safetensors.

``timm.create_model("local-dir:FOLDER", pretrained=True)`` loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pinas_zoo.errors import UserError
from pinas_zoo.weights import entry_points
from pinas_zoo.weights.atomic import to_json
from pinas_zoo.weights.new_folder import CONFIG_FILE, FACTS_FILE, WEIGHTS_FILE, new_folder
from pinas_zoo.weights.tensors import check_real, check_tensors, save_tensors, shapes_of
from pinas_zoo.weights.timm_cfg import check_cfg

KEPT = ("first_conv", "classifier", "crop_mode", "pool_size", "fixed_input_size")  # of the network's own pretrained_cfg


def save_timm_folder(
    folder: Path,
    state_dict: Mapping[str, Tensor],
    architecture: str,
    args: Mapping[str, Any],
    cfg: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Write the folder; an older model folder is replaced in one step.

    Args:
        folder: Where.
        state_dict: Every tensor of the network.
        architecture: timm's entry point.
        args: Its arguments, with ``num_classes``; plain data.
        cfg: timm's pretrained_cfg fields: input_size, mean, std, crop_pct, interpolation, label_names.
        facts: Kept as provenance.json.

    Raises:
        WrongShapes: The weights are not those of the network.
        UserError: timm does not know the network, a field out of range, or the folder holds something else.
    """
    try:
        check_cfg(cfg)
    except ValueError as error:
        raise UserError(str(error)) from None
    network = entry_points.on_meta(architecture, args)
    check_real(state_dict, where="the weights to be saved")
    check_tensors(shapes_of(state_dict), network, where="the weights to be saved")
    own = entry_points.get(architecture).default_cfg
    names = list(cfg.get("label_names") or ())
    config = {
        "architecture": architecture,
        "num_classes": args["num_classes"],
        "num_features": network.num_features,
        **({"label_names": names} if names else {}),
        "model_args": {key: value for key, value in args.items() if key != "num_classes"},
        "pretrained_cfg": {
            **{key: own[key] for key in KEPT if own.get(key) is not None},
            **{key: value for key, value in cfg.items() if key != "label_names"},
            "num_classes": args["num_classes"],
        },
    }
    texts = {CONFIG_FILE: to_json(config), FACTS_FILE: to_json(facts)}
    with new_folder(folder) as temporary:
        save_tensors(temporary / WEIGHTS_FILE, state_dict)
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8", errors="backslashreplace")
