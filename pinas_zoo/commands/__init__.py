"""Subcommands of ``pinas-zoo``: a module has ``add_arguments(parser)`` and ``run(args)``, and imports what it
runs only when it runs."""
