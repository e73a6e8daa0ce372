"""Search spaces, one file each. The configuration key ``space.type`` selects one."""

from pinas_zoo.search.spaces.base import SPACES, SearchSpace, Supernet, build_space

__all__ = ["SPACES", "SearchSpace", "Supernet", "build_space"]
