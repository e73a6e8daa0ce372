"""Coverage-guided fuzzing of the readers of untrusted files, by atheris (``pip install atheris``; not a dependency).

    python tests/hostile/fuzz.py                      # the readers
    python tests/hostile/fuzz.py images --minutes 30  # one reader, 30 CPU minutes; findings are printed and kept
    python tests/hostile/fuzz.py all --minutes 30     # each in turn, and a table of executions and findings

A finding is an error that is no UserError, or an input that takes more than a minute or 2 GiB. Its file is kept in the
folder of ``--out``; it then belongs into the tables beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
Reader = Callable[[bytes], object]


def _by_file(name: str, read: Callable[[Path], object]) -> Reader:
    """A reader of a path, given the content of a file in memory where there is one."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))

    def one(data: bytes) -> object:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return one


def readers() -> dict[str, tuple[Callable[[], Reader], Callable[[], list[bytes]]]]:
    """Readers by name, each with inputs to begin from. Imports happen when one is chosen."""

    def images() -> Reader:
        from pinas_zoo.data.decoding import UnreadableImage, decode
        from pinas_zoo.errors import UserError

        def one(data: bytes) -> object:
            try:
                return decode(data)
            except UnreadableImage as error:
                raise UserError(str(error)) from None

        return one

    def image_seeds() -> list[bytes]:
        from tests.hostile.image_inputs import KINDS, encoded

        return [encoded(kind) for kind in KINDS] + [encoded("JPEG", progressive=True), encoded("PNG", "P")]

    def tars() -> Reader:
        from pinas_zoo.data.shards import read_headers

        return _by_file("train-0.tar", lambda path: list(read_headers(path)))

    def tar_seeds() -> list[bytes]:
        from tests.hostile.folder_inputs import PNG, header, pax, tar

        with tempfile.TemporaryDirectory() as folder:
            tar(Path(folder) / "a.tar", {"0.png": PNG, "0.cls": b"1", "1.png": PNG, "1.json": b'{"label": 0}'})
            sound = (Path(folder) / "a.tar").read_bytes()
        return [sound, header("0.png", 0), pax(path="x") + header("a.png", 0) + bytes(1024)]

    def tables() -> Reader:
        from pinas_zoo.search.ranking.truth_csv import read_truth

        return _by_file("t.csv", read_truth)

    def curves() -> Reader:
        from pinas_zoo.engine.curve import CURVE, read_curve

        return _by_file(CURVE, lambda path: read_curve(path.parent))

    def rankings() -> Reader:
        from pinas_zoo.search.run_files import read_ranking

        return _by_file("ranking.csv", read_ranking)

    def facts() -> Reader:
        from pinas_zoo.search.run_files import read_facts, read_rank_facts

        def both(path: Path) -> None:
            with contextlib.suppress(ValueError):
                read_facts(path, "delete it")
            read_rank_facts(path)

        return _by_file("done.json", both)

    def configs() -> Reader:
        from pinas_zoo.weights.model_folder import parse_config

        return lambda data: parse_config(data, "config.json")

    def config_seeds() -> list[bytes]:
        from tests.hostile.network_inputs import ARGUMENTS, CONFIG, with_args

        return [
            json.dumps(CONFIG).encode(),
            *(json.dumps(with_args(**a), default=str).encode() for a in list(ARGUMENTS.values())[:20] if a),
        ]

    def safetensors() -> Reader:
        from pinas_zoo.weights.tensors import load_tensors

        read = _by_file("x.safetensors", load_tensors)

        def one(data: bytes) -> object:
            if data.startswith(b"{"):  # a header: random changes would break its length first of all
                data = len(data).to_bytes(8, "little") + data + bytes(64)
            return read(data)

        return one

    def safetensors_seeds() -> list[bytes]:
        head = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"__metadata__":{"format":"pt"}}'
        two = (
            b'{"a":{"dtype":"BF16","shape":[4,2],"data_offsets":[0,16]},'
            b'"b":{"dtype":"I64","shape":[6],"data_offsets":[16,64]}}'
        )
        return [len(head).to_bytes(8, "little") + head + bytes(16), head[:-1] + b" " * 8 + b"}", two]

    def checkpoints() -> Reader:
        from pinas_zoo.weights.checkpoint_reader import read_checkpoint

        read = _by_file("x.pth", read_checkpoint)

        def one(data: bytes) -> object:
            if data.startswith(b"\x80"):  # a pickle: random changes of a zip file would break its sums first of all
                buffer = io.BytesIO()
                with zipfile.ZipFile(buffer, "w") as archive:
                    for name, content in {"data.pkl": data, "byteorder": b"little", "data/0": bytes(64)}.items():
                        archive.writestr(f"x/{name}", content)
                    archive.writestr("x/version", b"3\n")
                data = buffer.getvalue()
            return read(data)

        return one

    def checkpoint_seeds() -> list[bytes]:
        import torch

        seeds = []
        for zipped in (True, False):
            buffer = io.BytesIO()
            torch.save(
                {"state_dict": {"conv.weight": torch.zeros(2, 2)}}, buffer, _use_new_zipfile_serialization=zipped
            )
            seeds.append(buffer.getvalue())
            if zipped:
                with zipfile.ZipFile(buffer) as archive:
                    seeds.append(archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl"))))
        return seeds

    def coco() -> Reader:
        from pinas_zoo.openmmlab.coco_annotations import mask_kind, read_coco

        def one(path: Path) -> None:
            for annotation in read_coco(path).annotations or ():
                with contextlib.suppress(ValueError):  # the caller's words for a mask that is none
                    mask_kind(annotation.get("segmentation"), 40, 60)

        return _by_file("a.json", one)

    def coco_seeds() -> list[bytes]:
        from tests.hostile.dataset_inputs import RLE, content

        values = content()
        values["annotations"][0]["segmentation"] = RLE
        return [json.dumps(values).encode(), json.dumps(content()).encode()]

    def archs() -> Reader:
        from pinas_zoo.models.nasbench201 import parse_arch

        return lambda data: parse_arch(data.decode("utf-8", "surrogateescape"))

    def settings() -> Reader:
        from pinas_zoo.search.config import parse_config, parse_overrides

        def one(data: bytes) -> None:
            found = parse_overrides([data.decode("utf-8", "surrogateescape")])
            parse_config({"name": "a", "data": {"type": "digits"}, **found})

        return one

    def plain(*texts: bytes) -> Callable[[], list[bytes]]:
        return lambda: list(texts)

    return {
        "images": (images, image_seeds),
        "tars": (tars, tar_seeds),
        "tables": (tables, plain(b"arch,accuracy\n0123,50\n", b'\xef\xbb\xbfarch;accuracy\r\n"01";nan\r\n')),
        "curves": (curves, plain(b"step,lr\n1,0.5\n2,nan\n")),
        "rankings": (rankings, plain(b"rank,arch,accuracy,loss,params_m,flops_g\n1,0123,0.5,1,1,1\n")),
        "facts": (
            facts,
            plain(
                b'{"summary": "x", "seconds": 1.5, "winner": "0123", "references": {"a": 1.0}}',
                b'{"count": 3, "column": "c", "truth": "t", "score": {"value": 0.5, "low": 0, "high": 1}}',
            ),
        ),
        "configs": (configs, config_seeds),
        "safetensors": (safetensors, safetensors_seeds),
        "checkpoints": (checkpoints, checkpoint_seeds),
        "coco": (coco, coco_seeds),
        "archs": (archs, plain(b"0123", b"|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|")),
        "settings": (settings, plain(b"seed=3", b"name=a", b"learn={'lr': 1e9}", b"data.image_size=32")),
    }


def fuzz(name: str, minutes: float, out: Path) -> None:
    """Fuzz one reader in this process, which atheris ends."""
    import atheris

    make, seeds = readers()[name]
    with atheris.instrument_imports(include=["pinas_zoo", "PIL", "tarfile", "json", "csv", "zipfile", "pickle"]):
        read = make()
    from pinas_zoo.errors import UserError

    corpus = out / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for k, seed in enumerate(seeds()):
        (corpus / f"seed-{k}").write_bytes(seed)
    warnings.simplefilter("ignore")

    def one(data: bytes) -> None:
        with contextlib.suppress(UserError), contextlib.redirect_stderr(io.StringIO()):
            read(data)

    arguments = [f"-max_total_time={int(minutes * 60)}", "-timeout=60", "-rss_limit_mb=2600", "-max_len=65536"]
    arguments += [f"-artifact_prefix={out / name}/finding-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], one)
    atheris.Fuzz()


def fuzz_in_process(name: str, minutes: float, out: Path) -> tuple[int, int, float]:
    """Executions, findings and CPU seconds of one reader, fuzzed in processes of its own until its CPU time is over."""
    start, executions, findings = children_seconds(), 0, 0
    log = out / f"{name}.log"
    while (left := minutes - (children_seconds() - start) / 60) > 0.02:
        words = [sys.executable, __file__, name, "--minutes", f"{left:.3f}", "--out", str(out), "--here"]
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
        with log.open("a") as file:
            file.write(done.stderr[-20_000:])
        found = re.search(r"number_of_executed_units: (\d+)", done.stderr)
        executions += int(found[1]) if found else 0
        findings += done.returncode != 0
        if not found:  # it did not begin
            break
    return executions, findings, children_seconds() - start


def children_seconds() -> float:
    """CPU seconds of the processes that ended: a busy machine fuzzes longer, not less."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", nargs="?", help=f"one of {', '.join(readers())}, or all")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=Path("fuzz_findings"), help="folder of findings and corpora")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.reader is None:
        parser.print_help()
        return 0
    names = list(readers()) if args.reader == "all" else [args.reader]
    if not set(names) <= set(readers()):
        parser.error(f"expected one of {', '.join(readers())}, or all, got {args.reader!r}")
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("expected atheris, found none; pip install atheris", file=sys.stderr)
        return 2
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if args.here:
        fuzz(args.reader, args.minutes, out)
    print(f"{'reader':<14}{'executions':>12}{'findings':>10}{'CPU s':>10}")
    total = 0
    for name in names:
        executions, findings, seconds = fuzz_in_process(name, args.minutes, out)
        total += findings
        print(f"{name:<14}{executions:>12,}{findings:>10}{seconds:>10.0f}", flush=True)
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
