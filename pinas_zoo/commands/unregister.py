"""``pinas-zoo unregister``: forget a name of your registry."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "unregister",
        help="forget names of your registry; their folders stay",
        description="Forget names of your registry. The folders that they point to are left alone.",
    )
    parser.add_argument("name", metavar="NAME", nargs="+", help="as `pinas-zoo list --mine` shows them")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pinas_zoo.zoo import registry

    for name in args.name:
        registry.unregister(name)
        print(f"unregistered {name}")
