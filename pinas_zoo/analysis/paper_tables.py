"""The numbers that the paper prints, as data: Tables 1-7, the taus of Figures 3 and 6, and the settings of sec. 4.1.

Peng et al., "Pi-NAS: Improving Neural Architecture Search by Reducing Supernet Training Consistency Shift", ICCV 2021
(arXiv 2108.09671). Cells are strings with the printed digits and no more; :func:`number` and :func:`spread` read them.
References such as ``[24]`` and the mark "(ours)" are left out of the names of rows. Nothing here comes from a picture:
:data:`ONLY_IN_PICTURES` lists the figures whose numbers stand nowhere in the text.

``pinas-zoo paper`` prints all of it. This module imports neither torch nor any other module of the package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """One table, as it is printed.

    Attributes:
        number: 1 to 7.
        title: What it is about.
        columns: Headings; the first is that of the rows' names.
        rows: The cells of each row, its name first; ``""`` is an empty cell and ``"-"`` a printed dash.
        notes: Footnotes, and what a reader should know about the print.
    """

    number: int
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """Names of the rows."""
        return tuple(row[0] for row in self.rows)

    def cell(self, row: str, column: str) -> str:
        """A cell as printed, such as ``"27.1M"``.

        Raises:
            KeyError: No such row or column.
        """
        for cells in self.rows:
            if cells[0] == row and column in self.columns:
                return cells[self.columns.index(column)]
        raise KeyError(f"expected a row of {self.names()} and a column of {self.columns}, got {row!r} and {column!r}")


@dataclass(frozen=True)
class PrintedTau:
    """Kendall's tau on NAS-Bench-201, CIFAR-10, that the text gives; the supernet has all five operations.

    Attributes:
        figure: The figure whose tau it is.
        method: ``"pinas"`` or ``"spos"``, as ``learn.method`` spells them.
        tau: As printed.
        left_out: Operations that no ranked architecture has; all other architectures of the 15,625 are ranked.
        count: Number of ranked architectures.
        printed_count: The number that the paper prints.
    """

    figure: int
    method: str
    tau: str
    left_out: tuple[str, ...]
    count: int
    printed_count: str


@dataclass(frozen=True)
class Setting:
    """One setting of sec. 4.1; ``stage`` is space, data, learn, linear, explore or train (sec. 4.2's fast setting)."""

    stage: str
    name: str
    printed: str


def number(cell: str) -> float:
    """The number of a cell: 27.1 for ``"27.1M"``, 81.04 for ``"81.04±0.03"``.

    Raises:
        ValueError: The cell has none (``""``, ``"-"``, ``"✓"``, ``"collision"``).
    """
    found = re.match(r"\d+(?:\.\d+)?", cell)
    if found is None:
        raise ValueError(f"expected a cell with a number, got {cell!r}")
    return float(found[0])


def spread(cell: str) -> float | None:
    """What stands after ``±``: 0.03 for ``"81.04±0.03"``; None where nothing does."""
    _, mark, text = cell.partition("±")
    return float(text) if mark else None


TABLES = {
    table.number: table
    for table in (
        Table(
            1,
            "Image classification, trained fast, ImageNet validation (Acc@S: top-1 accuracy in the supernet)",
            ("Model", "Params", "FLOPs", "Acc@S", "Acc@1", "Acc@5"),
            (
                ("ResNeSt-50", "27.5M", "5.42G", "64.6%", "80.7%", "95.3%"),
                ("Π-NAS-α", "27.1M", "5.38G", "65.0%", "81.2%", "95.4%"),
                ("Π-NAS-β", "27.2M", "5.39G", "65.1%", "81.2%", "95.6%"),
                ("Π-NAS-γ", "27.0M", "5.30G", "65.0%", "81.1%", "95.6%"),
                ("Π-NAS-δ", "26.9M", "5.30G", "65.0%", "81.0%", "95.4%"),
                ("Π-NAS-ε", "26.9M", "5.42G", "65.0%", "81.0%", "95.4%"),
            ),
            (
                "Parameters are rounded twice, to two digits and then to one. FLOPs are those of a counter that counts "
                "biases, batch norm, ReLU and pooling, too.",
                "The architectures of β, δ and ε stand only in a picture (Figure 9).",
            ),
        ),
        Table(
            2,
            "Image classification, ImageNet validation, trained with AugMix",
            ("Model", "Params", "FLOPs", "img/sec", "GPU", "Accuracy"),
            (
                ("ResNet-50", "25.6M", "4.12G", "835.9", "2.55G", "78.4"),
                ("SENet-50", "27.7M", "4.25G", "-", "-", "78.9"),
                ("SKNet-50", "27.5M", "4.47G", "-", "-", "79.2"),
                ("EfficientNet-B3†", "12.2M", "1.88G", "490.5", "9.25G", "81.1"),
                ("ResNeSt-50", "27.5M", "5.42G", "561.6", "4.16G", "81.1"),
                ("SPOS", "27.1M", "5.43G", "536.4", "4.12G", "81.04±0.03"),
                ("FairNAS", "26.9M", "5.31G", "541.7", "3.87G", "81.05±0.06"),
                ("DNA", "26.8M", "5.41G", "571.6", "3.71G", "81.1*"),
                ("FBNetV2", "26.8M", "5.29G", "478.7", "3.89G", "81.1*"),
                ("TuNAS", "26.8M", "5.39G", "554.8", "4.95G", "81.1*"),
                ("Π-NAS-cls", "27.1M", "5.38G", "556.8", "4.07G", "81.6"),
            ),
            (
                "img/sec and GPU memory: inference in batches of 128 on one GTX 2080 Ti.",
                "† crops of 300 pixels, all others 224.",
                "* a bunch of sub-optimal solutions with close accuracy.",
                "SPOS to Π-NAS-cls were searched in the paper's space. Π-NAS-cls is Π-NAS-α.",
            ),
        ),
        Table(
            3,
            "Kendall's tau of NAS methods in the paper's space, over 13 networks that were trained from scratch",
            ("Method", "Ours", "DNA", "SPOS", "FairNAS", "FBNetV2", "TuNAS"),
            (
                ("Classification", "0.79", "0.45", "0.19", "0.36", "0.32", "0.14"),
                ("Instance seg.", "0.51", "0.38", "0.18", "-", "-", "-"),
            ),
            (
                "The 13 are the five of Table 1 and eight random ones that the paper does not list. The truth of the "
                "second row is the mean of box and mask AP.",
            ),
        ),
        Table(
            4,
            "Test accuracy of the architecture that was found, NAS-Bench-201, CIFAR-10",
            ("Method", "Ours", "SPOS", "arch2vec", "ProxylessNAS", "WPL", "GDAS-NSAS"),
            (("Test(%)", "93.83±0", "93.57±0", "92.53±0.32", "92.08±0.03", "90.92±0.11", "93.55±0.16"),),
        ),
        Table(
            5,
            "Instance segmentation with Mask R-CNN, COCO 2017 validation",
            ("Model", "AP Box", "AP Mask"),
            (
                ("ResNet-50", "39.93±0.04", "35.99±0.06"),
                ("ResNeSt-50", "42.81±0.02", "38.14±0.01"),
                ("Π-NAS-cls", "43.72", "39.13"),
                ("Π-NAS-trans", "44.11±0.04", "39.48±0.02"),
            ),
        ),
        Table(
            6,
            "Semantic segmentation with DeepLabV3, validation sets of ADE20K and Cityscapes",
            ("Model", "ADE20K pixAcc", "ADE20K mIoU", "Cityscapes mIoU"),
            (
                ("ResNet-50", "80.66±0.27", "42.74±0.64", "78.42±0.30"),
                ("ResNeSt-50", "81.22±0.05", "45.18±0.06", "80.08±0.20"),
                ("Π-NAS-trans", "81.31±0.04", "45.49±0.02", "80.40±0.30"),
            ),
            ("The table has no row of Π-NAS-cls.",),
        ),
        Table(
            7,
            "Components of Π-NAS, over the 13 (CP: cross-path learning; MT: mean teacher; DS: shared downsample)",
            ("Method", "CP", "MT", "DS", "nontrivial", "Kendall's Tau"),
            (
                ("SPOS", "", "", "✓", "", "0.19"),
                ("S-Π model", "✓", "", "✓", "✓", "0.48"),
                ("Ours w/o CP", "", "✓", "✓", "✓", "0.14"),
                ("Ours w/o DS", "✓", "", "", "✓", "0.40"),
                ("Ours w/o nontrivial", "✓", "✓", "✓", "", "collision"),
                ("Ours", "✓", "✓", "✓", "✓", "0.79"),
            ),
            ('As printed, "Ours w/o DS" has no mean teacher either. "Nontrivial" are the negative samples.',),
        ),
    )
}

# "792" of sec. 4.3 and Figure 3 is a slip: architectures of three operations on six edges are 3^6 = 729.
TAUS = (
    PrintedTau(3, "pinas", "0.70", ("none", "skip_connect"), 3**6, "792"),
    PrintedTau(3, "spos", "0.57", ("none", "skip_connect"), 3**6, "792"),
    PrintedTau(6, "pinas", "0.65", (), 5**6, "15625"),
    PrintedTau(6, "spos", "0.60", (), 5**6, "15625"),
)
METHOD_NAMES = {"pinas": "Π-NAS", "spos": "SPOS"}  # as the paper writes those of TAUS
ONLY_IN_PICTURES = {  # figure: what stands in its picture alone and is therefore not data here
    3: "the taus of arch2vec and ProxylessNAS",
    4: "the taus in parentheses; those of the variants of Table 7 stand there",
    5: "the mean similarities in parentheses",
    6: "the taus of arch2vec and ProxylessNAS",
    7: "all of it: per replaced operation, the change of the actual accuracy where the estimated one changes by < 0.01",
    8: "all taus (4096 architectures without skip_connect)",
    9: "the architectures of β, δ and ε; the authors' code has those of α and γ",
}

SECTION_4_1 = (
    Setting("space", "layers", "16"),
    Setting("space", "candidates per layer", "4"),
    Setting("space", "architectures", "4^16"),
    Setting("space", "Block0", "1s1x64d"),
    Setting("space", "Block1 (that of ResNeSt-50)", "2s1x64d"),
    Setting("space", "Block2", "1s2x42d"),
    Setting("space", "Block3", "2s2x40d"),
    Setting("data", "held-out images per class", "50"),
    Setting("learn", "smoothing coefficient λ of the mean teacher", "0.999"),
    Setting("learn", "layers of the head", "2"),
    Setting("learn", "learning rate, cosine", "0.03"),
    Setting("learn", "momentum", "0.9"),
    Setting("learn", "weight decay", "10^-4"),
    Setting("learn", "epochs", "100"),
    Setting("learn", "batch size", "192"),
    Setting("learn", "GPUs (GTX 2080 Ti)", "8"),
    Setting("linear", "classes", "1000"),
    Setting("linear", "epochs", "100"),
    Setting("linear", "batch size", "256"),
    Setting("linear", "learning rate", "30"),
    Setting("linear", "momentum", "0.9"),
    Setting("linear", "weight decay", "0"),
    Setting("linear", "learning rate times 0.1 at epochs", "60 and 80"),
    Setting("explore", "held-out images that score", "50k"),
    Setting("explore", "images for batch norm's statistics", "50k"),
    Setting("explore", "samples at most (Action Space)", "1000"),
    Setting("train", "epochs", "270"),
    Setting("train", "batch size", "512"),
)

ROWS_OF_NAMES = {  # name in this package or timm: table and row with its parameters and FLOPs
    "pinas_alpha": (1, "Π-NAS-α"),
    "pinas_cls": (1, "Π-NAS-α"),
    "pinas_beta": (1, "Π-NAS-β"),
    "pinas_gamma": (1, "Π-NAS-γ"),
    "pinas_trans": (1, "Π-NAS-γ"),
    "pinas_delta": (1, "Π-NAS-δ"),
    "pinas_epsilon": (1, "Π-NAS-ε"),
    "resnest50d": (1, "ResNeSt-50"),
    "resnet50": (2, "ResNet-50"),
}
