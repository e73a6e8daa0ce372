"""Whether the learn stage taught its supernet anything: linear probes of its paths beside those of its first weights.

Random features classify well above chance, so that accuracies of a search that learned nothing are far from guessing. A
few random paths are probed in the supernet as it was learned, and in the same supernet with the weights from which it
started, which the seed repeats. Probes work for every method that learns a supernet, with labels or without, and for
every kind of score. Nothing here changes the run: both supernets are copies, and torch's generators are what they were
before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import ImageSet
from pinas_zoo.engine.kept_generators import kept_generators
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.context import Context
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.spaces.base import SearchSpace, Supernet
from pinas_zoo.weights.tensors import load_state

ROUNDS = 20  # draws of paths, of which those without the image are left out
PATHS = 4  # on 2,048 images a path takes seconds; paths of one supernet differ far less than images do
LARGEST = 2048  # images on which a probe is fitted, and on which it is tested
FEWEST = 200  # held-out images; on fewer, three standard errors are more than most supernets learn


@dataclass(frozen=True)
class Probed:
    """Mean accuracies of the probes of a few paths, in 0..1.

    Attributes:
        learned: In the supernet that was learned.
        untrained: In the supernet with its first weights.
        images: Number of held-out images.
        text: The same in one line.
    """

    learned: float
    untrained: float
    images: int
    text: str


def probe_beside_untrained(context: Context) -> Probed | None:
    """Probe paths of the learned supernet, whose file is written, and of the one it started from.

    Returns:
        None where this decides nothing: the method learned no supernet or scores paths itself, whose features a probe
        need not tell apart; the images have one class; too few are held out; or none of many paths sees the image.
    """
    path = context.folder / "learn" / "supernet.safetensors"
    splits, seed = context.splits, context.config.seed
    scores_paths = method_class(context.config.learn.method).scores_paths
    if scores_paths or splits.num_classes < 2 or len(splits.val) < FEWEST or not path.is_file():
        return None
    paths = probed_paths(context.space, seed)
    if not paths:
        return None
    known = _some(splits.train, context.config.explore.recalibration_images, seed, Stream.RECALIBRATION)
    held_out = _some(splits.val, LARGEST, seed, Stream.SCORED_IMAGES)
    with kept_generators():
        supernet = context.space.supernet()
        load_state(supernet, path)
        learned = _accuracy(context, supernet, paths, known, held_out)
        first = context.method().learned
        assert first is not None  # its trained weights are in the file
        untrained = _accuracy(context, first, paths, known, held_out)
    text = (
        f"linear probes of {len(paths)} paths name {learned:.1%} of {len(held_out)} held-out images, {untrained:.1%} "
        "with the first weights"
    )
    return Probed(learned, untrained, len(held_out), text)


def probed_paths(space: SearchSpace, seed: int) -> list[Arch]:
    """Different random paths of the supernet, at most :data:`PATHS`, whose output depends on the image.

    Probes of any other name the same share of images before and after learning.
    """
    rng, count = step_rng(seed, 0, Stream.PROBED_PATHS), min(PATHS, space.num_candidates)
    drawn = (path for _ in range(ROUNDS) for path in space.sample(rng, count))
    seeing = dict.fromkeys(path for path in drawn if space.sees_image(path))
    return list(seeing)[:count]


def _some(images: ImageSet, count: int, seed: int, stream: Stream) -> ImageSet:
    """At most ``count`` and :data:`LARGEST` of the images, as the same stream chooses them for scoring."""
    return images.subset(step_rng(seed, 0, stream).permutation(len(images))[: min(count, LARGEST)])


def _accuracy(
    context: Context, supernet: Supernet, paths: Sequence[Arch], known: ImageSet, held_out: ImageSet
) -> float:
    """Mean accuracy of a probe of each path, fitted on some images and tested on others."""
    normalise, size = context.views(context.config.views).normalise, context.config.explore.batch_size
    evaluator = PathEvaluator(supernet, context.splits.num_classes, known, held_out, normalise, size)
    return fmean(score.accuracy for score in evaluator.scores(paths))
