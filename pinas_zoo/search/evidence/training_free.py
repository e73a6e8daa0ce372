"""Scores that need no supernet: measured once for the architectures of a space, and kept beside the runs.

They are the baselines of every supernet, and parts of sums of log ranks. A kind leaves two files in the sub-folder
``training_free`` of the results: ``NAME.csv`` with the scores, ``NAME.json`` with facts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from pinas_zoo.arch import Arch
from pinas_zoo.bounded_reading import MIB, read_json
from pinas_zoo.errors import UserError
from pinas_zoo.search.context import Context
from pinas_zoo.search.evidence.kept_facts import Count, Line, Seconds, first_problem
from pinas_zoo.search.evidence.measure import machine, scored_archs
from pinas_zoo.search.evidence.plan import EvidenceConfig, PlannedRun
from pinas_zoo.search.ranking.benchmark_table import arch_of_row
from pinas_zoo.search.ranking.truth_csv import read_csv
from pinas_zoo.search.score_kinds import KINDS
from pinas_zoo.search.scorers.protocol import Score, ScoringData
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space
from pinas_zoo.terminal import progress
from pinas_zoo.version import __version__
from pinas_zoo.weights.atomic import write_json, write_text

FOLDER = "training_free"
TABLE_LIMIT, FACTS_LIMIT = 16 * MIB, MIB  # bytes
TOGETHER = 27  # architectures that are scored between two updates of the progress bar


class Facts(BaseModel):
    """What the JSON file holds; later versions may add to it."""

    model_config = ConfigDict(strict=True, extra="allow")
    kind: Line
    architectures: Count  # of the space
    scored: Count
    seconds: Seconds  # of scoring
    initialisations: Count = 1  # over which the score is averaged; earlier versions had one
    channels: Count | None = None  # of the scored networks
    cells: Count | None = None  # of each stage
    image_size: Count | None = None  # pixels
    machine: Line


@dataclass(frozen=True)
class TrainingFree:
    """Scores by one kind, by architecture in the benchmark's digits; higher is better."""

    kind: str
    size: int  # of the space
    seconds: float  # of scoring all of them
    machine: str
    values: Mapping[str, float]
    initialisations: int = 1  # over which they are averaged
    # channels, cells and image size of the scored networks; empty if they are not known
    network: Mapping[str, int] = field(default_factory=dict)


def result_path(kind: str, size: int, count: int, results: Path) -> Path:
    """The JSON file of a kind's scores of ``count`` architectures of the space of ``size``."""
    return results / FOLDER / (f"{kind}_{size}" + ("" if count >= size else f"_of_{count}") + ".json")


def measure_training_free(
    evidence: EvidenceConfig,
    counts: Mapping[int, int],
    threads: int,
    images: Path,
    work: Path,
    results: Path,
    say: Callable[[str], None],
) -> None:
    """Score architectures by all kinds of the configuration that need no supernet; skip what is kept.

    The architectures are those that runs score. Initial weights and images follow from the first of the configuration's
    seeds. Seconds are those of scoring, without reading the images, which all kinds share.

    Args:
        evidence: The configuration.
        counts: Architectures that are scored at most, random ones, by the size of their space.
        threads: Threads of scoring.
        images: CIFAR-10 as a folder.
        work: Folder of the runs; nothing is kept there.
        results: Folder of result files.
        say: Takes progress messages, one line each.
    """
    spaces = {size: evidence.networks(size)[0] for size in counts}
    network = network_of(*evidence.networks(min(counts)))
    missing = []
    for (size, count), kind in product(counts.items(), evidence.training_free):
        path, times = result_path(kind, size, count, results), evidence.initialisations.get(kind, 1)
        kept = _read(path) if path.is_file() and path.with_suffix(".csv").is_file() else None
        if kept is not None and (kept.initialisations, kept.network) == (times, network):
            say(f"{path.stem}: measured already")
            continue
        if kept is not None and kept.network != network:
            say(f"{path.stem}: measured anew, of {size_in_words(network)} in place of {size_in_words(kept.network)}")
        missing.append((size, count, kind, path))
    if not missing:
        return
    torch.set_num_threads(threads)
    planned = PlannedRun(evidence, evidence.reference, missing[0][0], evidence.seeds[0], evidence.minutes, threads)
    config = planned.search_config(images, 1)
    data = Context.of(config, work / FOLDER, say=lambda text: None).scoring_data()
    for size, count, kind, path in missing:
        space, times = spaces[size], evidence.initialisations.get(kind, 1)
        data = replace(data, space=space, zero_cost_initialisations=times)
        _measure(kind, data, scored_archs(space, space.operations, count), size, path)
        say(f"{path.stem}: written")


