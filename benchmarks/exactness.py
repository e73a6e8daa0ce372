"""How far fp32 is from fp64 on this processor, and fp64 from the authors' numbers, which are of fp32.

    python -m benchmarks.exactness [--threads 1 2] [--onednn on off]

torch chooses its kernels when it starts, by ATEN_CPU_CAPABILITY (default, avx2 or avx512); oneDNN, which computes the
convolutions, by ONEDNN_MAX_CPU_ISA (such as AVX2). Each line is the largest error of a group of quantities, relative to
the largest magnitude of each; of gradient norms, the median and the largest relative error. The numbers of
``../shared/golden`` are needed.
"""

from __future__ import annotations

import argparse

import torch

from tests import golden_runs as runs


def summary(ours: dict[str, runs.Values], reference: dict[str, runs.Values]) -> str:
    """One line: the error of each group of quantities."""
    parts = []
    networks = {f"{n} {k}": e for n in runs.STORED for k, e in runs.errors(ours[n], reference[n]).items()}
    for words in ("logits", "chan_mean", "first8"):
        parts.append(f"{words} {max(e for k, e in networks.items() if k.endswith(words)):.1e}")
    step, stored = ours["step"], reference["step"]
    parts += [f"{name} {runs.relative_error(step[name], stored[name]):.1e}" for name in ("loss", "queue")]
    gradients = runs.gradient_errors(step, stored)
    parts.append(f"gradients {gradients.median():.1e} / {gradients.max():.1e}")
    for kind in ("teacher_change_l1", "student_bn_sum"):
        mine, theirs = runs.of_kind(step, kind), runs.of_kind(stored, kind)
        parts.append(f"{kind} {max(runs.relative_error(mine[k], v) for k, v in theirs.items() if v.abs() > 1e-3):.1e}")
    statistics = runs.errors(ours["recalibration"], reference["recalibration"])
    parts.append(f"pooled {statistics.pop('pooled_features'):.1e}")
    parts.append(f"statistics {max(statistics.values()):.1e}")
    return ", ".join(parts)


def computed(dtype: torch.dtype) -> dict[str, runs.Values]:
    """Everything that the authors' numbers cover."""
    networks = {name: runs.backbone(name, dtype) for name in runs.STORED}
    return {**networks, "step": runs.step(dtype), "recalibration": runs.recalibration(dtype)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--onednn", nargs="+", choices=["on", "off"], default=["on", "off"])
    args = parser.parse_args()
    capability = torch.backends.cpu.get_cpu_capability()
    torch.set_num_threads(args.threads[0])
    exact = computed(torch.float64)
    authors = {name: runs.backbone_reference(name) for name in runs.STORED}
    authors |= {"step": runs.step_reference(), "recalibration": runs.recalibration_reference()}
    print(f"{capability}, fp64 against the authors' fp32: {summary(exact, authors)}", flush=True)
    for threads in args.threads:
        torch.set_num_threads(threads)
        for onednn in args.onednn:
            with torch.backends.mkldnn.flags(enabled=onednn == "on"):
                line = summary(computed(torch.float32), exact)
            print(f"{capability}, {threads} threads, oneDNN {onednn}, fp32 against fp64: {line}", flush=True)


if __name__ == "__main__":
    main()
