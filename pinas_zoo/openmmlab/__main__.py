"""Run a script after ``pinas_zoo.openmmlab`` was imported: ``python -m pinas_zoo.openmmlab SCRIPT ARGUMENTS…``.

For scripts that import mmcv's operators before they read a config, such as mmdet's test.py.
"""

from __future__ import annotations

import runpy
import sys

if len(sys.argv) < 2:
    sys.exit("expected a script and its arguments, got nothing; try python -m pinas_zoo.openmmlab tools/test.py …")
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
