"""What board this machine is, whether or not pynq is installed or finds a device."""

from __future__ import annotations

from pathlib import Path

DEVICE_TREE = Path("/proc/device-tree/compatible")


def board_names() -> str:
    """The device tree's names of this board, separated by blanks; "" on a machine without a device tree."""
    try:
        names = DEVICE_TREE.read_bytes()
    except OSError:
        return ""
    return names.replace(b"\0", b" ").decode(errors="replace").strip()


def is_kv260() -> bool:
    """True on a KV260 or its K26 module."""
    names = board_names().lower()
    return "kv260" in names or "k26" in names
