"""The Hub repos of this package's own weights, as data. Nothing is published yet."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Weights on the Hub that this package pins.

    Raises:
        ValueError: The revision is no full commit, or the hash no sha256.
    """

    repo: str  # "owner/name"
    revision: str  # commit, 40 hex digits
    sha256: str  # of model.safetensors

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{40}", self.revision) or not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"expected a pinned commit (40 hex digits) and a sha256 (64), got {self}")

    @property
    def ref(self) -> str:
        """``owner/name@commit``."""
        return f"{self.repo}@{self.revision}"


# Name of a network: its weights. tools/publish.py prints the row to add here once a repo exists.
PUBLISHED: dict[str, Published] = {}

# Repos that are planned. Nothing is fetched from them until they are in PUBLISHED.
PLANNED = {"pinas_alpha": "pinas-zoo/pinas_alpha.in1k", "pinas_gamma": "pinas-zoo/pinas_gamma.in1k"}
