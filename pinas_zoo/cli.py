"""The command ``pinas-zoo``: a table of subcommands, each in a module of :mod:`pinas_zoo.commands`.

A module of :mod:`pinas_zoo.commands` has two functions:

* ``add_arguments(parser)`` sets the parser's description and arguments, and ``run`` as its default.
* ``run(args)`` does the work. Heavy imports (torch, timm, rich, pathlib, …) stand in it, not at the top of the module.

So ``pinas-zoo --help`` imports no command, and ``pinas-zoo COMMAND --help`` imports one.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from pinas_zoo.errors import UserError, is_full_disk
from pinas_zoo.output_streams import LastingStreams, discard, prepare_streams
from pinas_zoo.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

COMMANDS = {  # name: what it does, in the order of --help; module_of gives its module
    "search": "search a network on your images and register the winner",
    "train": "train a network from nothing, or fine-tune one, on a folder of images",
    "eval": "top-1 and top-5 accuracy, per class, speed and memory of a network on labelled images",
    "rank": "Kendall's tau of a run's scores against networks trained from scratch",
    "evidence": "rank supernets of several methods against networks trained from scratch, as tables and a figure",
    "study": "train architectures alone and compare them with the scores of several methods' supernets",
    "similarity": "cosine similarity of features along paths that end in each candidate",
    "list": "list networks: names, parameters, multiply-adds and where the weights are",
    "info": "show a network: layers, parameters, multiply-adds, picture, and the check against the paper's figures",
    "paper": "print the paper's tables, taus and settings, with our figure beside each",
    "classify": "classify images: the most probable classes and their probabilities",
    "new-config": "write the config of a detector or segmenter that fits your own images",
    "detect": "draw a detector's boxes and masks onto images",
    "segment": "draw a segmenter's classes onto images",
    "register": "keep a network under a name for timm.create_model",
    "unregister": "remove names from your registry; their folders stay",
    "push": "send a model folder to the Hub, with a model card (dry run unless --yes)",
    "pull": "download a network from the Hub into a model folder and check it",
    "convert": "convert the authors' checkpoints to a model folder, or to a detector or segmenter of our configs",
    "doctor": "report versions, operators, weights and data, with the cure for what is missing",
    "completion": "print the script that completes pinas-zoo's words in bash, zsh or fish",
}
RESUMABLE = ("search", "train", "evidence", "study")  # commands that continue where they were stopped


class HelpFormatter(argparse.HelpFormatter):
    """Wraps text, except descriptions and epilogs that have line breaks of their own (examples)."""

    def __init__(self, prog: str, **kwargs: Any):
        super().__init__(prog, **{"width": _help_width(), **kwargs})
        self._action_max_length = 14  # at least, so that the names of all subcommands stand beside their help

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = text.splitlines() if "\n" in text else self._split_lines(text, width - len(indent))
        return "\n".join(indent + line for line in lines)

    def _split_lines(self, text: str, width: int) -> list[str]:  # argparse's own imports textwrap: a twentieth more
        lines = [""]
        for word in text.split():
            if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
                lines.append("")
            lines[-1] += f" {word}" if lines[-1] else word
        return lines


class OneLineParser(argparse.ArgumentParser):
    """Prints what is wrong with the arguments in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class CommandParser:
    """Stands for the parser of a subcommand, which is built from the command's module at the first use."""

    def __init__(self, *, module: str, **options: Any):
        self._module, self._options = module, options
        self._parser: OneLineParser | None = None

    @property
    def parser(self) -> OneLineParser:
        if self._parser is None:
            self._parser = OneLineParser(**self._options)
            importlib.import_module(self._module).add_arguments(self._parser)
        return self._parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parser, name)


def module_of(name: str) -> str:
    """The module of a command: its name, with underscores where the name has dashes."""
    return f"pinas_zoo.commands.{name.replace('-', '_')}"


