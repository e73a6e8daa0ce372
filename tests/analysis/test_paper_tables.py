"""The paper's numbers as data equal its text, and agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import product

import pytest

from pinas_zoo.analysis.paper_tables import ROWS_OF_NAMES, SECTION_4_1, TABLES, TAUS, Setting, number, spread
from tests.networks import ROOT

PAPER = ROOT.parent / "shared" / "paper.txt"
COLUMNS = {  # headings that our data writes otherwise: two printed lines, superscripts
    5: ("Model", "AP Box", "AP Mask"),
    6: ("Model", "ADE20K pixAcc", "ADE20K mIoU", "Cityscapes mIoU"),
}
SENTENCES = {  # where sec. 4.1 and 4.2 print a setting; "@" stands for the value
    ("space", "layers"): "based on @-layer ResNet-50",
    ("space", "candidates per layer"): "with @ candidate Split-Attention blocks",
    ("space", "architectures"): "search space A includes @ architectures",
    ("space", "Block0"): "Block0: @",
    ("space", "Block1 (that of ResNeSt-50)"): "Block1: @",
    ("space", "Block2"): "Block2: @",
    ("space", "Block3"): "Block3: @",
    ("data", "held-out images per class"): "randomly pick out @ images per class",
    ("learn", "smoothing coefficient λ of the mean teacher"): "Eqn. (2) is set to @ in practice",
    ("learn", "layers of the head"): "employ a @-layer MLP as the supernet head",
    ("learn", "learning rate, cosine"): "optimized by an SGD optimizer with a learning rate of @, a momentum",
    ("learn", "momentum"): "@, and a weight decay of 10^-4 . We adopt",
    ("learn", "weight decay"): "and a weight decay of @ . We adopt a cosine decay",
    ("learn", "epochs"): "cosine decay learning rate schedule to train for @ epochs",
    ("learn", "batch size"): "with a total batch size of @ on 8 NVIDIA",
    ("learn", "GPUs (GTX 2080 Ti)"): "on @ NVIDIA GTX 2080Ti GPUs",
    ("linear", "classes"): "a random initialized @-dimensional linear classifier",
    ("linear", "epochs"): "trained on ImageNet for @ epochs",
    ("linear", "batch size"): "train the classifier with a total batch size of @ for 100 epochs",
    ("linear", "learning rate"): "with an initial learning rate of @, a momentum",
    ("linear", "momentum"): "rate of 30, a momentum of @, and",
    ("linear", "weight decay"): "and a weight decay of @. The learning rate decays",
    ("linear", "learning rate times 0.1 at epochs"): "learning rate decays by 0.1 at @ epochs",
    ("explore", "held-out images that score"): "top-1 accuracy on the @ ImageNet validation set",
    ("explore", "images for batch norm's statistics"): "we pick out a further @ images",
    ("explore", "samples at most (Action Space)"): "with a maximum sample size of @.",
    ("train", "epochs"): "original ImageNet training set for @ epochs with PyTorch-Encoding",
    ("train", "batch size"): "using a total batch size of @ instead of 8192",
}


@pytest.fixture(scope="module")
def paper() -> str:
    """The paper's text, with its Greek letters where the transcript has Latin ones."""
    if not PAPER.is_file():
        pytest.skip("the paper's text lies in the shared folder, which is not here")
    text = PAPER.read_text(encoding="utf-8").replace("ϵ", "ε").replace("’", "'")
    return text.replace("II-NAS", "Π-NAS").replace("II model", "Π model")


def printed_rows(paper: str, number: int) -> list[list[str]]:
    """Cells of the tab-separated lines below a table's caption, without lines that have one cell alone."""
    lines = paper.split(f"\nTable {number}: ", 1)[1].split("\n")
    start = next(i for i, line in enumerate(lines) if "\t" in line)
    rows = []
    for line in lines[start:]:
        if "\t" not in line:
            break
        cells = line.split("\t")
        if any(cells[1:]):
            rows.append([plain(cell) for cell in cells])
    return rows


def plain(cell: str) -> str:
    """A cell without references, typesetting and the mark "(ours)"."""
    cell = cell.replace(" [†]", "†").replace("</i>", "").replace("<i>", "")
    cell = re.sub(r" \[\d+\]| \(ours\)", "", cell)
    return cell.replace("Π -NAS", "Π-NAS").replace("NAS- ", "NAS-").replace("Acc@ S", "Acc@S")


def sentences(paper: str) -> str:
    """The text on one line, without emphasis and formulas' marks, with words joined that a page break cut."""
    text = re.sub(r"\\mathcal\{(\w+)\}", r"\1", paper).replace("*", "").replace("$", "")
    return re.sub(r"\s+", " ", text).replace("^{16}", "^16").replace("^{-4}", "^-4")


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: f"table {table.number}")
def test_every_cell_is_the_paper_s(paper, table):
    printed = printed_rows(paper, table.number)
    headings = 2 if table.number == 6 else 1
    if table.number in COLUMNS:
        assert table.columns == COLUMNS[table.number]
        words = set(re.findall(r"\w+", " ".join(map(" ".join, printed[:headings]))))
        assert set(" ".join(table.columns).split()) == words
    else:
        assert list(table.columns) == printed[0]
    assert [list(row) for row in table.rows] == printed[headings:]


