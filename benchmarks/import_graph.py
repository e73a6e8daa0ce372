"""The import graph of a checkout: modules, lines, circles, and arrows that point up the layers of pyproject.toml.

python benchmarks/import_graph.py                          # this checkout
python benchmarks/import_graph.py --root ../before         # another one, such as the flat layout of version 0.1.0
python benchmarks/import_graph.py --json                   # the same as JSON

The files are parsed and never executed. Every import statement counts, also inside a function or under TYPE_CHECKING.
Calls of importlib are not seen, and an import of `a.b` does not count as one of `a`. Needs Python 3.11 or newer.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib

HERE = Path(__file__).resolve().parents[1]
PACKAGE = "pinas_zoo"
LARGEST = 10

# Where the modules of the flat layout went; their layer is that of the new place.
MOVED = {
    "architectures": "weights.entry_points",
    "card": "zoo.model_card",
    "checkpoint": "weights.checkpoint_reader",
    "convert_det": "convert.detector",
    "convert_seg": "convert.segmenter",
    "convert_whole": "convert.whole_model",
    "cost": "analysis.cost",
    "draw": "analysis.diagram",
    "folder": "weights.model_folder",
    "fusing": "models.fuse",
    "hub": "weights.hub",
    "hub_client": "weights.hub_client",
    "openmmlab_extra": "extras",
    "paper": "analysis.paper_tables",
    "tensors": "weights.tensors",
    "timm_registry": "models.timm_registry",
    "writing": "weights.atomic",
    "search.action_tree": "search.samplers.action_tree",
    "search.batchnorm": "engine.batchnorm",
    "search.checks": "search.preflight",
    "search.claims": "search.study.leases",
    "search.consistency": "search.scorers.consistency",
    "search.data": "data.images",
    "search.effects": "search.ranking.main_effects",
    "search.engine": "engine.trainer",
    "search.evaluate": "search.scorers.classifier",
    "search.explore": "search.study.loop",
    "search.limits": "search.study.constraints",
    "search.linear": "search.stages.linear",
    "search.memory": "engine.memory",
    "search.own": "search.plugins",
    "search.probe": "search.scorers.probe",
    "search.rank": "search.ranking.kendall",
    "search.ranks": "engine.distributed",
    "search.record": "search.run_folder",
    "search.run": "search.pipeline",
    "search.scores": "search.scorers.kinds",
    "search.shards": "data.shards",
    "search.similarity": "search.ranking.similarity",
    "search.space": "search.spaces.base",
    "search.splits": "data.splits",
    "search.standalone": "search.stages.train",
    "search.tables": "search.ranking.benchmark_table",
    "search.tree_figure": "search.report.tree_figure",
    "search.views": "data.augmentation",
    "search.winner": "search.stages.winner",
}

Imports = dict[str, set[str]]  # module: the modules of the package that it imports


@dataclass(frozen=True)
class Graph:
    """Modules of one package with their lines and imports."""

    lines: Mapping[str, int]
    imports: Imports
    inside_functions: Counter[str]  # room: imports of the package's own modules that stand in a function
    libraries: Counter[str]  # library: imports of it that stand in a function


def module_name(path: Path, root: Path) -> str:
    """Dotted name of a file; a package is named by its folder."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node: ast.Import | ast.ImportFrom, module: str, is_package: bool) -> Iterator[tuple[str, str | None]]:
    """What an import statement names: a module, and a name in it that may be a module, too."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, None
        return
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        parts = parts[: len(parts) - node.level + is_package]
        base = ".".join([*parts, base] if base else parts)
    for alias in node.names:
        yield base, alias.name


def read_graph(root: Path) -> Graph:
    """Parse every module of ``root / PACKAGE``."""
    files = {module_name(path, root): path for path in sorted((root / PACKAGE).rglob("*.py"))}
    lines, imports = {}, {}
    inside: Counter[str] = Counter()
    libraries: Counter[str] = Counter()
    for module, path in files.items():
        text = path.read_text(encoding="utf-8")
        lines[module] = len(text.splitlines())
        tree = ast.parse(text)
        in_functions = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
        }
        found: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                named = {
                    f"{base}.{name}" if f"{base}.{name}" in files else base
                    for base, name in imported(node, module, path.name == "__init__.py")
                }
                targets = named & files.keys() - {module}
                found |= targets
                if id(node) in in_functions:
                    inside[module.split(".")[1] if "." in module else module] += len(targets)
                    tops = {base.split(".")[0] for base in named} - {PACKAGE} - sys.stdlib_module_names
                    libraries.update(tops)
        imports[module] = found
    return Graph(lines, imports, inside, libraries)


def circles(imports: Imports) -> list[list[str]]:
    """Strongly connected components of more than one module, the largest first (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(imports[module]):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            at = stack.index(module)
            components.append(sorted(stack[at:]))
            del stack[at:]

    for module in imports:
        if module not in index:
            visit(module)
    return sorted((c for c in components if len(c) > 1), key=lambda c: (-len(c), c))


def read_layers(pyproject: Path) -> dict[str, list[list[list[str]]]]:
    """import-linter's layers by container, the lowest first; a layer is groups of rooms that may import each other."""
    contracts = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    return {
        contract["containers"][0]: [
            [re.findall(r"\w+", group) for group in layer.split("|")] for layer in reversed(contract["layers"])
        ]
        for contract in contracts
        if contract["type"] == "layers"
    }


def upward(imports: Imports, layers: Mapping[str, list[list[list[str]]]], moved: Mapping[str, str]) -> list[str]:
    """Imports from a layer into a higher one, or between the independent rooms of one layer, as ``a -> b``."""
    found = set()
    for container, rows in layers.items():
        place = {
            room: (height, side) for height, row in enumerate(rows) for side, rooms in enumerate(row) for room in rooms
        }

        def place_of(module: str, container: str = container, place: Any = place) -> tuple[int, int] | None:
            name = f"{PACKAGE}.{moved.get(module.removeprefix(f'{PACKAGE}.'), module.removeprefix(f'{PACKAGE}.'))}"
            inside = name.removeprefix(f"{container}.")
            return place.get(inside.split(".")[0]) if inside != name else None

        for importer, others in imports.items():
            for other in others:
                here, there = place_of(importer), place_of(other)
                if here and there and (there[0] > here[0] or (there[0] == here[0] and there[1] != here[1])):
                    found.add(f"{importer} -> {other}")
    return sorted(found)


def facts(root: Path, layers_of: Path) -> dict[str, Any]:
    """All that is printed, as plain data."""
    graph = read_graph(root)
    flat = (root / PACKAGE / "weights.py").is_file()
    largest = sorted(graph.lines, key=lambda module: (-graph.lines[module], module))[:LARGEST]
    return {
        "modules": len(graph.lines),
        "lines": sum(graph.lines.values()),
        "imports": sum(len(others) for others in graph.imports.values()),
        "imports inside functions": dict(graph.inside_functions.most_common()),
        "libraries inside functions": dict(graph.libraries.most_common()),
        "largest": {module: graph.lines[module] for module in largest},
        "circles": circles(graph.imports),
        "upward": upward(graph.imports, read_layers(layers_of), MOVED if flat else {}),
    }


def counts(found: Mapping[str, int]) -> str:
    """A sum and its parts, such as ``3: `a` 2, `b` 1``."""
    parts = ", ".join(f"`{name}` {count}" for name, count in found.items() if count)
    return f"{sum(found.values())}: {parts}" if parts else "0"


def table(found: Mapping[str, Any]) -> str:
    """The facts in Markdown."""
    rows = [
        ("modules", f"{found['modules']}"),
        ("lines", f"{found['lines']:,}; a module has {found['lines'] / max(1, found['modules']):.0f} on average"),
        ("imports between modules", f"{found['imports']}"),
        ("of them inside functions, by room", counts(found["imports inside functions"])),
        ("imports of libraries inside functions", counts(found["libraries inside functions"])),
        ("largest modules", "<br>".join(f"`{module}` {lines}" for module, lines in found["largest"].items())),
        ("circles", str(len(found["circles"]))),
        *(("", f"{len(c)} modules: " + ", ".join(f"`{module}`" for module in c)) for c in found["circles"]),
        ("upward arrows", str(len(found["upward"]))),
        *(("", f"`{arrow}`") for arrow in found["upward"]),
    ]
    return "\n".join(["| what | |", "| --- | --- |", *(f"| {what} | {value} |" for what, value in rows)])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=HERE, help="the checkout (default: the one of this script)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    if not (args.root / PACKAGE / "__init__.py").is_file():
        print(f"import_graph.py: expected a checkout with {PACKAGE}/__init__.py, got {args.root}", file=sys.stderr)
        return 2
    found = facts(args.root, HERE / "pyproject.toml")
    print(json.dumps(found, indent=1) if args.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
