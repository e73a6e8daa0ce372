"""``pinas-zoo``: one command, one subcommand a task; each lives in a module of :mod:`pinas_zoo.commands`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from pinas_zoo.errors import UserError
from pinas_zoo.version import __version__

COMMANDS = (  # modules of pinas_zoo.commands, in the order of --help
    "search",
    "rank",
    "evidence",
    "similarity",
    "list",
    "info",
    "classify",
    "detect",
    "segment",
    "register",
    "unregister",
    "push",
    "pull",
    "convert",
    "doctor",
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pinas-zoo",
        description="Pi-NAS networks: search them, look at them, use them. Every subcommand has its own --help.",
    )
    parser.add_argument("--version", action="version", version=f"pinas-zoo {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"pinas_zoo.commands.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0 when it worked, 2 with one line on stderr when the input was wrong, 130 after Ctrl-C."""
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
    except UserError as error:
        print(f"pinas-zoo {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        rest = "; the same command goes on from here" if args.command == "search" else ""
        print(f"pinas-zoo {args.command}: stopped{rest}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `pinas-zoo list | head`
        sys.stderr.close()
        return 0
    except OSError as error:  # a place that cannot be read or written, a full disk
        print(f"pinas-zoo {args.command}: {error}; give another place, or change its permissions", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
