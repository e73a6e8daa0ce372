"""``pinas-zoo search``: from images to a network that loads by name."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from pinas_zoo.search.config import SearchConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the stages of a search in order: learn a supernet, train a linear classifier on it, explore its paths, "
        "cut out the winner, train it alone, write report.html, register it as NAME_winner. Complete stages are "
        "skipped. If a run stops, rerun the same command to resume."
    )
    parser.epilog = (
        "--dry-run shows every key of the configuration with its value, the defaults included. Images are RGB of "
        "data.image_size x data.image_size pixels; a view is N x 3 x size x size, the supernet's output N x "
        "num_features."
    )
    parser.add_argument("config", metavar="CONFIG", help="configuration file, such as configs/search/digits.py")
    parser.add_argument("--work-dir", metavar="FOLDER", help="the run's folder (default: work_dirs/NAME)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one value of the configuration, such as --set learn.steps=100; may be repeated",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the resolved configuration and the plan, and do nothing"
    )
    parser.add_argument("--json", action="store_true", help="with --dry-run: print JSON")
    parser.add_argument(
        "--worker",
        action="store_true",
        help="only score candidates for the search in this folder, until it has enough (docs/explore.md)",
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        help="what started the processes of this run (default: read from the environment of torchrun or srun)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pinas_zoo.errors import UserError
    from pinas_zoo.extras import require_search

    if args.json and not args.dry_run:
        raise UserError("expected --dry-run with --json, got --json alone; a run's results are files in its folder")
    require_search()
    from pinas_zoo.engine import distributed
    from pinas_zoo.search.config import load_config, parse_overrides
    from pinas_zoo.search.pipeline import Run
    from pinas_zoo.search.plan import plan

    distributed.start(args.launcher)
    config = load_config(Path(args.config), parse_overrides(args.set))
    folder = Path(args.work_dir) if args.work_dir else Path("work_dirs") / config.name
    if args.dry_run:
        text = plan(config, folder)
        if args.json:
            print_json(plan_facts(config, folder, text))
        else:
            print(text)
    elif args.worker:
        Run(config, folder).work()
    else:
        Run(config, folder).run()


def plan_facts(config: SearchConfig, folder: Path, text: str) -> dict[str, Any]:
    """The plan as plain data.

    Args:
        config: The resolved configuration.
        folder: The run's folder.
        text: What :func:`pinas_zoo.search.plan.plan` says of them.
    """
    from pinas_zoo.data.splits import root_found
    from pinas_zoo.search.run_folder import DONE, STAGES

    lines = text.removeprefix(config.model_dump_json(indent=2)).strip().splitlines()
    return {
        "configuration": config.model_dump(mode="json"),
        "folder": str(folder),
        "data_found": bool(root_found(config.data)),
        "stages": {stage: "complete" if (folder / stage / DONE).is_file() else "to do" for stage in STAGES},
        "registers": f"{config.name}_winner",
        "plan": lines,
    }
