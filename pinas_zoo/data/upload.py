"""Copies from the host to the device that do not make a training step wait."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def upload(values: NDArray[Any] | torch.Tensor, device: torch.device | None) -> torch.Tensor:
    """Copy an array to a device; on a GPU through pinned memory, so that the host does not wait for the device.

    A tensor that is on the device already is returned as it is.
    """
    tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    if device is None or device.type == "cpu":
        return tensor
    if device.type == "cuda" and not tensor.is_cuda:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
