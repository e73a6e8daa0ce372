"""``pinas-zoo classify``: the most probable classes of images."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import error, escape, print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from torch import nn

PIXELS = 32 * 384**2  # of the images that go through the network at once
EPILOG = """\
examples:
    pinas-zoo classify cat.jpg dog.png --model work_dirs/mine/winner
    pinas-zoo classify cat.jpg --model hf-hub:user/name --topk 3

Images are prepared as the model's own configuration says (size, crop, mean). Labels are those stored with the model,
else timm's names for 1000, 11821, 21841, … classes of ImageNet, else the class numbers. A model without weights is
an error.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="PNG, JPEG, WebP, TIFF and more; grey, RGBA, CMYK too"
    )
    parser.add_argument(
        "--model", required=True, metavar="NAME|FOLDER|hf-hub:…", help="a timm name, a timm model folder or a Hub repo"
    )
    parser.add_argument("--topk", type=int, default=5, metavar="N", help="classes shown per image (default 5)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="images at once (default 32)")
    parser.add_argument(
        "--device", default="cpu", metavar="DEVICE", help="where the network runs, such as cuda (default cpu)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object for each image")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pinas_zoo.data.image_files import why_unreadable
    from pinas_zoo.errors import UserError

    for option in ("topk", "batch_size"):
        if getattr(args, option) < 1:
            raise UserError(f"expected --{option.replace('_', '-')} of at least 1, got {getattr(args, option)}")
    checked = {path: why_unreadable(Path(path)) for path in args.images}
    problems = [problem for problem in checked.values() if problem is not None]
    readable = [path for path, problem in checked.items() if problem is None]
    outcomes = classify(readable, args) if readable else iter(())
    if args.json:
        print_json([{"image": path, "classes": classes} for path, classes in outcomes])
    else:
        for path, classes in outcomes:
            print(escape(path))
            for found in classes:
                print(f"  {100 * found['probability']:6.2f} %  {escape(found['label'])}")
    if problems:
        for problem in problems[:-1]:
            error("classify", problem)
        raise UserError(problems[-1])


def classify(paths: Sequence[str], args: argparse.Namespace) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each image's path and its top classes: ``class`` (the number), ``label`` and ``probability``.

    Raises:
        UserError: The model has no weights or cannot be loaded, no classes, or a number of channels that images lack.
    """
    from pathlib import Path

    import torch
    from timm.data import create_transform, resolve_data_config

    from pinas_zoo.data.image_files import central_part, read_image
    from pinas_zoo.errors import UserError
    from pinas_zoo.weights.timm_cfg import check_preparation

    model = load_model(args.model, args.device)
    name, topk = label_lookup(model), min(args.topk, model.num_classes)
    config = resolve_data_config({}, model=model)
    check_preparation(config, args.model)
    channels = config["input_size"][0]
    if channels not in (1, 3):
        raise UserError(f"expected a model of 1 or 3 input channels, got {channels} in {args.model}")
    height, width = config["input_size"][1:]
    args.batch_size = max(1, min(args.batch_size, PIXELS // (height * width)))  # memory grows with both
    transform: Any = create_transform(**config, is_training=False)
    squashed = config["crop_mode"] == "squash"  # all of the image is resized to the network's size
    for first in range(0, len(paths), args.batch_size):
        batch = paths[first : first + args.batch_size]
        opened = (read_image(Path(path), channels) for path in batch)
        images = torch.stack([transform(i if squashed else central_part(i)) for i in opened])  # N x C x H x W
        with torch.inference_mode():
            probabilities = model(images.to(args.device)).float().softmax(1).cpu()  # N x classes
        for path, values, indices in zip(batch, *probabilities.topk(topk), strict=True):
            pairs = zip(values.tolist(), indices.tolist(), strict=True)
            yield path, [{"class": index, "label": name(index), "probability": value} for value, index in pairs]


def load_model(source: str, device: str) -> Any:
    """A model with its weights, in eval mode; runs no code from a folder or repo.

    Raises:
        UserError: No such model, no weights, a device that is not there, or no classes.
    """

    import torch
    from huggingface_hub import logging
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    from safetensors import SafetensorError

    from pinas_zoo.errors import UserError
    from pinas_zoo.weights.entry_points import WRONG_ARGUMENTS
    from pinas_zoo.weights.hub_client import explain
    from pinas_zoo.zoo.resolve import resolve

    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # unknown, not there, not in this build of torch
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"expected a --device that torch can use here, got {device!r}: {reason}; try cpu") from None
    logging.set_verbosity_error()  # one line says it all
    network = resolve(source)
    if network.kind == "arch":
        raise UserError(
            f"expected a model with weights, got the architecture {source}; give a model folder or a name that has them"
        )
    if network.kind == "run":
        raise UserError(network.run_problem())
    try:
        model: nn.Module = network.with_weights().to(device)
    except UserError:
        raise
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise explain(error, f"model {source}") from None
    except (OSError, MemoryError, SafetensorError, *WRONG_ARGUMENTS) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"expected a model with weights, got none for {source}: {reason}") from None
    if not getattr(model, "num_classes", 0):
        raise UserError(
            f"expected a model with classes, got {source}, which has no head; train one on its features first"
        )
    return model


def label_lookup(model: Any) -> Callable[[int], str]:
    """From a class number to what is printed: stored labels, timm's ImageNet names, or the number itself."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    cfg = getattr(model, "pretrained_cfg", None) or {}
    names, descriptions = cfg.get("label_names"), cfg.get("label_descriptions") or {}
    if names:
        fits = len(names) == model.num_classes
        return lambda index: str(descriptions.get(names[index], names[index])) if fits else f"class {index}"
    subset = infer_imagenet_subset(model)
    if subset:
        info = ImageNetInfo(subset)
        return info.index_to_description
    return lambda index: f"class {index}"
