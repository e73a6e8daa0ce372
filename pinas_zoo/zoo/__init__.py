"""Networks by name: the user's registry, and what a user means by a name, architecture, folder or Hub repo."""

from pinas_zoo.zoo.registry import Entry, entries, home, known, register, unregister
from pinas_zoo.zoo.resolve import ResolvedNetwork, resolve

__all__ = ["Entry", "ResolvedNetwork", "entries", "home", "known", "register", "resolve", "unregister"]
