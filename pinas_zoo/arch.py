"""The type of an architecture: an immutable sequence of the candidates chosen in each layer, first layer first."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pinas_zoo.errors import UserError

MOST_DIGITS = 4000  # of an architecture that is given as a number; Python prints no longer ones
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_QUOTE = "give it as text (on a command line \"arch='0123'\") or as a list (arch=[0,1,2,3])"


def _number(value: object) -> str | None:
    """The digits of a whole number; None for anything else.

    Raises:
        UserError: A number that does not keep the digits: a float, a truth value, a negative one.
    """
    if isinstance(value, float | bool):
        raise UserError(
            f"expected an architecture as text, one digit per layer, got the {type(value).__name__} {value!r}, which "
            f"does not keep the digits; {_QUOTE}"
        )
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None
    if not 0 <= number < 10**MOST_DIGITS:
        raise UserError(f"expected an architecture as one digit per layer, got {_shown(number)}; {_QUOTE}")
    return str(number)


@dataclass(frozen=True, order=True)
class Arch:
    """An architecture: the index of the chosen candidate in each searched layer.

    Its text has one digit (0-9, a-z) per layer. Architectures are hashable, and sort like their texts.

    Attributes:
        choices: Candidate of each layer, from 0.

    Example:
        >>> arch = Arch.parse("3013")
        >>> str(arch), len(arch), arch[0]
        ('3013', 4, 3)
    """

    choices: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(int(c) for c in self.choices))

    @classmethod
    def parse(
        cls, text: str | int | Iterable[int] | Arch, num_layers: int | None = None, num_candidates: int = 36
    ) -> Arch:
        """Read and check an architecture.

        Args:
            text: One digit per layer, such as ``"3013231203213032"``; or a sequence of integers. A whole number is read
                by its digits, because command lines such as timm's ``--model-kwargs arch=3013231203213032`` turn the
                text into one. It has lost its leading zeros, if it had any, so it never stands for a first digit of 0.
            num_layers: Required number of layers. None: any.
            num_candidates: Number of candidates per layer.

        Raises:
            UserError: The length is wrong, a choice is out of range, or it is a number that does not tell its digits.
        """
        shown = _shown(text)
        number = None if isinstance(text, str | Arch) else _number(text)
        if isinstance(text, Arch):
            choices = text.choices
        elif isinstance(text, str):
            bad = sorted({c for c in text if c not in DIGITS})
            if bad or not text:
                raise UserError(
                    f"expected an architecture as one digit per layer, such as '{'0123' * 4}', got {shown}"
                    + (f" with {', '.join(map(repr, bad[:8]))}" if bad else "")
                )
            choices = tuple(DIGITS.index(c) for c in text)
        elif number is not None:
            choices = tuple(int(c) for c in number)
        elif isinstance(text, Iterable):
            choices = tuple(_choice(c, shown) for c in text)
        else:
            raise UserError(f"expected an architecture as text in quotes, one digit per layer, got {shown}; {_QUOTE}")
        if num_layers is not None and len(choices) != num_layers:
            raise UserError(
                f"expected an architecture of {num_layers} layers, got {len(choices)} in {shown}; "
                + (f"a number keeps no leading zeros: {_QUOTE}" if number is not None else "give one digit per layer")
                + ", or the depths that it belongs to"
            )
        for layer, choice in enumerate(choices):
            if not 0 <= choice < num_candidates:
                raise UserError(
                    f"expected candidates 0 to {num_candidates - 1} in every layer, got {_shown(choice)} "
                    f"in layer {layer} of {shown}"
                )
        return cls(choices)

    def __str__(self) -> str:
        return "".join(DIGITS[c] for c in self.choices)

    def __len__(self) -> int:
        return len(self.choices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.choices)

    def __getitem__(self, layer: int) -> int:
        return self.choices[layer]


def _choice(value: object, shown: str) -> int:
    """The candidate of one layer in a sequence; a number of another type, such as 2.0, must be whole.

    Raises:
        UserError: It is no whole number.
    """
    try:
        choice = int(value)  # type: ignore[call-overload]
        whole = isinstance(value, str) or (choice == value and not isinstance(value, bool))
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise UserError(f"expected whole numbers in an architecture, got {_shown(value)} in {shown}; {_QUOTE}")
    return choice


def _shown(value: object) -> str:
    """A value in a message, cut where it is long, as in a file that somebody else wrote."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, str | list | tuple) and len(value) > 80:
        return f"{str(value[:60])!r}… of length {len(value)}"
    try:
        text = repr(value)
    except ValueError:  # a huge number inside
        text = f"a {type(value).__name__} with a number that is too long to print"
    return text if len(text) <= 200 else f"{text[:200]}…"
