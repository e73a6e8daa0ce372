"""``pinas-zoo search``: from images to a network that loads by name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "search",
        help="search a network on your images and register the winner",
        description=(
            "Run the stages of a search in order: learn a supernet, evaluate it linearly, explore its paths, cut out "
            "the winner, train it alone, write report.html, register it as NAME_winner. A stage that is complete is "
            "not run again; a stopped run goes on with the same command."
        ),
        epilog=(
            "--dry-run shows every key of the configuration with its value, the defaults included. Images are RGB of "
            "data.image_size x data.image_size pixels; a view is N x 3 x size x size, the supernet's output N x "
            "num_features."
        ),
    )
    parser.add_argument("config", type=Path, help="configuration file, such as configs/search/digits.py")
    parser.add_argument("--work-dir", type=Path, help="the run's folder (default: work_dirs/NAME)")
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
    parser.add_argument(
        "--worker",
        action="store_true",
        help="only score candidates beside a search of this folder until its goal is reached (docs/explore.md)",
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        help="what started this process beside others (default: seen from the environment of torchrun and srun)",
    )
    parser.set_defaults(run=run)


def need_search_extra() -> None:
    """Make sure that the parts of the ``search`` extra can be imported.

    Raises:
        UserError: One cannot; says how to get it.
    """
    try:
        import mmengine  # noqa: F401
        import optuna  # noqa: F401
        import pydantic  # noqa: F401
        import scipy  # noqa: F401
        import tqdm  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(f'expected the search extra, found no {error.name}; pip install "pinas-zoo[search]"') from error
    except ImportError as error:  # opencv, which mmengine imports, wants system libraries that bare servers lack
        raise UserError(f"{error}; on Debian: apt-get install libgl1 libglib2.0-0") from error


def run(args: argparse.Namespace) -> None:
    need_search_extra()
    from pinas_zoo.engine import distributed
    from pinas_zoo.search.config import load_config
    from pinas_zoo.search.overrides import parse_overrides
    from pinas_zoo.search.pipeline import Run
    from pinas_zoo.search.plan import plan

    distributed.start(args.launcher)
    config = load_config(args.config, parse_overrides(args.set))
    folder = args.work_dir or Path("work_dirs") / config.name
    if args.dry_run:
        print(plan(config, folder))
    elif args.worker:
        Run(config, folder).work()
    else:
        Run(config, folder).run()
