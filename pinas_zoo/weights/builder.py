"""``pretrained=True``: a network with its weights, which are checked before the network takes them.

:mod:`pinas_zoo.weights.sources` finds the weights. What cannot be found or is not sound is a
:class:`~pinas_zoo.errors.WeightsError` that says what to do. Safetensors are read, and PyTorch's checkpoints as data
(:mod:`pinas_zoo.weights.checkpoint_reader`). A network never keeps random values in place of weights, except in a new
head or stem that the caller asked for by another ``num_classes`` or ``in_chans``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from timm.models import PretrainedCfg, build_model_with_cfg, get_pretrained_cfg, resolve_pretrained_cfg
from torch import Tensor, nn

from pinas_zoo.errors import NotPublished, WeightsError, WrongShapes
from pinas_zoo.weights import entry_points
from pinas_zoo.weights.checkpoint_reader import read_checkpoint
from pinas_zoo.weights.model_folder import read_config, save_model_folder
from pinas_zoo.weights.new_folder import CONFIG_FILE
from pinas_zoo.weights.sources import Source, find_source, hub_fields
from pinas_zoo.weights.tensors import check_real, shape_problems, without_wrappers
from pinas_zoo.weights.timm_cfg import check_cfg

__all__ = ["Source", "build", "build_with_weights", "check_weights", "find_source", "hub_fields", "save_model_folder"]

_SOURCE_KEYS = ("url", "file", "hf_hub_id", "hf_hub_filename", "source")


def build(model_cls: Callable[..., nn.Module], variant: str, pretrained: bool | str = False, **kwargs: Any) -> Any:
    """timm's ``build_model_with_cfg``, with :func:`build_with_weights` for ``pretrained=True``.

    Args:
        model_cls: The network's class.
        variant: Registered name.
        pretrained: Whether to load weights; a text names those of one of timm's networks, such as "resnest50d.in1k",
            whose tensors must be this network's.
        kwargs: As :func:`build_with_weights`.

    Raises:
        WeightsError: As :func:`build_with_weights`.
    """
    if isinstance(pretrained, str):
        if kwargs.get("pretrained_cfg") is not None:
            raise WeightsError(f"expected pretrained={pretrained!r} or a pretrained_cfg, got both; give one")
        kwargs["pretrained_cfg"] = _cfg_of_timms(pretrained)
    if pretrained:
        return build_with_weights(model_cls, variant, **kwargs)
    return build_model_with_cfg(model_cls, variant, False, **kwargs)


def build_with_weights(
    model_cls: Callable[..., nn.Module],
    variant: str,
    pretrained_cfg: Any = None,
    pretrained_cfg_overlay: Mapping[str, Any] | None = None,
    cache_dir: str | Path | None = None,
    pretrained_filter_fn: Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]] | None = None,
    **kwargs: Any,
) -> Any:
    """timm's ``build_model_with_cfg(pretrained=True)`` with this package's sources of weights and its checks.

    timm adapts head and stem, after the weights have been found, read and checked here. Where neither caller nor
    config says how many classes and input channels the weights have, the tensors do.

    Args:
        model_cls: The network's class.
        variant: Registered name.
        pretrained_cfg: As in timm: a tag, a dict (``hf-hub:`` and ``local-dir:`` names pass theirs) or None.
        pretrained_cfg_overlay: The caller's changes to it. ``num_classes=-1``, which timm's ``--pretrained-path``
            gives, asks for a new head whatever the weights have.
        cache_dir: Where downloads are kept, instead of the Hub's own cache.
        pretrained_filter_fn: Renames tensors before they are checked.
        kwargs: For timm and the network.

    Raises:
        WeightsError: One subclass for each way in which weights can fail (:mod:`pinas_zoo.errors`).
    """
    given = dict(pretrained_cfg_overlay or {})
    for fields in (pretrained_cfg, given):  # of a Hub's config.json, which timm has fetched and hands on
        if isinstance(fields, Mapping):
            _check_fields(fields, variant)
    source = find_source(variant, pretrained_cfg, given)
    overlay = {**_cfg_of_folder(source, kwargs), **given}
    if isinstance(pretrained_cfg, Mapping):  # a caller's own may leave out the names of the first and last layer
        known: Any = get_pretrained_cfg(variant) or PretrainedCfg()
        pretrained_cfg = {"first_conv": known.first_conv, "classifier": known.classifier, **pretrained_cfg}
    if source.state_dict is not None:
        place, weights = "the given state_dict", without_wrappers(source.state_dict)
    else:
        file = source.file(cache_dir)
        place, weights = str(file), read_checkpoint(file)
    found = resolve_pretrained_cfg(variant, pretrained_cfg, overlay)
    kept = {key: getattr(found, key) for key in _SOURCE_KEYS}
    told = {**(pretrained_cfg if isinstance(pretrained_cfg, Mapping) else {}), **overlay}
    overlay.update({k: v for k, v in _sizes_of(weights, found).items() if k not in told})
    found = resolve_pretrained_cfg(variant, pretrained_cfg, overlay)

    def checked(_: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
            raise WeightsError(
                "expected a device with memory for pretrained weights, got 'meta', which would drop them; give another "
                "device, or pretrained=False"
            )
        state_dict = weights if pretrained_filter_fn is None else pretrained_filter_fn(weights, model)
        check_real(state_dict, where=place)
        check_weights(state_dict, model, found, place)
        return state_dict

    # timm copies a cfg with all that is in it, so the weights go by the filter, and only a sign of them in the cfg
    overlay.update(dict.fromkeys(_SOURCE_KEYS), custom_load=False, state_dict={"by": "filter"})
    model: Any = build_model_with_cfg(
        model_cls,
        variant,
        True,
        pretrained_cfg=pretrained_cfg,
        pretrained_cfg_overlay=overlay,
        pretrained_filter_fn=checked,
        cache_dir=cache_dir,
        **kwargs,
    )
    for key in (*_SOURCE_KEYS, "state_dict"):
        model.pretrained_cfg.pop(key, None)
    model.pretrained_cfg.update({k: v for k, v in kept.items() if v is not None})  # the source, in the caller's words
    return model


def _check_fields(fields: Mapping[str, Any], variant: str) -> None:
    """Check what timm prepares images by.

    Raises:
        WeightsError: A field that is not finite, out of range or of another form.
    """
    try:
        check_cfg({key: value for key, value in fields.items() if key != "num_classes"})  # which may be -1
    except ValueError as error:
        raise WeightsError(f"expected a pretrained_cfg of {variant} by which images can be prepared: {error}") from None


def check_weights(state_dict: Mapping[str, Tensor], model: nn.Module, cfg: PretrainedCfg, place: str) -> None:
    """Compare every tensor with the network's, allowing only what timm then adapts: another head or other channels.

    Args:
        state_dict: The file's tensors.
        model: The network that will take them.
        cfg: Says the classes and input channels of the file, and the names of the network's first and last layer.
        place: Where the tensors come from, for the message.

    Raises:
        WrongShapes: With the first tensors that differ.
    """
    num_classes, in_chans = cfg.num_classes, cfg.input_size[0]
    stem, head = f"{cfg.first_conv}.weight", str(cfg.classifier)
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in state_dict.items()}
    width = getattr(model, "head_hidden_size", None) or getattr(model, "num_features", 0)
    if cfg.classifier:  # a config.json that somebody wrote by hand may name none; then timm adapts no head
        expected.pop(f"{head}.weight", None)
        expected.pop(f"{head}.bias", None)
    if num_classes < 0:  # timm drops it, whatever it is
        found = {name: shape for name, shape in found.items() if name not in (f"{head}.weight", f"{head}.bias")}
    if num_classes > 0 and cfg.classifier:
        expected.update({f"{head}.weight": (num_classes, width), f"{head}.bias": (num_classes,)})
    if stem in expected:
        out_chs, _, *kernel = expected[stem]
        expected[stem] = (out_chs, in_chans, *kernel)
    problems = shape_problems(found, expected)
    if problems:
        classes = "any" if num_classes < 0 else num_classes
        raise WrongShapes(
            f"expected the weights of arch {getattr(model, 'arch', '?')} with {classes} classes and {in_chans} "
            f"input channels in {place}, got " + "; ".join(problems) + "; they belong to another network: "
            "name the right file, or give the arch, depths and widths that they were trained with"
        )


def _cfg_of_timms(name: str) -> dict[str, Any]:
    """Where timm keeps the weights of a network on the Hub, and how images are prepared for them.

    Raises:
        NotPublished: timm knows no such weights.
    """
    cfg: Any = get_pretrained_cfg(name)
    if cfg is None or not cfg.hf_hub_id:
        raise NotPublished(
            f"expected pretrained as True or a timm network with weights on the Hub, such as 'resnest50d.in1k', got "
            f"{name!r}; `timm.list_pretrained()` lists them"
        )
    keys = ("hf_hub_id", "num_classes", "input_size", "test_input_size", "crop_pct", "interpolation", "mean", "std")
    return {key: getattr(cfg, key) for key in keys if getattr(cfg, key) is not None}


def _sizes_of(weights: Mapping[str, Tensor], cfg: PretrainedCfg) -> dict[str, Any]:
    """Fields of timm's cfg that the tensors tell: the classes of their head, and the input channels of their stem.

    Mean and std of images with other channels than the cfg's are unknown, and set to 0.5.
    """
    head, stem = weights.get(f"{cfg.classifier}.weight"), weights.get(f"{cfg.first_conv}.weight")
    fields: dict[str, Any] = {} if head is None or not head.ndim else {"num_classes": int(head.shape[0])}
    if stem is not None and stem.ndim == 4 and stem.shape[1] != cfg.input_size[0]:
        channels = int(stem.shape[1])
        fields["input_size"] = (channels, *cfg.input_size[1:])
        fields.update({key: (0.5,) * channels for key in ("mean", "std") if len(getattr(cfg, key)) != channels})
    return fields


def _cfg_of_folder(source: Source, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What a source says of its weights for timm's cfg; nothing unless it is a model folder.

    Raises:
        WrongShapes: The call would run the weights in another network than they were trained in. Shapes do not tell
            such arguments. A caller who names stride or pooling may choose them, since dilation and features are
            taken from trained networks; activation and norm must be those of the training.
    """
    folder = source.folder()
    if folder is None or not (folder / CONFIG_FILE).is_file():
        return {}
    trained, cfg = read_config(folder)
    entry_point = entry_points.get(entry_points.name_in(cfg))
    for key, (ours, theirs) in entry_point.function_differences(trained, kwargs).items():
        if entry_point.function_args[key].callers_choice and (key in kwargs or kwargs.get("features_only")):
            continue
        raise WrongShapes(
            f"expected {key}={theirs!r}, with which the weights in {folder} were trained, got {ours!r}; "
            f"give {key}={theirs!r}, or load 'local-dir:{folder}', which says it itself"
        )
    return {key: value for key, value in cfg.items() if key != "architecture"}  # it stays the caller's
