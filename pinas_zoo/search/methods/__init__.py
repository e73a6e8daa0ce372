"""Search methods, one file each. The configuration key ``learn.method`` selects one."""

from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.search.methods.base import METHODS, Method, build_method, method_class

__all__ = ["METHODS", "Batch", "Method", "Phase", "build_method", "method_class"]
