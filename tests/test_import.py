"""Importing the package is light: it adds the family to timm and nothing else."""

from __future__ import annotations

import subprocess
import sys


def python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_needs_no_extra():
    heavy = ("mmengine", "mmcv", "mmdet", "mmseg", "optuna", "matplotlib", "sklearn", "pydantic", "tqdm.auto")
    loaded = python(
        "import sys, timm; before = set(sys.modules); import pinas_zoo; print(*(set(sys.modules) - before))"
    ).split()
    assert any(name == "pinas_zoo.models.pinas" for name in loaded)
    assert not [name for name in loaded if name.split(".")[0] in heavy]


def test_command_without_the_search_extra_names_the_cure():
    code = (
        "import sys; sys.modules['mmengine'] = None\n"
        "from pinas_zoo.cli import main\n"
        "sys.stderr = sys.stdout\n"
        "print(main(['search', 'configs/search/digits.py']))"
    )
    out = python(code)
    assert 'pip install "pinas-zoo[search]"' in out
    assert out.strip().endswith("2")


def test_help_lists_every_subcommand():
    from pinas_zoo.cli import COMMANDS

    text = python("from pinas_zoo.cli import main; main(['--help'])")
    assert {"search", "list", "info"} <= set(COMMANDS)
    assert all(f"\n    {name}" in text for name in COMMANDS)
