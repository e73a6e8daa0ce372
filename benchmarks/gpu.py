"""One command for a card: is this package right on it, and how fast? Stages run in order of worth within a budget.

    python benchmarks/gpu.py --out FOLDER                                # nine minutes
    python benchmarks/gpu.py --out FOLDER --only table2 learn_step       # these alone
    python benchmarks/gpu.py --out FOLDER --only evidence --minutes 30 --images cifar10.npz --truth nb201.csv
    python benchmarks/gpu.py --out FOLDER --smoke                        # every row at a tiny size, on a CPU

Each stage runs in a process of its own with a time limit, so that a crash or a hang costs one row. After every row
``FOLDER/STAGE.json`` is written anew. Rerun the same command to resume: rows that the folder holds for this card, torch
and version are skipped, and rows that failed are measured again, last. Delete a stage's file to measure it anew.
``FOLDER/gpu.md`` has the table that is printed, and ``FOLDER/work`` the logs. docs/gpu.md says what to carry to a
machine without internet.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gpu_stages.page import page
from gpu_stages.plan import STAGES
from gpu_stages.results import StageResults

from pinas_zoo.version import __version__
from pinas_zoo.weights.atomic import write_text

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT.parent / "shared" / "golden"
LEAST = 10.0  # seconds: a stage with less is left open, because importing torch alone takes some


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    if args.work:
        return work(args)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the stage's process is ended, too
    deadline = time.monotonic() + 60 * args.minutes
    machine = identify(args.device, args.smoke)
    print(" | ".join(machine.values()), flush=True)
    chosen = [name for name in STAGES if name in (args.only or STAGES)]
    for place, stage in enumerate(chosen):
        later = [name for name in chosen[place:] if not StageResults.load(args.out, name, machine).is_complete()]
        if stage not in later:
            print(f"{stage:12} complete already", flush=True)
            continue
        share = STAGES[stage].seconds / sum(STAGES[name].seconds for name in later)
        limit = share * (deadline - time.monotonic())
        if limit < LEAST:
            print(f"{stage:12} open: {max(0.0, limit):.0f} s left of {args.minutes:g} minutes", flush=True)
            continue
        run_stage(args, stage, machine, limit)
        write_page(args, machine)
    print(write_page(args, machine))
    return 0


def run_stage(args: argparse.Namespace, stage: str, machine: dict[str, str], limit: float) -> None:
    """Run the stage's open rows in a process, and in another one after each row that ends it, until the limit."""
    started = time.monotonic()
    rows = StageResults.load(args.out, stage, machine).open_rows()
    asked, reason = len(rows), ""
    while rows and not reason:
        left = limit - (time.monotonic() - started)
        if left < LEAST:
            reason = "no time left"
            break
        code = run_rows(args, stage, rows, left)
        if code == 0:
            break
        reason = "" if code is not None else f"stopped at the stage's limit of {limit:.0f} s"
        results = StageResults.load(args.out, stage, machine)
        current = results.current
        if current is None or not results.blame(reason or f"its process ended with code {code}"):
            reason = reason or f"the process ended with code {code}; see {args.out}/work/{stage}.log"
            break
        rows = rows[rows.index(current) + 1 :]
    answered = asked - len(StageResults.load(args.out, stage, machine).open_rows())
    seconds = time.monotonic() - started
    print(f"{stage:12} {answered} of {asked} rows in {seconds:.0f} s{reason and '; ' + reason}", flush=True)


def run_rows(args: argparse.Namespace, stage: str, rows: Sequence[str], limit: float) -> int | None:
    """Run rows in a new process that ends, with all processes it started, at the limit. Its exit code, or None."""
    command = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--work",
        stage,
        "--rows",
        *rows,
        "--minutes",
        str(limit / 60),
    ]
    command += ["--out", str(args.out), "--device", args.device, *(["--smoke"] if args.smoke else [])]
    for option in ("golden", "images", "truth"):
        if (path := getattr(args, option)) is not None:
            command += [f"--{option}", str(path)]
    folder = args.out / "work"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{stage}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(args),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def environment(args: argparse.Namespace) -> dict[str, str]:
    """Environment of a stage: the package of this checkout, a registry in the folder, and the card or none."""
    found = {**os.environ, "PINAS_ZOO_HOME": str(args.out / "work" / "home"), "PYTHONUNBUFFERED": "1"}
    found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    found["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # without it cuBLAS is not deterministic
    if args.device == "cpu":
        found["CUDA_VISIBLE_DEVICES"] = ""
    return found


def work(args: argparse.Namespace) -> int:
    """Measure rows of one stage: the process that :func:`run_rows` starts."""
    from gpu_stages.settings import Settings
    from gpu_stages.worker import work as measure

    deadline = time.monotonic() + 60 * args.minutes
    settings = Settings(args.device, args.smoke, args.out, deadline, args.golden, args.images, args.truth)
    measure(args.work, settings, identify(args.device, args.smoke), args.rows)
    return 0


def identify(device: str, smoke: bool) -> dict[str, str]:
    """What the figures depend on."""
    import torch

    from pinas_zoo.analysis.hardware import hardware

    machine = {"card": hardware()}
    if device == "cuda":
        major, minor = torch.cuda.get_device_capability()
        gib = torch.cuda.get_device_properties(0).total_memory / 2**30
        machine = {"card": f"{torch.cuda.get_device_name()}, {gib:.0f} GiB, sm_{major}{minor}", "host": hardware()}
        machine |= {"CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}
    machine |= {"torch": torch.__version__, "pinas_zoo": __version__}
    return machine | {"sizes": "tiny: the figures mean nothing"} if smoke else machine


def write_page(args: argparse.Namespace, machine: dict[str, str]) -> str:
    """Write gpu.md from the results in the folder, and return it."""
    results = {name: StageResults.load(args.out, name, machine) for name in STAGES}
    words = [*(["--only", *args.only] if args.only else []), "--minutes", f"{args.minutes:g}", "--out FOLDER"]
    command = " ".join(["python benchmarks/gpu.py", *words, *(["--smoke"] if args.smoke else [])])
    text = page(machine, results, command)
    write_text(args.out / "gpu.md", text + "\n")
    return text


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results; rerun with it to resume")
    parser.add_argument("--only", nargs="+", choices=STAGES, metavar="NAME", help=f"of {', '.join(STAGES)}")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all stages together (default: %(default)g)")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on a CPU unless --device says otherwise")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="(default: cuda if there is one, else cpu)")
    parser.add_argument(
        "--golden", type=Path, help="folder of reference numbers (default: ../shared/golden, if it exists)"
    )
    parser.add_argument("--images", type=Path, help="evidence: CIFAR-10 as a folder or an .npz of JPEGs")
    parser.add_argument("--truth", type=Path, help="evidence: a CSV of NAS-Bench-201's accuracies")
    parser.add_argument("--work", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--rows", nargs="+", default=[], help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    for option in ("out", "golden", "images", "truth"):
        path = getattr(args, option)
        setattr(args, option, path and path.absolute())
    for option in ("golden", "images", "truth"):
        path = getattr(args, option)
        if path is not None and not path.exists():
            parser.error(f"expected --{option} to exist, got {path}")
    if not args.minutes > 0:
        parser.error(f"expected --minutes above 0, got {args.minutes:g}")
    if args.golden is None and GOLDEN.is_dir():
        args.golden = GOLDEN
    if args.device is None:
        import torch

        args.device = "cuda" if torch.cuda.is_available() and not args.smoke else "cpu"
    return args


if __name__ == "__main__":
    sys.exit(main())
