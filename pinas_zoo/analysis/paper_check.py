"""Whether a network has the parameters and FLOPs that the paper prints.

The paper rounds twice. A flops counter prints 27.046 M parameters of Π-NAS-α as 27.05 M, and the paper 27.05 as 27.1;
27.039 M of Π-NAS-γ are 27.04 and then 27.0. Rounded once, α would print 27.0. Batch norm's running statistics are not
counted: with them γ would have 27.102 M and print 27.1. FLOPs are those of such a counter, which adds biases, batch
norm, ReLU and pooling to the multiply-adds (:func:`pinas_zoo.analysis.cost.count_operations`).

To match is necessary, not sufficient: many of the 4^16 architectures have the same figures of two or three digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from pinas_zoo.analysis.paper_tables import ROWS_OF_NAMES, TABLES

COUNTER_DIGITS = 2  # after the point, of what the flops counter prints
CODE_PARAMS = {  # name: parameters, to the last one, of the authors' code run with the architectures that it has
    "pinas_alpha": 27_046_278,
    "pinas_cls": 27_046_278,
    "pinas_gamma": 27_039_016,
    "pinas_trans": 27_039_016,
    "resnest50d": 27_483_240,
}


@dataclass(frozen=True)
class Measured:
    """What of a network is compared, for one image of 224 x 224 and 1000 classes.

    Attributes:
        params: Parameters, without batch norm's running statistics.
        operations: FLOPs as a flops counter prints them.
    """

    params: int
    operations: int


@dataclass(frozen=True)
class Printed:
    """Parameters in millions and FLOPs in 10^9 as they are printed, such as ``"27.1"`` and ``"5.38"``."""

    source: str
    params_m: str
    flops_g: str


@dataclass(frozen=True)
class Check:
    """Outcome of one comparison; ``text`` is one line for the user."""

    matches: bool
    text: str


def printed_row(name: str) -> Printed | None:
    """What the paper prints of a network of :data:`ROWS_OF_NAMES`; None for any other name."""
    if name not in ROWS_OF_NAMES:
        return None
    table, row = ROWS_OF_NAMES[name]
    params, flops = (TABLES[table].cell(row, column) for column in ("Params", "FLOPs"))
    return Printed(f"Table {table}'s row of {row}", params.rstrip("M"), flops.rstrip("G"))


def rounded_twice(count: int, unit: int, digits: int) -> str:
    """A count in millions or 10^9 (``unit``) as the paper prints it: to two digits, then to ``digits``, halves up.

    >>> rounded_twice(27_046_278, 10**6, 1)
    '27.1'
    """
    value = Decimal(count) / unit
    for places in (max(COUNTER_DIGITS, digits), digits):
        value = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return str(value)


def check_printed(measured: Measured, printed: Printed) -> Check:
    """Compare to the printed digits, and no more; one line says both figures."""
    pairs = (
        ("M parameters", printed.params_m, measured.params, 10**6),
        ("G FLOPs", printed.flops_g, measured.operations, 10**9),
    )
    got = [rounded_twice(count, unit, _digits(text)) for _, text, count, unit in pairs]
    exact = [_steps(count, unit) for _, _, count, unit in pairs]
    if got == [text for _, text, _, _ in pairs]:
        figures = (f"{value} {pair[0]} ({steps})" for value, pair, steps in zip(got, pairs, exact, strict=True))
        return Check(True, f"matches {printed.source}: {', '.join(figures)}")
    expected = ", ".join(f"{text} {name}" for name, text, _, _ in pairs)
    others = ", ".join(f"{value} ({steps})" for value, steps in zip(got, exact, strict=True))
    return Check(False, f"does not match {printed.source}: expected {expected}, got {others}")


def check_code(name: str, params: int) -> Check | None:
    """Compare the number of parameters with that of the authors' code; None for a network that it does not have."""
    if name not in CODE_PARAMS:
        return None
    if params == CODE_PARAMS[name]:
        return Check(True, f"matches the authors' code: {params:,} parameters")
    text = f"does not match the authors' code: expected {CODE_PARAMS[name]:,} parameters, got {params:,}"
    return Check(False, text)


def _steps(count: int, unit: int) -> str:
    """As ``27.046, by a counter 27.05``."""
    return f"{count / unit:.3f}, by a counter {rounded_twice(count, unit, COUNTER_DIGITS)}"


def _digits(text: str) -> int:
    return len(text.partition(".")[2])
