"""Inference speed of the networks on this CPU beside timm's, in one interleaved run. It needs only the package.

    python benchmarks/inference.py                                    # about ten minutes on two cores
    python benchmarks/inference.py --size 128 --batch 4 --repeats 5   # a quick look
    python benchmarks/inference.py --threads 1 --tag one_thread       # results/inference_one_thread.md

It prints three tables: images/s and peak memory of whole networks (the columns of the paper's Table 2); our block and
timm's at equal width (``arch="1" * 16`` is ResNeSt-50), in inference and in a training step; and ``pinas_zoo.fuse``
beside the unfused network.

Every round runs each competitor once, so that other load affects all of them. A ratio is the median over rounds of the
ratio within a round. Weights are random, because speed does not depend on them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

import pinas_zoo
from pinas_zoo.analysis.hardware import hardware
from pinas_zoo.weights.atomic import write_text

NETWORKS = ("resnet50", "resnest50d", "efficientnet_b3", "pinas_alpha", "pinas_gamma")
FUSED = ("pinas_alpha", "pinas_gamma")
Row = Sequence[str]


def build(name: str) -> nn.Module:
    """Build a network by timm's name, ``fuse(NAME)`` for a fused one, or ``ours`` or ``timm`` for a ResNeSt-50."""
    if name.startswith("fuse("):
        return pinas_zoo.fuse(build(name[5:-1]))
    if name in ("ours", "timm"):
        return timm.create_model("pinas", arch="1" * 16) if name == "ours" else timm.create_model("resnest50d")
    return timm.create_model(name).eval()


def inference(model: nn.Module, images: torch.Tensor) -> Callable[[], None]:
    model.eval()

    def run() -> None:
        with torch.inference_mode():
            model(images)

    return run


def training_step(model: nn.Module, images: torch.Tensor) -> Callable[[], None]:
    model.train()

    def run() -> None:
        model.zero_grad()
        model(images).float().square().mean().backward()

    return run


