"""Scorers of candidates, one file each. The configuration key ``explore.score`` selects one."""

from pinas_zoo.search.scorers.protocol import Score, Scorer, ScoringData

__all__ = ["Score", "Scorer", "ScoringData"]
