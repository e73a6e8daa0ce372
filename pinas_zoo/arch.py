"""The type of an architecture: an immutable sequence of the candidates chosen in each layer, first layer first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pinas_zoo.errors import UserError

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


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
    def parse(cls, text: str | Iterable[int] | Arch, num_layers: int | None = None, num_candidates: int = 36) -> Arch:
        """Read and check an architecture.

        Args:
            text: One digit per layer, such as ``"3013231203213032"``; or a sequence of integers.
            num_layers: Required number of layers. None: any.
            num_candidates: Number of candidates per layer.

        Raises:
            UserError: The length is wrong, or a choice is out of range.
        """
        if isinstance(text, Arch):
            choices = text.choices
        elif isinstance(text, str):
            bad = sorted({c for c in text if c not in DIGITS})
            if bad or not text:
                raise UserError(
                    f"expected an architecture as one digit per layer, such as '{'0123' * 4}', got {text!r}"
                    + (f" with {', '.join(map(repr, bad))}" if bad else "")
                )
            choices = tuple(DIGITS.index(c) for c in text)
        elif isinstance(text, Iterable):
            choices = tuple(int(c) for c in text)
        else:
            raise UserError(f"expected an architecture as text in quotes, one digit per layer, got {text!r}")
        if num_layers is not None and len(choices) != num_layers:
            raise UserError(
                f"expected an architecture of {num_layers} layers, got {len(choices)} in {text!r}; "
                "give one digit per layer, or the depths that it belongs to"
            )
        for layer, choice in enumerate(choices):
            if not 0 <= choice < num_candidates:
                raise UserError(
                    f"expected candidates 0 to {num_candidates - 1} in every layer, got {choice} "
                    f"in layer {layer} of {text!r}"
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
