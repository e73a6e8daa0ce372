"""A timm model folder: ``config.json`` and ``model.safetensors``, written whole or not at all.

The format is timm's own, so ``timm.create_model("local-dir:FOLDER", pretrained=True)`` loads it once
:mod:`pinas_zoo` is imported. ``provenance.json`` beside them holds where the weights come from; timm ignores it.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from timm.models._pretrained import PretrainedCfg
from torch import Tensor

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError, WeightsMissing, WrongShapes
from pinas_zoo.weights.atomic import to_json
from pinas_zoo.weights.entry_points import (
    FAMILY as ARCHITECTURE,  # the generic entry point: known wherever pinas_zoo is
)
from pinas_zoo.weights.entry_points import architecture_of, check_known, on_meta
from pinas_zoo.weights.new_folder import CARD_FILE as CARD_FILE
from pinas_zoo.weights.new_folder import CONFIG_FILE, FACTS_FILE, WEIGHTS_FILE, new_folder
from pinas_zoo.weights.tensors import check_real, check_tensors, save_tensors

PICKLES = (".bin", ".pth", ".pt", ".tar", ".ckpt", ".pkl")  # formats that can carry code
_SOURCES = ("url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "architecture", "custom_load", "tag")
_CFG_KEYS = frozenset(f.name for f in dataclasses.fields(PretrainedCfg))
_CONFIG_LIMIT = 16 * 2**20  # bytes; label names of 22k classes take about one


def save_model_folder(
    folder: Path | str,
    state_dict: Mapping[str, Tensor],
    model_args: Mapping[str, Any],
    pretrained_cfg: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a network as a timm model folder; an older model folder of that name is replaced in one step.

    The weights are held against the network that ``model_args`` describes before anything is written. ``num_classes``
    and ``in_chans`` are read off the weights, so that config and weights agree.

    Args:
        folder: Where; parents are made. Files of an older folder that are not of this format are kept.
        state_dict: Every tensor of the network, of any device and layout.
        model_args: Arguments of :class:`pinas_zoo.models.pinas.PiNAS`, with ``arch``; plain data. Those of another
            entry point of timm when pretrained_cfg names it as ``architecture``
            (:mod:`pinas_zoo.weights.entry_points`).
        pretrained_cfg: timm's fields: input_size, mean, std, crop_pct, interpolation, label_names, license, …; what is
            left out is the architecture's own; for the family, as for ImageNet.
        facts: Kept as provenance.json: seed, score, versions, and for the model card ``dataset`` and ``metrics`` (see
            :mod:`pinas_zoo.zoo.model_card`). Plain data.

    Returns:
        The folder.

    Raises:
        UserError: An unknown field, arguments that are not plain data, or a folder that holds something else.
        WrongShapes: The weights are not those of the network.
    """
    folder = Path(folder)
    args, architecture = plain_args(model_args), architecture_of(pretrained_cfg)
    classes, channels = _head_and_stem(state_dict, architecture)
    args.update(num_classes=classes, **({"in_chans": channels} if channels != 3 else {}))
    if channels == 3:
        args.pop("in_chans", None)
    check_real(state_dict, where="the weights to be saved")
    shapes = {k: tuple(v.shape) for k, v in state_dict.items()}
    check_tensors(shapes, args, where="the weights to be saved", architecture=architecture)
    config = make_config(args, pretrained_cfg)
    texts = {CONFIG_FILE: to_json(config)}
    if facts is not None:
        texts[FACTS_FILE] = to_json(facts)
    with new_folder(folder) as temporary:
        save_tensors(temporary / WEIGHTS_FILE, state_dict)
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8")
    return folder


