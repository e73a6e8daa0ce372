"""Whether this machine has what ``torch.compile`` needs."""

from __future__ import annotations

import os
import shutil
import sys

from pinas_zoo.errors import UserError


def check_compiler(key: str) -> None:
    """Check that this machine has a C++ compiler, which ``torch.compile`` needs.

    Raises:
        UserError: There is none.
    """
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # the compiler that torch looks for
    if not shutil.which(name):
        raise UserError(
            f"expected a C++ compiler for {key}=True, found none as {name}; install it, name another in CXX, or leave "
            f"{key} off"
        )
