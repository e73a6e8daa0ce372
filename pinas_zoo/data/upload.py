"""Copies from the host to the device that do not make a training step wait."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def upload(values: NDArray[Any], device: torch.device | None) -> torch.Tensor:
    """Copy an array to a device; on a GPU through pinned memory, so that the host does not wait for the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if device is None or device.type == "cpu":
        return tensor
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
