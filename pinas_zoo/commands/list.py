"""``pinas-zoo list``: the networks that load by name, what they cost and where their weights are."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import escape, print_json, table, warning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Networks that timm.create_model(NAME) builds after `import pinas_zoo`. Multiply-adds are for one "
        "image of the network's own input size. Weights: local (a folder of yours), Hub (published), none."
    )
    parser.add_argument("pattern", nargs="?", default="*", help="names to show, with * and ? (default: all)")
    parser.add_argument("--mine", action="store_true", help="only what is in your registry, with its folders")
    parser.add_argument("--json", action="store_true", help="print JSON, one object for each network")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from fnmatch import fnmatch

    from pinas_zoo.zoo import registry

    rows = [row for row in (_rows_of_mine() if args.mine else _rows()) if fnmatch(row["name"], args.pattern)]
    if args.json:
        print_json(rows)
        return
    if not rows:
        what = "`pinas-zoo register` adds one" if args.mine else "no name matches"
        print(f"none; {what} (registry: {escape(str(registry.home()))})")
        return
    table(("name", "architecture", "params", "multiply-adds", "input", "weights"), [_cells(row) for row in rows])


def _rows() -> list[dict[str, Any]]:
    from pinas_zoo.models.pinas import ENTRY_POINT
    from pinas_zoo.zoo import registry

    rows = []
    for name, fixed in ENTRY_POINT.named.items():
        row = _row(name, fixed, (3, 224, 224))
        rows.append({**row, **_weights(name)})
    mine = {row["name"]: row for row in _rows_of_mine()}
    for name in registry.PICTURED:
        if name not in mine:
            rows.append(
                {"name": name, "arch": None, "params": None, "macs": None, "input_size": None, "weights": "none"}
            )
    papers_names = {row["name"] for row in rows}
    return sorted(rows, key=lambda row: str(row["name"])) + [r for n, r in mine.items() if n not in papers_names]


def _rows_of_mine() -> list[dict[str, Any]]:
    from pinas_zoo.zoo import registry

    rows = []
    for entry in registry.known():
        size = entry.pretrained_cfg.get("input_size") or (entry.model_args.get("in_chans", 3), 224, 224)
        try:
            row = _row(entry.name, entry.model_args, size, entry.architecture)
        except (ValueError, TypeError, RuntimeError) as error:  # one bad network must not hide the others
            warning(f"{entry.name} skipped: {error}; register it again")
            continue
        rows.append({**row, **_weights(entry.name)})
    return rows


def _row(name: str, model_args: Any, input_size: Any, architecture: str = "pinas") -> dict[str, Any]:
    from pinas_zoo.analysis.cost import cost_of
    from pinas_zoo.weights.entry_points import UnknownArchitecture

    channels, height, width = input_size
    try:
        cost = cost_of(architecture, {**model_args, "in_chans": channels}, input_size)
    except UnknownArchitecture:  # of a module of the user's own that this command does not import
        cost = None
    return {
        "name": name,
        "arch": str(model_args["arch"]),
        "params": cost and cost.params,
        "macs": cost and cost.macs,
        "input_size": [channels, height, width],
    }


def _weights(name: str) -> dict[str, Any]:
    from pinas_zoo.errors import NotPublished
    from pinas_zoo.weights.sources import find_source
    from pinas_zoo.zoo import registry

    entry = registry.entry_with_weights(name)
    if entry is not None and entry.weights is not None:
        if entry.weights.is_file():
            return {"weights": "local", "where": str(entry.folder)}
        return {"weights": "none", "where": f"missing: {entry.weights}"}
    try:
        return {"weights": "Hub", "where": find_source(name).repo}
    except NotPublished:
        return {"weights": "none"}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    where = f"{row['weights']} ({row['where']})" if row.get("where") else row["weights"]
    if row["arch"] is None:
        return row["name"], "known from a picture only", "", "", "", where
    size = "x".join(map(str, row["input_size"]))
    if row["params"] is None:
        return row["name"], row["arch"], "", "", size, where
    macs = f"{row['macs'] / 1e9:.2f} G" if row["macs"] >= 1e8 else f"{row['macs'] / 1e6:.2f} M"
    return row["name"], row["arch"], f"{row['params'] / 1e6:.2f} M", macs, size, where
