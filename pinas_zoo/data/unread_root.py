"""A folder of images beside a data set that comes with scikit-learn, which is never read from one."""

from __future__ import annotations

from pinas_zoo.data.options import Data
from pinas_zoo.errors import UserError

DEFAULT_ROOT = str(Data.model_fields["root"].default)


def refuse_unread_root(kind: str, root: str) -> None:
    """Refuse a folder that nothing would be read from.

    Args:
        kind: ``data.type``.
        root: ``data.root``; its default names no folder of the user's.

    Raises:
        UserError: The images are scikit-learn's digits, and a folder is named.
    """
    if kind == "digits" and root != DEFAULT_ROOT:
        raise UserError(
            f"expected no data.root with data.type='digits', whose images come with scikit-learn, got {root!r}; try "
            "--set data.type=timm to read that folder, or leave data.root out"
        )
