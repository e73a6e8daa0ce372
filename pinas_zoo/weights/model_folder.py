"""A timm model folder: ``config.json`` and ``model.safetensors``, written atomically.

The format is timm's own, so ``timm.create_model("local-dir:FOLDER", pretrained=True)`` loads it once
:mod:`pinas_zoo` is imported. ``provenance.json`` beside them says where the weights come from; timm ignores it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from timm.models import PretrainedCfg
from torch import Tensor, nn

from pinas_zoo.arch import Arch
from pinas_zoo.bounded_reading import parse_json, read_bytes, read_json
from pinas_zoo.errors import UserError, WeightsMissing, WrongShapes
from pinas_zoo.weights import entry_points
from pinas_zoo.weights.atomic import to_json
from pinas_zoo.weights.new_folder import CARD_FILE as CARD_FILE
from pinas_zoo.weights.new_folder import CONFIG_FILE, FACTS_FILE, WEIGHTS_FILE, new_folder
from pinas_zoo.weights.size_limits import shortened
from pinas_zoo.weights.tensors import check_real, check_tensors, save_tensors, shapes_of
from pinas_zoo.weights.timm_cfg import check_cfg
from pinas_zoo.weights.timm_private import parse_model_cfg

_SOURCES = ("url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "architecture", "custom_load", "tag")
_BESIDE = ("architecture", "label_names", "label_descriptions")  # fields of a cfg that config.json has beside it
_CFG_KEYS = frozenset(f.name for f in dataclasses.fields(PretrainedCfg))
CONFIG_LIMIT = 16 * 2**20  # bytes; label names of 22k classes take about one
_REDUCTION = 32  # of a network that does not say by how much its last map is smaller than the image


def save_model_folder(
    folder: Path | str,
    state_dict: Mapping[str, Tensor],
    model_args: Mapping[str, Any],
    pretrained_cfg: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a network as a timm model folder; an older model folder of that name is replaced in one step.

    The weights are compared with the network that ``model_args`` describes before anything is written. ``num_classes``
    and ``in_chans`` are read off the weights, so that config and weights agree.

    Args:
        folder: Where; missing parent folders are made. Files of an older folder that are not of this format are kept.
        state_dict: Every tensor of the network, on any device, in any memory layout.
        model_args: Arguments of the entry point, with ``arch``; plain data.
        pretrained_cfg: timm's fields: input_size, mean, std, crop_pct, interpolation, label_names, license, …;
            ``architecture`` names the entry point (default: ``pinas``, whose arguments are those of
            :class:`pinas_zoo.models.pinas.PiNAS`). Fields that are left out are the entry point's own.
        facts: Kept as provenance.json: seed, score, versions, and for the model card ``dataset`` and ``metrics`` (see
            :mod:`pinas_zoo.zoo.model_card`). Plain data.

    Returns:
        The folder.

    Raises:
        UserError: An unknown field, arguments that are not plain data or describe no network, or a folder that holds
            something else.
        WrongShapes: The weights are not those of the network.
    """
    folder = Path(folder)
    architecture = entry_points.name_in(pretrained_cfg)
    args = plain_args(model_args, entry_points.get(architecture).parse_arch)
    classes, channels = _head_and_stem(state_dict, architecture)
    args.update(num_classes=classes, **({"in_chans": channels} if channels != 3 else {}))
    if channels == 3:
        args.pop("in_chans", None)
    check_args(args, architecture)
    check_real(state_dict, where="the weights to be saved")
    network = entry_points.on_meta(architecture, args)
    check_tensors(shapes_of(state_dict), network, where="the weights to be saved")
    texts = {CONFIG_FILE: to_json(make_config(args, pretrained_cfg, network))}
    if facts is not None:
        texts[FACTS_FILE] = to_json(facts)
    with new_folder(folder) as temporary:
        save_tensors(temporary / WEIGHTS_FILE, state_dict)
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8", errors="backslashreplace")
    return folder


