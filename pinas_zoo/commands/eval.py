"""``pinas-zoo eval``: accuracy, speed and memory of a network on labelled images."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import note, print_json, say, table, warning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pinas_zoo.data.options import Data

EPILOG = """\
examples:
    pinas-zoo eval work_dirs/flowers/trained --data flowers --html flowers.html
    pinas-zoo eval resnet50.a1_in1k --data imagenet --batch-size 128 --device cuda --json
    pinas-zoo eval digits_trained --data digits

FOLDER of --data has the folder validation (or val), or that of --split, with one folder of images a class; or the
class folders alone. Images are prepared as the network's own configuration says, as by timm's validate.py.
"""
WORST = 10  # classes that are printed where there are many


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "network", metavar="NAME|FOLDER", help="a timm name, a model folder, hf-hub:user/name, or a run's folder"
    )
    parser.add_argument("--data", required=True, metavar="FOLDER", help="folder of images; or digits, scikit-learn's")
    parser.add_argument(
        "--dataset", default="", metavar="NAME", help="timm's data set at --data, such as torch/cifar10"
    )
    parser.add_argument("--split", default="validation", metavar="NAME", help="the split (default: validation)")
    parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="images at once (default 128)")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read images (default 0)")
    parser.add_argument("--image-size", type=int, metavar="N", help="pixels (default: the network's own)")
    parser.add_argument("--crop-pct", type=float, metavar="SHARE", help="part of the shorter side (default: its own)")
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="such as cuda (default cpu)")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32", help="(default fp32)")
    parser.add_argument("--channels-last", action="store_true", help="order of activations in memory")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out images that cannot be decoded")
    parser.add_argument("--html", metavar="FILE", help="write a page: confusion, mistakes as pictures, calibration")
    parser.add_argument("--json", action="store_true", help="print JSON, with every class")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pinas_zoo.errors import UserError
    from pinas_zoo.extras import require_search
    from pinas_zoo.made_with import made_with

    for option in ("batch_size", "image_size"):
        if getattr(args, option) is not None and getattr(args, option) < 1:
            raise UserError(f"expected --{option.replace('_', '-')} of at least 1, got {getattr(args, option)}")
    if args.crop_pct is not None and not 0 < args.crop_pct <= 1:
        raise UserError(f"expected --crop-pct above 0 and at most 1, got {args.crop_pct}")
    if not 0 <= args.workers <= 1024:
        raise UserError(f"expected --workers from 0 to 1024, got {args.workers}")
    require_search()
    from timm.data import resolve_data_config

    from pinas_zoo.commands.classify import load_model
    from pinas_zoo.data.augmentation import BatchViews
    from pinas_zoo.data.options import Views
    from pinas_zoo.data.sources import SplitMissing
    from pinas_zoo.data.splits import DIGITS, load_split
    from pinas_zoo.engine.trainer import check_precision
    from pinas_zoo.train.evaluate import match_classes, predict, results
    from pinas_zoo.train.images import TransformedImages, check_classes, left_out, readable
    from pinas_zoo.train.training_images import digits_split, was_trained_on
    from pinas_zoo.weights.new_folder import FACTS_FILE
    from pinas_zoo.weights.timm_cfg import check_preparation

    check_precision(args.precision, "--precision")
    model = load_model(_trained(args.network), args.device)
    given: dict[str, Any] = {} if args.crop_pct is None else {"crop_pct": args.crop_pct}
    if args.image_size is not None:
        given["input_size"] = (3, args.image_size, args.image_size)
    config = resolve_data_config(given, model=model, use_test_size=True)
    if config["input_size"][0] != 3:
        raise UserError(f"expected a network for images of 3 channels, got one for {config['input_size'][0]}")
    check_preparation(config, args.network)
    facts = facts_of(_trained(args.network))
    data, split = data_of(args, config["input_size"][-1])
    seed, streams = 0, 2
    if data.type == "digits":
        match_classes(DIGITS, model)  # before all digits are made at the network's size
        seed, streams = digits_split(facts)
        if seed:
            note(f"the digits are split by seed {seed}, as in the training of {args.network}")
    try:
        images, names = load_split(data, split, seed, streams)
    except SplitMissing as error:
        raise SplitMissing(error.root, error.split, "--split NAME") from None
    check_classes(names, data, split)
    trained = was_trained_on(facts, data, split)
    if trained:
        note(
            f"{args.network} was trained on these images, by its {FACTS_FILE}: the accuracy says nothing of new ones; "
            "take a split that it has not seen"
        )
    class_of_label, class_names = match_classes(names, model)
    if args.skip_unreadable:
        images, reasons = readable(images, args.workers)
        if reasons:
            warning(left_out(reasons))
    if not len(images):
        raise UserError(f"expected images in {args.data}, got none")
    shown = TransformedImages(images, config, workers=args.workers)
    normalise = BatchViews(Views(), config["mean"], config["std"]).normalise
    predictions = predict(model, shown, normalise, args.batch_size, class_of_label, args.precision, args.channels_last)
    found = {
        "network": args.network, "data": args.data, "image_size": config["input_size"][-1],
        "batch_size": args.batch_size, "device": args.device, "precision": args.precision,
        "trained_on": trained, **({"left_out": len(reasons)} if args.skip_unreadable else {}),
        **results(predictions, class_names),
        "made_with": made_with(),
    }  # fmt: skip
    if args.html:
        from pinas_zoo.train.results_page import write_page

        write_page(Path(args.html), found, predictions, shown, class_names)
    if args.json:
        print_json(found)
        return
    print_results(found)
    if args.html:
        say(f"page     {args.html}")


def facts_of(network: str) -> Mapping[str, Any]:
    """provenance.json of a network's model folder; empty where it has none, or one that cannot be read."""
    from pinas_zoo.errors import UserError
    from pinas_zoo.weights.model_folder import read_facts
    from pinas_zoo.zoo import registry
    from pinas_zoo.zoo.resolve import resolve

    entry = registry.find(network)
    try:
        folder = entry.folder if entry is not None else resolve(network).folder
        return {} if folder is None else read_facts(folder)
    except UserError:
        return {}


