"""Failures of a run that user's data cause where the checks before it did not look, in one line.

Large sets are checked by samples, so a damaged image may still reach a worker. torch hands a worker's exception on with
its traceback as text.
"""

from __future__ import annotations

import re

ALL = "`pinas-zoo doctor --config CONFIG --data-root FOLDER --all` reads every file and names it"
_KNOWN = {
    # mmengine's words for an empty data set
    r"at least one array to concatenate": (
        "expected images with labels, got none: every image of a data set is without annotations, or its folder is "
        "empty; `pinas-zoo doctor --config CONFIG` counts them"
    ),
    r"failed to load image: (\S+)": "expected an image, got {0}, which cannot be read; get it again, or take it out",
    r"No such file or directory: '([^']+)'": "expected the file {0}, which is not there; get it, or take it out",
    r"cannot identify image file": f"expected masks that are images, got another or an empty file; {ALL}",
    r"Target (\d+) is out of bounds": (
        f"expected labels below the number of classes in the masks, got {{0}} after loading; {ALL}"
    ),
    r"stack expects each tensor to be equal size|shape of the mask .* does not match the shape of the indexed": (
        f"expected masks of one channel and of their images' size, got another; {ALL}"
    ),
    r"resize\.cpp.*inv_scale_x > 0": (
        f"expected images that keep a pixel when they are resized, got a narrower one; {ALL}"
    ),
    r"Expected more than 1 value per channel when training, got input size ([^\n]+)": (
        "expected more than one value per channel for a norm of the model in training, got an input of {0}; set "
        "train_dataloader.batch_size=2 or more, or norm_cfg=dict(type='GN', num_groups=32) in that head"
    ),
    r"loaded state dict (?:contains a parameter group|has a different number of parameter groups)": (
        "expected the optimizer of the resumed checkpoint, got a config whose optimizer groups parameters otherwise; "
        "resume with the run's own config, or start from its weights alone: load_from=CHECKPOINT"
    ),
}


def in_one_line(error: BaseException) -> str | None:
    """The message for a known failure; None for another, which is a fault of the program."""
    text = str(error)
    for pattern, message in _KNOWN.items():
        if match := re.search(pattern, text, re.DOTALL if "resize" in pattern else 0):
            return message.format(*(group.strip() for group in match.groups()))
    return None