def build_parser() -> argparse.ArgumentParser:
    """The whole parser; the parsers of subcommands are :class:`CommandParser`, which import nothing until used."""
    parser = OneLineParser(
        prog="pinas-zoo",
        description="Search Π-NAS networks, inspect them and use them. Every subcommand has its own --help.",
        epilog='For completion in bash: eval "$(pinas-zoo completion bash)"; see `pinas-zoo completion --help`.',
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pinas-zoo {__version__}")
    subparsers: Any = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        required=True,
        parser_class=CommandParser,
    )
    for name, text in COMMANDS.items():
        subparsers.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            module=module_of(name),
            formatter_class=HelpFormatter,
        )
    parser.set_defaults(parser=parser)
    return parser


def main(argv: Sequence[str] | None = None, load_package: Callable[[], None] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: Words after ``pinas-zoo`` (default: this process's).
        load_package: Called before a command runs, after its arguments are parsed: executes ``pinas_zoo``'s own code if
            :mod:`pinas_zoo_launcher` has put that off.

    Returns:
        0 when it worked; 2 with one line on stderr when the input was wrong; 128 plus the signal's number when it was
        stopped: 130 after Ctrl-C, 143 after SIGTERM, 129 when the terminal was closed.
    """
    try:
        prepare_streams()
        parser = build_parser()
        args, unknown = parser.parse_known_args(argv)
        if unknown:
            command = f"pinas-zoo {args.command}"
            parser.exit(2, f"{command}: unknown {' '.join(unknown)}; see {command} --help\n")
        with LastingStreams():
            return _run(args, load_package)
    except KeyboardInterrupt:  # during the first imports; later ones are told by the command
        sys.stderr.write("pinas-zoo: stopped\n")
        return 130


def _run(args: argparse.Namespace, load_package: Callable[[], None] | None) -> int:
    """Run the subcommand of parsed arguments, and return the exit code of :func:`main`."""
    from pinas_zoo.stop_signals import StopSignals
    from pinas_zoo.terminal import error as print_error
    from pinas_zoo.terminal import json_alone  # not needed for --help, as all that a command imports

    signals = StopSignals()
    try:
        with signals, json_alone(getattr(args, "json", False)):
            if load_package is not None and getattr(args, "needs_package", True):
                load_package()
            args.run(args)
        sys.stdout.flush()  # a full disk is found here, not at exit
    except UserError as error:
        print_error(args.command, str(error))
        return 2
    except KeyboardInterrupt:
        return _stopped(args.command, signals.received, print_error)
    except OSError as error:  # a place that cannot be read or written, a full disk
        if signals.received:
            return _stopped(args.command, signals.received, print_error)
        try:
            sys.stdout.flush()
        except OSError:
            discard(sys.stdout)
        full = is_full_disk(error)
        cure = "free space on the disk, then repeat" if full else "give another place, or change its permissions"
        print_error(args.command, f"{error}; {cure}")
        return 2
    except Exception as error:  # what a library makes of a full disk, such as torch's and safetensors' own errors
        if signals.received or _comes_of_interrupt(error):  # a library raised it in place of KeyboardInterrupt
            return _stopped(args.command, signals.received, print_error)
        if not is_full_disk(error):
            raise
        print_error(args.command, f"{' '.join(str(error).split())[:300]}; free space on the disk, then repeat")
        return 2
    return 0


def _stopped(command: str, received: int, print_error: Callable[[str, str], None]) -> int:
    """Say that a signal has stopped a command; returns its exit code."""
    hint = "; rerun the same command to resume" if command in RESUMABLE else ""
    number = received or 2  # SIGINT
    print_error(command, f"stopped{f' by signal {number}' if number != 2 else ''}{hint}")
    return 128 + number


def _comes_of_interrupt(error: BaseException | None) -> bool:
    """Whether an error was raised in place of KeyboardInterrupt, as Python does where a class is being made."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _help_width() -> int:
    """Columns for help, as argparse's own default but without its import of shutil, a tenth of the time of --help."""
    try:
        columns = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(sys.__stdout__.fileno()).columns  # type: ignore[union-attr]
    except (ValueError, AttributeError, OSError):  # not a number; no stdout; stdout is not a terminal
        columns = 80
    return columns - 2


if __name__ == "__main__":
    sys.exit(main())
