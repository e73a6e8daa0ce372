"""Pretrained weights: where they come from, in which order, and what is checked before a network takes them.

``pretrained=True`` looks at, in this order:

1. what the caller names: ``pretrained_cfg_overlay=dict(file=…)`` (a .safetensors file or a model folder), a
   ``local-dir:`` or ``hf-hub:`` model name, ``dict(hf_hub_id="user/name@revision")``, ``dict(state_dict=…)``;
2. the user's registry: the folder kept under this name (:mod:`pinas_zoo.zoo.registry`);
3. the Hub repo that this package pins for the name (:data:`PUBLISHED`).

What cannot be found or is not sound is a :class:`~pinas_zoo.errors.WeightsError` that names the cure. Only safetensors
are read, and a network is never handed out with some of its weights random (but for a new head or stem that was asked
for by another ``num_classes`` or ``in_chans``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from timm.models import build_model_with_cfg, resolve_pretrained_cfg
from timm.models._pretrained import PretrainedCfg
from torch import Tensor, nn

from pinas_zoo.errors import NotPublished, NotSafetensors, WeightsError, WeightsMissing, WrongShapes
from pinas_zoo.weights.entry_points import FAMILY, architecture_of
from pinas_zoo.weights.model_folder import (
    CONFIG_FILE,
    PICKLES,
    WEIGHTS_FILE,
    function_differences,
    read_config,
    save_model_folder,
)
from pinas_zoo.weights.tensors import check_real, shape_problems, tensor_shapes

__all__ = ["PLANNED", "PUBLISHED", "Published", "Source", "build_with_weights", "find_source", "save_model_folder"]


@dataclass(frozen=True)
class Published:
    """Weights on the Hub that this package vouches for."""

    repo: str  # "owner/name"
    revision: str  # commit, 40 hex digits
    sha256: str  # of model.safetensors

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{40}", self.revision) or not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"expected a pinned commit (40 hex digits) and a sha256 (64), got {self}")


# tools/publish.py prints the row to add here once a repo exists. Nothing is published as yet.
PUBLISHED: dict[str, Published] = {}

# The repos that are meant for the family; nothing is fetched from them until they are in PUBLISHED.
PLANNED = {"pinas_alpha": "pinas-zoo/pinas_alpha.in1k", "pinas_gamma": "pinas-zoo/pinas_gamma.in1k"}


@dataclass(frozen=True)
class Source:
    """Where a name's weights lie; exactly one of ``path``, ``repo`` and ``state_dict`` is set."""

    path: Path | None = None  # a .safetensors file or a model folder
    repo: str | None = None  # "owner/name" or "owner/name@revision"
    filename: str = WEIGHTS_FILE  # in the repo
    sha256: str | None = None  # pinned by this package
    state_dict: dict[str, Tensor] | None = None
    registered: str | None = None  # the registry's name for path


def hub_fields(name: str) -> dict[str, str]:
    """The fields of timm's pretrained_cfg that lead to a name's published weights; none while there are none."""
    published = _published(name)
    return {} if published is None else {"hf_hub_id": f"{published.repo}@{published.revision}"}


