"""``pinas-zoo convert``: a checkpoint of the authors' code into a timm model folder."""

from __future__ import annotations

import argparse

HELP = "turn a checkpoint of the authors' code into a timm model folder"
EPILOG = """\
A stand-alone network's checkpoint (PyTorch-Encoding: `state_dict` in a .pth.tar) keeps its head. Out of a supernet's
checkpoint (OpenSelfSup: backbone, encoder_q, encoder_k) --path takes one candidate per layer, without a head.

    pinas-zoo convert PiNAS_cls.pth.tar --out pinas_cls --arch 3013231203213032
    pinas-zoo convert epoch_100.pth --out found --path 3333113330011021

Checkpoints are read as data: nothing in them is run. The folder is loaded by
timm.create_model("local-dir:FOLDER", pretrained=True) once pinas_zoo is imported.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "convert", help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a .pth.tar, .pth or .safetensors file")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="the model folder to write")
    parser.add_argument(
        "--arch", metavar="ARCH", help="architecture that the file should hold (default: what its shapes say)"
    )
    parser.add_argument("--path", metavar="ARCH", help="of a supernet: the candidate of every layer, one digit each")
    parser.add_argument("--teacher", action="store_true", help="of a supernet: its teacher (default: its student)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing model folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    import hashlib
    from pathlib import Path

    from pinas_zoo.arch import Arch
    from pinas_zoo.convert import AUTHORS_CFG, Options, convert_checkpoint
    from pinas_zoo.errors import UserError
    from pinas_zoo.folder import CONFIG_FILE, save_model_folder
    from pinas_zoo.models.pinas import ARCHS

    folder, checkpoint = Path(args.out), Path(args.checkpoint)
    if (folder / CONFIG_FILE).exists() and not args.overwrite:
        raise UserError(f"expected a new folder, got {folder}, which holds a model; give another, or --overwrite")
    try:
        arch = Arch.parse(args.arch) if args.arch else None
        path = Arch.parse(args.path) if args.path else None
        converted = convert_checkpoint(checkpoint, Options(path, args.teacher), arch)
    except ValueError as error:
        raise UserError(str(error)) from None
    digest = hashlib.sha256()
    with checkpoint.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    facts = {
        "converted_from": checkpoint.name,
        "sha256_of_checkpoint": digest.hexdigest(),
        "layout": converted.layout,
        **({"path": str(path), "weights": "teacher" if args.teacher else "student"} if path else {}),
    }
    try:
        save_model_folder(folder, converted.state_dict, converted.model_args, AUTHORS_CFG, facts)
    except OSError as error:
        raise UserError(f"expected to write {folder}: {error}") from None

    found = converted.model_args["arch"]
    known = next((f" ({name})" for name, text in ARCHS.items() if text == found), "")
    count = sum(value.numel() for name, value in converted.state_dict.items() if name.endswith(("weight", "bias")))
    classes = converted.model_args["num_classes"]
    print(f"architecture {found}{known}, {count:,} parameters, {f'{classes} classes' if classes else 'no head'}")
    for part, tensors in converted.left_out.items():
        print(f"left out: {part} ({tensors} tensors)")
    print(f"written: {folder}")
    print(f'load it: import pinas_zoo, timm; timm.create_model("local-dir:{folder}", pretrained=True)')
