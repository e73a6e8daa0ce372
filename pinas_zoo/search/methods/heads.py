"""Initial weights of heads and classifiers. The released code does not start them as torch does."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

HeadInit = Literal["kaiming", "torch"]  # of an MLP head
CLASSIFIER_STD = 0.01


def initialise_head(head: nn.Module, how: str) -> None:
    """Initialise the linear layers of an MLP head in place, with torch's global generator.

    Args:
        head: The head. Layers other than linear ones keep their weights.
        how: ``kaiming``, as in the released code: weights N(0, 2 / fan_in), with ``fan_in`` the inputs of a layer (a
            standard deviation of 0.031 for 2,048 of them), and biases 0. ``torch``: uniform within 1 / sqrt(fan_in),
            biases too (a standard deviation of 0.013), as torch has initialised them already.

    Raises:
        ValueError: ``how`` is neither.
    """
    if how not in get_args(HeadInit):
        raise ValueError(f"expected head_init 'kaiming' or 'torch', got {how!r}")
    if how == "torch":
        return
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            nn.init.zeros_(layer.bias)


def new_classifier(num_features: int, num_classes: int) -> nn.Linear:
    """Create a linear classifier that starts as the released code's: weights N(0, 0.01^2), biases 0."""
    classifier = nn.Linear(num_features, num_classes)
    nn.init.normal_(classifier.weight, std=CLASSIFIER_STD)
    nn.init.zeros_(classifier.bias)
    return classifier
