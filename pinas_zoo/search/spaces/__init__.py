"""Search spaces, one file each; a module's ``Space`` is the class that ``space.type`` names."""
