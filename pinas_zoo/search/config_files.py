"""Search configurations by path or by name, such as ``digits``."""

from __future__ import annotations

from pathlib import Path

from pinas_zoo import config_files


def find_config(text: str | Path) -> Path:
    """Find a configuration by path, or by its name in ``configs/search``. An existing file takes precedence.

    Raises:
        UserError: There is neither such a file nor such a name; the message lists the names.
    """
    return config_files.find_config(text, "search")
