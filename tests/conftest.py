"""Every test has its own registry, and torch one thread, so that tests neither see nor disturb the user's networks."""

from __future__ import annotations

import os
import tempfile

# set before pinas_zoo is imported by any test module, and inherited by the commands that tests start
os.environ["PINAS_ZOO_HOME"] = tempfile.mkdtemp(prefix="pinas-zoo-tests-")
os.environ.setdefault("OMP_NUM_THREADS", "1")
