"""Make the folder that a machine without internet needs for ``benchmarks/gpu.py``: wheels, data, reference numbers.

    python benchmarks/gpu_folder.py FOLDER --python 3.12                                      # wheels alone
    python benchmarks/gpu_folder.py FOLDER --python 3.12 --images cifar10.npz --truth nb201.csv --golden GOLDEN

The other machine must have torch, torchvision, numpy and the other compiled packages that docs/gpu.md lists. Versions
are those of constraints.txt. It prints each file with its size.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 60.0  # MB of the folder
PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
# pure Python, but for safetensors, pydantic-core and SQLAlchemy, whose wheels fit one Python and processor
PACKAGES = (
    "timm", "safetensors", "platformdirs", "shtab", "rich", "markdown-it-py", "mdurl", "pygments",
    "mmengine", "addict", "yapf", "termcolor", "setuptools<82",
    "pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions",
    "optuna", "alembic", "mako", "sqlalchemy", "colorlog", "tqdm",
    "pytest", "pluggy", "iniconfig",
)  # fmt: skip


def download(folder: Path, python: str, machine: str) -> None:
    """Wheels of the packages, without what they need.

    Raises:
        subprocess.CalledProcessError: pip found no wheel; it says of which package.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--implementation", "cp", "--dest", str(folder)]
    command += ["--constraint", str(ROOT / "constraints.txt")]
    for platform in PLATFORMS:
        command += ["--platform", f"{platform}_{machine}"]
    subprocess.run([*command, "--platform", "any", *PACKAGES], check=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="version of Python there (default: %(default)s)")
    parser.add_argument("--machine", default="x86_64", help="processor there (default: %(default)s)")
    parser.add_argument("--images", type=Path, help="CIFAR-10 as an .npz of JPEGs, for the evidence")
    parser.add_argument("--truth", type=Path, help="CSV of NAS-Bench-201's accuracies, for the evidence")
    parser.add_argument("--golden", type=Path, help="folder of the reference numbers")
    parser.add_argument("--no-wheels", action="store_true", help="only copy data")
    args = parser.parse_args(argv)
    for option in ("images", "truth", "golden"):
        path = getattr(args, option)
        if path is not None and not path.exists():
            parser.error(f"expected --{option} to exist, got {path}")
    args.folder.mkdir(parents=True, exist_ok=True)
    if not args.no_wheels:
        download(args.folder / "wheels", args.python, args.machine)
    if args.images:
        shutil.copyfile(args.images, args.folder / "cifar10.npz")
    if args.truth:
        shutil.copyfile(args.truth, args.folder / "nb201.csv")
    if args.golden:
        shutil.copytree(args.golden, args.folder / "golden", dirs_exist_ok=True, copy_function=shutil.copyfile)
    return report(args.folder)


def report(folder: Path) -> int:
    """Print files and sizes; 1 if they are too large together."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    total = sum(path.stat().st_size for path in files) / 1e6
    for path in files:
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path.relative_to(folder)}")
    print(f"{total:8.2f} MB  together")
    if total > LARGEST:
        print(f"error: expected at most {LARGEST:g} MB, got {total:.1f}", file=sys.stderr)
    return int(total > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