def build_with_weights(
    model_cls: Callable[..., nn.Module],
    variant: str,
    pretrained_cfg: Any = None,
    pretrained_cfg_overlay: Mapping[str, Any] | None = None,
    cache_dir: str | Path | None = None,
    pretrained_filter_fn: Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]] | None = None,
    **kwargs: Any,
) -> Any:
    """timm's ``build_model_with_cfg(pretrained=True)`` with this package's ways to the weights and its checks.

    timm still reads the file and adapts head and stem; it is told which file, after the file has been found sound.

    Args:
        model_cls: The network's class.
        variant: Registered name.
        pretrained_cfg: As in timm: a tag, a dict (``hf-hub:`` and ``local-dir:`` names pass theirs) or None.
        pretrained_cfg_overlay: The caller's changes to it.
        cache_dir: Where downloads are kept, instead of the Hub's own cache.
        pretrained_filter_fn: Renames tensors before they are checked.
        kwargs: For timm and the network.

    Raises:
        WeightsError: One subclass for each way in which weights can fail (:mod:`pinas_zoo.errors`).
    """
    given = dict(pretrained_cfg_overlay or {})
    source = find_source(variant, pretrained_cfg, given)
    place, overlay = _locate(source, variant, cache_dir, kwargs)
    overlay.update(given)
    found = resolve_pretrained_cfg(variant, pretrained_cfg, overlay)
    kept = {key: getattr(found, key) for key in _SOURCE_KEYS}
    first_conv = found.first_conv or "conv1.0"

    def checked(state_dict: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
            raise WeightsError(
                "expected a device with memory for pretrained weights, got 'meta', which would drop them; give another "
                "device, or pretrained=False"
            )
        if pretrained_filter_fn is not None:
            state_dict = pretrained_filter_fn(state_dict, model)
        check_real(state_dict, where=str(place))
        check_weights(
            state_dict, model, found.num_classes, found.input_size[0], place=str(place), first_conv=first_conv
        )
        return state_dict

    if source.state_dict is None:
        shapes = tensor_shapes(place)
        head = shapes.get("fc.weight")
        if head is not None and "num_classes" not in overlay:
            overlay["num_classes"] = head[0]  # what the file holds, not what the name's cfg says of another file
            found = replace(found, num_classes=head[0])
    overlay.update(dict.fromkeys(_SOURCE_KEYS), custom_load=False)
    overlay.update({"state_dict": source.state_dict} if source.state_dict is not None else {"file": str(place)})
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
    model.pretrained_cfg.update({k: v for k, v in kept.items() if v is not None})  # whence, in the caller's words
    return model


def find_source(variant: str, pretrained_cfg: Any = None, overlay: Mapping[str, Any] | None = None) -> Source:
    """The first place in the order of this module that is named for a network's weights; nothing is opened.

    Raises:
        NotPublished: Nothing is named; says what there could be.
        NotSafetensors: Something in another format is named.
    """
    from pinas_zoo.zoo import registry

    if isinstance(pretrained_cfg, PretrainedCfg):
        pretrained_cfg = pretrained_cfg.to_dict()
    for fields in (overlay, pretrained_cfg):
        if isinstance(fields, Mapping):
            source = _named_by(fields)
            if source is not None:
                return source
    entry = registry.entry_with_weights(variant)
    if entry is not None and entry.folder is not None:
        return Source(path=Path(entry.folder), registered=entry.name)
    published = _published(variant)
    if published is not None:
        return Source(repo=f"{published.repo}@{published.revision}", sha256=published.sha256)
    raise NotPublished(_why_nothing(variant))


def check_weights(
    state_dict: Mapping[str, Tensor],
    model: nn.Module,
    num_classes: int,
    in_chans: int,
    place: str,
    first_conv: str = "conv1.0",
) -> None:
    """Hold every tensor against the network, allowing only what timm then adapts: another head, other input channels.

    Args:
        state_dict: The file's tensors.
        model: The network that will take them.
        num_classes: Classes that the file is said to have.
        in_chans: Input channels that the file is said to have.
        place: Where the tensors come from, for the message.
        first_conv: Name of the layer that takes the image.

    Raises:
        WrongShapes: With the first tensors that differ.
    """
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in state_dict.items()}
    width = getattr(model, "head_hidden_size", None) or getattr(model, "num_features", 0)
    expected.pop("fc.weight", None)
    expected.pop("fc.bias", None)
    if num_classes > 0:
        expected.update({"fc.weight": (num_classes, width), "fc.bias": (num_classes,)})
    stem = f"{first_conv}.weight"
    if stem in expected:
        out_chs, _, *kernel = expected[stem]
        expected[stem] = (out_chs, in_chans, *kernel)
    problems = shape_problems(found, expected)
    if problems:
        raise WrongShapes(
            f"expected the weights of arch {getattr(model, 'arch', '?')} with {num_classes} classes and {in_chans} "
            f"input channels in {place}, got " + "; ".join(problems) + "; they belong to another network: "
            "name the right file, or give the arch, depths and widths that they were trained with"
        )


_SOURCE_KEYS = ("url", "file", "hf_hub_id", "hf_hub_filename", "source")


