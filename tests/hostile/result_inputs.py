"""Results that others may have measured: files of evidence and of studies, truth tables, outcomes, configurations."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pinas_zoo.search.evidence.plan import find_evidence, load_evidence, parse_evidence
from pinas_zoo.search.evidence.report import write_report
from pinas_zoo.search.evidence.results import read_run
from pinas_zoo.search.evidence.tables import Evidence
from pinas_zoo.search.evidence.training_free import read_training_free
from pinas_zoo.search.evidence.truth import Truth, load_truth
from pinas_zoo.search.spaces.base import build_space
from pinas_zoo.search.trained_study.config import load_study, parse_study
from pinas_zoo.search.trained_study.jobs import check_study_folder
from pinas_zoo.search.trained_study.outcomes import read_outcomes
from pinas_zoo.search.trained_study.supernets import read_scores
from pinas_zoo.train.run import read_results
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, file_of, given, table
from tests.hostile.table_inputs import sparse, special, specials
from tests.search.evidence.made_up_runs import (
    CONFIG,
    SCORED,
    evidence_config,
    write_run,
    write_training_free,
    write_truth,
)

JSON_FAULTS: dict[str, bytes] = {
    "empty": b"", "torn": b'{"run": "pi', "null": b"null", "list": b"[]", "number": b"3", "text": b'"x"', "deep": b"[" * 100_000, "not-utf8": b'{"run": "\xff"}', "zeros": bytes(100),
    "digits": b'{"run": ' + b"9" * 5000 + b"}", "nothing": b"{}", "html": b"<html>", "pickle": b"cos\nsystem\n(S'touch EXECUTED'\ntR.",
}  # fmt: skip
CSV_FAULTS: dict[str, bytes] = {
    "empty": b"", "header-alone": b"arch,accuracy,squared_error,consistency,cross_entropy\n", "nul": b"a\0b,c\n", "not-utf8": b"arch,acc\xff\n", "html": b"<html>", "zeros": bytes(1000), "short-row": b"arch,accuracy,squared_error,consistency,cross_entropy\n222222,1\n",
    "no-arch": b"a,b\n1,2\n", "quote-open": b'arch,accuracy,squared_error,consistency,cross_entropy\n"222222,1,1,1,1\n', "long-cell": b"arch,accuracy,squared_error,consistency,cross_entropy\n" + b"2" * 200_000 + b",1,1,1,1\n",
}  # fmt: skip


@functools.cache
def config() -> Any:
    return evidence_config(fitted=30, fits=2)


def kept(change: Callable[[Path], object] = lambda csv: None, json_changes: dict[str, Any] | None = None, cells: Callable[[list[str]], list[str]] = lambda rows: rows) -> Make:  # fmt: skip
    """A folder with one measured run, whose facts or rows are changed; ``change`` is given its .csv."""

    def make(folder: Path) -> Path:
        path = write_run(folder / "results", "pinas", "Π-NAS", consistency=1.0)
        if json_changes is not None:
            facts = json.loads(path.with_suffix(".json").read_text())
            facts.update(json_changes)
            path.with_suffix(".json").write_text(json.dumps({k: v for k, v in facts.items() if v is not ...}))
        path.write_text("\n".join(cells(path.read_text().splitlines())) + "\n")
        change(path)
        return path.parent

    return make


@functools.cache
def truth_text() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return write_truth(Path(folder) / "t.csv").read_text()


@functools.cache
def whole_truth() -> Truth:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.csv").write_text(truth_text())
        return truth(Path(folder) / "t.csv")


def page(results: Path) -> str:
    """The page and figures of a folder of results."""
    text = write_report(Evidence.load(config(), whole_truth(), results), results).text
    assert not any(sign in text for sign in ("<script", "](javascript", "\x1b", "| evil |"))
    return text


def row(k: int, line: str) -> Callable[[list[str]], list[str]]:
    return lambda rows: [*rows[:k], line, *rows[k + 1 :]]


WRONG: dict[str, Any] = {"null": None, "list": [1], "object": {"a": 1}, "nan": float("nan"), "inf": float("inf"), "negative": -1, "huge": 10**400}  # fmt: skip
MARKUP = {"script": "<script>alert(1)</script>", "cell": "a | evil | b", "link": "[x](javascript:1)", "escape": "\x1b[2J", "lines": "a\n# b", "math": "$\\frac$", "long": "x" * 10**6}  # fmt: skip
RUNS: dict[str, tuple[Make, Promise]] = {
    "sound": (kept(), Accepted(lambda text: "Π-NAS" in text)),
    "none": (lambda folder: folder / "results", Either()),
    "no-accuracy": (kept(json_changes={"accuracy": ..., "similarity": ...}), Accepted()),
    "more-facts": (kept(json_changes={"later": [1]}), Accepted()),
    **{f"no-{key}": (kept(json_changes={key: ...}), Refused(".json")) for key in ("run", "title", "seed", "architectures", "minutes", "threads", "steps", "images_per_step", "wall_seconds", "machine")},
    **{f"{key}-{name}": (kept(json_changes={key: value}), Refused(".json")) for key in ("title", "seed", "architectures", "minutes", "steps", "wall_seconds", "changes") for name, value in WRONG.items() if (key, name) != ("wall_seconds", "list")},
    **{f"similarity-{name}": (kept(json_changes={"similarity": value}), Either() if name in ("null", "negative") else Refused(".json")) for name, value in WRONG.items()},
    **{f"title-{name}": (kept(json_changes={"title": value}), Refused(".json")) for name, value in MARKUP.items()},
    **{f"machine-{name}": (kept(json_changes={"machine": value}), Refused(".json")) for name, value in MARKUP.items() if name in ("script", "escape")},
    **{f"chosen-{name}": (kept(json_changes={"chosen": value}), Refused(".json")) for name, value in {**WRONG, **MARKUP, "beyond": "999999", "short": "22", "empty": "", "line-end": "222222\n", "in-list": ["x"]}.items() if name != "null"},
    "chosen-null": (kept(json_changes={"chosen": None}), Accepted()),
    "chosen-sound": (kept(json_changes={"chosen": SCORED[0]}), Accepted()),
    "chosen-without-truth": (kept(json_changes={"chosen": "000000"}), Refused("000000")),
    **{f"{key}-{name}": (kept(json_changes={key: value}), Refused(".json")) for key in ("linear_seconds", "linear_steps", "scored", "scoring_seconds", "teacher_seconds", "teacher_accuracy", "warned") for name, value in {**WRONG, "text": "x"}.items() if name != "null"},
    "changes-script": (kept(json_changes={"changes": ["<script>"]}), Refused(".json")),
    "run-unknown": (kept(json_changes={"run": "evil"}), Either()),
    "subspace-0": (kept(json_changes={"subspace": 0}), Refused(".json")),
    "threads-0": (kept(json_changes={"threads": 0}), Refused(".json")),
    **{f"json-{name}": (kept(lambda csv, text=text: csv.with_suffix(".json").write_bytes(text)), Refused(".json")) for name, text in JSON_FAULTS.items()},  # type: ignore[misc]
    **{f"csv-{name}": (kept(lambda csv, text=text: csv.write_bytes(text)), Refused(".csv")) for name, text in CSV_FAULTS.items()},  # type: ignore[misc]
    "csv-gone": (kept(lambda csv: csv.unlink()), Refused("to measure it again")),
    **{f"csv-{kind}": (kept(lambda csv, kind=kind: (csv.unlink(), special(csv.name, kind)(csv.parent))), Refused()) for kind in ("pipe", "folder", "device", "loop")},  # type: ignore[misc]
    "csv-3gib": (kept(lambda csv: sparse(csv.name)(csv.parent)), Refused("MiB")),
    "arch-of-nothing": (kept(cells=row(1, "evil,0.5,,-1,,,,")), Refused("line 2")),
    "arch-beyond": (kept(cells=row(1, "999999,0.5,,-1,,,,")), Refused("line 2")),
    "arch-short": (kept(cells=row(1, "22,0.5,,-1,,,,")), Refused("line 2")),
    "arch-without-truth": (kept(cells=row(1, "000000,0.5,,-1,,,,")), Refused("000000")),
    "score-nan": (kept(cells=row(1, f"{SCORED[0]},0.5,,nan,,,,")), Refused("line 2")),
    "score-inf": (kept(cells=row(1, f"{SCORED[0]},0.5,,inf,,,,")), Refused("line 2")),
    "score-1e300": (kept(cells=row(1, f"{SCORED[0]},0.5,,1e300,,,,")), Refused("line 2")),
    "score-text": (kept(cells=row(1, f"{SCORED[0]},0.5,,=cmd(),,,,")), Refused("line 2")),
    "score-missing": (kept(cells=row(5, f"{SCORED[4]},0.5,,,,,,")), Refused("line 6")),
    "score-twice": (kept(cells=lambda rows: [*rows, rows[1]]), Refused("once")),
    "one-row": (kept(cells=lambda rows: rows[:2]), Either()),
    "two-rows": (kept(cells=lambda rows: rows[:3]), Either()),
    "all-equal": (kept(cells=lambda rows: [rows[0], *(f"{r.split(',')[0]},0.5,,1,,,," for r in rows[1:])]), Either()),
    "no-ranking-score": (kept(cells=lambda rows: [rows[0], *(f"{r.split(',')[0]},0.5,1,,,,," for r in rows[1:])]), Refused("consistency")),
    "no-score-at-all": (kept(cells=lambda rows: [rows[0], *(f"{r.split(',')[0]},,,,,,," for r in rows[1:])]), Refused()),
    **{f"estimates-{name}": (kept(lambda csv, text=text: csv.with_name(f"{csv.stem}.estimates.csv").write_bytes(text)), Refused("estimates")) for name, text in {
        "empty": b"", "text": b"arch,accuracy\n222222,many\n", "nan": b"arch,accuracy\n222222,nan\n", "other": b"arch,accuracy\nevil,1\n", "short": b"arch,accuracy\n222222\n", "not-utf8": b"\xff\xfe",
    }.items()},  # type: ignore[misc]
    "estimates-without-truth": (kept(lambda csv: csv.with_name(f"{csv.stem}.estimates.csv").write_text("arch,accuracy\n000000,0.5\n")), Accepted()),
}  # fmt: skip


def free(name: str, content: bytes) -> Make:
    """Scores without training, of which one file is replaced."""

    def make(folder: Path) -> Path:
        path = write_training_free(folder)
        path.with_suffix(name).write_bytes(content)
        return folder

    return make


def free_facts(**changes: Any) -> bytes:
    return json.dumps({"kind": "flops", "architectures": 729, "scored": 60, "seconds": 1.5, "machine": "a", **changes}).encode()  # fmt: skip


FREE: dict[str, tuple[Make, Promise]] = {
    "sound": (free(".json", free_facts()), Accepted(lambda found: len(found[0].values) == 60)),
    **{f"json-{name}": (free(".json", text), Refused(".json")) for name, text in JSON_FAULTS.items()},
    **{f"csv-{name}": (free(".csv", text), Refused(".csv")) for name, text in CSV_FAULTS.items()},
    **{f"kind-{name}": (free(".json", free_facts(kind=value)), Refused()) for name, value in {**WRONG, **MARKUP}.items()},
    **{f"seconds-{name}": (free(".json", free_facts(seconds=value)), Refused()) for name, value in WRONG.items()},
    "csv-arch-evil": (free(".csv", b"arch,score,loss\nevil,1,1\n"), Refused("line 2")),
    "csv-score-nan": (free(".csv", b"arch,score,loss\n222222,nan,1\n"), Refused("line 2")),
}  # fmt: skip

# Truth tables of evidence

HEAD = "arch_str,cifar10_test_acc,cifar10_test_acc_12ep,cifar10_valid_acc,flops_computed"


def truth(path: Path) -> Truth:
    return load_truth(path, config().truth, 20)


def of_truth(path: Path) -> str:
    """The page of no run, with a truth of few rows."""
    folder = path.parent / "results"
    folder.mkdir()
    evidence = Evidence.load(config(), truth(path), folder)
    return write_report(evidence, folder).text


TRUTHS: dict[str, tuple[Make, Promise]] = {
    **{name: (file_of(content, "t.csv"), Refused()) for name, content in CSV_FAULTS.items()},
    **specials("t.csv"),
    "no-flops": (file_of(f"{HEAD.rpartition(',')[0]}\n222222,1,1,1\n".encode(), "t.csv"), Refused("flops_computed")),
    "flops-nan": (file_of(f"{HEAD}\n222222,1,1,1,nan\n".encode(), "t.csv"), Refused("line 2")),
    "flops-1e300": (file_of(f"{HEAD}\n222222,1,1,1,1e300\n".encode(), "t.csv"), Refused("line 2")),
    "accuracy-empty": (file_of(f"{HEAD}\n222222,,1,1,1\n".encode(), "t.csv"), Refused("cifar10_test_acc")),
    "arch-twice": (file_of(f"{HEAD}\n222222,1,1,1,1\n222222,2,1,1,1\n".encode(), "t.csv"), Either()),
    "bom": (file_of(f"\ufeff{HEAD}\n222222,1,1,1,1\n".encode(), "t.csv"), Accepted(lambda t: len(t.networks) == 1)),
    "pickle": (file_of(b"cos\nsystem\n(S'touch EXECUTED'\ntR.", "t.pth"), Refused("pickle")),
}  # fmt: skip
FEW: dict[str, tuple[Make, Promise]] = {
    "one-row": (file_of(f"{HEAD}\n222222,1,1,1,1\n".encode(), "t.csv"), Either()),
    "header-alone": (file_of(f"{HEAD}\n".encode(), "t.csv"), Either()),
    "all-equal": (file_of((HEAD + "\n" + "".join(f"{a},1,1,1,1\n" for a in SCORED)).encode(), "t.csv"), Either()),
}

# Studies

SPACE = {"type": "resnest50", "depths": (1, 1, 1, 1), "widths": (16, 16, 16, 16), "stem_width": 4}


def outcomes(path: Path) -> Any:
    return read_outcomes(path, build_space(SPACE))


def scores(path: Path) -> Any:
    return read_scores(path, build_space(SPACE))


OUTCOMES: dict[str, tuple[Make, Promise]] = {
    "sound": (file_of(b"architecture,outcome\n0123,1\n", "o.csv"), Accepted(lambda found: len(found) == 1)),
    **{f"csv-{name}": (file_of(text, "o.csv"), Refused()) for name, text in CSV_FAULTS.items()},
    **{f"json-{name}": (file_of(text, "o.json"), Refused()) for name, text in JSON_FAULTS.items() if name != "nothing"},
    "json-nan": (file_of(b'{"0123": NaN}', "o.json"), Refused("0123")),
    "json-arch": (file_of(b'{"../../x": 1}', "o.json"), Refused()),
    "json-huge": (file_of(b'{"0123": 1' + b"0" * 400 + b"}", "o.json"), Refused()),
    **{f"is-{kind}": (make, promise) for kind, (make, promise) in specials("o.csv").items()},
}  # fmt: skip
SCORES: dict[str, tuple[Make, Promise]] = {
    "sound": (file_of(b"arch,probe\n0123,0.5\n3210,\n", "s.csv"), Accepted(lambda found: len(found["probe"]) == 1)),
    **{name: (file_of(text, "s.csv"), Refused()) for name, text in CSV_FAULTS.items()},
    "kind-markup": (file_of(b"arch,<script>\n0123,0.5\n", "s.csv"), Refused("kinds of scores")),
    "kind-escape": (file_of(b"arch,\x1b[2J\n0123,0.5\n", "s.csv"), Refused("kinds of scores")),
    "score-nan": (file_of(b"arch,probe\n0123,nan\n", "s.csv"), Refused("line 2")),
    "arch-other": (file_of(b"arch,probe\n9999,0.5\n", "s.csv"), Refused("line 2")),
    **specials("s.csv"),
}  # fmt: skip


def trained(content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / "done.json").write_bytes(content)
        return folder

    return make


STUDY: dict[str, Any] = {
    "name": "tiny", "space": SPACE, "count": 3, "seeds": (0,), "scores": ("probe",), "search": {"data": {"type": "digits"}},
    "methods": {"pinas": {}}, "recipe": {"data": {"type": "digits"}},
}  # fmt: skip


def study(**changes: Any) -> Make:
    return given({k: v for k, v in {**STUDY, **changes}.items() if v is not ...})


def linked(where: str, target: str = "/etc") -> Make:
    """A study's folder in which something is a link."""

    def make(folder: Path) -> Path:
        (folder / "study.json").write_text("{}")
        place = folder / where
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(target)
        return folder

    return make


