"""What board this machine is, whether or not pynq is installed or finds a device."""

from __future__ import annotations

import platform
from pathlib import Path

DEVICE_TREE = Path("/proc/device-tree/compatible")
CPU_INFO = Path("/proc/cpuinfo")
# An Arm kernel tells numbers, not names: (implementer, part) of the cores that PYNQ boards and their users' hosts have.
ARM_CORES = {
    ("0x41", "0xc09"): "Arm Cortex-A9",
    ("0x41", "0xd03"): "Arm Cortex-A53",
    ("0x41", "0xd08"): "Arm Cortex-A72",
    ("0x41", "0xd0b"): "Arm Cortex-A76",
    ("0x41", "0xd0c"): "Arm Neoverse N1",
    ("0x41", "0xd40"): "Arm Neoverse V1",
    ("0x41", "0xd49"): "Arm Neoverse N2",
    ("0x41", "0xd4f"): "Arm Neoverse V2",
}


def board_names() -> str:
    """The device tree's names of this board, separated by blanks; "" on a machine without a device tree."""
    try:
        names = DEVICE_TREE.read_bytes()
    except OSError:
        return ""
    return names.replace(b"\0", b" ").decode(errors="replace").strip()


def is_kv260(names: str | None = None) -> bool:
    """True for the names of a KV260 or its K26 module; default the names of this machine."""
    names = (board_names() if names is None else names).lower()
    return "kv260" in names or "k26" in names


def cpu_name() -> str:
    """Name of this machine's processor as its kernel tells it; the architecture alone where it tells nothing."""
    try:
        text = CPU_INFO.read_text(errors="replace")
    except OSError:
        text = ""
    facts: dict[str, str] = {}
    for key, _, value in (line.partition(":") for line in text.splitlines()):
        facts.setdefault(key.strip().lower(), value.strip())
    core = (facts.get("cpu implementer", ""), facts.get("cpu part", ""))
    if all(core):  # before "model name", which a 32-bit kernel fills with "ARMv7 Processor"
        return ARM_CORES.get(core, f"Arm core, implementer {core[0]}, part {core[1]}")
    return facts.get("model name") or platform.machine()