def make_config(args: Mapping[str, Any], pretrained_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """timm's config.json as a value, from complete model arguments and timm's pretrained_cfg fields.

    Raises:
        UserError: A field that timm does not know.
    """
    from pinas_zoo.models import pinas as family

    unknown = sorted(set(pretrained_cfg) - _CFG_KEYS)
    if unknown:
        raise UserError(f"expected fields of timm's pretrained_cfg, got {unknown}; put other facts into provenance")
    architecture, defaults = architecture_of(pretrained_cfg), family._cfg()
    features, reduction = 4 * int(args.get("widths", family.WIDTHS)[-1]), 32
    if architecture != ARCHITECTURE:
        model = on_meta(architecture, args)
        defaults = {k: v for k, v in model.pretrained_cfg.items() if k in _CFG_KEYS}
        features = model.num_features
        reduction = model.feature_info[-1]["reduction"] if getattr(model, "feature_info", None) else 32
    cfg = {**defaults, **{k: v for k, v in pretrained_cfg.items() if v is not None}}
    cfg = {k: v for k, v in cfg.items() if k not in _SOURCES}  # where it lies is no part of what it is
    if "license" not in pretrained_cfg:
        cfg.pop("license", None)  # this package's defaults are no licence of anybody's weights
    channels = args.get("in_chans", 3)
    if len(cfg["mean"]) != channels and len(cfg["mean"]) == 3 and "mean" not in pretrained_cfg:
        cfg["mean"] = cfg["std"] = (0.5,) * channels
    for key in ("input_size", "test_input_size", "min_input_size"):
        if cfg.get(key):
            cfg[key] = (channels, *cfg[key][1:])
    if "pool_size" not in pretrained_cfg:
        cfg["pool_size"] = tuple(-(-side // reduction) for side in cfg["input_size"][1:])
    classes = args["num_classes"]
    cfg["num_classes"] = classes
    config: dict[str, Any] = {
        "architecture": architecture,
        "num_classes": classes,
        "num_features": features,
        "global_pool": args.get("global_pool", "avg"),
    }
    for key in ("label_names", "label_descriptions"):
        if cfg.get(key):
            config[key] = cfg.pop(key)
    return {**config, "model_args": dict(args), "pretrained_cfg": cfg}


def read_config(folder: Path | str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The complete model arguments and the pretrained_cfg of a model folder.

    The cfg names the ``architecture`` when it is not the family's.

    Raises:
        WeightsMissing: No folder, or no config.json in it.
        UserError: config.json is damaged, or of another family.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise WeightsMissing(f"expected a timm model folder with {CONFIG_FILE}, found none in {folder}")
    return parse_config(path.read_bytes(), where=str(path))


def read_facts(folder: Path | str) -> dict[str, Any]:
    """What provenance.json of a folder says; empty when there is none.

    Raises:
        UserError: It is damaged.
    """
    path = Path(folder) / FACTS_FILE
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"expected JSON in {path}, got a damaged file ({error}); mend it or delete it") from None
    if not isinstance(facts, dict):
        raise UserError(f"expected an object in {path}, got {type(facts).__name__}; mend it or delete it")
    return facts


def parse_config(content: bytes, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Model arguments and pretrained_cfg out of config.json's bytes, as timm understands them.

    Raises:
        UserError: Not JSON, not a timm config, another family, or an architecture that does not fit its sizes.
    """
    from timm.models._hub import _parse_model_cfg

    from pinas_zoo.models import pinas as family

    try:
        if len(content) > _CONFIG_LIMIT:
            raise ValueError(f"{len(content)} bytes")
        config = json.loads(content)
        named = str(config.get("architecture"))
        cfg, _, args = _parse_model_cfg(config, {})
        args = dict(args or {})
        cfg = {k: v for k, v in cfg.items() if k in _CFG_KEYS and k not in _SOURCES}
        check_cfg(cfg)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"expected a timm config in {where}, got a damaged one ({error}); get or write it anew"
        ) from None
    arch = family.ARCHS.get(family.ALIASES.get(named, named))
    if arch is not None:
        args.setdefault("arch", arch)  # timm's own export leaves out what the entry point fixes
    if not (named.startswith(ARCHITECTURE) or arch is not None) and "arch" in args:
        cfg["architecture"] = check_known(named)
    elif "arch" not in args:
        raise UserError(
            f"expected a network of this package (architecture {ARCHITECTURE!r}, model_args with an arch) in {where}, "
            f"got {named!r} with {sorted(args) or 'no model_args'}"
        )
    args.setdefault("num_classes", cfg.get("num_classes", 1000))
    if cfg.get("input_size"):
        args.setdefault("in_chans", cfg["input_size"][0])
    if args.get("in_chans") == 3:
        del args["in_chans"]
    try:
        args = plain_args(args)
        check_args(args, architecture_of(cfg))
    except (ValueError, TypeError) as error:
        raise UserError(f"expected arguments of a network in {where}, got {args}: {error}") from None
    return args, cfg


def plain_args(model_args: Mapping[str, Any]) -> dict[str, Any]:
    """Model arguments as plain data: ``arch`` as text, sequences as lists; device and dtype are the caller's matter.

    Raises:
        UserError: No arch, or a value that JSON cannot hold.
    """
    args = {k: v for k, v in model_args.items() if k not in ("device", "dtype")}
    if args.get("arch") is None:
        raise UserError(f"expected model_args with an arch, got {sorted(args)}")
    args["arch"] = str(Arch.parse(args["arch"]))
    return json.loads(to_json(args))


def check_args(args: Mapping[str, Any], architecture: str = ARCHITECTURE) -> None:
    """Hold an architecture against its depths and widths, without building anything; another family's is not checked.

    Raises:
        ValueError, TypeError: They do not fit, or are of the wrong type.
    """
    from pinas_zoo.models import pinas as family

    if architecture != ARCHITECTURE:
        return
    known = inspect.signature(family.PiNAS).parameters
    unknown = sorted(set(args) - set(known))
    if unknown:
        raise ValueError(f"expected arguments among {', '.join(known)}, got {unknown}")
    for key in ("depths", "widths"):
        if key in args and not (_is_list(args[key]) and args[key] and all(_is_count(n, 1) for n in args[key])):
            raise ValueError(f"expected {key} as positive whole numbers, got {args[key]!r}")
    for key, least in (("stem_width", 1), ("in_chans", 1), ("num_classes", 0), ("output_stride", 8)):
        if key in args and not _is_count(args[key], least):
            raise ValueError(f"expected {key} as a whole number of at least {least}, got {args[key]!r}")
    sizes = {k: args[k] for k in ("depths", "widths", "stem_width") if args.get(k) is not None}
    layers = family.layer_specs(**sizes)
    Arch.parse(args["arch"], num_layers=len(layers), num_candidates=len(family.CANDIDATES))


def function_differences(trained: Mapping[str, Any], called: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Arguments of the family that change what a network computes but not its tensors, as (called, trained).

    What is left out is the family's default. Names and classes of layers are the same.
    """
    from timm.layers import get_act_layer, get_norm_layer

    from pinas_zoo.models import pinas as family

    known = inspect.signature(family.PiNAS).parameters
    same: Any = {"act_layer": get_act_layer, "norm_layer": get_norm_layer}
    out = {}
    for key in ("act_layer", "norm_layer", "output_stride", "global_pool"):
        ours, theirs = (args.get(key, known[key].default) for args in (called, trained))
        read = same.get(key, lambda value: value)
        try:
            differ = read(ours) != read(theirs)
        except (KeyError, AssertionError, TypeError):
            differ = True  # not a layer that timm knows
        if differ:
            out[key] = (ours, theirs)
    return out


def check_cfg(cfg: Mapping[str, Any]) -> None:
    """Hold the fields of a pretrained_cfg that this package reads against their types; None stands for left out.

    Raises:
        ValueError: With the first field that is of another form.
    """

    def hold(keys: Sequence[str], fits: Callable[[Any], bool], form: str) -> None:
        for key in keys:
            if cfg.get(key) is not None and not fits(cfg[key]):
                raise ValueError(f"expected {key} as {form}, got {cfg[key]!r}")

    sizes = ("input_size", "test_input_size", "min_input_size")
    hold(sizes, lambda v: _is_list(v) and len(v) == 3 and all(_is_count(n, 1) for n in v), "three positive numbers")
    channels = (cfg.get("input_size") or (3,))[0]
    hold(
        ("mean", "std"),
        lambda v: _is_list(v) and len(v) in (3, channels) and all(_is_number(n) for n in v),
        "three numbers, or one a channel",
    )
    hold(("crop_pct", "test_crop_pct"), _is_number, "a number")
    hold(("num_classes",), lambda v: _is_count(v, 0), "a whole number")
    hold(("label_names",), lambda v: _is_list(v) and all(isinstance(n, str) for n in v), "a list of texts")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _head_and_stem(state_dict: Mapping[str, Tensor], architecture: str) -> tuple[int, int]:
    """Classes and input channels, read off the weights; no classifier means a network without a head."""
    from timm.models import get_pretrained_cfg

    cfg: Any = get_pretrained_cfg(check_known(architecture))
    name = f"{cfg.first_conv}.weight"
    stem = state_dict.get(name)
    if stem is None or stem.ndim != 4:
        raise WrongShapes(f"expected a state dict with {name}, got one without; is it a supernet's or wrapped?")
    head = state_dict.get(f"{cfg.classifier}.weight")
    return (0 if head is None else int(head.shape[0])), int(stem.shape[1])
