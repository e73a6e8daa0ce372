"""``pinas-zoo rank``: does a run's supernet order architectures as training each of them alone does?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "rank",
        help="Kendall's tau of a run's scores against networks trained alone",
        description=(
            "Kendall's tau between the scores of a run and the accuracies of networks trained alone, with 95%% "
            "bootstrap intervals, beside the tau of multiply-adds alone and that of the scores' main effects. Writes "
            "rank.json and kendall.svg into the run's folder, and its report anew."
        ),
        epilog="pinas-zoo rank work_dirs/nb201 --truth nb201_cifar10.csv --accuracy-column cifar10_test_acc",
    )
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="folder of a run that has explored")
    parser.add_argument(
        "--truth", metavar="FILE", type=Path, required=True,
        help="CSV with a header: columns arch and accuracy, or NAS-Bench-201's arch_str and cifar10_test_acc",
    )  # fmt: skip
    parser.add_argument("--arch-column", metavar="NAME", help="column of the architectures, if it is another")
    parser.add_argument("--accuracy-column", metavar="NAME", help="column of the accuracies, if it is another")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="name the Python file of a run's own space or method again, such as --set space.type=mine.py",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pinas_zoo.commands.search import need_search_extra

    need_search_extra()
    from pinas_zoo.errors import UserError
    from pinas_zoo.search.overrides import parse_overrides
    from pinas_zoo.search.pipeline import open_run
    from pinas_zoo.search.ranking import kendall
    from pinas_zoo.search.ranking.main_effects import main_effects
    from pinas_zoo.search.ranking.truth_csv import read_truth
    from pinas_zoo.search.report.page import save_figure, write_report
    from pinas_zoo.search.scorers.kinds import KINDS
    from pinas_zoo.search.study.loop import read_ranking
    from pinas_zoo.zoo import registry

    opened = open_run(args.run_folder, "explore", parse_overrides(args.set))
    truth, column = read_truth(args.truth, args.arch_column, args.accuracy_column)

    def canonical(text: str) -> str | None:
        try:
            return str(opened.space.parse(text))
        except (UserError, ValueError):
            return None

    ranking = read_ranking(opened.folder / "explore" / "ranking.csv")
    rows = kendall.common(ranking, truth, canonical)
    found = kendall.correlate(rows, args.seed)
    scores = {opened.space.parse(row["arch"]): float(row["accuracy"]) for row in ranking}
    effects = main_effects(scores, opened.space.num_candidates)
    sums = kendall.correlate([(a, effects.score(opened.space.parse(a)), s, t) for a, s, _, t in rows], args.seed)
    print(f"architectures       {found.count} (truth: {column} of {args.truth.name})")
    print(f"tau of the scores   {found.score}")
    print(f"tau of FLOPs alone  {found.flops}")
    print(f"difference          {found.difference}")
    print(f"tau of effects      {sums.score}: sums of what each layer's choice adds to the scores on average")
    print(f"less the scores'    {sums.difference}")
    print(f"best by score       {found.best}, {found.best_truth:g} alone; the highest of all is {found.top_truth:g}")
    print(f"best by effects     {sums.best}, {sums.best_truth:g} alone")
    facts = {"truth": args.truth.name, "column": column, "seed": args.seed, **found.to_dict()}
    facts["effects"] = {key: sums.to_dict()[key] for key in ("score", "difference", "best", "best_truth")}
    name = KINDS[opened.config.explore.score].name
    save_figure(opened.folder / "rank.svg", kendall.scatter(rows, found, name), f"{column} over {name} in the supernet")
    registry.write_json(opened.folder / "rank.json", facts)
    print(f"written             {opened.folder / 'rank.json'}, kendall.svg")
    if (opened.folder / "report.html").is_file():
        print(f"report              {write_report(opened)}")
