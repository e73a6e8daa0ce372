"""Time of `import pinas_zoo` beside `import timm`, in new processes that run in turn.

python benchmarks/import_time.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable

from inference import interleave, ratio


def importing(code: str) -> Callable[[], None]:
    """Runs the code in a new process."""

    def run() -> None:
        subprocess.run([sys.executable, "-c", code], check=True)

    return run


def main() -> None:
    runs = {"timm": importing("import timm"), "both": importing("import timm, pinas_zoo")}
    seconds = interleave(runs, repeats=6)
    alone, both = (statistics.median(column) for column in seconds.values())
    times = ratio(seconds["both"], seconds["timm"])
    print(f"import timm             {alone:.2f} s")
    print(f"import timm, pinas_zoo  {both:.2f} s, {both - alone:+.2f} s, ratio {times:.3f}")


if __name__ == "__main__":
    main()
