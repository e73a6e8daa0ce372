"""Weights on disk and on the Hub: atomic files, model folders, checks of tensors, downloads. Knows no network."""
