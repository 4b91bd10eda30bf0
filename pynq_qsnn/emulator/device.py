"""The emulated board as a ``pynq.Device``: the extension point that pynq itself offers, with pynq unmodified.

Overlay, MMIO, allocate, DMA, DefaultIP, RegisterMap and Clocks work on it as on the board. Caches are modelled as not
coherent: a buffer of the CPU and the DDR behind it are two arrays, so a forgotten flush or invalidate shows.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
from pynq.buffer import PynqBuffer
from pynq.pl_server.device import Device
from pynq.pl_server.embedded_device import EmbeddedDevice, bit2bin

from ..errors import DeviceError
from .bitstream import hwh_hash
from .board import NAME, Board
from .memory import DDR_BYTES, UNDEFINED_BYTE


class RegisterWindow(np.ndarray):
    """uint32 array over a range of addresses: indexing one element is one access to the bus."""

    def __new__(cls, board: Board, base: int, length: int) -> RegisterWindow:
        """Window of ``length`` bytes at physical address ``base``."""
        self = np.zeros(length >> 2, np.uint32).view(cls)
        self._board, self._base = board, base
        self._origin = self.__array_interface__["data"][0]
        return self

    def __array_finalize__(self, source):
        """Slices and views keep the board and the window's origin."""
        self._board = getattr(source, "_board", None)
        self._base = getattr(source, "_base", 0)
        self._origin = getattr(source, "_origin", 0)

    def _address(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"register index {index} outside a window of {len(self)}")
        offset = self.__array_interface__["data"][0] - self._origin
        return self._base + offset + index % len(self) * self.itemsize

    def __getitem__(self, index):
        """One register; slices give windows."""
        if not isinstance(index, (int, np.integer)):
            return super().__getitem__(index)
        address = self._address(int(index))
        words = [self._board.read32(address + 4 * i) for i in range(self.itemsize // 4)]
        return self.dtype.type(sum(word << 32 * i for i, word in enumerate(words)))

    def __setitem__(self, index, value):
        """Write one register."""
        address, value = self._address(int(index)), int(value)
        for i in range(self.itemsize // 4):
            self._board.write32(address + 4 * i, value >> 32 * i & 0xFFFFFFFF)


class EmulatedBuffer(PynqBuffer):
    """PynqBuffer whose memory belongs to the emulated CMA. Freeing twice does nothing."""

    def freebuffer(self):
        """Return the memory; views of the buffer must not be used afterwards."""
        pointer = getattr(self, "pointer", None)
        if pointer is not None:
            self.pointer = None
            self.device.release(pointer)


class EmulatedDevice(Device):
    """pynq's view of a :class:`Board`."""

    is_emulated = True

    def __init__(self, board: Board):
        super().__init__("emulated_kv260")
        self.board = board
        self.name, self.arch = NAME, "aarch64"
        self.default_bitfile: str | None = None
        self.capabilities = {"MEMORY_MAPPED": True, "REGISTER_RW": False, "CALLABLE": False}

    def monotonic(self) -> float:
        """The board's time in seconds: modelled while the kernel runs, the host's otherwise."""
        return self.board.time.now()

    def read_file(self, path: str) -> bytes:
        """A file of the board, such as /proc/meminfo or the power sensor's. Raises FileNotFoundError."""
        return self.board.files.read(path)

    def mmap(self, base_addr: int, length: int) -> RegisterWindow:
        """Registers at a physical address."""
        return RegisterWindow(self.board, base_addr, length)

    def allocate(self, shape, dtype, cacheable: int = 1, **_) -> EmulatedBuffer:
        """Contiguous buffer. Raises MemoryError when the CMA is exhausted."""
        dtype = np.dtype(dtype)
        length = int(np.prod(shape)) * dtype.itemsize
        address = self.board.cma.allocate(length)
        memory = np.full(length, UNDEFINED_BYTE, np.uint8) if cacheable else self.board.ddr.view(address, length)
        buffer = EmulatedBuffer(
            shape, dtype, buffer=memory.data, device=self, device_address=address, bo=address, coherent=not cacheable
        )
        buffer.pointer = address
        return buffer

    def release(self, address: int) -> None:
        """Free a buffer and its DDR pages."""
        self.board.ddr.discard(address, self.board.cma.release(address))

    def flush(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        """Write the CPU's copy to DDR."""
        self.board.ddr.write(bo + offset, ctypes.string_at(vaddr, nbytes))

    def invalidate(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        """Replace the CPU's copy by what DDR holds."""
        ctypes.memmove(vaddr, self.board.ddr.read(bo + offset, nbytes), nbytes)

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False):
        """Parse the .hwh as pynq does on a board. Raises DeviceError for an overlay that is not the emulator's."""
        hwh = Path(bitfile_name).with_suffix(".hwh")
        if hwh_hash(hwh.read_text()) not in Path(bitfile_name).read_bytes():
            raise DeviceError(
                f"{bitfile_name} is not a bitstream of the emulated board, which runs no real circuits. "
                "Pass the .bit of emulator.open_board(), or run on a KV260."
            )
        parser = _parser()(hwh)
        memory = {"base_address": 0, "size": DDR_BYTES, "idx": 0, "tag": "PSDDR", "type": "DDR4", "streaming": False}
        parser.mem_dict["PSDDR"] = memory
        return parser

    def download(self, bitstream, parser=None) -> None:
        """What EmbeddedDevice does through the FPGA manager, on the emulated board."""
        path = Path(bitstream.bitfile_name)
        self.board.load_firmware(f"{path.stem}.bin", bit2bin(path.read_bytes()))
        if parser is not None:
            # pynq 3.0.1 makes these registers on the active device, whatever device is loaded
            previous, Device.active_device = Device.active_device, self
            try:
                EmbeddedDevice.set_axi_port_width(self, parser)
            finally:
                Device.active_device = previous
        self.post_download(bitstream, parser, self.name)


def _parser():
    """pynq's own reader of .hwh files: inside pynq up to 3.0, in pynqmetadata from 3.1 on."""
    from pynqmetadata.frontends import Metadata

    try:
        from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
    except ImportError:
        from pynqmetadata.views.runtime import RuntimeMetadataParser
    return lambda path: RuntimeMetadataParser(Metadata(input=path))
