"""``pinas-zoo completion``: the script that completes the command's words in a shell, made from the parsers."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EPILOG = """\
bash, in ~/.bashrc:
    eval "$(pinas-zoo completion bash)"
zsh, once, in a folder of $fpath:
    pinas-zoo completion zsh > ~/.zsh/completions/_pinas-zoo
fish, once:
    pinas-zoo completion fish > ~/.config/fish/completions/pinas-zoo.fish

Completed are subcommands, options, their choices, and paths where an argument is a file or folder.
"""
PROGRAM = "pinas-zoo"
PATHS = ("CHECKPOINT", "CONFIG", "FILE", "FOLDER", "IMAGE", "PLACE", "RUN")  # words in metavars that stand for paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose script to print")
    parser.set_defaults(run=run, needs_package=False)


def run(args: argparse.Namespace) -> None:
    commands = subparsers_of(args.parser)
    if args.shell == "fish":
        print("\n".join(fish_lines(args.parser, commands)))
        return
    for name, text in help_of(args.parser).items():
        commands[name].description = text  # one line, where zsh would show the whole description
    try:
        import shtab
    except ModuleNotFoundError as error:
        from pinas_zoo.errors import UserError

        raise UserError(f"expected {error.name}, found none; pip install {error.name}") from None
    for parser in commands.values():
        for action in parser._actions:
            if takes_path(action):
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
    print(shtab.complete(args.parser, shell=args.shell))


def subparsers_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The parsers of all subcommands by name; they replace what stood for them in ``parser``, as shtab expects."""
    (action,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    action.choices.update({name: command.parser for name, command in action.choices.items()})
    return action.choices


def help_of(parser: argparse.ArgumentParser) -> dict[str, str]:
    """What ``pinas-zoo --help`` says of each subcommand."""
    (action,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {choice.dest: choice.help or "" for choice in action._choices_actions}


def takes_path(action: argparse.Action) -> bool:
    """Whether an argument's value is a file or folder, as its metavar says."""
    words = action.metavar if isinstance(action.metavar, str) else ""
    return any(word in PATHS for word in words.split("|"))


def fish_lines(parser: argparse.ArgumentParser, commands: Mapping[str, argparse.ArgumentParser]) -> Iterator[str]:
    """The script for fish: one ``complete`` a subcommand, one an option, and one for the positional arguments."""
    yield f"complete -c {PROGRAM} -f"  # no files, unless a line says so
    helps = help_of(parser)
    for action in parser._actions:
        if action.option_strings:
            yield f"complete -c {PROGRAM} -n __fish_use_subcommand {_fish_option(action)}"
    for name, command in commands.items():
        yield f"complete -c {PROGRAM} -n __fish_use_subcommand -a {name} -d {_fish_quoted(helps[name])}"
        condition = f"-n '__fish_seen_subcommand_from {name}'"
        positional = [action for action in command._actions if not action.option_strings]
        for action in command._actions:
            if action.option_strings:
                yield f"complete -c {PROGRAM} {condition} {_fish_option(action)}"
        choices = [str(choice) for action in positional for choice in action.choices or ()]
        if choices:
            yield f"complete -c {PROGRAM} {condition} -a {_fish_quoted(' '.join(choices))}"
        if any(takes_path(action) for action in positional):
            yield f"complete -c {PROGRAM} {condition} -F"


def _fish_option(action: argparse.Action) -> str:
    """The part of ``complete`` that describes an option: its names, its values, its help."""
    words = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in action.option_strings]
    if action.nargs != 0:
        words.append("-r")
        if action.choices:
            words.append(f"-f -a {_fish_quoted(' '.join(map(str, action.choices)))}")
        elif takes_path(action):
            words.append("-F")
    if action.help:
        words.append(f"-d {_fish_quoted(action.help.replace('%%', '%').partition(' (default')[0])}")
    return " ".join(words)


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
