"""Entry point of the command ``pinas-zoo``."""

from pinas_zoo.cli import main

__all__ = ["main"]
