"""What `make test` runs: lint, format, types, tests.

python tools/check.py          # without the tests marked slow
python tools/check.py --all    # with them
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    tests = [sys.executable, "-m", "pytest", "-q", "-n", "auto"] + (["-m", ""] if "--all" in sys.argv[1:] else [])
    commands = [
        [sys.executable, "-m", "ruff", "check", "."],
        [sys.executable, "-m", "ruff", "format", "--check", "."],
        [sys.executable, "-m", "mypy"],
        tests,
    ]
    failed = 0
    for command in commands:
        print("$", " ".join(["python", *command[1:]]), flush=True)
        failed |= subprocess.run(command, cwd=Path(__file__).resolve().parents[1], check=False).returncode
    return int(failed != 0)


if __name__ == "__main__":
    sys.exit(main())
