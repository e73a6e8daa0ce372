"""The stages of a search."""
