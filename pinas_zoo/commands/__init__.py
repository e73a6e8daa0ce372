"""Subcommands of ``pinas-zoo``: a module has ``add_parser(subparsers)`` and imports what it runs only when it runs."""
