"""Operators, casts and bytes of a piece of work: what it costs besides arithmetic, the same on every machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

FREE = frozenset({"detach", "alias", "empty", "empty_like", "empty_strided", "new_empty_strided"})  # no element is read


class OperatorCount(TorchDispatchMode):
    """Counts the operators that torch runs, forward, backward and in the optimiser; views are not counted.

    Attributes:
        operators: Number of calls by name.
        moved: Bytes of the tensors that the operators of a name take and return, each once for each call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operators: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        results = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not func.is_view and name not in FREE:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, results)) if isinstance(leaf, torch.Tensor)]
            self.operators[name] += 1
            self.moved[name] += sum({id(t): t.numel() * t.element_size() for t in tensors}.values())
        return results

    @property
    def casts(self) -> int:
        """Number of copies to another precision, memory format or device."""
        return self.operators["_to_copy"]


def count_operators(run: Callable[[], object]) -> OperatorCount:
    """Run a function and count its operators."""
    with OperatorCount() as count:
        run()
    return count
