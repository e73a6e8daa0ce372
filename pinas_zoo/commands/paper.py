"""``pinas-zoo paper``: the numbers that the paper prints, and ours beside them."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import escape, print_json, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pinas_zoo.analysis.paper_beside_ours import Section

EPILOG = """\
examples:
    pinas-zoo paper --table 1
    pinas-zoo paper --figure 3
    pinas-zoo paper --section 4.1 --json
    pinas-zoo paper --markdown > docs/paper.md

Ours stand below or beside the printed values: a measured value, [n] where command n below the table measures it, or
"not measured yet". Figures whose numbers stand only in a picture are named, and have no numbers here.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--table", type=int, choices=range(1, 8), metavar="N", help="one table alone, 1 to 7")
    which.add_argument("--figure", type=int, choices=range(3, 10), metavar="N", help="one figure's taus alone, 3 to 9")
    which.add_argument("--section", choices=["4.1"], metavar="4.1", help="the settings of sec. 4.1 alone")
    which.add_argument("--markdown", action="store_true", help="print the page docs/paper.md")
    parser.add_argument("--json", action="store_true", help="print JSON: each value with ours, command and source")
    parser.set_defaults(run=run, needs_package=False)


def run(args: argparse.Namespace) -> None:
    from pinas_zoo.analysis.paper_beside_ours import as_data, markdown, sections
    from pinas_zoo.errors import UserError

    if args.markdown:
        if args.json:
            raise UserError("expected --markdown or --json, got both; give one")
        print(markdown(), end="")
        return
    places = {"table": args.table, "figure": args.figure, "section": args.section}
    wanted = [f"{kind} {number}" for kind, number in places.items() if number is not None]
    found = [section for section in sections() if not wanted or section.place in wanted]
    if args.json:
        print_json([as_data(section) for section in found])
        return
    for number, section in enumerate(found):
        if number:
            print()
        print_section(section)


def print_section(section: Section) -> None:
    """One table with its commands and notes."""
    from pinas_zoo.analysis.paper_beside_ours import lines_of, plain_notes

    columns, rows = lines_of(section)
    print(f"{section.place.capitalize()}: {escape(section.title)}")
    if rows:
        table(columns, rows)
    for line in plain_notes(section):
        print(escape(line))
