"""``pinas-zoo info``: a network layer by layer, its cost, its picture, and whether it has the paper's figures."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import escape, print_json, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from pinas_zoo.analysis.diagram import LayerRow
    from pinas_zoo.analysis.paper_check import Check, Printed
    from pinas_zoo.models.spec import NetworkSpec

EPILOG = """\
examples:
    pinas-zoo info pinas_cls --svg pinas_cls.svg
    pinas-zoo info 3333113330011021
    pinas-zoo info 0123 --depths 1,1,1,1 --widths 16,32,64,128 --stem-width 8 --image-size 64
    pinas-zoo info work_dirs/mine/winner
    pinas-zoo info resnest50d                    (a peer from timm: totals only)

A network that has a row in the paper's Table 1 or 2 is checked against it: parameters, rounded twice as the paper does,
and FLOPs. The strings of beta, delta and epsilon stand only in a picture (Figure 9). Check the one that you read:
    pinas-zoo info pinas_beta --arch ARCH
A match is necessary, not sufficient: many architectures have the same figures.
"""


class Subject:
    """The network that is shown. (No dataclass: importing dataclasses would slow --help.)

    Attributes:
        title: First line of the output.
        name: Its name in the paper, if it has one.
        build: Builds it on the meta device.
        spec: Its specification; None for a network that is not of the Π-NAS space.
        input_size: C x H x W.
    """

    def __init__(
        self,
        title: str,
        name: str | None,
        build: Callable[[], nn.Module],
        spec: NetworkSpec | None,
        input_size: tuple[int, int, int],
    ):
        self.title, self.name, self.build, self.spec, self.input_size = title, name, build, spec, input_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "network", metavar="NAME|ARCH|FOLDER", help="a timm name, one digit 0-3 per layer, or a timm model folder"
    )
    parser.add_argument(
        "--arch",
        metavar="ARCH",
        help="for a name of Table 1, such as pinas_beta: the string to check against its row; another is an error",
    )
    parser.add_argument("--depths", metavar="N,N,N,N", help="for ARCH: layers per stage (default 3,4,6,3)")
    parser.add_argument("--widths", metavar="N,N,N,N", help="for ARCH: planes per stage (default 64,128,256,512)")
    parser.add_argument("--stem-width", type=int, metavar="N", help="for ARCH: width of the stem (default 32)")
    parser.add_argument("--num-classes", type=int, metavar="N", help="for ARCH: classes (default 1000)")
    parser.add_argument(
        "--image-size", type=int, metavar="PIXELS", help="side of the square image (default: the network's own, or 224)"
    )
    parser.add_argument("--svg", metavar="FILE", help="write the picture as SVG")
    parser.add_argument("--png", metavar="FILE", help="write the picture as PNG")
    parser.add_argument(
        "--expect",
        metavar="PARAMS_M,FLOPS_G",
        help="other figures to check against, as the paper prints them, such as 27.1,5.38",
    )
    parser.add_argument("--json", action="store_true", help="print JSON: totals, layers and checks")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pinas_zoo.analysis.cost import count_module, count_operations, network_cost
    from pinas_zoo.errors import UserError

    expected = parse_expected(args.expect) if args.expect else None
    try:
        subject = find_subject(args)
        size = subject.input_size
        if subject.spec is None and (args.svg or args.png):
            raise UserError(
                f"expected a network of this package for a picture, got {args.network!r}, one of timm's own"
            )
        spec = subject.spec
        total = count_module(subject.build(), size) if spec is None else network_cost(spec, size[1:])
        operations = count_operations(subject.build(), size)
    except UserError:
        raise
    except (ValueError, RuntimeError, TypeError) as error:
        raise UserError(" ".join(str(error).split())) from None
    layers = layers_of(subject)
    checks = paper_checks(subject, expected)
    if not args.json:
        print(escape(subject.title))
        print_layers(layers)
        print(f"total: {total.params:,} parameters, {total.macs:,} multiply-adds for one image of {_times(size)}")
        print(f"       {operations:,} FLOPs as flops counters count: with biases, batch norm, ReLU and pooling")
        for check in checks:
            print(escape(check.text))
    pictures = []
    for path, kind in ((args.svg, "SVG"), (args.png, "PNG")):
        if path is not None and subject.spec is not None:
            write_picture(subject, Path(path), kind)
            pictures.append(path)
            if not args.json:
                print(f"picture: {escape(path)}")
    if args.json:
        print_json(
            {
                "title": subject.title,
                "model_args": subject.spec and {**vars(subject.spec), "arch": str(subject.spec.arch)},
                "input_size": size,
                "params": total.params,
                "macs": total.macs,
                "flops_of_counters": operations,
                "layers": [vars(layer) for layer in layers],
                "checks": [vars(check) for check in checks],
                "pictures": pictures,
            }
        )
    if (args.expect or args.arch) and not all(check.matches for check in checks):
        wanted = f"the figures {args.expect}" if args.expect else f"the figures of {args.network}"
        raise UserError(f"expected {wanted}, got others, as printed above; check the digits and the ARCH")


def find_subject(args: argparse.Namespace) -> Subject:
    """The network that the argument names: a folder, an architecture, or a name.

    Raises:
        UserError: None of them, or sizes are given with a name or folder, which has its own.
    """
    from pinas_zoo.errors import UserError
    from pinas_zoo.weights.size_limits import MAX_RESIZED
    from pinas_zoo.zoo.resolve import resolve

    word = args.network
    sizes = {
        "depths": _integers(args.depths, "--depths"),
        "widths": _integers(args.widths, "--widths"),
        "stem_width": args.stem_width,
        "num_classes": args.num_classes,
    }
    given = {key: value for key, value in sizes.items() if value is not None}
    if args.image_size is not None and not 32 <= args.image_size <= MAX_RESIZED:
        limit = f"at least 32, got {args.image_size}" if args.image_size < 32 else f"at most {MAX_RESIZED}, got more"
        raise UserError(f"expected --image-size of {limit}")
    if args.arch is not None:
        return _named_subject(word, args.arch, given, args.image_size)
    network = resolve(word, given)
    if given and network.kind != "arch":
        raise UserError(
            f"expected {', '.join('--' + k.replace('_', '-') for k in given)} with an ARCH only, got {word!r}"
        )
    spec, (channels, height, _) = network.spec, network.input_size
    side = args.image_size or height
    name = word if network.kind == "name" else None
    if spec is None:
        title = f"{word} (timm)" if name else f"{word}, {network.architecture} {network.args['arch']}"
    else:
        title = f"architecture {spec.arch}" if network.kind == "arch" else f"{word}, architecture {spec.arch}"
    return Subject(title, name, network.on_meta, spec, (channels, side, side))


def _named_subject(name: str, arch: str, given: Mapping[str, object], image_size: int | None) -> Subject:
    """The architecture that a user supplies for a name of Table 1; the registry is not asked.

    Raises:
        UserError: The name has no row, or the string is no architecture of the paper's size.
    """
    from pinas_zoo.analysis.paper_tables import ROWS_OF_NAMES
    from pinas_zoo.errors import UserError
    from pinas_zoo.zoo.resolve import resolve

    names = [known for known in ROWS_OF_NAMES if known.startswith("pinas_")]
    if name not in names:
        raise UserError(
            f"expected a name of Table 1 beside --arch, of {', '.join(names)}, got {name!r}; to show an architecture, "
            "give its digits in place of the name"
        )
    if given:
        raise UserError(f"expected no sizes beside --arch, got {', '.join(given)}; {name} has the paper's")
    network = resolve(arch)
    if network.kind != "arch" or network.spec is None or not network.spec.is_papers_size():
        raise UserError(f"expected --arch as 16 digits from 0 to 3, got {arch!r}")
    channels, side, _ = network.input_size
    size = (channels, image_size or side, image_size or side)
    return Subject(f"{name}, architecture {network.spec.arch}", name, network.on_meta, network.spec, size)


def layers_of(subject: Subject) -> list[LayerRow]:
    """Rows of the table of layers; none for a network that is not of the Π-NAS space."""
    from pinas_zoo.analysis.diagram import layer_table

    return [] if subject.spec is None else layer_table(subject.spec, subject.input_size[1:])


def print_layers(layers: Sequence[LayerRow]) -> None:
    from pinas_zoo.analysis.diagram import HEADINGS, table_cells

    if layers:
        table(HEADINGS, table_cells(layers), right=HEADINGS[2:])


def paper_checks(subject: Subject, expected: Printed | None) -> list[Check]:
    """The check against the paper's figures, for a network that stands there under this name or architecture."""
    from pinas_zoo.analysis.cost import count_module, count_operations
    from pinas_zoo.analysis.paper_check import Check, Measured, check_code, check_printed, printed_row
    from pinas_zoo.analysis.paper_tables import ROWS_OF_NAMES
    from pinas_zoo.models.pinas import ALIASES, ARCHS

    name, spec = subject.name or "", subject.spec
    if spec is not None and spec.is_papers_size():
        drawn = {**{arch: known for known, arch in ARCHS.items()}, "1" * 16: "resnest50d"}
        name = name if name in ROWS_OF_NAMES else drawn.get(str(spec.arch), name)
    figures = [printed for printed in (printed_row(name), expected) if printed is not None]
    if not figures:
        return []
    if spec is not None and (spec.num_classes, spec.in_chans) != (1000, 3):
        text = "the paper's figures are for 1000 classes and 3 channels: not checked"
        return [Check(expected is None, text)]  # a check that was asked for has not passed
    model, size = subject.build(), (3, 224, 224)
    measured = Measured(count_module(model, size).params, count_operations(model, size))
    of_code = check_code(name, measured.params)
    checks = [check_printed(measured, printed) for printed in figures] + ([of_code] if of_code else [])
    known = ARCHS.get(ALIASES.get(name, name))
    if known is not None and spec is not None and str(spec.arch) != known:  # others have the same figures
        checks.append(Check(False, f"does not match the authors' code: expected architecture {known}, got {spec.arch}"))
    return checks


