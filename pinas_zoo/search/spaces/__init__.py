"""Search spaces, one file each; ``space.type`` names one."""

from pinas_zoo.search.spaces.base import SPACES, SearchSpace, Supernet, build_space

__all__ = ["SPACES", "SearchSpace", "Supernet", "build_space"]
