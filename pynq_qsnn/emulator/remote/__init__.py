"""The emulated KV260 as a server that pynq's own remote client (PYNQ.remote, pynq 3.1 and later) drives.

It runs in a process of its own: a client that still holds buffers when its interpreter ends talks to the server then.
"""

from .address import parse_address
from .process import serve

__all__ = ["parse_address", "serve"]
