"""``pinas-zoo evidence``: do supernets of several methods rank architectures as training each of them alone does?"""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import escape, print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from typing import Any

    from pinas_zoo.search.evidence.plan import EvidenceConfig, PlannedRun

MOST_STEPS = 10**9
LEAST = 30  # scored architectures for a tau that says anything


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Learn a supernet of each method, space and seed within a budget of minutes times threads, score its paths, "
        "and compare the scores with the accuracies of networks trained from scratch (Kendall's tau, 95% bootstrap "
        "intervals). Each run leaves two files, NAME.csv and NAME.json, in the folder of results and is skipped if "
        "they exist, so that runs add up over days and machines. The tables and figures are written anew from all runs "
        "in the folder. Rerun the same command to resume; delete a run's two files to measure it again."
    )
    command = "pinas-zoo evidence nasbench201 --images cifar10.npz --truth nb201.csv --runs pinas spos --seeds 0"
    parser.epilog = f"example:\n    {command}"
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help="configuration file, or the name of one in configs/evidence: nasbench201, nasbench201_full",
    )
    parser.add_argument(
        "--truth", metavar="TABLE", required=True,
        help="CSV of the networks trained from scratch (docs/nasbench201.md)",
    )  # fmt: skip
    parser.add_argument(
        "--images", metavar="FOLDER|NPZ",
        help="CIFAR-10: a folder with train and validation, one sub-folder a class, or an .npz of JPEGs",
    )  # fmt: skip
    parser.add_argument("--runs", metavar="NAME", nargs="+", help="runs of the configuration (default: its measured)")
    parser.add_argument("--sizes", metavar="N", nargs="+", type=int, help="spaces, by number of architectures")
    parser.add_argument(
        "--subspace", metavar="N", type=int,
        help="score architectures of this smaller space instead of the supernet's, such as --sizes 15625 "
        "--subspace 729 (sec. 4.3)",
    )  # fmt: skip
    parser.add_argument("--seeds", metavar="N", nargs="+", type=int, help="seeds of the supernets")
    parser.add_argument(
        "--minutes", metavar="M", type=float,
        help="of learning, for each run and thread; the linear stage and scoring come on top (docs/results.md)"
    )  # fmt: skip
    parser.add_argument(
        "--steps", metavar="N", type=int, help="of learning, the same for each run, in place of a budget of minutes"
    )
    parser.add_argument("--threads", metavar="N", type=int, help="threads of learning and scoring")
    parser.add_argument("--count", metavar="N", type=int, help="score at most so many architectures, random ones")
    parser.add_argument(
        "--scores", metavar="NAME", nargs="+",
        help="which scores are measured: consistency, identification, squared_error (of a probe), cross_entropy and "
        "classifier_accuracy (of the shared classifier), beside that by which the configuration ranks; default: all. A "
        "method that scores paths itself, such as dna, has its own score alone",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="measure a trial: change the runs' search configuration, such as --set learn.lr=0.1; may be repeated",
    )  # fmt: skip
    parser.add_argument("--work-dir", metavar="FOLDER", help="folder of the supernets (default: work_dirs/NAME)")
    parser.add_argument(
        "--results", metavar="FOLDER",
        help="folder of result files; the page goes beside it (default: benchmarks/results/NAME in a checkout, else "
        "work_dirs/evidence/NAME)",
    )  # fmt: skip
    parser.add_argument(
        "--training-free", action="store_true", help="only score the kinds that need no supernet; learn nothing"
    )
    parser.add_argument("--report", action="store_true", help="only write the tables and figures of measured runs")
    parser.add_argument("--json", action="store_true", help="print the measured runs as JSON instead of the tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    import sys
    from functools import partial
    from pathlib import Path

    from pinas_zoo.errors import UserError
    from pinas_zoo.extras import require_search

    require_search()
    _check_numbers(args)
    from pinas_zoo.search.evidence.measure import changed_since, is_measured, measure
    from pinas_zoo.search.evidence.plan import find_evidence, load_evidence
    from pinas_zoo.search.evidence.report import run_facts, write_report
    from pinas_zoo.search.evidence.tables import Evidence
    from pinas_zoo.search.evidence.training_free import measure_training_free
    from pinas_zoo.search.evidence.truth import load_truth

    config = load_evidence(find_evidence(args.config))
    results = Path(args.results) if args.results else _default_results(config.name)
    planned_runs = _planned_runs(args, config)
    truth = load_truth(Path(args.truth), config.truth, config.report.resamples)  # before the hours of measuring
    say = partial(print, file=sys.stderr if args.json else sys.stdout, flush=True)
    if not args.report:
        from pinas_zoo.search.evidence.images import image_folder

        if args.images is None:
            raise UserError("expected --images, CIFAR-10 as a folder or an .npz of JPEGs, got none; or use --report")
        work = Path(args.work_dir) if args.work_dir else Path("work_dirs") / config.name
        images = image_folder(Path(args.images), work)
        for planned in planned_runs:
            planned.search_config(images, 1)  # a wrong key is an error before the first run is learned
            planned.teacher_recipe(images)
        counts = {planned.scored: min(args.count or config.count, planned.scored) for planned in planned_runs}
        measure_training_free(config, counts, args.threads or config.threads, images, work, results, say)
        for planned in [] if args.training_free else planned_runs:
            count = min(args.count or config.count, planned.scored)
            if is_measured(planned, count, results):
                name, changes = planned.result_name(count), changed_since(planned, images, count, results)
                cure = f"delete its two files in {results} and the folder {work / planned.name} to measure it again"
                say(f"{name}: measured already{f', but with {changes}; {cure}' if changes else ''}")
            else:
                measure(planned, images, work, count, results, say)
    evidence = Evidence.load(config, truth, results)
    written = write_report(evidence, results)
    if args.json:
        facts = {"page": str(written.page), "overview": str(written.overview), "results": str(results)}
        print_json({**facts, "runs": [run_facts(evidence, run) for run in evidence.runs]})
    else:
        say(written.text)
        line = f"written {written.page}, {written.overview.name}, and a figure a run in {results}"
        print(escape(line), file=sys.stderr)


def _check_numbers(args: argparse.Namespace) -> None:
    """Refuse budgets that make no sense before anything is read or learned.

    Raises:
        UserError: Names the option.
    """
    import math
    import os

    from pinas_zoo.errors import UserError

    cores = os.cpu_count() or 1
    if args.count is not None and args.count < LEAST:
        raise UserError(f"expected --count of at least {LEAST}, for a tau that says anything, got {args.count}")
    if args.minutes is not None and not 0 < args.minutes < math.inf:
        raise UserError(f"expected a positive number as --minutes, got {args.minutes:g}")
    if args.steps is not None and not 1 <= args.steps <= MOST_STEPS:
        raise UserError(f"expected --steps of 1 to {MOST_STEPS:,}, got {args.steps:,}")
    if args.steps is not None and args.minutes is not None:
        raise UserError(f"expected --minutes or --steps, got both: {args.minutes:g} and {args.steps:,}; leave one out")
    if args.steps is not None and (clash := [s for s in args.set if s.startswith(("learn.steps=", "learn.epochs="))]):
        raise UserError(f"expected --steps alone to say how long runs learn, got --set {clash[0]} as well")
    if args.threads is not None and not 1 <= args.threads <= cores:
        raise UserError(f"expected --threads of 1 to {cores}, the cores of this machine, got {args.threads}")


def _planned_runs(args: argparse.Namespace, config: EvidenceConfig) -> list[PlannedRun]:
    """Runs in the order in which they are measured.

    Raises:
        UserError: A run or size that the configuration does not have.
    """
    from itertools import product

    from pinas_zoo.errors import UserError
    from pinas_zoo.search.evidence.plan import PlannedRun
    from pinas_zoo.search.evidence.results import OWN, RANKING_SCORES

    runs, sizes = args.runs or config.measured, args.sizes or list(config.spaces)
    choices: tuple[tuple[str, Collection[Any], Collection[Any]], ...]
    kinds = [name for name in RANKING_SCORES if name != OWN]
    scores = tuple(dict.fromkeys([config.rank_by, *(args.scores or kinds)]))  # tables rank by the first
    choices = ("--runs", runs, config.runs), ("--sizes", sizes, config.spaces), ("--scores", scores, kinds)
    for option, asked, known in choices:
        if unknown := [value for value in asked if value not in known]:
            raise UserError(f"expected {option} of {', '.join(map(str, known))}, got {unknown[0]}")
    subspace = args.subspace
    if subspace is not None and subspace not in config.spaces:
        raise UserError(f"expected --subspace of {', '.join(map(str, config.spaces))}, got {subspace}")
    for size in sizes if subspace is not None else ():
        if not config.is_within(subspace, size):
            larger = [n for n in config.spaces if config.is_within(subspace, n)]
            raise UserError(
                f"expected --sizes that contain the --subspace {subspace}: {', '.join(map(str, larger))}, got {size}"
            )
    minutes, threads = args.minutes or config.minutes, args.threads or config.threads
    return [
        PlannedRun(config, name, size, seed, float(minutes), threads, tuple(args.set), subspace, scores, args.steps)
        for size, seed, name in product(sizes, args.seeds or config.seeds, runs)
    ]


def _default_results(name: str) -> Path:
    from pathlib import Path

    checkout = Path("benchmarks/results")
    return (checkout if checkout.is_dir() else Path("work_dirs/evidence")) / name
