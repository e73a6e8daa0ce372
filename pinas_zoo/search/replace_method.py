"""A configuration whose method is replaced by another, as by ``--set learn.method=spos``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pinas_zoo.data.unread_root import refuse_unread_root
from pinas_zoo.search.config import Learn, SearchConfig, override_config, read_config
from pinas_zoo.search.methods.base import method_class, option_names


def load_with_method(path: Path, overrides: Mapping[str, Any], say: Callable[[str], None]) -> SearchConfig:
    """Read a configuration for a new search; overrides may replace its method.

    Args:
        path: A configuration file, as :func:`pinas_zoo.search.config.load_config` reads it.
        overrides: Values that replace the file's, by dotted key.
        say: Receives one line if options of the replaced method were left out.

    Raises:
        UserError: As :func:`pinas_zoo.search.config.load_config`; an unknown method in the overrides; or a folder
            beside digits, which are read from none.
    """
    config = override_config(without_options_of_another(read_config(path), overrides, say), overrides, path)
    if path.suffix == ".py" or "data.root" in overrides:  # the config.json of an earlier run may name an unread folder
        refuse_unread_root(config.data.type, config.data.root)
    return config


def without_options_of_another(
    values: Mapping[str, Any], overrides: Mapping[str, Any], say: Callable[[str], None]
) -> dict[str, Any]:
    """Leave out the options that a method named by the overrides does not accept.

    Options in the overrides themselves are not looked at: one that the method does not accept stays an error.

    Args:
        values: The configuration without the overrides, as plain data.
        overrides: Values that will replace those of the configuration, by dotted key.
        say: Receives one line if options were left out.

    Returns:
        The configuration as plain data.

    Raises:
        UserError: The overrides name an unknown method.
    """
    learn, method = values.get("learn", {}), overrides.get("learn.method")
    before = learn.get("method", Learn().method) if isinstance(learn, Mapping) else method
    if method is None or method == before or not isinstance(learn.get("options", {}), Mapping):
        return dict(values)
    accepted = option_names(method_class(str(method)))
    kept = {key: value for key, value in learn.get("options", {}).items() if key in accepted}
    left_out = sorted(set(learn.get("options", {})) - set(kept))
    if left_out:
        say(f"learn.method is {method!r} instead of {before!r}; left out its learn.options: {', '.join(left_out)}")
    return {**values, "learn": {**learn, "options": kept}}
