"""How well scores rank: Kendall's tau, main effects, similarity of features, benchmark tables."""