def _named_by(fields: Mapping[str, Any]) -> Source | None:
    """The source that cfg fields name, by timm's precedence; None when they name none."""
    origin, file, repo = fields.get("source"), fields.get("file"), fields.get("hf_hub_id")
    if origin not in ("hf-hub", "local-dir") and fields.get("state_dict"):
        return Source(state_dict=fields["state_dict"])
    if file and origin != "hf-hub":
        return Source(path=Path(file).expanduser())
    if repo:
        pins = {f"{p.repo}@{p.revision}": p.sha256 for p in PUBLISHED.values()}
        filename = fields.get("hf_hub_filename") or WEIGHTS_FILE
        if not filename.endswith(".safetensors"):
            raise NotSafetensors(
                f"expected a .safetensors file in Hub repo {repo}, got {filename}; other formats can carry code and "
                "are not downloaded: ask its owner for safetensors"
            )
        return Source(repo=repo, filename=filename, sha256=pins.get(repo) if filename == WEIGHTS_FILE else None)
    if fields.get("url"):
        raise NotSafetensors(
            f"expected file= or hf_hub_id= for the weights, got url={fields['url']!r}, which timm would unpickle; "
            "download it and give the .safetensors file"
        )
    return None


def _locate(
    source: Source, variant: str, cache_dir: str | Path | None, kwargs: Mapping[str, Any] | None = None
) -> tuple[Path | str, dict[str, Any]]:
    """The file of a source (downloaded if need be), and what a model folder says about it for timm's cfg."""
    if source.state_dict is not None:
        return "the given state_dict", {}
    if source.repo is not None:
        from pinas_zoo.weights import hub

        return hub.download(source.repo, source.filename, cache_dir=cache_dir, sha256=source.sha256), {}
    path = source.path
    assert path is not None
    if source.registered is not None and not (path / WEIGHTS_FILE).is_file():
        raise WeightsMissing(
            f"the weights of {source.registered!r} are not at {path / WEIGHTS_FILE}; if the folder was moved, "
            f"run `pinas-zoo register {source.registered} --folder NEW_FOLDER`"
        )
    if not path.is_dir():
        return path, {}
    file = path / WEIGHTS_FILE
    if not file.is_file():
        pickles = sorted(p.name for p in path.iterdir() if p.suffix in PICKLES)
        if pickles:
            raise NotSafetensors(
                f"expected {WEIGHTS_FILE} in {path}, found only {', '.join(pickles)}: pickles can carry code and are "
                "not opened; turn the checkpoint into a model folder with `pinas-zoo convert`"
            )
        raise WeightsMissing(f"expected {WEIGHTS_FILE} in {path}, found none; give a model folder or the file itself")
    if not (path / CONFIG_FILE).is_file():
        return file, {}
    args, cfg = read_config(path)
    if kwargs is not None and architecture_of(cfg) == FAMILY:
        _check_same_function(args, kwargs, path)
    return file, cfg


def _check_same_function(trained: Mapping[str, Any], kwargs: Mapping[str, Any], path: Path) -> None:
    """Refuse a call that would run a folder's weights in another network than they were trained in.

    Shapes do not tell these arguments. Stride and pooling are the caller's when he names them, since dilation and
    features are taken from trained networks; the activation and the norm are not.
    """
    for key, (ours, theirs) in function_differences(trained, kwargs).items():
        if key in ("output_stride", "global_pool") and (key in kwargs or kwargs.get("features_only")):
            continue
        raise WrongShapes(
            f"expected {key}={theirs!r}, with which the weights in {path} were trained, got {ours!r}; "
            f"give {key}={theirs!r}, or load 'local-dir:{path}', which says it itself"
        )


def _published(name: str) -> Published | None:
    from pinas_zoo.models import pinas as family

    return next((PUBLISHED[n] for n in family.same_network(name) if n in PUBLISHED), None)


def _why_nothing(variant: str) -> str:
    from pinas_zoo.models import pinas as family

    cure = (
        "give your own (pretrained_cfg_overlay=dict(file='….safetensors' or a model folder), or "
        f"`pinas-zoo register {variant} --folder FOLDER` once), or build it untrained with pretrained=False"
    )
    planned = next((PLANNED[n] for n in family.same_network(variant) if n in PLANNED), None)
    if planned is not None:
        return f"no weights of {variant!r} are published yet (Hub repo {planned} is planned, not there); {cure}"
    if variant == "pinas":
        return (
            "the generic name 'pinas' has no weights of its own; name them: pretrained_cfg_overlay=dict(file=…) or "
            "dict(hf_hub_id='user/name'), or load 'hf-hub:user/name' or 'local-dir:FOLDER'"
        )
    return f"no weights are known for {variant!r}, which is registered by its architecture alone; {cure}"
