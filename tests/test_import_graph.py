"""The script that counts circles and upward arrows finds those of a small package, also inside functions."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("tomllib")

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("import_graph")


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "pinas_zoo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


FILES = {
    "__init__.py": "",
    "arch.py": "import os\n",
    "weights/__init__.py": "",
    "weights/builder.py": "from pinas_zoo.arch import Arch\n\ndef build():\n    from ..models import pinas\n",
    "models/__init__.py": "from .pinas import PiNAS\n",
    "models/pinas.py": "import pinas_zoo.weights.builder\n",
    "search/__init__.py": "",
    "search/config.py": "",
    "search/pipeline.py": "from pinas_zoo.search import config, missing\n",
    "search/stages/__init__.py": "async def f():\n    from pinas_zoo.search.pipeline import Run\n",
    "openmmlab/__init__.py": "from pinas_zoo.search import config\n",
}


def test_it_finds_circles_and_upward_arrows(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = write(tmp_path, FILES)
    assert script.main(["--root", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["modules"] == len(FILES)
    assert found["lines"] == sum(text.count("\n") for text in FILES.values())
    assert found["imports inside functions"] == {"weights": 1, "search": 1}
    assert found["circles"] == [["pinas_zoo.models.pinas", "pinas_zoo.weights.builder"]]
    assert found["upward"] == [
        "pinas_zoo.openmmlab -> pinas_zoo.search.config",  # independent of each other
        "pinas_zoo.search.stages -> pinas_zoo.search.pipeline",
        "pinas_zoo.weights.builder -> pinas_zoo.models.pinas",
    ]
    assert found["largest"]["pinas_zoo.weights.builder"] == 4
    assert script.main(["--root", str(root)]) == 0
    assert "| 2 modules: `pinas_zoo.models.pinas`, `pinas_zoo.weights.builder` |" in capsys.readouterr().out


def test_modules_of_the_flat_layout_count_by_their_new_room(script: ModuleType, tmp_path: Path):
    root = write(
        tmp_path,
        {
            "__init__.py": "",
            "weights.py": "from pinas_zoo.folder import read\n",  # within a layer
            "folder.py": "from pinas_zoo.card import write\n",  # weights.model_folder to zoo.model_card
            "card.py": "from pinas_zoo import tensors\n",  # down
            "tensors.py": "",
        },
    )
    found = script.facts(root, script.HERE / "pyproject.toml")
    assert found["upward"] == ["pinas_zoo.folder -> pinas_zoo.card"]
    assert found["circles"] == []


def test_long_circles_are_one(script: ModuleType):
    ring = {str(i): {str((i + 1) % 9)} for i in range(9)} | {"in": {"0"}, "out": set()}
    ring["3"].add("out")
    assert script.circles(ring) == [sorted(str(i) for i in range(9))]


def test_every_moved_module_has_a_layer(script: ModuleType):
    layers = script.read_layers(script.HERE / "pyproject.toml")
    for container in ("pinas_zoo", "pinas_zoo.search"):
        moved = [f"pinas_zoo.{new}" for new in script.MOVED.values()]
        below = {new.removeprefix(f"{container}.") for new in moved if new.startswith(f"{container}.")}
        rooms = {room for layer in layers[container] for group in layer for room in group}
        assert {name.split(".")[0] for name in below} <= rooms


def test_another_folder_is_refused(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert script.main(["--root", str(tmp_path)]) == 2
    assert "expected a checkout" in capsys.readouterr().err
