"""Neural architecture search in stages: supernet learning, linear evaluation, exploration (Peng et al., sec. 3).

from pinas_zoo.search import search

result = search("digits", name="mine")
print(result.winner, result.test_accuracy)
"""

from pinas_zoo.search.api import RankedArchitecture, SearchResult, open_run, search
from pinas_zoo.search.config import SearchConfig, load_config
from pinas_zoo.search.methods.base import Method, build_method
from pinas_zoo.search.samplers.action_space import ActionSpaceSampler
from pinas_zoo.search.scorers.protocol import Score, Scorer
from pinas_zoo.search.spaces.base import SearchSpace, Supernet, build_space

__all__ = [
    "ActionSpaceSampler",
    "Method",
    "RankedArchitecture",
    "Score",
    "Scorer",
    "SearchConfig",
    "SearchResult",
    "SearchSpace",
    "Supernet",
    "build_method",
    "build_space",
    "load_config",
    "open_run",
    "search",
]