def make_config(
    args: Mapping[str, Any], pretrained_cfg: Mapping[str, Any], network: nn.Module | None = None
) -> dict[str, Any]:
    """timm's config.json as a value, from complete model arguments and timm's pretrained_cfg fields.

    Args:
        args: Of the entry point that ``pretrained_cfg`` names.
        pretrained_cfg: timm's fields.
        network: The network that they describe, when the caller has it; else it is built on the meta device.

    Raises:
        UserError: A field that timm does not know, or arguments that describe no network.
    """
    architecture = entry_points.name_in(pretrained_cfg)
    try:
        check_cfg(pretrained_cfg)
    except ValueError as error:
        raise UserError(str(error)) from None
    cfg = complete_cfg(args, pretrained_cfg)  # before the network: cheap, and it finds wrong fields
    network = network if network is not None else entry_points.on_meta(architecture, args)
    config: dict[str, Any] = {
        "architecture": architecture,
        "num_classes": cfg["num_classes"],
        "num_features": network.num_features,
        "global_pool": args.get("global_pool", "avg"),
    }
    beside = {key: cfg.pop(key) for key in _BESIDE if key in cfg}
    return {**config, **beside, "model_args": dict(args), "pretrained_cfg": cfg}


def complete_cfg(args: Mapping[str, Any], pretrained_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """timm's pretrained_cfg of a network with every field that it needs, those of its entry point where none is given.

    It names the architecture. Where the weights lie is left out. Nothing is built.

    Raises:
        UserError: A field that timm does not know.
        UnknownArchitecture: The entry point is not registered with timm in this process.
    """
    unknown = sorted(set(pretrained_cfg) - _CFG_KEYS)
    if unknown:
        raise UserError(f"expected fields of timm's pretrained_cfg, got {unknown}; put other facts into provenance")
    architecture = entry_points.name_in(pretrained_cfg)
    defaults = entry_points.get(architecture).default_cfg
    cfg = {**defaults, **{k: v for k, v in pretrained_cfg.items() if v is not None}}
    cfg = {k: v for k, v in cfg.items() if k in _CFG_KEYS and k not in _SOURCES}
    if "license" not in pretrained_cfg:
        cfg.pop("license", None)  # this package's defaults are no licence of anybody's weights
    channels = args.get("in_chans", 3)
    if len(cfg["mean"]) != channels and len(cfg["mean"]) == 3 and "mean" not in pretrained_cfg:
        cfg["mean"] = cfg["std"] = (0.5,) * channels
    for key in ("input_size", "test_input_size", "min_input_size"):
        if cfg.get(key):
            cfg[key] = (channels, *cfg[key][1:])
    if "pool_size" not in pretrained_cfg:
        pool = defaults.get("pool_size")
        reduction = defaults["input_size"][1] // pool[0] if pool else _REDUCTION
        cfg["pool_size"] = tuple(-(-side // reduction) for side in cfg["input_size"][1:])
    cfg["num_classes"] = args.get("num_classes", cfg.get("num_classes", 1000))
    for key in ("label_names", "label_descriptions"):
        if not cfg.get(key):
            cfg.pop(key, None)
    return {**cfg, "architecture": architecture}


def read_config(folder: Path | str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The complete model arguments of a model folder, and its pretrained_cfg, which names the ``architecture``.

    Raises:
        WeightsMissing: No folder, or no config.json in it.
        UserError: config.json is damaged or too long, or its network has no ``arch`` or is too large.
        UnknownArchitecture: timm does not know the entry point in this process.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise WeightsMissing(f"expected a timm model folder with {CONFIG_FILE}, found none in {folder}")
    return parse_config(read_bytes(path, "the config of a network", CONFIG_LIMIT), where=str(path))


def read_facts(folder: Path | str) -> dict[str, Any]:
    """What provenance.json of a folder says; empty when there is none.

    Raises:
        UserError: It is damaged.
    """
    path = Path(folder) / FACTS_FILE
    if not path.is_file():
        return {}
    facts = read_json(path, "facts of a network", CONFIG_LIMIT)
    if not isinstance(facts, dict):
        raise UserError(f"expected an object in {path}, got {type(facts).__name__}; repair or delete it")
    return facts


def parse_config(content: bytes, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Model arguments and pretrained_cfg out of config.json's bytes, as timm understands them.

    Raises:
        UserError: As :func:`parse_timm_config`; or a network without ``arch``, an architecture that does not fit its
            sizes, or a network that is too large.
        UnknownArchitecture: timm does not know the entry point in this process.
    """
    named, args, cfg = parse_timm_config(content, where)
    architecture, fixed = entry_points.generic_form(named)
    args = {**fixed, **args}  # timm's own export leaves out what the entry point fixes
    if "arch" not in args:
        raise UserError(
            f"expected a network of this package (architecture {entry_points.default_name()!r}, model_args with an "
            f"arch) in {where}, got {shortened(named)} with {sorted(args)[:20] or 'no model_args'}"
        )
    cfg["architecture"] = entry_points.check_known(architecture)
    args.setdefault("num_classes", cfg.get("num_classes", 1000))
    if cfg.get("input_size"):
        args.setdefault("in_chans", cfg["input_size"][0])
    if args.get("in_chans") == 3:
        del args["in_chans"]
    try:
        args = plain_args(args, entry_points.get(architecture).parse_arch)
        check_args(args, architecture)
    except entry_points.UnknownArchitecture:
        raise
    except (ValueError, TypeError) as error:
        raise UserError(f"expected arguments of a network in {where}, got {shortened(args, 300)}: {error}") from None
    return args, cfg


def parse_timm_config(content: bytes, where: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Architecture, model arguments and pretrained_cfg out of the bytes of any network's config.json.

    Raises:
        UserError: Too long, not JSON, or not a timm config with values that an image can be prepared by.
    """
    try:
        if len(content) > CONFIG_LIMIT:
            raise ValueError(f"{len(content)} bytes")
        config = parse_json(content)
        named = str(config.get("architecture"))
        cfg, _, args = parse_model_cfg(config, {})
        args = dict(args or {})
        cfg = {k: v for k, v in cfg.items() if k in _CFG_KEYS and k not in _SOURCES}
        check_cfg(cfg)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"expected a timm config in {where}, got a damaged one ({error}); download or write it again"
        ) from None
    return named, args, cfg


def plain_args(model_args: Mapping[str, Any], parse_arch: Callable[[Any], Arch] = Arch.parse) -> dict[str, Any]:
    """Model arguments as plain data: ``arch`` as digits, sequences as lists, without device and dtype.

    Raises:
        UserError: No arch, or a value that JSON cannot hold.
    """
    args = {k: v for k, v in model_args.items() if k not in ("device", "dtype")}
    if args.get("arch") is None:
        raise UserError(f"expected model_args with an arch, got {sorted(args)}")
    args["arch"] = str(parse_arch(args["arch"]))
    return json.loads(to_json(args))


def check_args(args: Mapping[str, Any], architecture: str) -> None:
    """Check the arguments of an entry point without building anything, as far as its models declare a check.

    Raises:
        UserError: They do not fit each other, or are of the wrong type.
        UnknownArchitecture: timm does not know the entry point in this process.
    """
    entry_point = entry_points.get(architecture)
    try:
        entry_point.check_args(args)
    except entry_points.WRONG_ARGUMENTS as error:
        raise UserError(str(error) or type(error).__name__) from None


def _head_and_stem(state_dict: Mapping[str, Tensor], architecture: str) -> tuple[int, int]:
    """Classes and input channels, read off the weights; no classifier means a network without a head."""
    cfg = entry_points.get(architecture).default_cfg
    name = f"{cfg.get('first_conv')}.weight"
    stem = state_dict.get(name)
    if stem is None or stem.ndim != 4:
        raise WrongShapes(f"expected a state dict with {name}, got one without; is it a supernet's or wrapped?")
    head = state_dict.get(f"{cfg.get('classifier')}.weight")
    return (0 if head is None else int(head.shape[0])), int(stem.shape[1])
