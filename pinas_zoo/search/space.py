"""Names that spaces and methods written for version 0.1 import; they are now in other modules."""

from __future__ import annotations

import warnings

from pinas_zoo.rng import step_rng
from pinas_zoo.search.spaces.base import SearchSpace, Supernet, build_space

__all__ = ["SearchSpace", "Supernet", "build_space", "step_rng"]

warnings.warn(
    "pinas_zoo.search.space is now pinas_zoo.search.spaces (SearchSpace, Supernet, build_space) and pinas_zoo.rng "
    "(step_rng); the old name will be removed",
    FutureWarning,
    stacklevel=2,
)
