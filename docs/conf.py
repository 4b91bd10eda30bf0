"""Sphinx settings of the site in build/docs (`make docs`)."""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER / "_ext")]

from pynq_qsnn import __version__  # noqa: E402

project = "pynq_qsnn"
author = "pynq_qsnn contributors"
copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings", "tables"]
exclude_patterns = ["_ext", "figures"]
# Of two attributes with one name a type annotation may mean either.
suppress_warnings = ["ref.python"]

myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}

html_theme = "furo"
html_title = f"pynq_qsnn {release}"
html_copy_source = False
html_show_sphinx = False
highlight_language = "none"
