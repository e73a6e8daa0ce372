"""``pinas-zoo similarity``: how much an image's features shift with the path that computes them (Figure 5)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "similarity",
        help="cosine similarity of features along paths that end in each candidate",
        description=(
            "The matrix of the paper's Figure 5 for a run's supernet: mean cosine similarity of an image's pooled "
            "features along two paths that begin differently and end in the candidates of row and column. Writes "
            "similarity.csv and similarity.svg into the run's folder."
        ),
    )
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="folder of a run that has learned a supernet")
    parser.add_argument("--images", type=int, default=256, help="held-out images (default: 256)")
    parser.add_argument("--paths", type=int, default=4, help="random beginnings for each candidate (default: 4)")
    parser.add_argument("--seed", type=int, help="of the beginnings (default: the run's)")
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
    from pinas_zoo.search.ranking.similarity import heat_map, off_diagonal, write_matrix
    from pinas_zoo.search.report.page import save_figure

    if args.images < 2 or args.paths < 2:
        raise UserError(f"expected at least 2 --images and 2 --paths, got {args.images} and {args.paths}")
    opened = open_run(args.run_folder, "learn", parse_overrides(args.set))
    matrix = opened.similarity(args.images, args.paths, args.seed)
    print("candidate  " + "".join(f"{k:>8}" for k in range(len(matrix))))
    for k, row in enumerate(matrix):
        print(f"{k:>9}  " + "".join(f"{value:8.3f}" for value in row))
    print(f"mean off the diagonal {off_diagonal(matrix):.4f}")
    write_matrix(opened.folder / "similarity.csv", matrix)
    save_figure(opened.folder / "similarity.svg", heat_map(matrix), "Cosine similarity of features, by last candidate")
    print(f"written {opened.folder / 'similarity.csv'}, similarity.svg")
