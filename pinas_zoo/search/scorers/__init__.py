"""Scores of candidates, one kind a file; ``explore.score`` names one."""

from pinas_zoo.search.scorers.protocol import Score, Scorer, ScoringData

__all__ = ["Score", "Scorer", "ScoringData"]
