"""What train.py, test.py and analyze.py share: arguments, and one line on stderr for wrong input.

Arguments are parsed before anything but the standard library is imported, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

Work = Callable[[argparse.Namespace], object]
PLACES = (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError)  # of a place that cannot be written


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with a config and ``--cfg-options``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a config, such as those in configs/det and configs/seg")
    parser.add_argument("--cfg-options", nargs="+", action="extend", metavar="KEY=VALUE", help="change the config")
    return parser


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a run, as in OpenMMLab's own scripts."""
    parser.add_argument("--work-dir", help="logs and results (default work_dirs/NAME_OF_THE_CONFIG)")
    parser.add_argument("--data-root", metavar="FOLDER", help="where the data is, instead of the config's own folder")
    parser.add_argument(
        "--authors",
        action="store_true",
        help="follow the authors' libraries, not OpenMMLab (docs/transfer.md)",
    )
    parser.add_argument(
        "--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="what started the processes"
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def run(
    parser: argparse.ArgumentParser,
    tool: str,
    work: Work,
    argv: Sequence[str] | None,
    kinds: Sequence[str] = ("det", "seg"),
) -> int:
    """Parse the arguments and work; 0 when it worked, 2 with one line on stderr when the input was wrong.

    Args:
        parser: Of :func:`make_parser`.
        tool: What messages call the script.
        work: Takes the parsed arguments.
        argv: Words (default: this process's).
        kinds: Folders of ``configs`` whose names a message about an unknown config lists.
    """
    args = parser.parse_args(argv)
    if "local_rank" in args:
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    from pinas_zoo import extras
    from pinas_zoo.config_files import find_config
    from pinas_zoo.errors import UserError, is_full_disk

    try:
        # before OpenMMLab, which recipes do not need, and the seconds that its imports take
        find_config(args.config, *kinds)
        if getattr(args, "data_root", None) and not os.path.isdir(args.data_root):
            raise UserError(f"expected a folder as --data-root, got {args.data_root}; give that of the images")
        extras.require()
        if args.cfg_options is not None:
            from mmengine.config import DictAction

            options, args.cfg_options = args.cfg_options, None
            DictAction(["--cfg-options"], "cfg_options", nargs="+")(parser, args, options)
        work(args)
    except UserError as error:
        print(f"{tool}: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        if not isinstance(error, PLACES) and not is_full_disk(error):
            raise
        cure = "free space on the disk" if is_full_disk(error) else "give another place, or change its permissions"
        print(f"{tool}: {' '.join(str(error).split())[:300]}; {cure}", file=sys.stderr)
        return 2
    return 0
