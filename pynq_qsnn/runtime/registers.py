"""Named registers of one IP: offsets come from the hardware hand-off file, never from here."""

from __future__ import annotations

from ..errors import DeviceError
from .connection import board_errors


class Registers:
    """32-bit registers by name.

    mmio: a ``pynq.MMIO``.  description: the IP's entry in ``Overlay.ip_dict``, which pynq reads from the .hwh.
    """

    def __init__(self, mmio, description: dict):
        self._mmio, self._ip = mmio, description["fullpath"]
        self._registers = description["registers"]

    def _find(self, name: str, suffix: str = "") -> int | None:
        # Vitis HLS appends _r to an argument whose name is a keyword of Verilog or VHDL.
        for spelling in (name + suffix, f"{name}_r{suffix}"):
            if spelling in self._registers:
                return self._registers[spelling]["address_offset"]
        return None

    def _offset(self, name: str, suffix: str = "") -> int:
        offset = self._find(name, suffix)
        if offset is None:
            raise DeviceError(
                f"{self._ip} has no register {name + suffix!r} in its .hwh; it has {sorted(self._registers)}. "
                "Bitstream and driver come from different releases: use the .bit and .hwh of this one."
            )
        return offset

    def read(self, name: str) -> int:
        """Value of a 32-bit register."""
        return self._read(self._offset(name))

    @board_errors
    def _read(self, offset: int) -> int:
        return int(self._mmio.read(offset)) & 0xFFFFFFFF  # a remote pynq 3.1 reads signed numbers

    def write(self, name: str, value: int) -> None:
        """Write a 32-bit register. MMIO takes a plain int only, so numpy integers are converted."""
        self._write(self._offset(name), int(value))

    @board_errors
    def _write(self, offset: int, value: int) -> None:
        self._mmio.write(offset, value & 0xFFFFFFFF)

    def read64(self, name: str) -> int:
        """Value of a 64-bit register, whose owner must be at rest: the halves are two accesses."""
        low, high = self._halves(name)
        return self._read(high) << 32 | self._read(low)

    def write64(self, name: str, value: int) -> None:
        """Write a 64-bit register, low half first."""
        for offset, half in zip(self._halves(name), (int(value), int(value) >> 32)):
            self._write(offset, half)

    def _halves(self, name: str) -> tuple[int, int]:
        # Vitis HLS describes a 64-bit argument as NAME_1 and NAME_2, older releases as one register of 64 bits.
        whole = self._find(name)
        if whole is not None:
            return whole, whole + 4
        return self._offset(name, "_1"), self._offset(name, "_2")
