"""What small searches end in, to compare two versions of this package bit by bit.

    python tests/compat/outcomes.py run FOLDER          # with the version that is on sys.path; some minutes
    python tests/compat/outcomes.py compare ONE OTHER   # prints what differs; exit code 1 if anything does

Runs the search `digits`, and one tiny search of each method on each space, on one thread. Weights, curves, rankings,
facts and the tables of the reports are compared; times, rates and memory are not. Only the command line is used, so
that the script runs with any version. Bits depend on the processor: compare folders of one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

TINY = """
seed = 3
data = dict(type="digits", image_size=16, val_per_class=20, max_train=400)
linear = dict(steps=6, batch_size=16, log_every=2, checkpoint_every=2)
train = dict(epochs=1, batch_size=64, log_every=1, checkpoint_every=2)
views = dict(flip=0.2, jitter_p=0.8, gray_p=0.1, blur_p=0.5, blur_sigma=(0.1, 1.0))
"""
SPACES = {
    "resnest50": 'space = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)',
    "nasbench201": 'space = dict(type="nasbench201", channels=4, cells=1)',
}
METHODS = {
    "pinas": dict(queue_size=64, dim=16, warm_queue=True),
    "spos": dict(label_smoothing=0.1),
    "fairnas": {},
}
EXPLORE = {
    ("pinas", "resnest50"): dict(score="classifier", sampler="action_space", random_first=4),
    ("pinas", "nasbench201"): dict(score="probe", sampler="tpe", random_first=4),
    ("spos", "resnest50"): dict(score="probe", sampler="nsga2", population=4),
    ("spos", "nasbench201"): dict(score="classifier", max_params_m=0.02),
    ("fairnas", "resnest50"): dict(score="consistency", rank_by="effects", batch_size=50),
    ("fairnas", "nasbench201"): dict(score="classifier", sampler="random"),
}
TIMES = re.compile(r"\d+ views/s|\(\d+ s\)")
TIMED = ("seconds", "peak_memory_mib", "made_with", "versions", "commit", "code")


def run(out: Path, repo: Path, only: list[str] | None = None) -> None:
    """Every search, or those named, into a folder of its own below ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    configs = {"digits": repo / "configs" / "search" / "digits.py"}
    for method, space in product(METHODS, SPACES):
        name = f"{method}_{space}"
        explore = dict(evaluations=12, batch=4, recalibration_images=64, **EXPLORE[method, space])
        learn = dict(method=method, options=METHODS[method], steps=8, batch_size=16, log_every=2, checkpoint_every=2)
        lines = [f'name = "{name}"', TINY, SPACES[space], f"explore = {explore}", f"learn = {learn}"]
        configs[name] = out / f"{name}.py"
        configs[name].write_text("\n".join(lines))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PINAS_ZOO_HOME": str(out / "home")}
    for name, config in configs.items():
        if only and name not in only:
            continue
        folder = out / name
        words = [["search", str(config), "--work-dir", str(folder)], ["similarity", str(folder), "--images", "64"]]
        for word in words:
            subprocess.run([sys.executable, "-m", "pinas_zoo.cli", *word], env=env, check=True)
        archs = [line.split(",")[1] for line in (folder / "explore" / "ranking.csv").read_text().splitlines()[1:]]
        truth = out / f"{name}_truth.csv"
        truth.write_text("arch,accuracy\n" + "".join(f"{a},{int(a, 36) % 97}\n" for a in archs))
        command = [sys.executable, "-m", "pinas_zoo.cli", "rank", str(folder), "--truth", str(truth)]
        subprocess.run(command, env=env, check=True)


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.inside = tag == "td"
        if self.inside:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "td"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.cells[-1] += data.strip()


def content(path: Path) -> Any:
    """The part of a file that is compared; None for files that differ in every run."""
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return {k: (str(v.dtype), v.shape, v.tobytes()) for k, v in load_file(path).items()}
    if path.suffix == ".csv":
        return path.read_text()
    if path.name in ("done.json", "rank.json"):
        facts = json.loads(path.read_text())
        return {k: TIMES.sub("", v) if isinstance(v, str) else v for k, v in facts.items() if k not in TIMED}
    if path.name == "report.html":
        parser = _Cells()
        parser.feed(path.read_text())
        return sorted(TIMES.sub("", cell) for cell in parser.cells if not cell.isdigit())
    if path.suffix == ".json" and path.parent.name in ("winner", "trained"):
        return {k: v for k, v in json.loads(path.read_text()).items() if k not in TIMED}
    return None


def compare(one: Path, other: Path) -> int:
    """Prints every file that one has and the other lacks or that differs; returns how many do."""
    differ = 0
    for path in sorted(p for p in one.rglob("*") if p.is_file() and not p.is_relative_to(one / "home")):
        relative = path.relative_to(one)
        if relative.parts[-1] in ("study.db-wal", "study.db-shm") or not relative.parts[1:]:
            continue
        if not (other / relative).is_file():
            print(f"missing  {relative}")
            differ += 1
            continue
        ours, theirs = content(path), content(other / relative)
        if ours != theirs:
            differ += 1
            print(f"differs  {relative}{_where(ours, theirs)}")
    print(f"{differ} files differ")
    return differ


def _where(ours: Any, theirs: Any) -> str:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = [k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k)]
        return f": {len(keys)} keys, such as {keys[:4]}"
    if isinstance(ours, list):
        lost, new = [c for c in ours if c not in theirs][:6], [c for c in theirs if c not in ours][:6]
        return f": only in one {lost}, only in the other {new}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("run", "compare"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--repo", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="searches to run, such as digits spos_resnest50")
    args = parser.parse_args()
    if args.verb == "run":
        run(args.folders[0].resolve(), args.repo, args.only)
        return 0
    return int(compare(*args.folders) > 0)


if __name__ == "__main__":
    sys.exit(main())
