"""``make chaos``: kill every long command at random moments, run it again, and count broken promises.

    python -m tests.chaos --seed 0 --kills 200 --minutes 20

Everything is written into a temporary folder, which stays when a promise was broken. The table goes to stdout and into
the file of --out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAD = "| command | SIGKILL | SIGTERM | SIGHUP | SIGINT | folders | most steps again, for each kill | broken |"


def main() -> int:
    """Run the campaign; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of moments and signals")
    parser.add_argument("--kills", type=int, default=200, help="after which no new folder is begun")
    parser.add_argument("--minutes", type=float, default=20.0, help="after which no new folder is begun")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="commands of the table")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "chaos.md")
    args = parser.parse_args()
    os.environ.update(
        OMP_NUM_THREADS="1", HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1"
    )
    from tests.chaos.campaign import Campaign, Row, import_everything

    import_everything()
    place, started = Path(tempfile.mkdtemp(prefix="pinas-zoo-chaos-")), time.monotonic()
    campaign = Campaign(place, args.seed, args.only, partial(print, flush=True))
    rows: Mapping[str, Row] = campaign.run(args.kills, 60 * args.minutes)
    text = page(rows, args.seed, time.monotonic() - started)
    print(f"\n{text}")
    args.out.write_text(text, encoding="utf-8")
    broken = sum(len(row.broken) for row in rows.values())
    if broken:
        print(f"the folders are in {place}", file=sys.stderr)
    else:
        shutil.rmtree(place)
    return int(broken > 0)


def page(rows: Mapping[str, object], seed: int, seconds: float) -> str:
    """The table in Markdown, and a line for each broken promise."""
    from pinas_zoo.analysis.hardware import hardware
    from tests.chaos.campaign import SIGNALS, Row

    lines, sums, broken = [], [0] * len(SIGNALS), []
    folders = 0
    for name, row in rows.items():
        assert isinstance(row, Row)
        counts = [row.kills[signal.name] for signal in SIGNALS]
        sums = [a + b for a, b in zip(sums, counts, strict=True)]
        folders += row.folders
        broken += [f"- {name}, {problem}" for problem in row.broken]
        cells = [name, *counts, row.folders, f"{row.most_repeated:.1f}", len(row.broken)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    total = [f"**all {sum(sums)}**", *sums, folders, "", len(broken)]
    lines.append(f"| {' | '.join(map(str, total))} |")
    return "\n".join(
        [
            "# Commands killed at random moments",
            "",
            f"Printed by `python -m tests.chaos --seed {seed}` in {seconds / 60:.0f} minutes (`make chaos`) on "
            f"{hardware()}.",
            "",
            "Half of the kills come at a random time, half just before a random operation on a file. The command is",
            "run again after each, until it ends. Then no file may be half-written, left behind or missing, and no",
            "candidate scored twice or lost. Weights, curves and rankings must equal those of a run that was never",
            "killed, to the bit; those of three workers are not compared, since who asks first decides what is scored.",
            "Steps made again are averages over the kills of a folder; a checkpoint is written every 2 steps.",
            "",
            HEAD,
            "| --- |" + " ---: |" * 7,
            *lines,
            "",
            *(["Broken promises:", "", *broken] if broken else ["No promise was broken."]),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