def convolutions(model: nn.Module, images: torch.Tensor) -> Callable[[], None]:
    """Return a function that runs only the convolutions of a network, on inputs of the same sizes: its bare limit."""
    layers: list[tuple[nn.Module, torch.Tensor]] = []

    def record(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        layers.append((layer, inputs[0].clone()))  # a copy, because later layers may change it in place

    hooks = [m.register_forward_pre_hook(record) for m in model.modules() if isinstance(m, nn.Conv2d)]
    inference(model, images)()
    for hook in hooks:
        hook.remove()

    def run() -> None:
        with torch.inference_mode():
            for layer, inputs in layers:
                layer(inputs)

    return run


def interleave(
    runs: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each run in each round, after a warm-up round; every other round runs in reverse order."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name in list(runs) if turn % 2 else reversed(list(runs)):
            start = clock()
            runs[name]()
            if turn:
                seconds[name].append(clock() - start)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> float:
    """Speed-up of ``fast``, as the median over rounds."""
    return statistics.median(s / f for s, f in zip(slow, fast, strict=True))


def spread(slow: list[float], fast: list[float]) -> str:
    ratios = sorted(s / f for s, f in zip(slow, fast, strict=True))
    return f"{ratios[len(ratios) // 4]:.2f}-{ratios[-1 - len(ratios) // 4]:.2f}"


def throughput_table(args: argparse.Namespace) -> list[Row]:
    names = (*NETWORKS, *(f"fuse({name})" for name in FUSED))
    images = torch.randn(args.batch, 3, args.size, args.size)
    models = {name: build(name) for name in names}
    seconds = interleave({name: inference(model, images) for name, model in models.items()}, args.repeats)
    rows: list[Row] = [("network", "params (M)", "images/s", "ms a batch", "peak memory (MB)")]
    for name, model in models.items():
        median = statistics.median(seconds[name])
        params = sum(p.numel() for p in model.parameters()) / 1e6
        peak = peak_memory_mib(name, args)
        rows.append((name, f"{params:.1f}", f"{args.batch / median:.1f}", f"{median * 1e3:.0f}", f"{peak:.0f}"))
    return rows


def block_table(args: argparse.Namespace) -> list[Row]:
    rows: list[Row] = [("precision", "memory format", "mode", "ours (ms)", "timm (ms)", "timm/ours", "quartiles")]
    for dtype, size, batch in (
        (torch.float32, args.size, args.batch),
        (torch.bfloat16, args.bf16_size, args.bf16_batch),
    ):
        for memory_format in (torch.contiguous_format, torch.channels_last):
            place: dict[str, Any] = dict(dtype=dtype, memory_format=memory_format)
            models = {name: build(name).to(**place) for name in ("ours", "timm")}
            images = torch.randn(batch, 3, size, size).to(**place)
            for mode, task in (("inference", inference), ("training step", training_step)):
                seconds = interleave({name: task(model, images) for name, model in models.items()}, args.repeats)
                ours, theirs = seconds["ours"], seconds["timm"]
                rows.append(
                    (
                        str(dtype).removeprefix("torch."),
                        "channels-last" if memory_format is torch.channels_last else "contiguous",
                        f"{mode}, {batch} x {size}²",
                        f"{statistics.median(ours) * 1e3:.0f}",
                        f"{statistics.median(theirs) * 1e3:.0f}",
                        f"{ratio(theirs, ours):.2f}",
                        spread(theirs, ours),
                    )
                )
                print(*rows[-1], sep="  ", file=sys.stderr)
    return rows


def fuse_table(args: argparse.Namespace) -> list[Row]:
    rows: list[Row] = [
        ("network", "batch", "eager (ms)", "fused (ms)", "eager/fused", "quartiles", "largest difference")
    ]
    for name in FUSED:
        eager = build(name)
        fused = pinas_zoo.fuse(eager)
        for batch in sorted({1, args.batch}):
            images = torch.randn(batch, 3, args.size, args.size)
            repeats = args.repeats * (3 if batch == 1 else 1)
            seconds = interleave({"eager": inference(eager, images), "fused": inference(fused, images)}, repeats)
            with torch.inference_mode():
                expected, found = eager(images), fused(images)
            error = ((found - expected).abs().max() / expected.abs().max()).item()
            slow, fast = seconds["eager"], seconds["fused"]
            rows.append(
                (
                    name,
                    str(batch),
                    f"{statistics.median(slow) * 1e3:.0f}",
                    f"{statistics.median(fast) * 1e3:.0f}",
                    f"{ratio(slow, fast):.2f}",
                    spread(slow, fast),
                    f"{error:.0e}",
                )
            )
            print(*rows[-1], sep="  ", file=sys.stderr)
    return rows


def peak_memory_mib(name: str, args: argparse.Namespace) -> float:
    """Peak resident memory of a separate process that runs a batch twice, minus its memory before building."""
    command = [sys.executable, __file__, "--measure-memory", name, "--size", str(args.size)]
    command += ["--batch", str(args.batch), "--threads", str(args.threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure_memory(args: argparse.Namespace) -> None:
    before = resident_kb("VmRSS")
    run = inference(build(args.measure_memory), torch.randn(args.batch, 3, args.size, args.size))
    run()
    run()
    print((resident_kb("VmHWM") - before) / 1024)


def resident_kb(field: str) -> int:
    """``VmRSS`` (current) or ``VmHWM`` (peak) of this process, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def markdown(rows: Sequence[Row]) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "| --- " * len(rows[0]) + "|", *body])


def machine() -> str:
    return f"{hardware()}; torch {torch.__version__}, timm {timm.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--size", type=int, default=224, help="image side (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="images a batch (default: %(default)s)")
    parser.add_argument(
        "--bf16-size", type=int, default=96, help="image side in bfloat16, slow on many CPUs (%(default)s)"
    )
    parser.add_argument("--bf16-batch", type=int, default=2, help="images a batch in bfloat16 (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=10, help="rounds that count (default: %(default)s)")
    parser.add_argument("--tag", default="", help="write results/inference_TAG.md (default: inference.md)")
    parser.add_argument("--measure-memory", metavar="NETWORK", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if min(args.batch, args.bf16_batch) < 2:
        parser.error("expected batches of at least 2, got less: a training step normalises pooled vectors by batch")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.measure_memory:
        measure_memory(args)
        return
    load = os.getloadavg()[0]
    text = "\n\n".join(
        [
            "# Speed of the networks",
            f"Printed by `{' '.join(['python benchmarks/inference.py', *sys.argv[1:]])}`, which says how it measures.",
            f"{machine()}; {args.threads} threads; load average {load:.1f} at the start, {{load}} at the end.",
            f"## Whole networks, fp32, batch {args.batch}, {args.size}²",
            markdown(throughput_table(args)),
            "## Our block and timm's `resnest50d` at equal width (above 1: ours is faster)",
            markdown(block_table(args)),
            f"## `pinas_zoo.fuse`, fp32, {args.size}²",
            markdown(fuse_table(args)),
        ]
    ).replace("{load}", f"{os.getloadavg()[0]:.1f}")
    path = Path(__file__).parent / "results" / f"inference{'_' + args.tag if args.tag else ''}.md"
    write_text(path, text + "\n")
    print(text)


if __name__ == "__main__":
    main()
