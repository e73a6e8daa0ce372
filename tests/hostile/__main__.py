"""Reads the corpus and prints a table of it: ``python -m tests.hostile [--commands] [--broken] [WORD ...]``.

With words, only inputs whose names contain one of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import tests.conftest  # noqa: F401  the user's own registry, cache and token are left alone
from tests.hostile.corpus import COMMANDS, READERS
from tests.hostile.inputs import shards
from tests.hostile.limits import read_shard


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--commands", action="store_true", help="whole commands too; they take minutes")
    parser.add_argument("--broken", action="store_true", help="print broken promises alone")
    args = parser.parse_args()
    counts = dict.fromkeys(("accepted", "refused", "broken"), 0)
    for inputs in (*READERS.values(), *(COMMANDS.values() if args.commands else ())):
        chosen = tuple(i for i in inputs if not args.words or any(word in i.name for word in args.words))
        for part in shards(chosen):
            with tempfile.TemporaryDirectory() as folder:
                for found in read_shard(part, Path(folder)):
                    counts[found.kind] += 1
                    if found.kind == "broken" or not args.broken:
                        numbers = f"{found.seconds:6.2f} s {found.mib:6.0f} MiB"
                        print(f"{found.name:<44} {found.kind:<9} {numbers}  {found.text[:160]}", flush=True)
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return int(counts["broken"] > 0)


if __name__ == "__main__":
    sys.exit(main())
