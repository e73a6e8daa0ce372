"""``pinas-zoo convert``: convert the authors' checkpoints to a timm model folder, or to a detector or segmenter."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import escape, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from pinas_zoo.convert.classifier import ConvertedNetwork
    from pinas_zoo.convert.openmmlab_model import ConvertedModel

EPILOG = """\
The checkpoint of a network alone (PyTorch-Encoding: `state_dict` in a .pth.tar) keeps its head. From the checkpoint of
a supernet (OpenSelfSup: backbone, encoder_q, encoder_k) --path takes one candidate per layer, without a head.

    pinas-zoo convert PiNAS_cls.pth.tar --out pinas_cls --arch 3013231203213032
    pinas-zoo convert epoch_100.pth --out found --path 3333113330011021

A detector (detectron2's Mask R-CNN) or segmenter (PyTorch-Encoding's DeepLabV3) becomes one file for OpenMMLab with the
configs of configs/det and configs/seg; --to cls writes its backbone alone as a model folder.

    pinas-zoo convert PiNAS_trans_COCO.pth --out mask_rcnn.safetensors
    pinas-zoo convert PiNAS_trans_ade.pth.tar --out deeplabv3.pth --config CONFIG
    pinas-zoo convert PiNAS_trans_COCO.pth --out backbone --to cls

The checkpoint of timm's train.py becomes a model folder, with its classes and the size of its images.

    pinas-zoo convert output/train/model_best.pth.tar --out trained

Checkpoints are read as data: no code in them is executed. Load the folder with
timm.create_model("local-dir:FOLDER", pretrained=True) after `import pinas_zoo`.
"""
KINDS = {"det": "a detector", "seg": "a segmenter", "cls": "a network or supernet"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a .pth.tar, .pth or .safetensors file")
    parser.add_argument(
        "--out", required=True, metavar="PLACE", help="the model folder, or .safetensors or .pth file, to write"
    )
    parser.add_argument(
        "--arch", metavar="ARCH", help="expected architecture (default: read from the shapes of the tensors)"
    )
    parser.add_argument("--path", metavar="ARCH", help="for a supernet: candidate of every layer, one digit each")
    parser.add_argument(
        "--teacher", action="store_true", help="for a supernet: take the teacher (default: the student)"
    )
    parser.add_argument(
        "--to",
        choices=KINDS,
        help="det or seg: require a detector or segmenter (default: decided by the tensors' names); cls: write a "
        "network alone, also from a detector or segmenter",
    )
    parser.add_argument(
        "--colors",
        choices=("rgb", "bgr"),
        help="for a detector: channel order of its images (default: as the file says, or rgb)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="for a detector or segmenter: one of our configs; every tensor must fit its model",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier conversion")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pinas_zoo.arch import Arch
    from pinas_zoo.convert import detector, segmenter
    from pinas_zoo.convert.classifier import SupernetOptions, check_arch, convert_tensors
    from pinas_zoo.convert.timm_checkpoint import is_timm_checkpoint
    from pinas_zoo.errors import UserError
    from pinas_zoo.weights.checkpoint_reader import read_checkpoint
    from pinas_zoo.weights.model_folder import CONFIG_FILE

    place, checkpoint, where = Path(args.out), Path(args.checkpoint), args.checkpoint
    if (place.is_file() or (place / CONFIG_FILE).exists()) and not args.overwrite:
        raise UserError(f"expected a new place, got {place}, which holds a model; give another, or --overwrite")
    try:
        arch = Arch.parse(args.arch) if args.arch else None
        path = Arch.parse(args.path) if args.path else None
    except ValueError as error:
        raise UserError(str(error)) from None
    if is_timm_checkpoint(checkpoint):
        _convert_timm(place, checkpoint, args)
        return
    tensors = read_checkpoint(checkpoint)
    kind = "det" if detector.is_detector(tensors) else "seg" if segmenter.is_segmenter(tensors) else "cls"
    if args.to not in (None, kind, "cls"):
        raise UserError(f"expected {KINDS[args.to]} in {where}, got the tensors of {KINDS[kind]}; leave out --to")
    if kind != "det" and args.colors:
        raise UserError(f"expected no --colors for {where}, which holds {KINDS[kind]}: the authors' are trained on RGB")
    if args.config and (kind == "cls" or args.to == "cls"):
        raise UserError("expected no --config for a network: a config is of a whole detector or segmenter")
    if kind == "cls":
        try:
            converted = convert_tensors(tensors, where, SupernetOptions(path, args.teacher), arch)
        except ValueError as error:
            raise UserError(str(error)) from None
        _write_network(place, converted, _facts(checkpoint, converted.layout, args, path))
        return
    if path is not None or args.teacher:
        raise UserError(f"expected no path and no teacher for {where}, which holds {KINDS[kind]}, not a supernet")
    convert = detector.convert_detector if kind == "det" else segmenter.convert_segmenter
    model = convert(tensors, where, **({"colors": args.colors} if args.colors else {}))
    check_arch(model.backbone_args, arch, where)
    facts = _facts(checkpoint, model.layout, args, None)
    if args.to == "cls":
        _write_network(place, model.backbone(), facts)
        return
    if args.config:
        from pinas_zoo.openmmlab.fit_check import check_config

        check_config(Path(args.config), model)
    _write_model(place, model, facts)


def _convert_timm(folder: Path, checkpoint: Path, args: argparse.Namespace) -> None:
    """Write the network of a checkpoint of timm's train.py as a model folder."""
    from pinas_zoo.arch import Arch
    from pinas_zoo.convert.timm_checkpoint import LAYOUT, read_timm_checkpoint
    from pinas_zoo.errors import UserError, disk_error
    from pinas_zoo.weights import entry_points
    from pinas_zoo.weights.model_folder import save_model_folder
    from pinas_zoo.weights.timm_folder import save_timm_folder

    if args.to not in (None, "cls") or args.path or args.teacher or args.colors or args.config:
        raise UserError(f"expected no --path, --teacher, --colors, --config and --to det or seg for {LAYOUT}")
    found = read_timm_checkpoint(checkpoint)
    if args.arch and ("arch" not in found.args or Arch.parse(found.args["arch"]) != Arch.parse(args.arch)):
        raise UserError(f"expected arch {args.arch} in {checkpoint}, got {found.args.get('arch', found.architecture)}")
    facts = {**_facts(checkpoint, LAYOUT, args, None), **found.facts}
    try:
        if "arch" in found.args:
            cfg = {**found.cfg, "architecture": found.architecture}
            save_model_folder(folder, found.state_dict, found.args, cfg, facts)
        else:
            own = entry_points.get(found.architecture).default_cfg
            fields = ("input_size", "mean", "std", "crop_pct", "interpolation")
            cfg = {**{key: own[key] for key in fields if own.get(key)}, **found.cfg}
            save_timm_folder(folder, found.state_dict, found.architecture, found.args, cfg, facts)
    except OSError as error:
        raise disk_error(error, folder) from None
    what = found.args.get("arch", found.architecture)
    average = ", moving average" if found.facts["moving_average"] else ""
    labels = "with their names" if "label_names" in found.cfg else "without names: the data folder is not there"
    say(f"{LAYOUT}: {what}, {found.args['num_classes']} classes {labels}{average}")
    say(f"written: {escape(str(folder))}")
    say(f'load it: import pinas_zoo, timm; timm.create_model("local-dir:{escape(str(folder))}", pretrained=True)')


