"""What is known of NAS-Bench-201's 15,625 networks after training: a CSV file, or the benchmark's own API.

:func:`read_table` leads from any of them to one form: per architecture (six digits 0-4, as
:func:`pinas_zoo.models.nasbench201.parse_arch` reads them) accuracies in percent, parameters and FLOPs.
``docs/nasbench201.md`` says where users get the tables.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import parse_arch

ARCH_COLUMNS = ("arch_str", "arch")
PARAMS, FLOPS = ("params_computed", "params"), ("flops_computed", "flops")


@dataclass(frozen=True)
class Trained:
    """One network: accuracies in percent by the table's own names; parameters; FLOPs (multiply-adds), or None."""

    accuracies: Mapping[str, float]
    params: int | None
    flops: int | None


def read_table(source: str | Path | Any, dataset: str = "cifar10", epochs: int = 200) -> dict[Arch, Trained]:
    """The networks of a table.

    Args:
        source: A CSV file with a column ``arch_str`` and accuracies in columns that end with ``acc`` or hold ``_acc_``;
            or an API object: ``nats_bench.create(path, "tss", fast_mode=True)`` or
            ``nas_201_api.NASBench201API(path)``.
        dataset: Of an API: ``cifar10``, ``cifar10-valid``, ``cifar100`` or ``ImageNet16-120``.
        epochs: Of an API: 200 or 12, the two trainings that the benchmark holds.

    Raises:
        UserError: No such file, no such columns, an architecture that is none, or an object that is no API.
    """
    if isinstance(source, str | Path):
        return dict(_read_csv(Path(source)))
    if hasattr(source, "get_more_info") and hasattr(source, "meta_archs"):
        return dict(_read_api(source, dataset, epochs))
    raise UserError(
        f"expected a CSV file, or an API object of nats_bench or nas_201_api, got {type(source).__name__}; "
        "docs/nasbench201.md says how to make one"
    )


def _read_csv(path: Path) -> Iterator[tuple[Arch, Trained]]:
    if path.suffix in (".pth", ".pbz2", ".tar"):
        raise UserError(
            f"expected a CSV file, got {path}; such a file is a pickle and is read by the benchmark's own package: "
            "give read_table the object nats_bench.create(path, 'tss')"
        )
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"expected a CSV table at {path}, got: {error}; docs/nasbench201.md says where from") from None
    arch = next((n for n in ARCH_COLUMNS if n in names), None)
    accuracies = [n for n in names if n.endswith("acc") or "_acc_" in n]
    if arch is None or not accuracies:
        raise UserError(f"expected a column arch_str and some that end with acc in {path}, got {', '.join(names)}")
    for line, row in enumerate(rows, start=2):
        try:
            values = {n: float(row[n]) for n in accuracies if row[n] not in ("", None)}
            yield parse_arch(row[arch]), Trained(values, _whole(row, PARAMS), _whole(row, FLOPS))
        except ValueError as error:
            raise UserError(f"{path}, line {line}: {error}") from None


def _whole(row: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    text = next((row[n] for n in names if row.get(n)), None)
    return None if text is None else round(float(text))


def _read_api(api: Any, dataset: str, epochs: int) -> Iterator[tuple[Arch, Trained]]:
    """By the calls that both APIs have; accuracies are the mean over the seeds of a network's trainings."""
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
        yield parse_arch(text), Trained(accuracies, round(cost["params"] * 1e6), round(cost["flops"] * 1e6))
