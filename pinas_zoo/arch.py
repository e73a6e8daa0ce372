"""An architecture is one frozen value: the candidate chosen in each layer, from the first to the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, order=True)
class Arch:
    """Candidate indices, one per searched layer; its text form has one digit (0-9, a-z) per layer.

    >>> str(Arch.parse("3013"))
    '3013'
    """

    choices: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(int(c) for c in self.choices))

    @classmethod
    def parse(cls, text: str | Iterable[int] | Arch, num_layers: int | None = None, num_candidates: int = 36) -> Arch:
        """Read an architecture from its text form (or a sequence of indices) and check it.

        Args:
            text: One digit per layer, such as ``"3013231203213032"``; or a sequence of integers.
            num_layers: Expected number of layers; any when None.
            num_candidates: Every choice must be below this.

        Raises:
            ValueError: Wrong length, or a digit out of range; says what was expected and what came.
        """
        if isinstance(text, Arch):
            choices = text.choices
        elif isinstance(text, str):
            bad = sorted({c for c in text if c not in DIGITS})
            if bad or not text:
                raise ValueError(
                    f"expected an architecture as one digit per layer, such as '{'0123' * 4}', got {text!r}"
                    + (f" with {', '.join(map(repr, bad))}" if bad else "")
                )
            choices = tuple(DIGITS.index(c) for c in text)
        elif isinstance(text, Iterable):
            choices = tuple(int(c) for c in text)
        else:
            raise ValueError(f"expected an architecture as text in quotes, one digit per layer, got {text!r}")
        if num_layers is not None and len(choices) != num_layers:
            raise ValueError(
                f"expected an architecture of {num_layers} layers, got {len(choices)} in {text!r}; "
                "give one digit per layer, or the depths that it belongs to"
            )
        for layer, choice in enumerate(choices):
            if not 0 <= choice < num_candidates:
                raise ValueError(
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