def test_all_seven_tables_are_here(paper):
    assert sorted(TABLES) == sorted({int(n) for n in re.findall(r"^Table (\d+): ", paper, re.MULTILINE)})
    lines = (
        sum(len(table.rows) + 1 for table in TABLES.values()) + 2
    )  # Table 2 has a line between rows, Table 6 two of headings
    assert lines == sum("\t" in line for line in paper.split("\n"))


@pytest.mark.parametrize("setting", SECTION_4_1, ids=lambda s: f"{s.stage}: {s.name}")
def test_every_setting_is_the_paper_s(paper, setting: Setting):
    sentence = SENTENCES[setting.stage, setting.name].replace("@", setting.printed)
    assert sentence in sentences(paper).replace("\\times", "x")


def test_the_taus_of_the_text_are_the_paper_s(paper):
    text = sentences(paper)
    taus = {(tau.figure, tau.method): tau.tau for tau in TAUS}
    found = re.search(r"over SPOS \[20\] \((\S+) vs. (\S+)\) shrinks .* Figure 3 \(NOT .*?\) \((\S+) vs. (\S+)\)", text)
    assert found is not None
    assert found.groups() == (taus[6, "pinas"], taus[6, "spos"], taus[3, "pinas"], taus[3, "spos"])
    for figure, count in {(tau.figure, tau.printed_count) for tau in TAUS}:
        assert re.search(rf"Figure {figure}: Ranking correlations on (all )?{count} architectures", text)
    assert "without skip connection and zero operations" in text  # Figure 3
    assert len(re.findall(r"0\.\d\d vs\. 0\.\d\d", text)) == 2  # no other taus are compared in the text


def test_what_the_text_says_of_the_tables_follows_from_them(paper):
    text = sentences(paper)
    one, two, five, seven = TABLES[1], TABLES[2], TABLES[5], TABLES[7]

    def less(table, row, other, column):
        return round(number(table.cell(row, column)) - number(table.cell(other, column)), 2)

    gains = [less(one, name, "ResNeSt-50", "Acc@1") for name in one.names()[1:]]
    assert "an average margin of 0.4%" in text
    assert sum(gains) / len(gains) == pytest.approx(0.4)
    assert "surpassing ResNeSt-50 by a large margin of 0.5%" in text
    assert less(two, "Π-NAS-cls", "ResNeSt-50", "Accuracy") == 0.5
    assert "(0.91% and 1.30% in AP^{bb})" in text
    assert [less(five, f"Π-NAS-{n}", "ResNeSt-50", "AP Box") for n in ("cls", "trans")] == [0.91, 1.3]
    assert "reduces by 0.31 without the mean-teacher" in text
    assert less(seven, "Ours", "S-Π model", "Kendall's Tau") == 0.31
    assert "with a 0.39 improvement" in text
    assert less(seven, "Ours", "Ours w/o DS", "Kendall's Tau") == 0.39


def test_tables_agree_with_each_other():
    one, two, three, seven = TABLES[1], TABLES[2], TABLES[3], TABLES[7]
    for column in ("Params", "FLOPs"):
        assert two.cell("Π-NAS-cls", column) == one.cell("Π-NAS-α", column)
        assert two.cell("ResNeSt-50", column) == one.cell("ResNeSt-50", column)
    for method in ("Ours", "SPOS"):
        assert three.cell("Classification", method) == seven.cell(method, "Kendall's Tau")
    assert {row for table, row in ROWS_OF_NAMES.values() if table == 1} == set(one.names())
    assert all(row in TABLES[table].names() for table, row in ROWS_OF_NAMES.values())


def test_792_architectures_are_729():
    cells = list(product(range(5), repeat=6))
    for tau in TAUS:
        left_out = {("none", "skip_connect").index(name) for name in tau.left_out}
        assert tau.count == sum(not left_out & set(cell) for cell in cells)
    assert {(tau.count, tau.printed_count) for tau in TAUS} == {(729, "792"), (15_625, "15625")}


def test_a_cell_has_a_number_and_a_spread():
    assert number("27.1M") == 27.1
    assert (number("81.04±0.03"), spread("81.04±0.03")) == (81.04, 0.03)
    assert (number("81.1*"), spread("81.1*")) == (81.1, None)
    for cell in ("", "-", "✓", "collision"):
        with pytest.raises(ValueError, match="expected a cell with a number"):
            number(cell)
    with pytest.raises(KeyError, match="expected a row of"):
        TABLES[6].cell("Π-NAS-cls", "ADE20K mIoU")  # the paper has none


def test_the_data_needs_no_torch():
    code = "import pinas_zoo_launcher as p, sys; p.find_package(); import pinas_zoo.analysis.paper_tables; "
    code += "sys.exit(bool({'torch', 'timm', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
