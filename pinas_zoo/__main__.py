"""Run a script after ``pinas_zoo`` was imported: ``python -m pinas_zoo SCRIPT ARGUMENTS…``.

For scripts that do not import it and still shall know its networks by name, such as timm's train.py and validate.py.
"""

from __future__ import annotations

import runpy
import sys

if len(sys.argv) < 2:
    sys.exit("expected a script and its arguments, got nothing; try python -m pinas_zoo train.py --model pinas_alpha …")
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
