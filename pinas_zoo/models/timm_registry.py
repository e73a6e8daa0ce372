"""Names in timm's registry: adding one, removing it, and hiding one from ``timm.list_models``.

timm has no public function that removes or hides a name. Both are done here, on its private tables; where a later timm
lacks these tables, a name that was removed raises an error instead, and hidden names are listed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from timm.models import generate_default_cfgs, register_model

from pinas_zoo.models import registered_names
from pinas_zoo.weights.timm_private import registry as _registry


def add(name: str, build: Callable[..., Any], cfg: Mapping[str, Any], doc: str) -> None:
    """Make ``build`` timm's entry point of a name, instead of an earlier one of ours."""
    forget(name)
    build.__name__ = build.__qualname__ = name
    build.__module__ = registered_names.__name__
    build.__doc__ = doc
    registered_names.default_cfgs.update(generate_default_cfgs({name: dict(cfg)}))
    setattr(registered_names, name, build)
    register_model(build)


def forget(name: str) -> None:
    """Make a name of ours unknown to timm in this process; nothing happens when it is."""
    if name not in registered_names.__all__:
        return
    registered_names.__all__.remove(name)
    registered_names.default_cfgs.pop(name, None)
    delattr(registered_names, name)
    clear = getattr(_registry, "_clear_model_entries", None)
    table = getattr(_registry, "_model_entrypoints", None)
    if callable(clear) and isinstance(table, dict):
        clear(name)
        table.pop(name, None)
    else:
        add_error(name, RuntimeError(f"Unknown model ({name}): it was unregistered"))


def add_error(name: str, error: Exception) -> None:
    """Let ``timm.create_model(name)`` raise an error, and keep the name out of ``timm.list_models``.

    timm keeps names out of its lists that it calls deprecated, and creates them all the same.
    """

    def build(pretrained: bool | str = False, **kwargs: Any) -> Any:
        raise type(error)(*error.args)

    build.__name__ = build.__qualname__ = name
    build.__module__ = registered_names.__name__
    build.__doc__ = str(error)
    setattr(registered_names, name, build)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm warns of a name that is taken, which is meant here
        register_model(build)
    hidden = getattr(_registry, "_deprecated_models", None)
    if isinstance(hidden, dict):
        hidden[name] = None
