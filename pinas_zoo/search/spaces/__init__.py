"""Search spaces, one module each; a module's ``Space`` is the class that a configuration's ``space.type`` names."""
