"""The one exception whose text is meant for a user."""

from __future__ import annotations


class UserError(ValueError):
    """Wrong input: one line that says what was expected, what came and what to do; commands exit with 2."""
