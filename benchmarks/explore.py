"""Speed of scoring candidates together and one after another, and growth of memory with the number of candidates.

    python benchmarks/explore.py --images cifar10_jpegpack.npz            # CIFAR-10 as JPEGs, about four minutes of CPU
    python benchmarks/explore.py --images coco/val2017                    # a folder of JPEGs of usual photograph size
    python benchmarks/explore.py --images FILE --candidates 8 --count 8   # a quick look

Candidates are random paths of the paper's 4^16 space at full width; images are small. It compares three ways with the
same statistics and scores:

- anew:     one after another; images are decoded for each candidate; torch's default contiguous memory format;
- kept:     one after another by the PathEvaluator; images are decoded once;
- together: all in one call of the PathEvaluator; common first layers are computed once.

Times are CPU seconds of this process, which other load hardly influences; run with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import copy
import io
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import Images, fit
from pinas_zoo.engine.batchnorm import recalibrated
from pinas_zoo.rng import step_rng
from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.base import SearchSpace, Supernet
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space

SMALL = dict(depths=(1, 2, 2, 1), widths=(16, 16, 16, 16), stem_width=8, zero_init_last=False)  # 4^6, for memory
CLASSES = 10


@dataclass(frozen=True)
class Jpegs:
    """Encoded images that are decoded on every access."""

    files: Sequence[bytes]
    labels: torch.Tensor
    size: int

    def decoded(self) -> Images:
        pixels = [fit(np.array(Image.open(io.BytesIO(f)).convert("RGB")), self.size, 1.0) for f in self.files]
        return Images(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(), self.labels)


def read_jpegs(path: Path, count: int, size: int) -> tuple[Jpegs, Jpegs]:
    """Read ``count`` images for recalibration and ``count`` for scoring; images of a folder get random labels."""
    if path.is_dir():
        names = sorted(path.rglob("*.jpg"))
        files = [names[k % len(names)].read_bytes() for k in range(2 * count)]
        labels = torch.from_numpy(np.random.default_rng(0).integers(CLASSES, size=2 * count))
    else:
        pack = np.load(path)
        header, body, at = pack["header"].tobytes(), pack["body"].tobytes(), pack["offsets"]
        files = [header + body[at[k] : at[k + 1]] for k in range(2 * count)]
        labels = torch.from_numpy(pack["labels"][: 2 * count].astype(np.int64))
    return Jpegs(files[:count], labels[:count], size), Jpegs(files[count:], labels[count:], size)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float().div_(128).sub_(1)


def build(space: SearchSpace) -> tuple[Supernet, nn.Linear]:
    torch.manual_seed(0)
    supernet = space.supernet().eval().requires_grad_(False)
    return supernet, nn.Linear(supernet.num_features, CLASSES)


@torch.no_grad()
def anew(supernet: Supernet, classifier: nn.Linear, jpegs: tuple[Jpegs, Jpegs], batch_size: int, path: Arch) -> Score:
    def inputs(part: Jpegs) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in part.decoded().batches(batch_size):
            yield normalise(batch["pixels"].to(device)), batch["labels"].to(device)

    device = classifier.weight.device

    modules = [module for _, module in supernet.path_modules(path)]
    correct, loss, count = 0, 0.0, 0
    with recalibrated(modules, (supernet(x, path) for x, _ in inputs(jpegs[0]))):
        for x, labels in inputs(jpegs[1]):
            logits = classifier(supernet(x, path))
            correct += int((logits.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            count += len(labels)
    return Score(correct / count, loss / count)


def seconds(run: Callable[[], list[Score]]) -> tuple[float, list[Score]]:
    started = time.process_time()
    scores = run()
    return time.process_time() - started, scores


def rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def random_paths(space: SearchSpace, count: int) -> list[Arch]:
    paths: dict[Arch, None] = {}
    for step in range(100 * count):
        if len(paths) == count:
            break
        paths[space.sample(step_rng(0, step, 0))[0]] = None
    return list(paths)


class Comparison:
    """Scores the same random paths in the three ways, on the device that the PathEvaluator chooses.

    Args:
        jpegs: Images to recalibrate and to score.
        candidates: Number of paths.
        batch_size: Images of a batch.
        space: Space of the paths. None: the paper's.
    """

    def __init__(
        self, jpegs: tuple[Jpegs, Jpegs], candidates: int, batch_size: int, space: ResNeSt50Space | None = None
    ):
        self.space = space or ResNeSt50Space(zero_init_last=False)
        supernet, classifier = build(self.space)
        plain = copy.deepcopy(supernet)
        parts = jpegs[0].decoded(), jpegs[1].decoded()
        self.evaluator = PathEvaluator(supernet, classifier, *parts, normalise, batch_size)
        plain = plain.to(self.evaluator.device)
        self.paths = random_paths(self.space, candidates)
        self.inputs = [
            normalise(batch["pixels"].to(self.evaluator.device)).contiguous(memory_format=torch.channels_last)
            for part in parts
            for batch in part.batches(batch_size)
        ]
        self.ways: dict[str, Callable[[], list[Score]]] = {
            "anew": lambda: [anew(plain, classifier, jpegs, batch_size, path) for path in self.paths],
            "kept": lambda: [self.evaluator.score(path) for path in self.paths],
            "together": lambda: self.evaluator.scores(self.paths),
        }
        self.evaluator.score(self.paths[0])  # warm
        anew(plain, classifier, jpegs, batch_size, self.paths[0])

    @torch.no_grad()
    def passes(self) -> None:
        """Run only the forward passes of each path over all images, one after another, without statistics."""
        for path in self.paths:
            for x in self.inputs:
                self.evaluator.supernet(x, path)


def speed(args: argparse.Namespace) -> None:
    comparison = Comparison(read_jpegs(args.images, args.count, args.size), args.candidates, args.batch_size)
    space, paths, evaluator, ways = comparison.space, comparison.paths, comparison.evaluator, comparison.ways
    edges = {str(path)[:k] for path in paths for k in range(space.num_layers + 1)}
    found = {name: seconds(run) for name, run in ways.items()}
    taken, expected = {name: t for name, (t, _) in found.items()}, found["anew"][1]
    print(f"{len(paths)} candidates, {args.count} images to recalibrate and {args.count} to score, {args.size} pixels")
    print(f"stem and layers computed: {len(edges)} of {len(paths) * (space.num_layers + 1)}\n")
    print("| way | CPU seconds | candidates a minute | times anew | same accuracies | loss differs by, relative |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, (time_taken, scores) in found.items():
        equal = sum(a.accuracy == b.accuracy for a, b in zip(scores, expected, strict=True))
        difference = max(abs(a.loss / b.loss - 1) for a, b in zip(scores, expected, strict=True))
        print(
            f"| {name} | {time_taken:.1f} | {60 * len(paths) / time_taken:.1f} | {taken['anew'] / time_taken:.2f} "
            f"| {equal} of {len(paths)} | {difference:.1e} |"
        )
    print(f"\ntogether and one by one are equal to the bit: {found['together'][1] == found['kept'][1]}")
    counts = [n for n in (1, 4, 16) if n < len(paths)]
    each = [f"{n}: {seconds(partial(evaluator.scores, paths[:n]))[0] / n:.2f}" for n in counts]
    each.append(f"{len(paths)}: {taken['together'] / len(paths):.2f}")
    print(f"CPU seconds a candidate, by how many are scored together: {', '.join(each)}")


def memory(count: int) -> None:
    space = ResNeSt50Space(**SMALL)  # type: ignore[arg-type]
    supernet, classifier = build(space)
    pixels = torch.randint(0, 256, (64, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images = Images(pixels, torch.arange(64) % CLASSES)
    evaluator = PathEvaluator(supernet, classifier, images, images, normalise, 32)
    paths, taken = random_paths(space, count), []
    print(f"\nresident memory, {len(paths)} candidates of a small space, 8 together:")
    for start in range(0, len(paths), 8):
        evaluator.scores(paths[start : start + 8])
        taken.append(rss_mib())
    marks = sorted({round(k * (len(taken) - 1) / 5) for k in range(6)})
    print(", ".join(f"{min(8 * (k + 1), len(paths))}: {taken[k]:.1f} MiB" for k in marks))
    print(f"growth after the first tenth: {taken[-1] - taken[len(taken) // 10]:+.1f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="a JPEG pack (.npz) or a folder of JPEGs")
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--count", type=int, default=32, help="images of each kind (default: 32)")
    parser.add_argument("--size", type=int, default=64, help="pixels (default: 64)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--memory", type=int, default=1000, help="candidates of the memory test; 0 leaves it out")
    args = parser.parse_args()
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    speed(args)
    if args.memory:
        memory(args.memory)


if __name__ == "__main__":
    main()
