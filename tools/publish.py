"""Publish weights that this package vouches for: push a model folder, then print the row that pins it.

    python tools/publish.py FOLDER OWNER/NAME --name pinas_alpha          # shows what would be sent
    python tools/publish.py FOLDER OWNER/NAME --name pinas_alpha --yes    # sends it and prints the row

The row goes into ``PUBLISHED`` in ``pinas_zoo/weights/published.py``; from then on
``timm.create_model(NAME, pretrained=True)`` fetches that commit and accepts no other bytes. For
networks of your own, ``pinas-zoo push`` is enough.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence

from pinas_zoo.commands.push import add_options, send
from pinas_zoo.errors import UserError
from pinas_zoo.models.pinas import ALIASES, ARCHS, PiNAS
from pinas_zoo.weights.model_folder import WEIGHTS_FILE, read_config


def main(argv: Sequence[str] | None = None) -> int:
    """0 when it worked, 2 with one line on stderr when the input was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="a timm model folder")
    parser.add_argument("repo", metavar="OWNER/NAME", help="the Hub repo, made if it is not there")
    parser.add_argument("--name", required=True, choices=sorted((*ARCHS, *ALIASES)), help="whose weights they are")
    add_options(parser)
    args = parser.parse_args(argv)
    try:
        publish(args)
    except UserError as error:
        print(f"publish.py: {error}", file=sys.stderr)
        return 2
    return 0


def publish(args: argparse.Namespace) -> None:
    """Show or push the folder, when it holds the named network.

    Raises:
        UserError: Another architecture, a folder that is not sound, or the Hub refused.
    """
    name = ALIASES.get(args.name, args.name)
    found, _ = read_config(args.folder)
    usual = {key: p.default for key, p in inspect.signature(PiNAS).parameters.items()} | {"arch": ARCHS[name]}
    if any(key not in usual or _plain(value) != _plain(usual[key]) for key, value in found.items()):
        raise UserError(
            f"expected {name}, arch {ARCHS[name]} with 1000 classes and the usual sizes, in {args.folder}, "
            f"got {found}; give its own folder"
        )
    sent = send(args)
    if sent is None:
        return
    plan, commit = sent
    sha256 = next(file.sha256 for file in plan.files if file.path == WEIGHTS_FILE)
    print("the row for PUBLISHED in pinas_zoo/weights/published.py:\n")
    print(f'    "{name}": Published(\n        "{plan.repo}",\n        "{commit}",\n        "{sha256}",\n    ),')


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


if __name__ == "__main__":
    sys.exit(main())
