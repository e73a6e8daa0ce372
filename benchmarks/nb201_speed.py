"""Time of a learning step on NAS-Bench-201's cells beside its bare compute.

    python benchmarks/nb201_speed.py --images cifar10.npz --threads 1

Images are CIFAR-10 as a folder or an .npz of JPEGs, as for ``pinas-zoo evidence``. Writes results/nb201_speed.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.device import get_device

from pinas_zoo.errors import UserError
from pinas_zoo.search.context import Context
from pinas_zoo.search.evidence.budget import TIMED, Step, learning_step, step_seconds
from pinas_zoo.search.evidence.images import image_folder
from pinas_zoo.search.evidence.measure import machine
from pinas_zoo.search.evidence.plan import PlannedRun, find_evidence, load_evidence
from pinas_zoo.search.methods.pinas import PiNASMethod
from pinas_zoo.weights.atomic import write_text

RESULT = Path(__file__).parent / "results" / "nb201_speed.md"


def bare_step(context: Context) -> Step:
    """Run a step's paths forward and backward, and for Π-NAS two more forward, without views, head, loss and update."""
    method, size = context.method(), context.config.data.image_size
    assert method.learned is not None
    supernet = method.learned.to(get_device())
    x = torch.randn(context.config.learn.batch_size, 3, size, size, device=get_device())
    x = x.contiguous(memory_format=torch.channels_last)

    def step(k: int) -> None:
        supernet.zero_grad()
        for path in method.sample_paths(k):
            supernet(x, path).sum().backward()
            if isinstance(method, PiNASMethod):
                with torch.no_grad():
                    supernet(x, path)

    return step


def speed(names: Sequence[str], size: int, threads: int, images: Path, work: Path) -> str:
    """Return the page of results: a step of each method beside its bare compute."""
    torch.set_num_threads(threads)
    evidence = load_evidence(find_evidence("nasbench201"))
    lines = [
        "# A learning step on NAS-Bench-201's cells, beside its bare compute",
        "",
        f"`python benchmarks/nb201_speed.py --images IMAGES --threads {threads}`; {machine()}. 128 images "
        f"of 16 x 16 pixels, one cell a stage, {size} architectures. Bare: the same paths forward and backward, and "
        "the two teacher passes; no views, head, loss or update. Milliseconds of the CPU, or of the clock on a "
        f"card, mean of {TIMED} steps of each, by turns.",
        "",
        "| supernet | step, ms | bare, ms | ratio | images/s a core | bare |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        config = PlannedRun(evidence, name, size, 0, 1, threads).search_config(images, 1)
        context = Context.of(config, work / "speed" / name, say=lambda text: None)
        step, bare = step_seconds(learning_step(context), bare_step(context))
        count = config.learn.batch_size
        lines.append(
            f"| {evidence.runs[name].title} | {1000 * step:.0f} | {1000 * bare:.0f} | {step / bare:.2f} "
            f"| {count / step:.0f} | {count / bare:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="CIFAR-10: a folder, or an .npz of JPEGs")
    parser.add_argument("--runs", nargs="+", default=["pinas", "spos", "fairnas"], help="(default: %(default)s)")
    parser.add_argument("--size", type=int, default=729, help="architectures of the space (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/nb201"))
    args = parser.parse_args()
    text = speed(args.runs, args.size, args.threads, image_folder(args.images, args.work_dir), args.work_dir)
    write_text(RESULT, text)
    print(text)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
