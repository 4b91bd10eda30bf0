"""Overlays of pynq_qsnn; in a wheel, pynq_qsnn.overlays. Packages, so that pynq's entry points can name them."""