STUDIES: dict[str, tuple[Make, Promise]] = {
    "sound": (study(), Accepted()),
    **{f"no-{key}": (study(**{key: ...}), Refused(key)) for key in ("name", "methods", "recipe")},
    "name-out": (study(name="../x"), Refused("name")),
    "method-out": (study(methods={"../x": {}}), Refused()),
    "method-file": (study(methods={"a": {"learn": {"method": "/dev/zero"}}}), Refused()),
    "count-huge": (study(count=10**9), Refused("count")),
    "count-nan": (study(count=float("nan")), Refused("count")),
    "seeds-none": (study(seeds=()), Refused("seeds")),
    "seeds-negative": (study(seeds=(-1,)), Refused("seeds")),
    "recipe-nan": (study(recipe={"optim": {"lr": float("nan")}}), Refused()),
    "recipe-unknown": (study(recipe={"evil": 1}), Refused("evil")),
    "search-text": (study(search="evil"), Refused("search")),
    "scores-other": (study(scores=("evil",)), Refused("scores")),
    "storage-list": (study(storage=[1]), Refused("storage")),
    "unknown": (study(evil=1), Refused("evil")),
    "deep": (study(recipe=functools.reduce(lambda inner, _: {"a": inner}, range(5000), {})), Refused()),
    "itself": (lambda folder: (lambda d: (d.update(recipe=d), d)[1])(dict(STUDY)), Refused()),
}  # fmt: skip
LINKS: dict[str, tuple[Make, Promise]] = {
    name.replace("/", "-"): (linked(name), Refused("a symbolic link"))
    for name in ("study.json", "supernets", "trained", "scores", "supernets/pinas", "trained/0123", "trained/0123/seed-0", "scores/pinas_seed-0.csv", "report.md")
}  # fmt: skip


