"""Random numbers: a function of the run's seed, the step and what they are for, so that a resumed run draws the same.

Only weights are initialised from torch's global generator, which is seeded where they are made.
"""

from __future__ import annotations

from enum import IntEnum, unique

import numpy as np


@unique
class Stream(IntEnum):
    """What random numbers are drawn for; streams of one seed and step are independent of each other.

    A number is never used again for another purpose: what was drawn before would change.
    """

    EVIDENCE = 0  # which architectures an evidence scores
    LEARN_PATHS = 1  # the paths of a learning step
    LINEAR_PATHS = 3  # the path of a step of linear evaluation
    PROPOSALS = 4  # architectures proposed in exploration; attempt k of a proposal draws from 4 + 100 k
    RECALIBRATION = 5  # which training images recalibrate batch norm
    SHUFFLE = 6  # which images share the teacher's batch statistics
    BEGINNINGS = 8  # paths of which the similarity of features is measured
    SIMILARITY_IMAGES = 9  # images that it is measured on
    SPLIT = 10  # images held out of the training images
    ORDER = 11  # shuffling of the images, an epoch at a time
    IMAGE_VIEWS = 12  # augmentation of an image; the rank is its position in the global batch
    LIMITS = 13  # architectures looked at to see whether limits can be met
    CONSISTENCY_VIEWS = 14  # views by which consistency is scored
    TEST_SPLIT = 15  # test images, of data without a test split of its own
    HELD_OUT_ORDER = 16  # shuffling of the held-out images, for phases that learn on them
    HELD_OUT_VIEWS = 17  # their augmentation
    IMAGE_LIMIT = 19  # which images are used where max_train or max_test leaves some out
    SCORED_IMAGES = 18  # which held-out images candidates are scored on, where not all are


def step_rng(seed: int, step: int, stream: int, rank: int = 0) -> np.random.Generator:
    """The generator of one step.

    Args:
        seed: Of the run.
        step: Counts from 0; an epoch or a number of a trial where the stream says so.
        stream: A :class:`Stream`.
        rank: 0 for what all processes share.
    """
    return np.random.default_rng([seed, step, stream, rank])
