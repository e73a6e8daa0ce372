"""The scripts that complete the command's words in a shell."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pinas_zoo import cli


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["completion", shell], load_package=lambda: pytest.fail("the package was loaded")) == 0
    return capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_options_choices_and_paths(tmp_path, capsys):
    (tmp_path / "completion.sh").write_text(script("bash", capsys))
    (tmp_path / "configuration.py").touch()
    ask = """
source ./completion.sh
ask() {
    COMP_WORDS=(pinas-zoo "$@"); COMP_CWORD=$#; COMPREPLY=()
    $(complete -p pinas-zoo | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    echo "${COMPREPLY[*]}"
}
ask sim; ask info --s; ask search --launcher ''; ask completion ''; ask search conf; ask ''
"""
    done = subprocess.run(["bash", "--norc", "-c", ask], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "similarity",
        "--stem-width --svg",
        "none pytorch slurm",
        "bash zsh fish",
        "configuration.py",
        " ".join(cli.COMMANDS),
    ]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_every_command_and_option(shell, capsys):
    text = script(shell, capsys)
    assert text.startswith("#compdef pinas-zoo" if shell == "zsh" else "complete -c pinas-zoo -f\n")
    for name in cli.COMMANDS:
        assert name in text
    for option in ("dry-run", "stem-width", "cfg-options"):
        assert f"--{option}" in text or f"-l {option} " in text
    assert max(map(len, text.splitlines())) < 400  # one line of help a command, not its whole description
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_fish_quotes_and_knows_values(capsys):
    lines = script("fish", capsys).splitlines()
    search = [line for line in lines if "__fish_seen_subcommand_from search" in line]
    (launcher,) = (line for line in search if "-l launcher" in line)
    assert " -r -f -a 'none pytorch slurm' " in launcher
    assert any(line.endswith(" -F") for line in search)  # CONFIG is a file
    (dry_run,) = (line for line in search if "-l dry-run" in line)
    assert " -r" not in dry_run  # a flag takes no value
    assert any("Kendall\\'s tau" in line for line in lines)
