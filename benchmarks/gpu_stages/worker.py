"""Measures the open rows of one stage in this process, which the driver starts and, at the stage's limit, ends."""

from __future__ import annotations

import gc
import importlib
import os
import time
import traceback
from collections.abc import Mapping

import torch

from gpu_stages.results import StageResults
from gpu_stages.settings import NotHere, Row, Settings


def work(stage: str, settings: Settings, machine: dict[str, str], rows: list[str]) -> None:
    """Measure the rows in this order. Ends when the driver has ended."""
    if settings.smoke:
        torch.set_num_threads(1)
    parent = os.getppid()
    results = StageResults.load(settings.out, stage, machine)
    try:
        measures: Mapping[str, Row] = importlib.import_module(f"gpu_stages.{stage}").ROWS
    except ModuleNotFoundError as error:
        for name in rows:
            results.add(name, {"error": f"needs the package {error.name}"})
        return
    for name in rows:
        if os.getppid() != parent:
            return
        results.start(name)
        torch.manual_seed(0)
        started = time.perf_counter()
        values = _measured(measures[name], settings)
        results.add(name, {**values, "seconds": round(time.perf_counter() - started, 1)})
        gc.collect()
        if settings.on_card:
            torch.cuda.empty_cache()


def _measured(measure: Row, settings: Settings) -> dict[str, object]:
    try:
        answer = measure(settings)
    except NotHere as error:
        return {"error": str(error)}
    except ModuleNotFoundError as error:
        return {"error": f"needs the package {error.name}"}
    except Exception as error:  # an operator that a card or a version of torch lacks: the next rows may do without it
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
    met = None if settings.smoke else answer.met
    return {"text": answer.text, "values": dict(answer.values), "met": met, "goal": answer.goal}
