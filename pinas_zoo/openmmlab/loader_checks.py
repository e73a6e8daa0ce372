"""Workers and batch sizes of a config's loaders, made to fit torch's DataLoader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pinas_zoo.errors import UserError


def fit_loaders(cfg: Any, loaders: Sequence[str]) -> None:
    """Check workers and batch sizes; without workers, leave out what torch accepts only with workers.

    Raises:
        UserError: A negative number of workers, or a batch without an image.
    """
    for name in loaders:
        loader = cfg.get(name)
        if not loader:
            continue
        workers, batch = loader.get("num_workers", 0), loader.get("batch_size", 1)
        if type(workers) is not int or workers < 0:
            raise UserError(
                f"expected {name}.num_workers of 0 and more, got {workers!r}; 0 loads images in the main process"
            )
        if batch is not None and (type(batch) is not int or batch < 1):
            raise UserError(f"expected {name}.batch_size of 1 and more, got {batch!r}; it is the images of one process")
        if workers == 0:
            loader["persistent_workers"] = False
            loader.pop("prefetch_factor", None)
