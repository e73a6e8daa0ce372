"""The architectures that a study trains: known ones, listed ones, random ones, and the best of each method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.search.trained_study.config import StudyConfig

RANDOM = "random"


@dataclass(frozen=True)
class StudiedArch:
    """An architecture and why it is studied, such as "reference resnest" or "best of pinas and spos"."""

    arch: Arch
    origin: str


def studied(
    config: StudyConfig, space: SearchSpace, best: Mapping[str, Arch], begun: Iterable[str] = ()
) -> list[StudiedArch]:
    """The architectures in the order in which they are trained.

    The random ones do not depend on the supernets, so that they can be trained before these are learned. Where a
    method's best is in the list already, another random one takes its place. Of the space's references, those are in
    the list for which the count leaves room.

    A study trains a reference first. So one that has begun trainings, but none of a reference, is of an earlier version
    in which the space had none, and its list stays without them.

    Args:
        config: The study.
        space: Its space.
        best: The best architecture of each method whose supernet has been explored. While one is missing, the list is
            the beginning of the final one.
        begun: Text of the architectures whose training has begun.

    Raises:
        UserError: A listed architecture is none of the space, or the counts do not fit together.
    """
    origins: dict[Arch, list[str]] = {}
    listed = [space.parse(text) for text in config.architectures]
    references, texts = space.references(), set(begun)
    if texts and not texts & set(map(str, references.values())):
        references = {}
    for name, arch in references.items():
        if len({*origins, *listed, arch}) + len(config.methods) <= config.count:
            origins.setdefault(arch, []).append(f"reference {name}")
    for arch in listed:
        origins.setdefault(arch, []).append("listed")
    free = config.count - len(origins) - len(config.methods)
    if free < 0:
        raise UserError(
            f"expected a count of at least {config.count - free}, for {len(origins)} listed architectures and the best "
            f"of {len(config.methods)} methods, got {config.count}; raise count"
        )
    if config.count > space.size:
        raise UserError(f"expected a count within the space's {space.size} architectures, got {config.count}")
    drawn = random_archs(space, config.seed)
    while free > 0:
        if (arch := next(drawn)) not in origins:
            origins[arch] = [RANDOM]
            free -= 1
    if all(method in best for method in config.methods):
        for method in config.methods:
            origins.setdefault(best[method], []).append(f"best of {method}")
        while len(origins) < config.count:
            origins.setdefault(next(drawn), [RANDOM])
    return [StudiedArch(arch, ", ".join(words)) for arch, words in origins.items()]


def random_archs(space: SearchSpace, seed: int) -> Iterator[Arch]:
    """Architectures of the scored space, each drawn uniformly, without end; one may come again."""
    for step in count():
        rng = step_rng(seed, step, Stream.STUDIED)
        places = rng.integers([len(choices) for choices in space.choices])
        yield Arch(tuple(choices[place] for choices, place in zip(space.choices, places, strict=True)))
