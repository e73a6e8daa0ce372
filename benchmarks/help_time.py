"""Time of `pinas-zoo --help` and of each `pinas-zoo COMMAND --help` beside `python -c pass`, in new processes.

    python benchmarks/help_time.py
    python benchmarks/help_time.py --before FOLDER     # also `python -m pinas_zoo.cli --help` of a clone at FOLDER

The target is a ratio of at most 3. Both times include what the environment runs at every start of Python, such as a
`.pth` file of an editable install; `--python` names the interpreter of another environment, such as an empty virtual
one. A first round, which is not counted, compiles the modules to bytecode, as an installation does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from inference import interleave, ratio, spread

from pinas_zoo.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "import sys; from pinas_zoo_launcher import main; sys.exit(main())"  # same as the console script
NOTHING = "python -c pass"


def running(words: list[str], folder: Path, bytecode: str) -> Callable[[], None]:
    """Return a function that starts Python with the packages of a folder in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run() -> None:
        subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="rounds, after one that does not count (default: 15)")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="clone of an earlier version, timed three times")
    parser.add_argument("--python", default=sys.executable, metavar="FILE", help="interpreter that is timed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as bytecode:
        runs = {NOTHING: running([args.python, "-c", "pass"], ROOT, bytecode)}
        for name in ("", *COMMANDS):
            words = [args.python, "-c", SCRIPT, *([name] if name else []), "--help"]
            runs[f"pinas-zoo {name} --help".replace("  ", " ")] = running(words, ROOT, bytecode)
        table(interleave(runs, args.repeats))
        if args.before:
            print(f"before, at {args.before}:")
            before = {NOTHING: runs[NOTHING]}
            for words in (["--help"], ["list", "--help"]):
                command = [sys.executable, "-m", "pinas_zoo.cli", *words]
                before[f"python {' '.join(command[1:])}"] = running(command, args.before.resolve(), bytecode)
            table(interleave(before, 3))


def table(seconds: dict[str, list[float]]) -> None:
    for name, column in seconds.items():
        times = ratio(column, seconds[NOTHING])
        around = spread(column, seconds[NOTHING])
        print(f"{name:36} {1000 * statistics.median(column):7.1f} ms   ratio {times:6.2f}   quartiles {around}")


if __name__ == "__main__":
    main()
