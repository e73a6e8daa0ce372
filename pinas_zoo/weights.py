"""Pretrained weights: where they come from, in which order, and what is checked before a network takes them."""

from __future__ import annotations

from pinas_zoo.folder import save_model_folder

__all__ = ["save_model_folder"]
