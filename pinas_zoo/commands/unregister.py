"""``pinas-zoo unregister``: remove names from your registry."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import print_json, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Remove names from your registry. The folders that they point to are not touched."
    parser.add_argument("name", metavar="NAME", nargs="+", help="as `pinas-zoo list --mine` shows them")
    parser.add_argument("--json", action="store_true", help="print JSON: the names that were removed")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pinas_zoo.zoo import registry

    for name in args.name:
        registry.unregister(name)
        if not args.json:
            say(f"unregistered {name}")
    if args.json:
        print_json({"unregistered": args.name})
