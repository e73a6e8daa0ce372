"""``pinas-zoo doctor``: what is installed, which operators are live, which data and weights are found, and cures."""

from __future__ import annotations

import argparse
import sys

from pinas_zoo.terminal import escape, is_terminal, print_json, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EPILOG = """\
examples:
    pinas-zoo doctor
    pinas-zoo doctor --config configs/det/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco.py --data-root data/coco
    pinas-zoo doctor --make-train-ids data/cityscapes        # labelTrainIds beside Cityscapes' labelIds

The exit code is 2 when something is missing that a detector or segmenter, or the given config, needs.
"""
LIBRARIES = ("torch", "torchvision", "timm", "mmengine", "mmcv", "mmdet", "mmseg", "optuna")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--config", metavar="FILE", help="also check the data and weights that a config needs")
    parser.add_argument(
        "--data-root", metavar="FOLDER", help="where the config's data is, instead of the config's own folder"
    )
    parser.add_argument("--all", action="store_true", help="read every image and mask of the config's data, not some")
    parser.add_argument("--make-train-ids", metavar="FOLDER", help="write *_gtFine_labelTrainIds.png for Cityscapes")
    parser.add_argument("--json", action="store_true", help="print JSON: a list of name, state and cure")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pinas_zoo.errors import UserError

    if args.make_train_ids:
        written = make_train_ids(Path(args.make_train_ids))
        folder = Path(args.make_train_ids) / "gtFine"
        if args.json:
            print_json({"written": written, "folder": str(folder)})
        else:
            print(f"{written} files *_gtFine_labelTrainIds.png written in {escape(str(folder))}")
        return
    problems = show(findings(args), args.json)
    if problems:
        raise UserError(f"{len(problems)} missing, with the cure above: {'; '.join(problems)}")


def show(found: Iterator[tuple[str, str, str | None]], as_json: bool) -> list[str]:
    """Print findings, plain text as soon as each is known; returns those that have a cure, as text."""
    rows = []
    try:
        for name, state, cure in found:
            rows.append((name, state, cure))
            if not as_json and not is_terminal(sys.stdout):
                print(f"{escape(name):12} {escape(state)}")
                if cure:
                    print(f"{'':12} -> {escape(cure)}")
    finally:  # an error, such as a bad config, does not hide what was found before it
        if as_json:
            print_json([{"name": name, "state": state, "cure": cure} for name, state, cure in rows])
        elif is_terminal(sys.stdout):
            table(("part", "state"), [(name, f"{state} -> {cure}" if cure else state) for name, state, cure in rows])
    return [f"{name}: {state}" for name, state, cure in rows if cure]


def findings(args: argparse.Namespace) -> Iterator[tuple[str, str, str | None]]:
    """Rows of the report: name, state, and the cure where something is wrong."""
    import torch

    from pinas_zoo.errors import UserError
    from pinas_zoo.extras import missing, require, version

    absent = missing()
    for name in LIBRARIES:
        found = version(name)
        yield name, found or "not installed", None
    gpus = torch.cuda.device_count()
    yield "device", f"{gpus} GPUs" if gpus else "no GPU; everything runs on CPUs, slowly", None
    try:
        require()
    except UserError as error:
        yield "operators", "none" if absent else "opencv does not load", str(error)
    else:
        from pinas_zoo.openmmlab import operators

        if operators.live() == "compiled":
            yield "operators", "mmcv's own, compiled", None
        else:
            names = ", ".join(name for name in operators.SUPPLIED if not name.startswith("get_"))
            yield "operators", f"from torchvision: {names}; another one says how to get it when it is called", None
    yield from weights_found()
    if args.config and not absent:
        yield from config_findings(args)


