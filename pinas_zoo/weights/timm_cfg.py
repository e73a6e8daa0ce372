"""The fields of timm's pretrained_cfg that this package or timm acts on, checked when a config comes from outside.

They say how an image is prepared and what its classes are called. Means and deviations are finite, because every pixel
is divided by them. A network opens with wider sizes and crops than those to which images are prepared, because its
weights are of use without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pinas_zoo.bounded_reading import is_finite
from pinas_zoo.errors import UserError
from pinas_zoo.weights.size_limits import MAX_CHANNELS, MAX_CLASSES, MAX_RESIZED, MAX_SIDE, shortened

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos", "random")
_NOT_PILLOWS = ("area", "nearest-exact")  # of torch and OpenCV
CROP_MODES = ("center", "squash", "border")
_STD = (1e-6, 1e6)  # a deviation in this range is not 0 in fp32, nor is its inverse
_CROP = (1e-3, 1e3)
_LARGEST_CROP = 4.0  # of an image that is cropped; some of timm's configs have a little more than 1
_LARGEST_SIDE = 2**15  # pixels
_SIZES = ("input_size", "test_input_size", "min_input_size")


def check_cfg(cfg: Mapping[str, Any]) -> None:
    """Check types and ranges of the fields of a pretrained_cfg; None stands for one that is left out.

    Raises:
        ValueError: With the first field that is of another form or out of range.
    """

    def check(keys: Sequence[str], fits: Callable[[Any], bool], form: str) -> None:
        for key in keys:
            if cfg.get(key) is not None and not fits(cfg[key]):
                raise ValueError(f"expected {key} as {form}, got {shortened(cfg[key])}")

    sizes = f"channels, height and width of at most {MAX_CHANNELS}, {_LARGEST_SIDE} and {_LARGEST_SIDE}"
    check(_SIZES, _is_size, sizes)
    channels = (cfg.get("input_size") or (3,))[0]
    check(
        ("mean", "std"),
        lambda v: _is_list(v) and len(v) in (3, channels) and all(is_finite(n) for n in v),
        "three finite numbers, or one a channel",
    )
    check(("std",), lambda v: all(_STD[0] <= n <= _STD[1] for n in v), f"numbers from {_STD[0]:g} to {_STD[1]:g}")
    check(("mean",), lambda v: all(abs(n) <= _STD[1] for n in v), f"numbers up to {_STD[1]:g}")
    crops = ("crop_pct", "test_crop_pct")
    check(crops, lambda v: is_finite(v) and _CROP[0] <= v <= _CROP[1], f"a number from {_CROP[0]:g} to {_CROP[1]:g}")
    check(("crop_mode",), lambda v: v in CROP_MODES, f"one of {', '.join(CROP_MODES)}")
    known = (*INTERPOLATIONS, *_NOT_PILLOWS)
    check(("interpolation",), lambda v: v in known, f"one of {', '.join(INTERPOLATIONS)}")
    check(
        ("pool_size",),
        lambda v: _is_list(v) and len(v) == 2 and all(_is_count(n, 1, _LARGEST_SIDE) for n in v),
        "two whole numbers",
    )
    check(("num_classes",), lambda v: _is_count(v, 0, MAX_CLASSES), f"a whole number of at most {MAX_CLASSES}")
    check(("first_conv", "classifier"), _is_name_or_names, "the name of a layer")
    check(("label_names",), lambda v: _is_list(v) and all(isinstance(n, str) for n in v), "a list of texts")
    check(
        ("label_descriptions",),
        lambda v: isinstance(v, Mapping) and all(isinstance(n, str) for n in (*v, *v.values())),
        "an object of texts by label",
    )
    check(("license", "paper_name", "paper_ids", "notes", "origin_url"), _is_name_or_names, "a text")


def check_preparation(config: Mapping[str, Any], source: str) -> None:
    """Check that images can be prepared as a network asks: within memory, and by a way that Pillow has.

    Args:
        config: timm's ``resolve_data_config``: input_size, crop_pct, interpolation, …
        source: The network, for the message.

    Raises:
        UserError: Names the field.
    """
    side, crop, way = max(config["input_size"][1:]), config["crop_pct"], config["interpolation"]
    if side > MAX_SIDE or side / crop > MAX_RESIZED or crop > _LARGEST_CROP:
        raise UserError(
            f"expected a network for images of at most {MAX_SIDE} pixels, {MAX_RESIZED} before they are cropped, got "
            f"{side} and crop_pct={crop:g} in {source}; change input_size or crop_pct in its config.json"
        )
    if way not in INTERPOLATIONS:
        raise UserError(
            f"expected an interpolation of {', '.join(INTERPOLATIONS)}, got {shortened(way)} in {source}; change it in "
            "its config.json"
        )


def _is_size(value: Any) -> bool:
    return (
        _is_list(value)
        and len(value) == 3
        and _is_count(value[0], 1, MAX_CHANNELS)
        and all(_is_count(n, 1, _LARGEST_SIDE) for n in value[1:])
    )


def _is_name_or_names(value: Any) -> bool:
    return isinstance(value, str) or (_is_list(value) and all(isinstance(n, str) for n in value))


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_count(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
