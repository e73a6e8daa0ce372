"""What the rows of a stage share: the settings of the run, the form of an answer, precisions, clocks and memory."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tests.tf32 import tf32

ROOT = Path(__file__).resolve().parents[2]
DTYPES = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Settings:
    """Settings of a run of one stage.

    Attributes:
        device: ``cuda`` or ``cpu``.
        smoke: Whether sizes are tiny: the figures then mean nothing.
        out: Folder of the results.
        deadline: ``time.monotonic()`` at which the stage is ended.
        golden: Folder of the reference numbers; None if there is none.
        images: CIFAR-10 for the evidence, as ``pinas-zoo evidence`` takes it; None if there is none.
        truth: Table of NAS-Bench-201; None if there is none.
    """

    device: str
    smoke: bool
    out: Path
    deadline: float
    golden: Path | None = None
    images: Path | None = None
    truth: Path | None = None

    @property
    def on_card(self) -> bool:
        return self.device == "cuda"

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def clock(self) -> float:
        """Seconds, read after the device has finished its work."""
        if self.on_card:
            torch.cuda.synchronize()
        return time.perf_counter()


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Attributes:
        text: One line for the table.
        values: The figures, as plain data.
        met: Whether the goal is met; None without one, or where it says nothing (``--smoke``).
        goal: The goal in words.
    """

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)
    met: bool | None = None
    goal: str = ""


class NotHere(Exception):
    """A row that cannot be measured on this machine; the message says what it needs."""


Row = Callable[[Settings], Answer]


@contextmanager
def precision(name: str, device: str) -> Iterator[None]:
    """Context manager of a precision: fp32 (TF32 off), tf32, and bf16 or fp16 autocast over fp32 with TF32 off."""
    with tf32(name == "tf32"), torch.autocast(device, DTYPES[name], enabled=DTYPES[name] is not None):
        yield


def peak_gib(settings: Settings, run: Callable[[], object]) -> float | None:
    """Largest memory in GiB that tensors on the card hold during ``run``; None on a CPU."""
    if not settings.on_card:
        run()
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 2**30


def host_waits(settings: Settings, run: Callable[[], object]) -> int | None:
    """How often the host waits for the card in ``run``, as torch's sync debug mode counts it; None on a CPU.

    torch does not count every kind of wait, such as those of pageable copies.
    """
    if not settings.on_card:
        run()
        return None
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(one.message) for one in caught)


def gib(value: float | None) -> str:
    return "memory not counted" if value is None else f"{value:.2f} GiB"
