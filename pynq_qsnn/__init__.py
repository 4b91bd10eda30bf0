"""Quantized spiking networks on the Kria KV260: train, compile, simulate, run and measure.

Importing this package loads nothing but NumPy; PyTorch, Brevitas and pynq are imported where they are used.
"""

__version__ = "0.1.0"
