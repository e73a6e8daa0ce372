"""Tables and the files of a run folder: truth tables, rankings, curves, facts, locks, records of images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pinas_zoo.data.image_record import read_record
from pinas_zoo.engine.checkpoint import load_checkpoint
from pinas_zoo.engine.curve import CURVE, Curve, read_curve
from pinas_zoo.search.config import parse_config
from pinas_zoo.search.ranking.benchmark_table import read_table
from pinas_zoo.search.ranking.truth_csv import read_truth
from pinas_zoo.search.run_files import read_facts, read_label_names, read_matrix, read_rank_facts, read_ranking
from pinas_zoo.search.run_folder import check_folder
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, file_of, given, table

HEAD = b"arch,accuracy\n"
DEEP = b"[" * 100_000


def sparse(name: str, content: bytes = b"", size: int = 3 * 2**30) -> Make:
    def make(folder: Path) -> Path:
        with (folder / name).open("wb") as file:
            file.write(content)
            file.truncate(size)
        return folder / name

    return make


def special(name: str, kind: str) -> Make:
    """A pipe, device, folder or loop under a name."""

    def make(folder: Path) -> Path:
        path = folder / name
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "loop":
            path.symlink_to(name)
        return path

    return make


def specials(name: str) -> dict[str, tuple[Make, Promise]]:
    kinds = {kind: (special(name, kind), Refused()) for kind in ("pipe", "folder", "device", "loop", "gone")}
    return {**kinds, "sparse-3gib": (sparse(name), Refused("MiB"))}


def truth(path: Path) -> dict[str, float]:
    return read_truth(path)[0]


def rows(*lines: str) -> Make:
    return file_of(HEAD + "\n".join(lines).encode(), "t.csv")


TRUTHS: dict[str, tuple[Make, Promise]] = {
    "sound": (rows("0123,50", "3210,60.5"), Accepted(lambda t: t == {"0123": 50, "3210": 60.5})),
    "bom": (file_of(b"\xef\xbb\xbf" + HEAD + b"0123,50", "t.csv"), Accepted(lambda t: t == {"0123": 50})),
    "semicolons": (file_of(b"arch;accuracy\n0123;50", "t.csv"), Accepted(lambda t: t == {"0123": 50})),
    "tabs": (file_of(b"arch\taccuracy\n0123\t50", "t.csv"), Accepted(lambda t: t == {"0123": 50})),
    "crlf": (file_of(b"arch,accuracy\r\n0123,50\r\n", "t.csv"), Accepted(lambda t: t == {"0123": 50})),
    "cr": (file_of(b"arch,accuracy\r0123,50\r", "t.csv"), Either()),
    "quoted": (rows('"0123","50"'), Accepted(lambda t: t == {"0123": 50})),
    "row-twice": (rows("0123,50", "0123,50"), Accepted(lambda t: t == {"0123": 50})),
    "two-accuracies": (rows("0123,50", "0123,51"), Refused("line 3")),
    "short-row": (rows("0123,50", "3210"), Refused("line 3")),
    "long-row": (rows("0123,50,1"), Refused("line 2")),
    "nan": (rows("0123,nan"), Refused("line 2")),
    "inf": (rows("0123,inf"), Refused("line 2")),
    "minus-inf": (rows("0123,-1e999"), Refused("line 2")),
    "1e308": (rows("0123,1e308", "3210,-1e308"), Refused("line 2")),
    "text": (rows("0123,high"), Refused("line 2")),
    "percent": (rows("0123,50%"), Refused("line 2")),
    "decimal-comma": (rows('0123,"50,5"'), Refused("line 2")),
    "empty-cell": (rows("0123,"), Refused("line 2")),
    "underscore": (rows("0123,1_0"), Either()),
    "digits-5000": (rows("0123," + "9" * 5000), Refused()),
    "empty": (file_of(b"", "t.csv"), Refused("empty")),
    "header-alone": (file_of(HEAD, "t.csv"), Accepted(lambda t: t == {})),
    "no-header": (file_of(b"0123,50\n", "t.csv"), Refused("column")),
    "column-twice": (file_of(b"arch,accuracy,accuracy\n0123,50,60", "t.csv"), Refused("several")),
    "missing-arch-last": (file_of(b"accuracy,arch\n50,0123\n60\n", "t.csv"), Refused("line 3")),
    "not-utf8": (file_of(HEAD + b"\xff,1", "t.csv"), Refused("UTF-8")),
    "utf16": (file_of("arch,accuracy\n0123,50".encode("utf-16"), "t.csv"), Refused("UTF-8")),
    "nul": (file_of(HEAD + b"01\x0023,50", "t.csv"), Either()),
    "open-quote": (rows('"0123,50'), Refused()),
    "field-of-1mb": (rows("0" * 2**20 + ",50"), Refused()),
    "escape": (rows("\x1b[2J,50"), Either()),
    "zip": (file_of(b"PK\x03\x04" + bytes(100), "t.csv"), Refused()),
    "json": (file_of(b'{"arch": 1}', "t.csv"), Refused()),
    **specials("t.csv"),
}  # fmt: skip
NB201 = b"arch_str,cifar10_test_acc,params,flops\n"
CELL = b"|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
TABLES: dict[str, tuple[Make, Promise]] = {
    "sound": (file_of(NB201 + CELL + b",90,1000,2000\n", "t.csv"), Accepted(lambda t: len(t) == 1)),
    "params-inf": (file_of(NB201 + CELL + b",90,inf,1\n", "t.csv"), Refused("line 2")),
    "params-nan": (file_of(NB201 + CELL + b",90,nan,1\n", "t.csv"), Refused("line 2")),
    "params-1e300": (file_of(NB201 + CELL + b",90,1e300,1\n", "t.csv"), Refused("line 2")),
    "acc-nan": (file_of(NB201 + CELL + b",nan,1,1\n", "t.csv"), Refused("line 2")),
    "cell-of-6-nodes": (file_of(NB201 + CELL + b"+|none~0|,90,1,1\n", "t.csv"), Refused("line 2")),
    "cell-of-code": (file_of(NB201 + b"__import__('os').system('touch EXECUTED'),90,1,1\n", "t.csv"), Refused("line 2")),
    "cell-long": (file_of(NB201 + b"|" * 100_000 + b",90,1,1\n", "t.csv"), Refused("line 2")),
    "cell-with-a-loop": (file_of(NB201 + CELL.replace(b"~2", b"~9") + b",90,1,1\n", "t.csv"), Refused("line 2")),
    "pickle": (file_of(b"cos\nsystem\n(S'touch EXECUTED'\ntR.", "t.pth"), Refused("pickle")),
    "no-accuracy": (file_of(b"arch_str,x\n", "t.csv"), Refused()),
    **specials("t.csv"),
}  # fmt: skip

RANKING = b"rank,arch,accuracy,loss,params_m,flops_g\n"
RANKINGS: dict[str, tuple[Make, Promise]] = {
    "sound": (file_of(RANKING + b"1,0123,0.5,1,1,1\n", "ranking.csv"), Accepted(lambda r: r[0]["arch"] == "0123")),
    **{name: (file_of(RANKING + row, "ranking.csv"), Refused("done.json")) for name, row in {
        "nan": b"1,0123,nan,1,1,1\n", "1e308": b"1,0123,1e308,1,1,1\n", "short": b"1,0123,1\n", "long": b"1,0123,1,1,1,1,1,1\n", "rank-text": b"x,0123,1,1,1,1\n",
        "rank-0": b"0,0123,1,1,1,1\n", "no-arch": b"1,,1,1,1,1\n", "no-row": b"", "negative-params": b"1,0123,1,1,-1,1\n", "inf-loss": b"1,0123,1,inf,1,1\n",
        "nul": b"1,01\0,x,1,1,1\n", "open-quote": b'1,"0123,1,1,1,1\n', "field-1mb": b"1," + b"0" * 2**20 + b",1,1,1,1\n",
    }.items()},
    "no-column": (file_of(b"rank,arch\n1,0\n", "ranking.csv"), Refused("column")),
    "column-twice": (file_of(b"rank,rank,arch,accuracy,loss,params_m,flops_g\n1,1,0123,1,1,1,1\n", "ranking.csv"), Either()),
    "not-utf8": (file_of(b"\xff\xfe", "ranking.csv"), Refused()),
    **specials("ranking.csv"),
}  # fmt: skip
JSON_FAULTS = {
    "empty": b"", "torn": b'{"summary": "', "list": b"[]", "null": b"null", "text": b'"x"', "number": b"3", "deep": DEEP, "not-utf8": b'{"summary": "\xff"}', "bom-alone": b"\xef\xbb\xbf", "nul": b"\0" * 64, "html": b"<html>",
    "digits": b'{"summary": "", "seconds": ' + b"9" * 5000 + b"}", "surrogate-key": b'{"\\ud800": 1}',
}  # fmt: skip
FACTS: dict[str, tuple[Make, Promise]] = {
    "sound": (file_of(b'{"summary": "x", "winner": "0123"}', "done.json"), Accepted(lambda f: f["winner"] == "0123")),
    "more-keys": (file_of(b'{"summary": "x", "later": [1]}', "done.json"), Accepted(lambda f: f["later"] == [1])),
    **{name: (file_of(text, "done.json"), Refused()) for name, text in JSON_FAULTS.items()},
    **{name: (file_of(b'{"summary": "", %s}' % text, "done.json"), Refused()) for name, text in {
        "nan": b'"seconds": NaN', "negative": b'"seconds": -1', "winner-number": b'"winner": 3', "winner-list": b'"winner": ["0"]', "share": b'"test_accuracy": 1e300', "references": b'"references": {"a": "b"}', "summary-twice": b'"summary": 3', "memory": b'"peak_memory_mib": 1e999', "seconds-text": b'"seconds": "1"', "true": b'"held_out": true',
    }.items()},
    **specials("done.json"),
}  # fmt: skip
TAU = {"value": 0.5, "low": 0.0, "high": 1.0}
RANK = {"count": 3, "column": "c", "truth": "t", "score": TAU, "flops": TAU, "difference": TAU}


def rank(**changes: Any) -> Make:
    return file_of(json.dumps({**RANK, **changes}).encode(), "rank.json")


RANKS: dict[str, tuple[Make, Promise]] = {
    "sound": (rank(), Accepted(lambda r: r.count == 3)),
    **{name: (file_of(text, "rank.json"), Refused()) for name, text in JSON_FAULTS.items()},
    "count-negative": (rank(count=-1), Refused()),
    "count-fraction": (rank(count=1.5), Refused()),
    "column-list": (rank(column=["<script>"]), Refused()),
    "tau-nan": (rank(score={**TAU, "value": float("nan")}), Refused()),
    "tau-text": (rank(score={**TAU, "value": "1"}), Refused()),
    "points-lengths": (rank(points={"arch": ["0"], "score": [1.0], "flops_g": [1.0], "truth": [1.0, 2.0]}), Refused()),
    "points-huge": (rank(points={"arch": ["0"], "score": [1e300], "flops_g": [1.0], "truth": [1.0]}), Refused()),
    "points-text": (rank(points="x"), Refused()),
    **specials("rank.json"),
}  # fmt: skip
MATRICES: dict[str, tuple[Make, Promise]] = {
    "sound": (file_of(b"1,2\n3,4\n", "similarity.csv"), Accepted(lambda m: m.shape == (2, 2))),
    **{name: (file_of(text, "similarity.csv"), Refused()) for name, text in {
        "empty": b"", "text": b"a,b\nc,d", "row": b"1,2", "ragged": b"1,2\n3", "nan": b"nan,1\n1,1", "inf": b"inf,1\n1,1", "1e13": b"1,1e13\n5,1", "not-utf8": b"\xff", "wide": b"1,2,3\n4,5,6\n",
        "script": b"<script>,1\n1,1", "one": b"1\n",
    }.items()},
    **specials("similarity.csv"),
}  # fmt: skip


def curve(content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / CURVE).write_bytes(content)
        return folder

    return make


def resumed_curve(folder: Path) -> list[str]:
    """A curve that a resumed stage goes on with after step 4, as lines."""
    found = Curve(folder, done=4)
    found.add({"step": 5, "lr": 0.5})
    found.close()
    return (folder / CURVE).read_text().splitlines()


CURVES = {
    "not-utf8": b"\xff\xfe", "cell-text": b"step,lr\n1,x\n", "short": b"step,lr\n1\n", "no-step": b"lr\n1\n", "long": b"step,lr\n1,2,3\n", "nul": b"step,lr\n1,\0\n", "columns-twice": b"step,step\n1,2\n3\n",
    "open-quote": b'step,lr\n"1,2\n',
}  # fmt: skip
RESUMED = {**CURVES, "field-1mb": b"step,lr\n" + b"1" * 2**20 + b",1\n", "empty": b"", "lines": b"\n\n\n", "step-inf": b"step,lr\ninf,1\n", "step-nan": b"step,lr\nnan,1\n", "later-steps": b"step,lr\n3,1\n7,1\n", "digits": b"step,lr\n" + b"9" * 5000 + b",1\n"}  # fmt: skip
RECORDS: dict[str, tuple[Make, Promise]] = {
    "sound": (file_of(b'{"classes": ["a"], "train": {"images": 3, "digest": "x"}}', "images.json"), Accepted(lambda r: r.classes == ("a",))),
    **{name: (file_of(text, "images.json"), Refused()) for name, text in JSON_FAULTS.items() if name != "digits"},
    **{name: (file_of(text, "images.json"), Refused()) for name, text in {
        "classes-number": b'{"classes": 3}', "classes-of-numbers": b'{"classes": [3]}', "part-list": b'{"classes": [], "train": []}', "no-digest": b'{"classes": [], "train": {"images": 3}}',
    }.items()},
    **{kind: (make, Refused()) for kind, (make, _) in specials("images.json").items()},
}  # fmt: skip


def run_folder(change: Callable[[Path], object]) -> Make:
    """A folder with the start of a run, which a function changes."""

    def make(folder: Path) -> Path:
        run = folder / "run"
        for stage in ("learn", "linear", "explore", "winner"):
            (run / stage).mkdir(parents=True)
        (run / "config.json").write_text(parse_config(CONFIG).model_dump_json())
        change(run)
        return run

    return make


CONFIG: dict[str, Any] = {"name": "a", "data": {"type": "digits"}}


def same_run(folder: Path) -> None:
    check_folder(parse_config(CONFIG), folder)


RUNS: dict[str, tuple[Make, Promise]] = {
    "sound": (run_folder(lambda r: None), Accepted()),
    "link-curve": (run_folder(lambda r: (r / "learn/curve.csv").symlink_to("/etc/hosts")), Refused("link")),
    "link-stage": (run_folder(lambda r: (r / "train").symlink_to("/tmp")), Refused("link")),
    "link-config": (run_folder(lambda r: ((r / "config.json").rename(r.parent / "c"), (r / "config.json").symlink_to("../c"))), Refused("link")),
    "link-dangling": (run_folder(lambda r: (r / "report.html").symlink_to("/nowhere/x")), Refused("link")),
    "link-study": (run_folder(lambda r: (r / "explore/study.db").symlink_to("/etc/hosts")), Refused("link")),
    "pipe": (run_folder(lambda r: os.mkfifo(r / "learn" / "curve.csv")), Refused("pipe")),
    "pipe-done": (run_folder(lambda r: os.mkfifo(r / "explore" / "done.json")), Refused("pipe")),
    "stage-is-file": (run_folder(lambda r: (r / "train").write_text("x")), Either()),
    "other-files": (run_folder(lambda r: ((r / "config.json").unlink(), (r / "thesis.doc").write_text("x"))), Refused()),
    "config-other": (run_folder(lambda r: (r / "config.json").write_text('{"name": "b"}')), Refused("name")),
    "config-unknown-key": (run_folder(lambda r: (r / "config.json").write_text('{"name": "a", "x": 1}')), Refused()),
    **{f"config-{name}": (run_folder(lambda r, text=text: (r / "config.json").write_bytes(text)), Refused()) for name, text in JSON_FAULTS.items()},  # type: ignore[misc]
    "config-folder": (run_folder(lambda r: ((r / "config.json").unlink(), (r / "config.json").mkdir())), Refused()),
    "is-file": (lambda folder: ((folder / "run").write_text("x"), folder / "run")[1], Refused("file")),
    "gone": (lambda folder: folder / "gone", Accepted()),
    "empty": (lambda folder: ((folder / "run").mkdir(), folder / "run")[1], Accepted()),
}  # fmt: skip


def facts(path: Path) -> dict[str, Any]:
    return read_facts(path, "delete it")


def checkpoint(content: Callable[[Path], object]) -> Make:
    def make(folder: Path) -> Path:
        content(folder / "checkpoint.pth")
        return folder

    return make


def saved(**state: Any) -> Callable[[Path], object]:
    def save(path: Path) -> None:
        import torch

        torch.save(state, path)

    return save


def zip_bomb(path: Path) -> None:
    """A checkpoint whose tensor of 4 numbers unpacks to 256 MiB."""
    import zipfile

    import torch

    torch.save({"model": torch.zeros(4)}, path)
    with (
        zipfile.ZipFile(path) as source,
        zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb,
    ):
        for member in source.infolist():
            with bomb.open(member.filename, "w") as target:
                target.write(source.read(member))
                for _ in range(32 if member.filename.endswith("data/0") else 0):
                    target.write(bytes(2**23))
    path.with_suffix(".zip").rename(path)


STATE: dict[str, Any] = dict(step=2, seconds=1.0, model={}, optimizers={}, schedulers={})
CHECKPOINTS: dict[str, tuple[Make, Promise]] = {
    "sound": (checkpoint(saved(**STATE)), Accepted(lambda s: s["step"] == 2)),
    "none": (given(Path("/nowhere")), Accepted(lambda s: s is None)),
    **{name: (checkpoint(saved(**change)), Refused()) for name, change in {
        "nokeys": {}, "step-big": {**STATE, "step": 10**9}, "step-0": {**STATE, "step": 0}, "step-text": {**STATE, "step": "2"}, "step-true": {**STATE, "step": True}, "step-fraction": {**STATE, "step": 2.5},
        "seconds-nan": {**STATE, "seconds": float("nan")}, "seconds-text": {**STATE, "seconds": "1"}, "no-model": {k: v for k, v in STATE.items() if k != "model"},
    }.items()},
    **{name: (checkpoint(lambda p, content=content: p.write_bytes(content)), Refused()) for name, content in {  # type: ignore[misc]
        "empty": b"", "zeros": bytes(5000), "pickle": b"cos\nsystem\n(S'touch EXECUTED'\ntR.", "zip-torn": b"PK\x03\x04" + bytes(100), "html": b"<html>",
    }.items()},
    "zip-bomb": (checkpoint(zip_bomb), Refused()),
    "sparse-3gib": (checkpoint(lambda p: (p.write_bytes(b"\x80\x02"), os.truncate(p, 3 * 2**30))), Refused()),
}  # fmt: skip


def of_ten(folder: Path) -> Any:
    return load_checkpoint(folder, steps=10)


def inputs() -> tuple[Input, ...]:
    curves: dict[str, tuple[Make, Promise]] = {name: (curve(content), Refused()) for name, content in CURVES.items()}
    resumed: dict[str, tuple[Make, Promise]] = {
        name: (curve(content), Accepted(lambda lines: lines[-1].endswith("0.5") and "5" in lines[-1]))
        for name, content in RESUMED.items()
    }
    labels: dict[str, tuple[Make, Promise]] = {
        **{name: (file_of(text, "config.json"), Refused()) for name, text in JSON_FAULTS.items() if name not in ("digits", "surrogate-key")},
        "number": (file_of(b'{"label_names": 3}', "config.json"), Refused()),
        "numbers": (file_of(b'{"label_names": [1, 2]}', "config.json"), Accepted(lambda names: names == ("1", "2"))),
    }  # fmt: skip
    return (
        *table("truth", truth, TRUTHS),
        *table("nb201", read_table, TABLES),
        *table("ranking", read_ranking, RANKINGS),
        *table("facts", facts, FACTS),
        *table("rank", read_rank_facts, RANKS),
        *table("matrix", read_matrix, MATRICES),
        *table("curve", read_curve, curves),
        *table("resumed-curve", resumed_curve, resumed),
        *table("images-json", read_record, RECORDS),
        *table("labels", read_label_names, labels),
        *table("run", same_run, RUNS),
        *table("checkpoint", of_ten, CHECKPOINTS),
    )
