"""``pinas-zoo search``: from images to a network that loads by name."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import note, print_json, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the stages of a search in order: learn a supernet, train a linear classifier on it, explore its paths, "
        "cut out the winner, train it stand-alone, write report.html, register it as NAME_winner. Complete stages are "
        "skipped. If a run stops, rerun the same command to resume."
    )
    parser.epilog = (
        "--dry-run shows every key of the configuration with its value, the defaults included. Images are RGB of "
        "data.image_size x data.image_size pixels; a view is N x 3 x size x size, the supernet's output N x "
        "num_features."
    )
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help="configuration file, or the name of one that comes with the package, such as "
        "digits, cifar10 or nasbench201; a name that does not exist lists all",
    )
    parser.add_argument("--work-dir", metavar="FOLDER", help="the run's folder (default: work_dirs/NAME)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one value of the configuration, such as --set learn.steps=100; may be repeated. With --set "
        "learn.method=spos, options of the configuration's own method are left out",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the resolved configuration and the plan, and do nothing"
    )
    parser.add_argument("--json", action="store_true", help="with --dry-run: print JSON")
    parser.add_argument(
        "--register-anyway",
        action="store_true",
        help="register the winner even where warnings say that the search learned nothing",
    )
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
    from dataclasses import asdict
    from pathlib import Path

    from pinas_zoo.errors import UserError
    from pinas_zoo.extras import require_search

    if args.json and not args.dry_run:
        raise UserError("expected --dry-run with --json, got --json alone; a run's results are files in its folder")
    require_search()
    from pinas_zoo.engine import distributed
    from pinas_zoo.engine.config_values import parse_overrides
    from pinas_zoo.search.config_files import find_config
    from pinas_zoo.search.context import Context
    from pinas_zoo.search.pipeline import run as run_stages
    from pinas_zoo.search.pipeline import work
    from pinas_zoo.search.plan import plan
    from pinas_zoo.search.replace_method import load_with_method

    distributed.start(args.launcher)
    silent = distributed.rank() > 0
    config = load_with_method(
        find_config(args.config), parse_overrides(args.set), (lambda text: None) if silent else note
    )
    folder = Path(args.work_dir) if args.work_dir else Path("work_dirs") / config.name
    if args.dry_run and args.json:
        print_json(asdict(plan(config, folder)))
    elif args.dry_run:
        say(config.shown().model_dump_json(indent=2) + "\n\n" + plan(config, folder).text())
    elif args.worker:
        work(Context.of(config, folder, say))
    else:
        run_stages(Context.of(config, folder, say), args.register_anyway)