def write_picture(subject: Subject, path: Path, kind: str) -> None:
    """Write the picture whole or not at all.

    Raises:
        UserError: It cannot be written there; or Pillow is too old for PNG.
    """

    from pinas_zoo.analysis.diagram import network_png, network_svg
    from pinas_zoo.errors import UserError
    from pinas_zoo.weights.atomic import write_bytes

    assert subject.spec is not None
    try:
        title = subject.name or subject.title
        content = network_png(subject.spec, title) if kind == "PNG" else network_svg(subject.spec, title).encode()
        path.parent.resolve(strict=True)  # a folder that is not there may be a typing error, so it is not made
        write_bytes(path, content)
    except (OSError, ImportError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"expected to write the picture to {path}, got: {reason}; give another place") from None


def parse_expected(text: str) -> Printed:
    """Two figures as the paper prints them.

    Raises:
        UserError: Not two decimal numbers.
    """
    import re

    from pinas_zoo.analysis.paper_check import Printed
    from pinas_zoo.errors import UserError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)M?,(\d+(?:\.\d+)?)G?", text.replace(" ", ""))
    if match is None:
        raise UserError(f"expected --expect PARAMS_M,FLOPS_G as printed, such as 27.1,5.38, got {text!r}")
    return Printed("--expect", match[1], match[2])


def _integers(text: str | None, option: str) -> tuple[int, ...] | None:
    from pinas_zoo.errors import UserError

    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"expected {option} as four numbers such as 1,1,1,1, got {text!r}") from None


def _times(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
