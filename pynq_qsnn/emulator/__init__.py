"""An emulated KV260 under the unmodified ``pynq`` package, for machines without a board.

Timing and power on it come from models and are called emulated wherever a user sees them.
"""

from .session import OpenBoard, open_board

__all__ = ["OpenBoard", "open_board"]
