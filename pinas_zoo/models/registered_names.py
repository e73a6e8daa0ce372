"""Entry points of the user's own networks: empty on disk, filled by :mod:`pinas_zoo.zoo.registry` at import.

They are in a module of their own so that ``timm.list_models(module="registered_names")`` lists them.
"""

from __future__ import annotations

from typing import Any

__all__: list[str] = []
default_cfgs: dict[str, Any] = {}
