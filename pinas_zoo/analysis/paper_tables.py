"""The authors' printed figures as data, and the comparison of a network with them.

Only figures that were read at their source are listed. The text of the paper's Tables 1 and 2 (arXiv 2108.09671) was
not at hand when this was written: the figures of Π-NAS-cls are those of the authors' repository
(github.com/Ernie1/Pi-NAS, README), the parameter counts those of the authors' code run with the known architectures.
Π-NAS-β, -δ and -ε, and the rows of other networks, are unknown here. A reader of the paper can pass their two figures
(``pinas-zoo info NAME --expect PARAMS_M,FLOPS_G``), and the same check runs on them.

The counting convention matters. 5.38 G is what a flops counter of the kind in the authors' repository sums up for
Π-NAS-α (convolutions with biases, linear layers, batch norm, ReLU, pooling); its multiply-adds alone are 5.33 G.
27.1 M is not the number of its parameters, 27.046 M, to one digit: it is either that with batch norm's running
statistics, 27.110 M, or the counter's printout of 27.05 M rounded a second time. One row cannot tell which.
"""

from __future__ import annotations

from dataclasses import dataclass

README = "the authors' figure for Π-NAS-cls (their README)"
CODE = "the authors' code"


@dataclass(frozen=True)
class Figures:
    """Figures of one network as they are printed, so many digits and no more; None where unknown.

    Attributes:
        source: Where the printed figures stand.
        params_m: Parameters in millions, such as ``"27.1"``.
        flops_g: FLOPs in 10^9 for one image of 224 x 224, such as ``"5.38"``.
        top1, top5: ImageNet accuracy in percent.
        params: Number of parameters, to the last one, from the authors' code.
    """

    source: str
    params_m: str | None = None
    flops_g: str | None = None
    top1: str | None = None
    top5: str | None = None
    params: int | None = None


_ALPHA = Figures(README, params_m="27.1", flops_g="5.38", top1="81.6", top5="95.7", params=27_046_278)
_GAMMA = Figures(CODE, params=27_039_016)
_RESNEST50 = Figures(CODE, params=27_483_240)

FIGURES = {
    "pinas_alpha": _ALPHA,
    "pinas_cls": _ALPHA,
    "pinas_gamma": _GAMMA,
    "pinas_trans": _GAMMA,
    "resnest50d": _RESNEST50,
}
UNKNOWN = ("pinas_beta", "pinas_delta", "pinas_epsilon")  # in Table 1, figures not at hand


@dataclass(frozen=True)
class Measured:
    """What of a network is compared, for one image of 224 x 224 and 1000 classes.

    Attributes:
        params: Parameters.
        buffers: Running statistics of batch norm, which some counts of "parameters" contain.
        macs: Multiply-adds of convolutions and linear layers.
        operations: FLOPs as a flops counter prints them (:func:`pinas_zoo.analysis.cost.count_operations`).
    """

    params: int
    buffers: int
    macs: int
    operations: int

    def params_m(self) -> dict[str, float]:
        """Millions of parameters per way of counting."""
        return {
            "counting parameters": self.params / 1e6,
            "counting parameters and batch norm's running statistics": (self.params + self.buffers) / 1e6,
        }

    def flops_g(self) -> dict[str, float]:
        """FLOPs in 10^9 per way of counting."""
        return {
            "counting the multiply-adds of convolutions and linear layers": self.macs / 1e9,
            "counting biases, batch norm, ReLU and pooling too, as flops counters do": self.operations / 1e9,
        }


@dataclass(frozen=True)
class Check:
    """Outcome of one printed figure; ``text`` is one line for the user."""

    matches: bool
    text: str


def check(measured: Measured, figures: Figures) -> list[Check]:
    """Compare to the printed digits; a figure matches when any usual way of counting rounds to it, which is named.

    To match is necessary, not sufficient: many of the 4^16 architectures share a figure of two or three digits.
    """
    checks = []
    if figures.params is not None:
        same = measured.params == figures.params
        got = "" if same else f", got {measured.params:,}"
        checks.append(_outcome(same, CODE, f"{figures.params:,} parameters{got}"))
    if figures.params_m is not None:
        checks.append(_compare("M params", figures.params_m, measured.params_m(), figures.source))
    if figures.flops_g is not None:
        checks.append(_compare("G FLOPs", figures.flops_g, measured.flops_g(), figures.source))
    return checks


def _compare(unit: str, printed: str, counts: dict[str, float], source: str) -> Check:
    digits = len(printed.partition(".")[2])
    values = [f"{value:.{digits + 2}f} {name}" for name, value in counts.items()]
    for value, text in zip(counts.values(), values, strict=True):
        if f"{value:.{digits}f}" == printed:
            others = "; ".join(other for other in values if other != text)
            return _outcome(True, source, f"{printed} {unit} is {text}; it would be {others}")
    return _outcome(False, source, f"{printed} {unit}, got {'; '.join(values)}")


def _outcome(matches: bool, source: str, text: str) -> Check:
    return Check(matches, f"matches {source}: {text}" if matches else f"does not match {source}: expected {text}")
