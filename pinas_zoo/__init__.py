"""Π-NAS networks for timm: importing this package registers them (``timm.create_model("pinas_cls")``)."""

from pinas_zoo.arch import Arch
from pinas_zoo.models.fuse import fuse
from pinas_zoo.version import __version__
from pinas_zoo.zoo.registry import load_registry, register, unregister

load_registry()

__all__ = ["Arch", "__version__", "fuse", "register", "unregister"]
