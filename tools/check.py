"""What `make test` runs: lint, format, types, import rules, tests; each with its time.

python tools/check.py          # without the tests marked slow
python tools/check.py --all    # with them
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run every check, also after one that fails; 0 when all passed, otherwise 1."""
    python = [sys.executable, "-m"]
    lint_imports = str(Path(sys.executable).with_name("lint-imports"))  # a script; the package has no __main__
    checks = {
        "lint": [*python, "ruff", "check", "."],
        "format": [*python, "ruff", "format", "--check", "."],
        "types": [*python, "mypy"],
        "import rules": [lint_imports, "--no-cache", "--no-logo"],
        "tests": [*python, "pytest", "-q", "-n", "auto", *(["-m", ""] if "--all" in sys.argv[1:] else [])],
    }
    rows = []
    for name, command in checks.items():
        print("$", " ".join([Path(command[0]).name, *command[1:]]), flush=True)
        start = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        rows.append((name, "passed" if code == 0 else "failed", time.monotonic() - start))
    rows.append(("all", "passed" if all(row[1] == "passed" for row in rows) else "failed", sum(row[2] for row in rows)))
    for name, outcome, seconds in rows:
        print(f"{name:<14}{outcome:<8}{seconds:8.1f} s")
    return int(rows[-1][1] == "failed")


if __name__ == "__main__":
    sys.exit(main())
