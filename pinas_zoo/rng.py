"""Random numbers as a function of the run's seed, the step and their purpose, so that a resumed run repeats them.

Only initial weights come from torch's global generator, which is seeded before a network is built.
"""

from __future__ import annotations

from enum import IntEnum, unique

import numpy as np


@unique
class Stream(IntEnum):
    """Purpose of random numbers. Different numbers give independent streams of the same seed and step.

    Changing a number, or using it again for another purpose, would change results of runs.
    """

    EVIDENCE = 0  # which architectures an evidence run scores
    LEARN_PATHS = 1  # the paths of a learning step
    LINEAR_PATHS = 3  # the path of a step of linear evaluation
    PROPOSALS = 4  # architectures proposed in exploration; an attempt takes the place of the rank
    RECALIBRATION = 5  # which training images recalibrate batch norm
    SHUFFLE = 6  # which images share the teacher's batch statistics
    BEGINNINGS = 8  # paths whose features are compared (Figure 5)
    SIMILARITY_IMAGES = 9  # images on which they are compared
    SPLIT = 10  # which training images are held out
    ORDER = 11  # order of the images in an epoch
    IMAGE_VIEWS = 12  # augmentation of an image; the rank is its position in the global batch
    LIMITS = 13  # architectures whose costs are compared with the limits
    CONSISTENCY_VIEWS = 14  # views for scores by consistency
    TEST_SPLIT = 15  # which images are test images, for data without a test split
    HELD_OUT_ORDER = 16  # order of the held-out images, for phases that train on them
    HELD_OUT_VIEWS = 17  # augmentation of the held-out images, for phases that train on them
    SCORED_IMAGES = 18  # subset of the held-out images on which candidates are scored
    IMAGE_LIMIT = 19  # which images max_train or max_test keeps
    SAMPLER = 20  # candidates that the action-space sampler draws from the whole space
    LEAF_CANDIDATES = 21  # candidates that it draws from a leaf, which takes the place of the rank
    SINGLE_PARAMETERS = 22  # parameters that it draws one at a time; a hash of the name takes the place of the rank
    RECALIBRATION_VIEWS = 23  # augmentation of the recalibration images; the rank is their position among them
    COMPARED = 24  # architectures of like cost that are trained beside a search's winner
    GATES = 25  # Gumbel noise of architecture parameters; the position of the phase takes the place of the rank
    PROBED_PATHS = 26  # paths on which a learned supernet is compared with its first weights
    TRAIN_NOISE = 30  # mixup, cutmix, erasing and dropout of a step of stand-alone training; the rank is the process's
    TRAIN_TRANSFORM = 31  # timm's transforms of the training images of a step; a number for each position in the batch
    STUDIED = 40  # architectures that a study trains alone, one a step
    ZERO_COST_IMAGES = 50  # held-out images on which training-free scores are computed
    ZERO_COST_WEIGHTS = 51  # initial weights of a network that such a score rates; a hash of its name takes the rank
    LATENT_POOL = 60  # architectures that represent a large space for arch2vec
    LATENT_SPACE = 61  # weights, order and noise of arch2vec's autoencoder
    LATENT_REGRESSION = 62  # weights and order of its regression, after a number of scores


def step_rng(seed: int, step: int, stream: int, rank: int = 0) -> np.random.Generator:
    """Create the random generator of a step.

    Args:
        seed: Seed of the run.
        step: Index of the step, epoch, batch or trial, from 0.
        stream: A :class:`Stream`.
        rank: Rank of the process, or 0 for random numbers that all processes share.

    Example:
        >>> from pinas_zoo.rng import Stream, step_rng
        >>> a, b = (step_rng(0, 7, Stream.LEARN_PATHS).integers(100, size=3).tolist() for _ in range(2))
        >>> a == b
        True
    """
    return np.random.default_rng([seed, step, stream, rank])
