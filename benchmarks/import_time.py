"""Time of `import pinas_zoo` beside `import timm`, each in new processes, interleaved.

python benchmarks/import_time.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def main() -> None:
    runs = [(seconds("import timm"), seconds("import timm, pinas_zoo")) for _ in range(7)][1:]
    alone, both = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"import timm             {alone:.2f} s")
    print(f"import timm, pinas_zoo  {both:.2f} s, {both - alone:+.2f} s, ratio {both / alone:.3f}")


if __name__ == "__main__":
    main()
