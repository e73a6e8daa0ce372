"""NAS-Bench-201's table of 15,625 trained networks, from a CSV file or from the benchmark's own API.

:func:`read_table` reads either of them into one form: accuracies in percent, parameters and FLOPs by architecture (six
digits 0-4, as :func:`pinas_zoo.models.nasbench201.parse_arch` reads them). ``docs/nasbench201.md`` says where to get
the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import EDGES, OPERATIONS, parse_arch
from pinas_zoo.search.ranking.truth_csv import TruthRow, read_csv

ARCH_COLUMNS = ("arch_str", "arch")
PARAMS, FLOPS = ("params_computed", "params"), ("flops_computed", "flops")


@dataclass(frozen=True)
class TrainedNetwork:
    """What the table holds about one network."""

    accuracies: Mapping[str, float]  # in percent, by the table's own names
    params: int | None
    flops: int | None  # multiply-adds


def read_table(source: str | Path | Any, dataset: str = "cifar10", epochs: int = 200) -> dict[Arch, TrainedNetwork]:
    """Read a table of trained networks.

    Args:
        source: A CSV file with a column ``arch_str`` and accuracies in columns that end with ``acc`` or hold ``_acc_``;
            or an API object: ``nats_bench.create(path, "tss", fast_mode=True)`` or
            ``nas_201_api.NASBench201API(path)``.
        dataset: What an API is asked for: ``cifar10``, ``cifar10-valid``, ``cifar100`` or ``ImageNet16-120``.
        epochs: Which of the benchmark's two trainings an API is asked for: 200 or 12.

    Raises:
        UserError: The file or its columns are missing, a cell cannot be parsed, or the object is not such an API.
    """
    if isinstance(source, str | Path):
        return dict(_read_csv(Path(source)))
    if hasattr(source, "get_more_info") and hasattr(source, "meta_archs"):
        return dict(_read_api(source, dataset, epochs))
    raise UserError(
        f"expected a CSV file, or an API object of nats_bench or nas_201_api, got {type(source).__name__}; "
        "docs/nasbench201.md says how to make one"
    )


def _read_csv(path: Path) -> Iterator[tuple[Arch, TrainedNetwork]]:
    if path.suffix in (".pth", ".pbz2", ".tar"):
        raise UserError(
            f"expected a CSV file, got {path}; such a file is a pickle and is read by the benchmark's own package: "
            "give read_table the object nats_bench.create(path, 'tss')"
        )
    table = read_csv(path)
    names = table.columns
    arch = next((name for name in ARCH_COLUMNS if name in names), None)
    accuracies = [name for name in names if name.endswith("acc") or "_acc_" in name]
    if arch is None or not accuracies:
        raise UserError(
            f"expected a column arch_str and some that end with acc in {path}, got {', '.join(names)}; "
            "docs/nasbench201.md says where such a table comes from"
        )
    params, flops = (next((name for name in usual if name in names), None) for usual in (PARAMS, FLOPS))
    for row in table.rows:
        try:
            parsed = parse_arch(row.text(arch))
        except UserError as error:
            raise UserError(f"{path}, line {row.line}: {error}") from None
        values = {name: row.number(name) for name in accuracies if row.text(name)}
        yield parsed, TrainedNetwork(values, _count(row, params), _count(row, flops))


def arch_of_row(row: TruthRow) -> str:
    """The architecture of a row of our own tables, in the benchmark's digits.

    Raises:
        UserError: It is none of the benchmark's.
    """
    try:
        return str(Arch.parse(row.text("arch"), len(EDGES), len(OPERATIONS)))
    except ValueError as error:
        raise UserError(f"{row.path}, line {row.line}: {error}") from None


def _count(row: TruthRow, column: str | None) -> int | None:
    return round(row.number(column)) if column is not None and row.text(column) else None


def _read_api(api: Any, dataset: str, epochs: int) -> Iterator[tuple[Arch, TrainedNetwork]]:
    """Use the calls that both APIs have; accuracies are means over the seeds of a network's trainings."""
    for index, text in enumerate(api.meta_archs):
        try:
            info = api.get_more_info(index, dataset, hp=str(epochs), is_random=False)
            cost = api.get_cost_info(index, dataset, hp=str(epochs))
        except (AssertionError, KeyError, TypeError, ValueError) as error:  # as the packages report what they lack
            raise UserError(
                f"the API does not answer for network {index}, dataset {dataset!r}, {epochs} epochs: "
                f"{type(error).__name__}: {error}; known are cifar10, cifar10-valid, cifar100 and ImageNet16-120"
            ) from None
        accuracies = {k: float(v) for k, v in info.items() if k.endswith("accuracy") and v is not None}
        # the API counts in millions
        yield parse_arch(text), TrainedNetwork(accuracies, round(cost["params"] * 1e6), round(cost["flops"] * 1e6))
