"""What a report calls layers and candidates: by the space's names, or by number where it has none."""

from __future__ import annotations

from dataclasses import dataclass

from pinas_zoo.search.spaces.base import SearchSpace


@dataclass(frozen=True)
class ChoiceNames:
    """Names of layers and of candidates; either may be empty. Layers count from 1 and candidates from 0."""

    layers: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()

    @classmethod
    def of(cls, space: SearchSpace) -> ChoiceNames:
        """The names of a space; those that are more or fewer than its layers or candidates are left out."""
        layers, candidates = tuple(map(str, space.layer_names)), tuple(map(str, space.candidate_names))
        return cls(
            layers if len(layers) == space.num_layers else (),
            candidates if len(candidates) == space.num_candidates else (),
        )

    def layer(self, index: int) -> str:
        """A layer in a table: ``2`` or ``2 edge 0→2``."""
        return f"{index + 1} {self.layers[index]}" if self.layers else str(index + 1)

    def candidate(self, index: int) -> str:
        """A candidate in a table: ``candidate 4`` or ``4 avg_pool_3x3``."""
        return f"{index} {self.candidates[index]}" if self.candidates else f"candidate {index}"

    def choice(self, layer: int, candidate: int) -> str:
        """A choice in a figure: ``2=4`` or ``edge 0→2: avg_pool_3x3``."""
        where = self.layers[layer] if self.layers else str(layer + 1)
        what = self.candidates[candidate] if self.candidates else str(candidate)
        return f"{where}: {what}" if self.layers or self.candidates else f"{where}={what}"

    def explained(self, layer: int, candidate: int) -> str:
        """The same in words: ``candidate 4 (avg_pool_3x3) in layer 2 (edge 0→2)``."""
        what = f" ({self.candidates[candidate]})" if self.candidates else ""
        where = f" ({self.layers[layer]})" if self.layers else ""
        return f"candidate {candidate}{what} in layer {layer + 1}{where}"

    @property
    def digits(self) -> str:
        """How to read the digits of an architecture, as a sentence; empty without names of candidates."""
        if not self.candidates:
            return ""
        meanings = ", ".join(f"{index} is {name}" for index, name in enumerate(self.candidates))
        order = f", in this order: {', '.join(self.layers)}" if self.layers else ""
        return f"An architecture has a digit for each layer{order}. Of these digits, {meanings}."
