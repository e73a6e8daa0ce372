"""No test touches the user's own registry, Hub cache or token, or a network but loopback; torch has one thread."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_SCRATCH = Path(tempfile.mkdtemp(prefix="pinas-zoo-tests-"))
# Before anything imports huggingface_hub, which reads these once; subprocesses inherit them.
os.environ.update(
    PINAS_ZOO_HOME=str(_SCRATCH / "home"),
    HF_HOME=str(_SCRATCH / "hf"),
    HF_ENDPOINT="http://127.0.0.1:9",  # nobody listens there
    HF_HUB_DISABLE_XET="1",  # the test server speaks the Hub's other upload protocol, LFS
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_TELEMETRY="1",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in a background job of a script; tests interrupt commands
    signal.signal(signal.SIGINT, signal.default_int_handler)
for _name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
    os.environ.pop(_name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``gpu`` are skipped where torch finds no card."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


def pytest_sessionfinish() -> None:
    shutil.rmtree(_SCRATCH, ignore_errors=True)


@pytest.fixture
def zoo_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty registry; names that a test registers are forgotten after it."""
    from pinas_zoo.zoo import registry

    home = tmp_path / "zoo home"
    monkeypatch.setenv("PINAS_ZOO_HOME", str(home))
    yield home
    for entry in registry.known():
        registry.unregister(entry.name) if registry.entry_path(entry.name).is_file() else registry.forget(entry.name)


@pytest.fixture(autouse=True)
def _as_many_threads_as_before() -> Iterator[None]:
    """Undo what a test did to torch's number of threads, on which rounding and the order of computations depend."""
    yield
    torch = sys.modules.get("torch")
    threads = int(os.environ["OMP_NUM_THREADS"])
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def _names_of_one_module() -> Iterator[None]:
    """Undo the registrations of a test module in this process, because other modules list the registered names."""
    yield
    registry = sys.modules.get("pinas_zoo.zoo.registry")
    for entry in list(registry.known()) if registry else []:
        registry.forget(entry.name)