def weights_found() -> Iterator[tuple[str, str, str | None]]:
    """Where the weights of the paper's networks are. Missing weights are not an error, so they have no cure."""
    from pinas_zoo.errors import UserError
    from pinas_zoo.models.pinas import ALIASES
    from pinas_zoo.weights.sources import find_source
    from pinas_zoo.zoo import registry

    for name in ALIASES:
        try:
            source = find_source(name)
            yield name, f"weights from {source.path or source.repo}", None
        except UserError as error:
            yield name, str(error).split(";")[0], None
    mine = [entry for entry in registry.known() if entry.name not in ALIASES]
    yield "registered", ", ".join(e.name + ("" if e.folder else " (arch alone)") for e in mine) or "none", None


def config_findings(args: argparse.Namespace) -> Iterator[tuple[str, str, str | None]]:
    """Data, classes and initial weights of a config."""
    from mmengine.registry import init_default_scope

    from pinas_zoo.errors import UserError
    from pinas_zoo.openmmlab import data_checks, launch, loader_checks, weight_checks

    cfg = launch.read_config(args.config)
    if args.data_root:
        launch.set_data_root(cfg, args.data_root)
    init_default_scope(cfg.default_scope)
    launch.library_registry(cfg.default_scope)
    for loader in ("train_dataloader", "val_dataloader"):
        try:
            loader_checks.fit_loaders(cfg, (loader,))
            notes = data_checks.check_data(cfg, (loader,), args.all)
        except UserError as error:
            yield "data", f"{loader} not ready", str(error)
            continue
        for note in notes:
            yield "data", note, None
    places = [("load_from", cfg.load_from)] if cfg.get("load_from") else []
    for place, checkpoint in [*places, *weight_checks.initial_weights(cfg.model)]:
        yield weights_finding(place, checkpoint)


def weights_finding(place: str, checkpoint: str) -> tuple[str, str, str | None]:
    """The row of weights that a config starts from; nothing is downloaded."""
    from pinas_zoo.errors import UserError
    from pinas_zoo.openmmlab.checkpoints import read_weights, state_dict_of
    from pinas_zoo.openmmlab.weight_checks import random_instead
    from pinas_zoo.weights.sources import find_source

    name = "backbone" if place.startswith("model.backbone.init_cfg") else "weights"
    try:
        if checkpoint.startswith("pinas:"):
            find_source(checkpoint.partition(":")[2])
        elif "://" in checkpoint or checkpoint.startswith(("hf-hub:", "hf_hub:")):
            return name, f"weights {checkpoint}, downloaded at the first start", None
        else:
            state_dict_of(read_weights(checkpoint), str(checkpoint))
    except UserError as error:
        return name, f"no weights {checkpoint}", f"{error}{random_instead(place)}"
    return name, f"weights {checkpoint} found", None


def make_train_ids(root: Path) -> int:
    """Write ``*_gtFine_labelTrainIds.png`` beside every ``*_gtFine_labelIds.png``: the 19 classes, 255 for the rest.

    Returns:
        Number of files.

    Raises:
        UserError: No labelIds in the folder, or a file that is no PNG of one byte a pixel.
    """
    import numpy as np
    from PIL import Image

    from pinas_zoo.errors import UserError
    from pinas_zoo.weights.atomic import replacing

    paths = sorted(root.glob("gtFine/*/*/*_gtFine_labelIds.png"))
    if not paths:
        raise UserError(f"expected gtFine/SPLIT/CITY/*_gtFine_labelIds.png in {root}, found none")
    table = np.full(256, 255, dtype=np.uint8)
    table[[7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]] = np.arange(19)
    for path in paths:
        target = path.with_name(path.name.replace("labelIds", "labelTrainIds"))
        try:
            with Image.open(path, formats=("PNG",)) as image:  # Pillow would start a program for some other formats
                mode, ids = image.mode, np.asarray(image)  # H x W
        except Exception as error:  # Pillow raises many types of errors for damaged files
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"expected a PNG of label ids, got {path}, which cannot be read: {reason}") from None
        if mode not in ("L", "P"):
            raise UserError(f"expected a PNG of label ids, one byte a pixel, got {path} of mode {mode}; get it again")
        with replacing(target) as temporary:
            Image.fromarray(table[ids]).save(temporary, format="PNG")
    return len(paths)
