"""Where progress bars are drawn."""

import sys


def bar_file():
    """stderr, but stdout in a notebook: Jupyter paints stderr as an error."""
    return sys.stdout if "ipykernel" in sys.modules else sys.stderr