def network_of(space: NASBench201Space, image_size: int) -> dict[str, int]:
    """The size of the scored networks, which is kept with a score."""
    return {"channels": space.channels, "cells": space.cells, "image_size": image_size}


def size_in_words(network: Mapping[str, int]) -> str:
    """The size of networks: "5 cells a stage, 16 channels, 16 x 16 pixels"."""
    cells, channels, pixels = (network.get(key, "?") for key in ("cells", "channels", "image_size"))
    return f"{cells} cells a stage, {channels} channels, {pixels} x {pixels} pixels"


def _measure(kind: str, data: ScoringData, archs: Sequence[Arch], size: int, path: Path) -> None:
    """Score architectures by one kind, and write the two files."""
    space, build = data.space, KINDS[kind].build
    assert isinstance(space, NASBench201Space)
    assert build is not None  # of every kind in the table
    scorer, found = build(data), list[Score]()
    started = time.perf_counter()
    with progress(len(archs), label=f"score by {kind}", unit="arch") as bar:
        for start in range(0, len(archs), TOGETHER):
            found += scorer.scores(archs[start : start + TOGETHER])
            bar.update(len(found) - bar.done)
    seconds = round(time.perf_counter() - started, 3)
    rows = [f"{space.operations_of(a)},{s.accuracy!r},{s.loss!r}\n" for a, s in zip(archs, found, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path.with_suffix(".csv"), "".join(["arch,score,loss\n", *rows]))
    facts = Facts(
        kind=kind, architectures=size, scored=len(archs), seconds=seconds,
        initialisations=data.zero_cost_initialisations, machine=machine(), **network_of(space, data.image_size),
    )  # fmt: skip
    write_json(path, {**facts.model_dump(), "seed": data.seed, "version": __version__})


def read_training_free(folder: Path) -> list[TrainingFree]:
    """The kept scores in a folder of results; of a kind, space and size of networks with several files, the most.

    Raises:
        UserError: A file is damaged.
    """
    most: dict[tuple[str, int, str], TrainingFree] = {}
    for one in sorted(map(_read, sorted((folder / FOLDER).glob("*.json"))), key=lambda one: len(one.values)):
        most[one.kind, one.size, size_in_words(one.network)] = one
    return sorted(most.values(), key=lambda one: (one.size, one.kind))


def _read(path: Path) -> TrainingFree:
    cure = f"delete {path} and the .csv beside it to measure it again"
    try:
        facts = Facts.model_validate(read_json(path, "the facts of training-free scores", FACTS_LIMIT))
        table = read_csv(path.with_suffix(".csv"), "training-free scores", TABLE_LIMIT)
        if not {"arch", "score"} <= set(table.columns) or not table.rows:
            raise UserError(f"expected scores of at least one architecture in {table.path}, got none")
        values = {arch_of_row(row): row.number("score") for row in table.rows}
        if len(values) < len(table.rows):
            raise UserError(f"expected each architecture once in {table.path}, got one twice")
    except UserError as error:
        raise UserError(f"{error}; {cure}") from None
    except ValidationError as error:
        said = first_problem(error)
        raise UserError(f"expected {path} and the .csv beside it as they are measured, got {said}; {cure}") from None
    sizes = {"channels": facts.channels, "cells": facts.cells, "image_size": facts.image_size}
    network = {key: value for key, value in sizes.items() if value is not None}
    return TrainingFree(
        facts.kind, facts.architectures, facts.seconds, facts.machine, values, facts.initialisations, network
    )