def data_of(args: argparse.Namespace, image_size: int) -> tuple[Data, str]:
    """The images that the arguments name, and their split.

    Args:
        args: The command's arguments.
        image_size: Height and width in pixels that the network sees, at which digits are made.

    Raises:
        UserError: No such folder or split.
    """
    from pathlib import Path

    from pinas_zoo.data.options import Data
    from pinas_zoo.errors import UserError
    from pinas_zoo.train.images import located

    if args.data == "digits" and not args.dataset and not Path(args.data).exists():
        data = Data(type="digits", image_size=image_size, test_split="validation", workers=args.workers)
        return data, "train" if args.split == "train" else "validation"
    if not args.dataset and not Path(args.data).is_dir():
        raise UserError(f"expected a folder of images for --data, got {args.data}, which is no folder")
    data = Data(name=args.dataset, root=args.data, test_split=args.split, workers=args.workers)
    return located(data, args.split)


def print_results(facts: dict[str, Any]) -> None:
    """Accuracies and speed; of many classes, the worst ones."""
    from pinas_zoo.train.evaluate import tells_top5

    top5 = f"top-5 {facts['top5']:.2%}, " if tells_top5(facts) else ""
    mean = f"mean of classes {facts['mean_class_top1']:.2%}"
    say(f"top-1    {facts['top1']:.2%} of {facts['images']} images, {top5}{mean}")
    say(f"loss     {facts['loss']:.4f}, calibration error {facts['calibration_error']:.4f}")
    say(
        f"speed    {facts['network_images_per_s']:.1f} images/s of the network, {facts['images_per_s']:.1f} with "
        f"reading, batch {facts['batch_size']}, {facts['device']}, {facts['precision']}"
    )
    say(f"memory   {facts['peak_memory_mib']:.0f} MiB at most\n")
    classes = sorted(facts["per_class"], key=lambda c: (c["top1"], c["class"]))
    if len(classes) > 2 * WORST:
        say(f"the {WORST} worst of {len(classes)} classes; --json has all of them")
        classes = classes[:WORST]
    rows = [(str(c["class"]), c["label"], str(c["images"]), f"{c['top1']:.1%}") for c in classes]
    table(("class", "label", "images", "top-1"), rows, right=("class", "images", "top-1"))


def _trained(word: str) -> str:
    """The network of a run's folder, or the word itself."""
    from pathlib import Path

    from pinas_zoo.zoo.resolve import NETWORKS_OF_A_RUN

    networks = [Path(word) / name for name in reversed(NETWORKS_OF_A_RUN) if (Path(word) / name).is_dir()]
    return str(networks[0]) if networks else word
