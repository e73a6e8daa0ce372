"""A mode in which reading a value back from the device is an error, for tests without a GPU.

Each such read makes the host wait until the device has computed everything before it. On a CPU it costs nothing and
goes unnoticed, so a test has to look for it. The mode sees what Python calls on a tensor, and the operators that torch
runs below it, also in the backward pass and in the optimiser. It cannot tell ``to("cpu")`` from ``to(device)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

METHODS = frozenset(
    {"item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__int__", "__float__", "__complex__", "__index__"}
    | {"__contains__", "__repr__", "__format__", "equal", "allclose", "is_nonzero"}
    | {"nonzero", "argwhere", "masked_select", "unique", "unique_consecutive"}
)
OPERATORS = frozenset(  # their result, or the size of their result, is on the host
    {"_local_scalar_dense", "item", "is_nonzero", "equal", "allclose", "_linalg_check_errors"}
    | {"nonzero", "nonzero_numpy", "argwhere", "masked_select", "bincount"}
    | {"_unique", "_unique2", "unique_dim", "unique_consecutive", "unique_dim_consecutive"}
)
BY_MASK = frozenset({"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"})
FROM_HOST = frozenset({"tensor", "as_tensor"})  # of numbers; of a list of tensors they read each


class DeviceRead(AssertionError):
    """A value was read back from the device."""


def _any_tensor(values: Any) -> bool:
    return any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(values))


def _masked(args: Sequence[Any]) -> bool:
    """Whether an indexing operator has a mask among its indices, whose entries are then counted on the host."""
    indices = args[1] if len(args) > 1 else ()
    return any(isinstance(i, torch.Tensor) and i.dtype in (torch.bool, torch.uint8) for i in indices)


class _Called(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in METHODS or (name in FROM_HOST and not isinstance(args[0], torch.Tensor) and _any_tensor(args)):
            raise DeviceRead(f"{name} of a tensor")
        return func(*args, **(kwargs or {}))


class _Run(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        lengths = (
            name == "repeat_interleave" and not (kwargs or {}).get("output_size") and func._overloadname == "Tensor"
        )
        if name in OPERATORS or lengths or (name in BY_MASK and _masked(args)):
            raise DeviceRead(f"operator {func}")
        return func(*args, **(kwargs or {}))


@contextmanager
def no_device_reads() -> Iterator[None]:
    """Context manager in which a read of a tensor's value raises :class:`DeviceRead`."""
    with _Called(), _Run():
        yield
