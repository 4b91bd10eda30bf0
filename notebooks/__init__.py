"""Notebooks of pynq_qsnn; in a wheel, pynq_qsnn.notebooks, from where `pynq get-notebooks` copies them."""
