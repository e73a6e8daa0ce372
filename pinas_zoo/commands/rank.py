"""``pinas-zoo rank``: does a run's supernet order architectures as training each of them alone does?"""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import escape, note, print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Kendall's tau between the scores of a run and the accuracies of networks trained from scratch, with 95% "
        "bootstrap intervals, compared with the tau of multiply-adds alone and the tau of the scores' main effects, "
        "and with the tau that the paper prints, where it ranks the same architectures. "
        "Writes rank.json and rank.svg into the run's folder and updates its report."
    )
    parser.epilog = (
        "example:\n    pinas-zoo rank work_dirs/nb201 --truth nb201_cifar10.csv --accuracy-column cifar10_test_acc"
    )
    parser.add_argument("run_folder", metavar="RUN", help="folder of a run whose explore stage is complete")
    parser.add_argument(
        "--truth", metavar="FILE", required=True,
        help="CSV with a header: columns arch and accuracy, or NAS-Bench-201's arch_str and cifar10_test_acc",
    )  # fmt: skip
    parser.add_argument("--arch-column", metavar="NAME", help="column of the architectures, if it has another name")
    parser.add_argument("--accuracy-column", metavar="NAME", help="column of the accuracies, if it has another name")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="confirm the Python file of a run's own space or method, such as --set space.type=mine.py",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON: what rank.json holds, and the files written")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pinas_zoo.extras import require_search

    require_search()
    from pinas_zoo.engine.config_values import parse_overrides
    from pinas_zoo.errors import UserError
    from pinas_zoo.search.pipeline import open_context, write_run_report
    from pinas_zoo.search.ranking import kendall
    from pinas_zoo.search.ranking.main_effects import main_effects
    from pinas_zoo.search.ranking.printed_taus import papers_taus
    from pinas_zoo.search.ranking.truth_csv import read_truth
    from pinas_zoo.search.report.figures import save_figure
    from pinas_zoo.search.run_files import part_columns, read_ranking
    from pinas_zoo.search.score_kinds import score_kind, score_words
    from pinas_zoo.search.scorers.log_ranks import smoothed_sums
    from pinas_zoo.search.scorers.protocol import Score
    from pinas_zoo.zoo import registry

    truth_file = Path(args.truth)
    if args.seed < 0:
        raise UserError(f"expected a --seed of at least 0, got {args.seed}")
    opened = open_context(Path(args.run_folder), "explore", parse_overrides(args.set))
    truth, column = read_truth(truth_file, args.arch_column, args.accuracy_column)

    def canonical(text: str) -> str | None:
        try:
            return str(opened.space.parse(text))
        except (UserError, ValueError):
            return None

    weights = opened.config.explore.weights or {}
    ranking = read_ranking(opened.folder / "explore" / "ranking.csv", weights)
    rows = kendall.common(ranking, truth, canonical)
    found = kendall.correlate(rows, args.seed)
    own = {opened.space.parse(row["arch"]): Score(float(row["accuracy"]), float(row["loss"])) for row in ranking}
    scores = {arch: score.accuracy for arch, score in own.items()}
    effects = main_effects(scores, opened.space.num_candidates, opened.space.reachable)
    sums = kendall.correlate([(a, effects.score(opened.space.parse(a)), s, t) for a, s, _, t in rows], args.seed)
    places = smoothed_sums(list(own.values()), [effects.score(arch) for arch in own])
    both = {arch: -float(place) for arch, place in zip(own, places, strict=True)}
    smooth = kendall.correlate([(a, both[opened.space.parse(a)], s, t) for a, s, _, t in rows], args.seed)
    parts = kendall.correlate_ranks(ranking, rows, {name: part_columns(name)[2] for name in weights}, args.seed)
    kind = score_kind(opened.config)
    printed = papers_taus(opened.space, [row[0] for row in rows], column, score_words(opened.config))
    if not args.json:
        if len({row[1] for row in rows}) == 1:
            note("the scores are all equal: they rank nothing, and tau is 0 by definition")
        print(f"architectures       {found.count} (truth: {escape(column)} of {escape(truth_file.name)})")
        print(f"tau of the scores   {found.score}{f' by {score_words(opened.config)}' if weights else ''}")
        for name, one in parts.items():
            print(f"  {name:<18}{one.score}")
        if printed is not None:
            print(f"the paper's tau     {escape(printed.text)}")
        print(f"tau of FLOPs alone  {found.flops}")
        print(f"difference          {found.difference}")
        print(f"tau of effects      {sums.score}: sums of what each layer's choice adds to the scores on average")
        print(f"less the scores'    {sums.difference}")
        print(f"tau smoothed        {smooth.score}: scores and effects, half each")
        print(f"less the scores'    {smooth.difference}")
        print(f"best by score       {found.best}, {found.best_truth:g} alone; the highest is {found.top_truth:g}")
        print(f"best by effects     {sums.best}, {sums.best_truth:g} alone")
        print(f"best smoothed       {smooth.best}, {smooth.best_truth:g} alone")
    facts: dict[str, Any] = {"truth": truth_file.name, "column": column, "seed": args.seed, **found.to_dict()}
    for name, order in (("effects", sums), ("smoothed", smooth)):
        facts[name] = {key: order.to_dict()[key] for key in ("score", "difference", "best", "best_truth")}
    if parts:
        facts["parts"] = {
            name: {"weight": weights[name], "score": one.to_dict()["score"]} for name, one in parts.items()
        }
    if printed is not None:
        facts["paper"] = printed.to_dict()
    facts["points"] = dict(zip(("arch", "score", "flops_g", "truth"), zip(*rows, strict=True), strict=True))
    save_figure(
        opened.folder / "rank.svg",
        kendall.scatter(rows, found, kind.name, kind.percent),
        f"{column} over {kind.name}{' in the supernet' if kind.in_supernet else ''}",
    )
    registry.write_json(opened.folder / "rank.json", facts)
    report = write_run_report(opened) if (opened.folder / "report.html").is_file() else None
    if args.json:
        written = [opened.folder / "rank.json", opened.folder / "rank.svg", *([report] if report else [])]
        print_json({**facts, "written": [str(path) for path in written]})
        return
    print(f"written             {escape(str(opened.folder / 'rank.json'))}, rank.svg")
    if report:
        print(f"report              {escape(str(report))}")
