"""Reading results back from the device, which makes the host wait until the device has computed them."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def read_numbers(values: Sequence[torch.Tensor]) -> list[float]:
    """The values of scalar tensors of any type, with one wait for all of them; integers up to 2^53 are exact."""
    return torch.stack([value.double() for value in values]).tolist() if values else []
