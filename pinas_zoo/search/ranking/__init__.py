"""Ranking quality: Kendall's tau, main effects, similarity of features, tables of trained networks."""
