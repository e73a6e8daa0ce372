"""README and docs say what is true: commands parse, links resolve, files exist, Python blocks compile and import."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import io
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinas_zoo.cli import build_parser
from tests.networks import ROOT

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
PLACEHOLDER = {"N": "1", "M": "1", "SEED": "1"}  # what stands for a number; other words in capitals are text
OPTIONAL = ("transformers", "segmentation_models_pytorch", "onnxruntime", "openvino")  # blocks that need them may wait
EXECUTED = {
    "docs/use.md": 1,
    "docs/nasbench201.md": 2,
    "docs/python.md": 3,
    "docs/add_a_method.md": 3,
    "docs/read_a_search.md": 1,
    "docs/beyond_openmmlab.md": 2,
}  # least numbers


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[str]:
    """Blocks of Python, also indented ones."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def command_lines(page: Path) -> Iterator[str]:
    """The commands of code blocks and of inline code, with the lines that a backslash joins, without comments."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    text = re.sub(r"^ *```python\n.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"^ {4,}(.+)$", text, re.MULTILINE)
    prose = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
    for code in re.findall(r"`([^`]+)`", prose):
        yield " ".join(code.split())


def words(line: str) -> list[str] | None:
    """The words after ``pinas-zoo``; None for another program, or for a mention without a subcommand."""
    line = re.sub(r"\$\((pinas-zoo [^)]*)\)", r"; \1 ;", line.replace('"$(', "$(").replace(')"', ")"))
    found = re.search(r"(?:^|; |&& )(?:torchrun [^;]*-m pinas_zoo\.cli|pinas-zoo) (?P<rest>[^;]+)", line)
    if not found:
        return None
    parts = shlex.split(found["rest"], comments=True)
    if not parts or parts[0].startswith(("-", "…", "COMMAND")) or "…" in parts:
        return None
    return [PLACEHOLDER.get(part, part) for part in parts]


COMMANDS = [
    pytest.param(found, id=f"{page_name(page)}: {' '.join(found)}")
    for page in PAGES
    for line in dict.fromkeys(command_lines(page))
    if (found := words(line)) is not None
]


def test_the_index_lists_every_page():
    listed = set(re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8")))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}


def test_commands_are_found():
    """The search for commands itself works: there are many, and of most subcommands."""
    lines = [param.values[0] for param in COMMANDS]
    assert len(lines) > 50
    known = {"search", "evidence", "rank", "similarity", "list", "info", "classify", "detect", "segment", "register"}
    assert {line[0] for line in lines} >= known | {"push", "pull", "convert", "doctor", "completion"}
    assert words("RUN --runs pinas") is None
    assert words('eval "$(pinas-zoo completion bash)"  # or zsh') == ["completion", "bash"]
    assert words("torchrun --nproc-per-node 8 -m pinas_zoo.cli search a.py --set data.root=X") == [
        "search", "a.py", "--set", "data.root=X",
    ]  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_parses(line):
    """A mention in prose may leave out required arguments; it may not have an option or value that does not exist."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            build_parser().parse_args(line)
    except SystemExit:
        message = errors.getvalue()
        required = "the following arguments are required" in message and len(line) <= 2
        assert required, f"pinas-zoo {' '.join(line)}\n{message}"


def test_a_wrong_command_does_not_parse():
    with pytest.raises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        build_parser().parse_args(["search", "digits", "--no-such-option"])


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *RESULTS], ids=page_name)
def test_links_resolve(page):
    text = re.sub(r"`[^`]*`", "", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page_name(page)} links to {target}"
        assert not anchor or anchor in anchors(there), f"{page_name(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_files_of_the_repository_exist(page):
    """Paths that pages name in code: configurations, modules, tools, benchmarks, tests."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w/.…])(?:configs|pinas_zoo|tools|benchmarks|tests|docs)/[\w\-./*]*[\w*]", text)
    for name in set(named):
        if name.startswith(("pinas_zoo/configs", "pinas_zoo/tools")):  # in the wheel
            continue
        assert list(ROOT.glob(name.replace("DATE", "2*"))), f"{page_name(page)} names {name}"


def absent(module: str) -> bool:
    """Whether a module is optional and not installed."""
    root = module.partition(".")[0]
    return root in OPTIONAL and importlib.util.find_spec(root) is None


def needs_absent(block: str) -> bool:
    return any(absent(module) for module in re.findall(r"^(?:from|import) ([\w.]+)", block, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_python_compiles_and_imports(page):
    for block in blocks(page):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if not absent(alias.name):
                        importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom) and not absent(node.module or ""):
                module = importlib.import_module(node.module or "")
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{page_name(page)}: no {alias.name} in {node.module}"


def runs_alone(block: str) -> bool:
    """Whether a block needs nothing of the reader's: no file, no run, no weights, no long search."""
    needs = (
        "pretrained=True",
        "save_model_folder",
        "read_table",
        "open_run",
        "search(",
        "pretrained_cfg",
        "load_checkpoint",
    )
    return not any(word in block for word in needs)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_short_blocks_run(page, tmp_path, monkeypatch, zoo_home):
    monkeypatch.chdir(tmp_path)
    chosen = [block for block in blocks(page) if runs_alone(block) and not needs_absent(block)]
    assert len(chosen) >= EXECUTED.get(page_name(page), 0)
    for number, block in enumerate(chosen):
        path = tmp_path / f"block{number}.py"
        path.write_text(block, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", [str(path)])
        runpy.run_path(str(path))


@pytest.mark.parametrize("page", [*PAGES, *RESULTS], ids=page_name)
def test_tables_are_whole(page):
    """A blank line within a table cuts off its rows, which then show as text."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for table in re.findall(r"(?:^\|.*\n)+", text + "\n", re.MULTILINE):
        head, rule = [*table.splitlines(), ""][:2]
        assert re.fullmatch(r"\|(?: *:?-+:? *\|)+", rule), head


def test_readme_fits_two_screens():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_pictures_are_what_the_script_draws():
    drawn = runpy.run_path(str(ROOT / "docs" / "images" / "make.py"))
    for name in ("flow", "network"):
        assert (ROOT / "docs" / "images" / f"{name}.svg").read_text(encoding="utf-8") == drawn[name]()
    png = (ROOT / "docs" / "images" / "report.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert len(png) < 150_000


def test_nothing_names_a_machine():
    """No path of a machine's own, except those that an example gives."""
    for page in (*PAGES, *RESULTS):
        found = re.findall(r"(?<![\w.~])/(?:home|root|work|tmp|mnt|Users)/\S*", page.read_text(encoding="utf-8"))
        assert not found, f"{page_name(page)} has {found}"
