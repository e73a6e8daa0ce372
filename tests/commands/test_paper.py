"""`pinas-zoo paper`, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pinas_zoo import cli
from pinas_zoo.analysis.paper_tables import TABLES, TAUS
from tests.networks import ROOT


def printed(capsys, *words: str) -> str:
    assert cli.main(["paper", *words]) == 0
    return capsys.readouterr().out


def test_the_page_is_what_the_command_prints(capsys):
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    assert page == printed(capsys, "--markdown"), "write it anew: pinas-zoo paper --markdown > docs/paper.md"


def test_every_cell_of_every_table_is_printed(capsys):
    for table in TABLES.values():
        out = printed(capsys, "--table", str(table.number))
        assert out.startswith(f"Table {table.number}: {table.title}\n")
        lines = [line.split() for line in out.splitlines()]
        for row in table.rows:
            assert " ".join(row).split() in lines


def test_ours_stand_below_or_beside(capsys):
    lines = printed(capsys, "--table", "1").splitlines()
    ours = lines[lines.index(next(line for line in lines if line.startswith("Π-NAS-α"))) + 1]
    (number,) = (line.split()[0] for line in lines if line.endswith("`pinas-zoo info pinas_alpha`"))
    (searched,) = (line.split()[0] for line in lines if line.endswith("`pinas-zoo search resnest50_imagenet/explore`"))
    assert ours.split()[:6] == ["ours", "27.046M", number, "5.377G", number, searched]
    assert "not measured yet" in ours
    figure = printed(capsys, "--figure", "6")
    for tau in (tau for tau in TAUS if tau.figure == 6):
        assert f"  {tau.tau}  " in figure


def test_the_slip_is_said_and_numbers_of_pictures_are_not_made_up(capsys):
    assert '"792"' in printed(capsys, "--figure", "3")
    for figure in ("4", "5", "7", "8", "9"):
        out = printed(capsys, "--figure", figure)
        assert "Only in the picture" in out
        assert len(out.splitlines()) == 2


def test_settings(capsys):
    out = printed(capsys, "--section", "4.1")
    (line,) = [line for line in out.splitlines() if line.startswith("learn: learning rate")]
    assert line.split()[4:] == ["0.03", "learn.lr=0.03", "[1]"]


def test_json_has_value_ours_and_command(capsys):
    found = json.loads(printed(capsys, "--json"))
    assert [section["place"] for section in found] == [
        *(f"table {n}" for n in range(1, 8)), *(f"figure {n}" for n in range(3, 10)), "section 4.1",
    ]  # fmt: skip
    (section,) = json.loads(printed(capsys, "--table", "1", "--json"))
    alpha = {cell["column"]: cell for cell in section["rows"][1]["cells"]}
    assert alpha["Params"]["paper"] == "27.1M"
    assert alpha["Params"]["ours"] == "27.046M"
    assert alpha["Params"]["command"] == "pinas-zoo info pinas_alpha"
    assert (alpha["Acc@1"]["paper"], alpha["Acc@1"]["ours"], alpha["Acc@1"]["command"]) == ("81.2%", None, None)


@pytest.mark.parametrize("words", [("--table", "8"), ("--figure", "2"), ("--table", "1", "--figure", "3")])
def test_what_the_paper_does_not_have_is_refused(words, capsys):
    with pytest.raises(SystemExit) as error:
        cli.main(["paper", *words])
    assert error.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_it_needs_no_torch():
    code = (
        "import sys, pinas_zoo_launcher as l; sys.argv = ['pinas-zoo', 'paper', '--table', '1']; code = l.main(); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Table 1: ")


def test_one_form_of_output(capsys):
    assert cli.main(["paper", "--markdown", "--json"]) == 2
    assert "expected --markdown or --json, got both" in capsys.readouterr().err
