"""Networks of other families: any of timm's entry points whose arguments are plain data with an ``arch`` among them.

``architecture`` in a model folder's config.json names the entry point, as timm has it: ``pinas`` (this package's own
family), ``nasbench201``, or what a user's own module registers with timm. That module has to be imported by the user;
nothing here imports code by a name that a file gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn

from pinas_zoo.errors import UserError

FAMILY = "pinas"


class UnknownArchitecture(UserError):
    """No entry point of that name in this process."""


def architecture_of(pretrained_cfg: Mapping[str, Any]) -> str:
    """The entry point that a folder's or an entry's pretrained_cfg names; the family's when it names none."""
    return str(pretrained_cfg.get("architecture") or FAMILY)


def check_known(architecture: str) -> str:
    """Return a name that timm can build.

    Raises:
        UnknownArchitecture: It cannot, in this process.
    """
    if not timm.is_model(architecture):
        raise UnknownArchitecture(
            f"expected an architecture that timm knows here, got {architecture!r}; import the module that registers it "
            "(timm.models.register_model) first"
        )
    return architecture


def on_meta(architecture: str, args: Mapping[str, Any]) -> Any:
    """The network without memory.

    Raises:
        UnknownArchitecture: As :func:`check_known`.
        UserError: Arguments that describe no network of it.
    """
    build = timm.models.model_entrypoint(check_known(architecture))
    placed = {k: v for k, v in args.items() if k not in ("device", "dtype")}
    try:
        with torch.device("meta"):
            model: nn.Module = build(pretrained=False, **placed)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"expected arguments of a {architecture} network, got {placed}: {error}") from None
    return model


def create(architecture: str, pretrained: bool, **kwargs: Any) -> Any:
    """The network by its entry point.

    Raises:
        UnknownArchitecture: As :func:`check_known`.
    """
    return timm.models.model_entrypoint(check_known(architecture))(pretrained=pretrained, **kwargs)