def _facts(checkpoint: Path, layout: str, args: argparse.Namespace, path: Any) -> dict[str, Any]:
    """Facts for provenance.json: where the weights come from."""
    import hashlib

    from pinas_zoo.made_with import made_with

    digest = hashlib.sha256()
    with checkpoint.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return {
        "converted_from": checkpoint.name,
        "sha256_of_checkpoint": digest.hexdigest(),
        "layout": layout,
        **made_with(),
        **({"path": str(path), "weights": "teacher" if args.teacher else "student"} if path else {}),
    }


def _write_network(folder: Path, converted: ConvertedNetwork, facts: dict[str, Any]) -> None:
    from pinas_zoo.errors import disk_error
    from pinas_zoo.weights.model_folder import save_model_folder

    images: dict[str, Any] = {}  # prepared as the family's default_cfg says, which is how the authors verify
    try:
        save_model_folder(folder, converted.state_dict, converted.model_args, images, facts)
    except OSError as error:
        raise disk_error(error, folder) from None
    classes = converted.model_args["num_classes"]
    say(_summary(converted.model_args, converted.state_dict, f"{classes} classes" if classes else "no head"))
    for part, count in converted.left_out.items():
        say(f"left out: {escape(part)} ({count} tensors)")
    say(f"written: {escape(str(folder))}")
    say(f'load it: import pinas_zoo, timm; timm.create_model("local-dir:{escape(str(folder))}", pretrained=True)')


def _write_model(file: Path, model: ConvertedModel, facts: dict[str, Any]) -> None:
    from pinas_zoo.convert.openmmlab_model import save_converted_model

    known = {k: v for k, v in model.backbone_args.items() if k != "num_classes"}
    save_converted_model(
        file, model, {**facts, "backbone": known, "num_classes": model.num_classes, "changed": list(model.notes)}
    )
    say(f"{model.layout}: {_summary(model.backbone_args, model.state_dict, f'{model.num_classes} classes')}")
    for note in model.notes:
        say(f"changed: {escape(note)}")
    say(f"written: {escape(str(file))}")


def _summary(model_args: dict[str, Any], state: dict[str, Any], classes: str) -> str:
    from pinas_zoo.models.pinas import ARCHS

    found = model_args["arch"]
    known = next((f" ({name})" for name, text in ARCHS.items() if text == found), "")
    count = sum(value.numel() for name, value in state.items() if name.endswith(("weight", "bias")))
    return f"architecture {found}{known}, {count:,} parameters, {classes}"
