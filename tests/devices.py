"""Where a test runs: on the CPU, and on a card if there is one (marker ``gpu``)."""

from __future__ import annotations

import pytest

DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.gpu))
