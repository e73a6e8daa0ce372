"""Scores of candidates, one kind a file."""
