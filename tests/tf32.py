"""Whether a card may compute convolutions and products of fp32 in TF32, which has 10 bits of mantissa instead of 23."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Context manager that allows or forbids TF32 in cuBLAS and cuDNN.

    It uses the older of torch's two interfaces: inductor of torch 2.9 and 2.10 reads it, and raises an error if the
    newer one was used.
    """
    flags: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch asks for the newer interface
        before = [flag.allow_tf32 for flag in flags]
        for flag in flags:
            flag.allow_tf32 = allowed
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for flag, value in zip(flags, before, strict=True):
                flag.allow_tf32 = value
