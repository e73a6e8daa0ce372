"""Changes of a configuration as the command line gives them: ``--set KEY=VALUE``."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from pinas_zoo.errors import UserError


def parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """Turn ``a.b=1`` into ``{"a.b": 1}``; a value that is no Python literal is text.

    Raises:
        UserError: A text without a key or an equals sign, or a value that is a call of ``dict``.
    """
    overrides = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UserError(f"expected --set KEY=VALUE, got {text!r}")
        try:
            overrides[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            if value.startswith("dict("):
                raise UserError(
                    f"expected a value of Python without calls, got {text!r}; set keys one by one, as in "
                    f"`--set {key}.KEY=VALUE`, or write it as {{'KEY': VALUE}}"
                ) from None
            overrides[key] = value
    return overrides