def evidence_values(**changes: Any) -> Make:
    def make(folder: Path) -> dict[str, Any]:
        values = load_evidence(find_evidence(str(CONFIG))).model_dump()
        values.update(changes)
        return {k: v for k, v in values.items() if v is not ...}

    return make


EVIDENCE: dict[str, tuple[Make, Promise]] = {
    "sound": (evidence_values(), Accepted()),
    **{f"no-{key}": (evidence_values(**{key: ...}), Refused(key)) for key in ("name", "truth", "spaces", "runs", "reference")},
    **{f"{key}-{name}": (evidence_values(**{key: value}), Refused()) for key, values in {
        "name": {"out": "../x", "escape": "\x1b", "number": 3}, "spaces": {"empty": {}, "other": {729: ("evil",)}, "list": [1]}, "runs": {"empty": {}, "text": "x"}, "minutes": {"nan": float("nan"), "0": 0, "inf": float("inf")},
        "threads": {"0": 0, "fraction": 1.5}, "count": {"0": 0, "text": "many"}, "seeds": {"text": "x"}, "rank_by": {"other": "evil"}, "training_free": {"other": ("evil",)}, "sums": {"other": ((("evil", 1.0),),)}, "reference": {"other": "evil"}, "measured": {"other": ("evil",)}, "replacements": {"other": ("evil",), "text": "x"},
        "initialisations": {"other": {"evil": 2}, "supernet": {"consistency": 2}, "0": {"jacov": 0}, "huge": {"jacov": 10**9}, "list": ["jacov"]},
    }.items() for name, value in values.items()},
}  # fmt: skip


def inputs() -> tuple[Input, ...]:
    whole_truth()  # once, and not in each child
    config_files: dict[str, tuple[Make, Promise]] = {
        name: (file_of(text, "study.json"), Refused()) for name, text in JSON_FAULTS.items()
    }
    done: dict[str, tuple[Make, Promise]] = {
        name: (trained(text), Refused("done.json")) for name, text in JSON_FAULTS.items()
    }
    return (
        *table("evidence", page, RUNS),
        *table("evidence-facts", lambda folder: [read_run(p) for p in folder.glob("*.json")], {"sound": (kept(), Accepted())}),
        *table("free", read_training_free, FREE),
        *table("evidence-truth", truth, TRUTHS),
        *table("evidence-few", of_truth, FEW),
        *table("evidence-config", parse_evidence, EVIDENCE),
        *table("outcomes", outcomes, OUTCOMES),
        *table("study-scores", scores, SCORES),
        *table("study-done", read_results, done),
        *table("study-config", parse_study, STUDIES),
        *table("study-json", load_study, config_files),
        *table("study-link", check_study_folder, LINKS),
    )  # fmt: skip
