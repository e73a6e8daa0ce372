"""``pinas-zoo new-config``: a config that fits your own images, and the commands that use it."""

from __future__ import annotations

import argparse
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

EPILOG = """\
examples:
    pinas-zoo new-config det --data fruit --backbone pinas_trans            # COCO annotations
    pinas-zoo new-config seg --data roads --backbone my_winner              # an index mask for each image
    pinas-zoo new-config det --data fruit --backbone 1111111111111111 --weights hf-hub:timm/resnest50d.in1k

It finds annotations, images, splits and classes in the usual layouts, says what is missing or odd in them, writes a
config of Mask R-CNN or DeepLabV3, and prints the commands to check, train, test and look. The data's folder is only
read. docs/own_data.md shows layouts and what is chosen.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("task", choices=("det", "seg"), help="a detector, or a segmenter")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="images with COCO annotations or index masks")
    parser.add_argument(
        "--backbone", required=True, metavar="NAME|ARCH|FOLDER|hf-hub:…", help="a network of this package, or yours"
    )
    parser.add_argument("--out", metavar="FILE", help="the config (default DATA_TASK_BACKBONE.py)")
    parser.add_argument(
        "--weights", metavar="CHECKPOINT", help="the backbone's, instead of its own; `none` for random ones"
    )
    parser.add_argument(
        "--annotations", nargs="+", default=[], metavar="FILE", help="of training and validation, if not found (det)"
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="images an iteration (default 4)")
    parser.add_argument("--iterations", type=int, metavar="N", help="instead of a number that fits the images")
    parser.add_argument("--overwrite", action="store_true", help="replace files that an earlier call wrote")
    parser.add_argument("--json", action="store_true", help="print JSON: what was written, notes and commands")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pinas_zoo import extras
    from pinas_zoo.terminal import print_json, say

    extras.require()
    from pinas_zoo.openmmlab.new_config import new_config

    done = new_config(
        args.task,
        args.data,
        args.backbone,
        args.out,
        weights=args.weights,
        annotations=args.annotations,
        batch_size=args.batch_size,
        iterations=args.iterations,
        overwrite=args.overwrite,
        command=command_line(args),
    )
    commands = next_commands(args.task, done.path, done.schedule.iterations)
    if args.json:
        print_json(
            {
                "config": str(done.path),
                "files": [str(path) for path in done.files],
                "classes": done.classes,
                "images": {"train": done.images[0], "val": done.images[1]},
                "batch_size": done.schedule.batch_size,
                "iterations": done.schedule.iterations,
                "notes": done.notes,
                "commands": commands,
            }
        )
        return
    names = ", ".join(done.classes[:8]) + (", …" if len(done.classes) > 8 else "")
    train, val = done.images
    say(f"{done.path}: {len(done.classes)} classes ({names}), {train} training and {val} validation images")
    for path in done.files:
        say(f"{path}: read by it, keep it beside it")
    for note in done.notes:
        say(f"note: {note}")
    for what, command in commands.items():
        say(f"{what:6} {command}")


def command_line(args: argparse.Namespace) -> str:
    """The command that writes the same config again."""
    import shlex

    words = ["pinas-zoo", "new-config", args.task, "--data", args.data, "--backbone", args.backbone]
    for option in ("out", "weights", "batch_size", "iterations"):
        if (given := getattr(args, option)) is not None:
            words += [f"--{option.replace('_', '-')}", str(given)]
    return shlex.join([*words, *(["--annotations", *args.annotations] if args.annotations else [])])


def next_commands(task: str, config: Path, iterations: int) -> dict[str, str]:
    """The commands to check, train, test and look."""
    import shlex

    name, weights = shlex.quote(str(config)), shlex.quote(f"work_dirs/{config.stem}/iter_{iterations}.pth")
    look = "detect" if task == "det" else "segment"
    return {
        "check": f"pinas-zoo doctor --config {name}",
        "train": f"{tool('train')} {name}",
        "test": f"{tool('test')} {name} {weights}",
        "look": f"pinas-zoo {look} IMAGE --config {name} --weights {weights}",
    }


def tool(name: str) -> str:
    """How to call a tool: as a module of an installed package, or by its path in a checkout."""
    import os
    import shlex
    import shutil
    from pathlib import Path

    from pinas_zoo.config_files import PACKAGE

    on_path = shutil.which("python")
    python = (
        "python"
        if on_path and Path(on_path).absolute() == Path(sys.executable).absolute()
        else shlex.quote(sys.executable)
    )
    if (PACKAGE / "tools").is_dir():
        return f"{python} -m pinas_zoo.tools.{name}"
    path = PACKAGE.parent / "tools" / f"{name}.py"
    relative = os.path.relpath(path)
    return f"{python} {shlex.quote(relative if not relative.startswith('..') else str(path))}"
