"""Subcommands of `pynq-qsnn`: one file each, with `add_arguments(parser)` and `run(args)`."""
