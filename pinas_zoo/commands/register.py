"""``pinas-zoo register``: keep a network under a name of your own."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import print_json, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Keep a network under a name: timm.create_model(NAME) builds it from then on, in every process "
        "that imports pinas_zoo. A name that is registered already is replaced. Under pinas_alpha, pinas_cls, "
        "pinas_gamma or pinas_trans, a folder of that architecture supplies the weights; pinas_beta, pinas_delta and "
        "pinas_epsilon take the architecture that you read in the paper's Figure 9. The registry is in "
        "$PINAS_ZOO_HOME, or in your user data folder."
    )
    parser.add_argument("name", metavar="NAME", help="lower-case letters, digits, underscores; not one of timm's names")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--arch", help="one digit 0-3 per layer, such as 3013231203213032; without weights")
    what.add_argument("--folder", help="a timm model folder (config.json, model.safetensors); it is not copied")
    sizes = parser.add_argument_group("sizes of a network by --arch")
    sizes.add_argument("--depths", type=_numbers, metavar="N,N,N,N", help="layers per stage (default: 3,4,6,3)")
    sizes.add_argument("--widths", type=_numbers, metavar="N,N,N,N", help="planes per stage (default: 64,128,256,512)")
    sizes.add_argument("--stem-width", type=int, metavar="N", help="channels of the stem's first layers (default: 32)")
    sizes.add_argument("--num-classes", type=int, metavar="N", help="classes (default: 1000)")
    sizes.add_argument("--in-chans", type=int, metavar="N", help="input channels (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON: name, arch, folder, how to load it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pinas_zoo.zoo import registry

    names = ("depths", "widths", "stem_width", "num_classes", "in_chans")
    sizes = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    entry = registry.register(args.name, arch=args.arch, folder=args.folder, **sizes)
    load = f'timm.create_model("{entry.name}"{", pretrained=True" if entry.folder else ""})'
    if args.json:
        print_json({"name": entry.name, "arch": entry.arch, "folder": entry.folder, "load": load})
        return
    weights = f"weights in {entry.folder}" if entry.folder else "no weights"
    say(f"registered {entry.name}: arch {entry.arch}, {weights}")
    say(f"{load}  # after import pinas_zoo")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as 3,4,6,3, got {text!r}") from None
