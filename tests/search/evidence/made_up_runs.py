"""A truth that is additive over 729 architectures, and result files of runs that never ran."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np

from pinas_zoo.models.nasbench201 import arch_string
from pinas_zoo.search.evidence.plan import EvidenceConfig, find_evidence, load_evidence
from pinas_zoo.search.evidence.results import SCORES

CHECKOUT = Path(__file__).resolve().parents[3]
CONFIG = CHECKOUT / "configs" / "evidence" / "nasbench201.py"
ARCHS = ["".join(digits) for digits in itertools.product("234", repeat=6)]
EFFECTS = np.random.default_rng(0).normal(size=(6, 3))
TRUTH = {arch: 90 + EFFECTS[range(6), [int(digit) - 2 for digit in arch]].sum() for arch in ARCHS}
SCORED = [ARCHS[k] for k in np.random.default_rng(1).permutation(len(ARCHS))[:60]]


def evidence_config(**report: int) -> EvidenceConfig:
    """The project's own, with fewer resamples, and 60 scores as enough for all tables."""
    config = load_evidence(find_evidence(str(CONFIG)))
    options = {"resamples": 20, "fitted": 60, **report}
    return config.model_copy(update={"report": config.report.model_copy(update=options)})


def write_truth(path: Path, drop: str = "", operations: str = "234") -> Path:
    """A table of all architectures of these digits; those with others than 2, 3 and 4 have an accuracy of 80."""
    names = ["arch_str", "cifar10_test_acc", "cifar10_test_acc_12ep", "cifar10_valid_acc", "flops_computed"]
    names += ["cifar100_test_acc"]  # and none of ImageNet16-120
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([n for n in names if n != drop])
        for arch in map("".join, itertools.product(operations, repeat=6)):
            truth = TRUTH.get(arch, 80.0)
            row = dict(
                zip(names, [arch_string(arch), truth, -truth, truth, arch.count("3") + 1, 100 - truth], strict=True)
            )
            writer.writerow([value for name, value in row.items() if name != drop])
    return path


def write_training_free(results: Path, kind: str = "flops", size: int = 729, sign: float = 1.0) -> Path:
    """Scores of the same 60 architectures that rank them by truth, or by its negative."""
    path = results / "training_free" / f"{kind}_{size}_of_60.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("arch,score,loss\n" + "".join(f"{arch},{float(sign * TRUTH[arch])!r},0.0\n" for arch in SCORED))
    facts = dict(kind=kind, architectures=size, scored=60, seconds=1.5, machine="a processor")
    path.with_suffix(".json").write_text(json.dumps(facts))
    return path


def write_run(
    results: Path,
    name: str,
    title: str,
    seed: int = 0,
    changes: tuple[str, ...] = (),
    size: int = 729,
    subspace: int | None = None,
    **losses: float,
) -> Path:
    """60 architectures; a loss ranks them by truth (1), the other way round (-1), not at all (0) or is not known."""
    results.mkdir(parents=True, exist_ok=True)
    lines = [",".join(["arch", *SCORES])]
    for arch in SCORED:
        known = [str(-losses[by] * TRUTH[arch]) if by in losses else "" for by in SCORES[1:]]  # an accuracy, negative
        lines.append(",".join([arch, "0.5", *known]))
    facts = dict(
        run=name, title=title, changes=changes, seed=seed, architectures=size, scored=60, minutes=2.0, threads=1
    )
    facts |= dict(steps=60, images_per_step=128, wall_seconds=9.0, accuracy=0.5, similarity=0.9, loss=1.0)
    facts["machine"] = "a processor"
    if subspace is not None:  # files of earlier versions do not name it
        facts["subspace"] = subspace
    scored = "" if subspace is None else f"_on_{subspace}"
    path = results / f"{name}{''.join(changes)}_{size}_2x1_{seed}{scored}_of_60.csv"
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".json").write_text(json.dumps(facts))
    return path
