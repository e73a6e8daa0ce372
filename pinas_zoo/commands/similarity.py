"""``pinas-zoo similarity``: how similar an image's features are along different paths (the paper's Figure 5)."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import escape, print_json

MAX_PATHS = 1024  # beginnings, whose features are all compared with each other


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The matrix of the paper's Figure 5 for a run's supernet: mean cosine similarity of an image's pooled "
        "features along two paths that begin differently and end in the candidates of row and column. Writes "
        "similarity.csv and similarity.svg into the run's folder."
    )
    parser.add_argument("run_folder", metavar="RUN", help="folder of a run whose learn stage is complete")
    parser.add_argument("--images", type=int, default=256, metavar="N", help="held-out images (default: 256)")
    parser.add_argument(
        "--paths", type=int, default=4, metavar="N", help="random path beginnings for each candidate (default: 4)"
    )
    parser.add_argument("--seed", type=int, help="seed of the path beginnings (default: the run's)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="confirm the Python file of a run's own space or method, such as --set space.type=mine.py",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON: the matrix, its mean, and the files written")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pinas_zoo.extras import require_search

    require_search()
    from pinas_zoo.engine.config_values import parse_overrides
    from pinas_zoo.errors import UserError
    from pinas_zoo.search.pipeline import open_context
    from pinas_zoo.search.ranking.similarity import heat_map, off_diagonal, write_matrix
    from pinas_zoo.search.report.choice_names import ChoiceNames
    from pinas_zoo.search.report.figures import save_figure
    from pinas_zoo.search.stages.explore import similarity

    if args.images < 2 or not 2 <= args.paths <= MAX_PATHS:
        raise UserError(
            f"expected at least 2 --images and 2 to {MAX_PATHS} --paths, got {args.images} and {args.paths}"
        )
    if (args.seed or 0) < 0:
        raise UserError(f"expected a --seed of at least 0, got {args.seed}")
    opened = open_context(Path(args.run_folder), "learn", parse_overrides(args.set))
    matrix = similarity(opened, args.images, args.paths, args.seed)
    if not args.json:
        print("candidate  " + "".join(f"{k:>8}" for k in range(len(matrix))))
        for k, row in enumerate(matrix):
            print(f"{k:>9}  " + "".join(f"{value:8.3f}" for value in row))
        print(f"mean off the diagonal {off_diagonal(matrix):.4f}")
    table_file, picture = opened.folder / "similarity.csv", opened.folder / "similarity.svg"
    write_matrix(table_file, matrix)
    names = ChoiceNames.of(opened.space).candidates
    save_figure(picture, heat_map(matrix, names), "Cosine similarity of features, by last candidate")
    if args.json:
        mean = off_diagonal(matrix)
        written = [str(table_file), str(picture)]
        print_json({"matrix": matrix.tolist(), "mean_off_diagonal": mean, "written": written})
    else:
        print(f"written {escape(str(table_file))}, similarity.svg")
