"""``pinas-zoo study``: do supernet scores rank architectures as training each of them alone does?"""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import note, print_json, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Learn a supernet of each method, train a list of architectures alone under one recipe, and compare the scores "
        "of the supernets, and multiply-adds alone, with the accuracies of the trained networks: Kendall's tau with "
        "95% bootstrap intervals, tables and scatter plots. Complete trainings and supernets are skipped. If a study "
        "stops, rerun the same command to resume."
    )
    parser.epilog = (
        "examples:\n    pinas-zoo study cifar10 --data data/cifar10\n"
        "    pinas-zoo study cifar10 --data data/cifar10 --worker              # on a further core or machine\n"
        "    pinas-zoo study cifar10 --data data/cifar10 --report\n"
        '    pinas-zoo study mine.py --outcome "box AP=box_ap.csv"             # header: architecture,outcome'
    )
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help="configuration file, or the name of one in configs/study: cifar10, digits or resnest50",
    )
    parser.add_argument("--data", metavar="FOLDER", help="folder of images (default: the configuration's data.root)")
    parser.add_argument("--work-dir", metavar="FOLDER", help="the study's folder (default: work_dirs/NAME)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one value of the configuration, such as --set recipe.schedule.epochs=20; may be repeated",
    )
    parser.add_argument(
        "--outcome",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="compare with these results as well, such as box AP of detectors: a CSV with the header "
        "architecture,outcome, or a .json object; may be repeated",
    )
    parser.add_argument(
        "--worker", action="store_true", help="only do jobs of the study in this folder, beside other workers"
    )
    parser.add_argument("--report", action="store_true", help="only write the tables and plots of what is complete")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the resolved configuration and the jobs, and do nothing"
    )
    parser.add_argument("--json", action="store_true", help="print the results, or the dry run, as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pinas_zoo.errors import UserError
    from pinas_zoo.extras import require_search

    if args.worker and args.report:
        raise UserError("expected --worker or --report, got both; a worker writes no report")
    if args.dry_run and (args.worker or args.report):
        raise UserError(f"expected --dry-run alone, got --{'worker' if args.worker else 'report'} with it")
    require_search()
    from pinas_zoo.search.config import parse_overrides
    from pinas_zoo.search.trained_study.config import find_study, load_study, replaced_by_methods
    from pinas_zoo.search.trained_study.correlations import collect
    from pinas_zoo.search.trained_study.jobs import STUDY, Study, check_study_folder, work
    from pinas_zoo.search.trained_study.outcomes import read_outcomes
    from pinas_zoo.search.trained_study.plan import plan, plan_text
    from pinas_zoo.search.trained_study.report import FILES, facts, write_report
    from pinas_zoo.weights.atomic import write_json

    overrides = parse_overrides(args.set)
    if args.data is not None:
        overrides |= {"search.data.root": args.data, "recipe.data.root": args.data}
    config = load_study(find_study(args.config), overrides)
    replaced = replaced_by_methods(config, overrides)
    folder = Path(args.work_dir) if args.work_dir else Path("work_dirs") / config.name
    study = Study(config, folder, note if args.json else say)
    for line in replaced:
        note(line)
    files = {**config.outcomes, **_named(args.outcome)}
    outcomes = {name: read_outcomes(Path(file), study.space) for name, file in files.items()}  # before hours of work
    if args.dry_run:
        check_study_folder(folder)
        found = plan(study)
        if args.json:
            print_json(found)
        else:
            print_json(found["config"])
            say("\n" + plan_text(found))
        return
    if args.report:
        check_study_folder(folder, begun=True)
    else:
        check_study_folder(folder)
        study.check_methods()
        if not args.worker or not (folder / STUDY).is_file():
            write_json(folder / STUDY, config.model_dump(mode="json", exclude={"storage"}))
        work(study, wait=not args.worker)
    if args.worker:
        return
    results = collect(study, outcomes)
    write_report(study, results, folder)
    if args.json:
        print_json({"folder": str(folder), **facts(study, results)})
    else:
        say("\n" + (folder / "report.md").read_text(encoding="utf-8"))
    note(f"written {', '.join(FILES)} in {folder}")


def _named(words: Sequence[str]) -> dict[str, str]:
    """Files by name, of NAME=FILE.

    Raises:
        UserError: A word of another form.
    """
    from pinas_zoo.errors import UserError

    found = {}
    for word in words:
        name, sign, file = word.partition("=")
        if not (name.strip() and sign and file):
            raise UserError(f"expected --outcome NAME=FILE, got {word!r}; try --outcome 'box AP=box_ap.csv'")
        found[name.strip()] = file
    return found
