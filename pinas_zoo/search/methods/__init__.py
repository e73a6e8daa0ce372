"""Ways to learn a supernet, one file each; a module's ``Method`` is the class that ``learn.method`` names."""

from pinas_zoo.search.methods.base import Method, build_method, method_class

__all__ = ["Method", "build_method", "method_class"]
