"""Configurations of a search by path or by name, such as ``digits``."""

from __future__ import annotations

from pathlib import Path

from pinas_zoo import config_files


def find_config(text: str | Path) -> Path:
    """The file that a path or a name of ``configs/search`` stands for. A file that exists wins over a name.

    Raises:
        UserError: Neither a file nor a name; lists the names.
    """
    return config_files.find_config(text, "search")
