"""DDR of the emulated board, its contiguous-memory (CMA) allocator and the address-decoded bus."""

from __future__ import annotations

import mmap

import numpy as np

from ..errors import DeviceError

PAGE_BYTES = 4096
DDR_BYTES = 2 << 30  # the low window of a KV260; its upper 2 GiB are not modelled
CMA_BASE = 0x4000_0000
CMA_BYTES = 512 << 20
UNDEFINED_BYTE = 0xCD  # fresh buffers hold no particular value on a board
# Not in Python 3.10's mmap module; the value is Linux's.
MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


class BusError(DeviceError):
    """An access that no slave answers. A real board hangs or raises SIGBUS there."""


class Ddr:
    """Physical memory from address 0 on: one anonymous mapping, so that the kernel gets a real pointer.

    Pages cost host memory only once they are written.
    """

    def __init__(self, size: int = DDR_BYTES):
        self.size = size
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        self._map = mmap.mmap(-1, size, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._bytes = np.frombuffer(self._map, np.uint8)

    @property
    def pointer(self) -> int:
        """Host address of physical address 0."""
        return self._bytes.ctypes.data

    def view(self, address: int, length: int) -> np.ndarray:
        """Writable uint8 [length] at a physical address. Raises BusError outside the DDR."""
        if address < 0 or length < 0 or address + length > self.size:
            raise BusError(f"no DDR at {address:#x}..{address + length:#x}, it ends at {self.size:#x}")
        return self._bytes[address : address + length]

    def read(self, address: int, length: int) -> bytes:
        """Copy of ``length`` bytes."""
        return self.view(address, length).tobytes()

    def write(self, address: int, data: bytes) -> None:
        """Store bytes."""
        self.view(address, len(data))[:] = np.frombuffer(data, np.uint8)

    def discard(self, address: int, length: int) -> None:
        """Give whole pages back to the host; they read as zero afterwards."""
        self.view(address, length)
        self._map.madvise(mmap.MADV_DONTNEED, address, length)


class CmaAllocator:
    """First-fit allocator of whole pages, with an end."""

    def __init__(self, base: int = CMA_BASE, size: int = CMA_BYTES):
        if base % PAGE_BYTES or size % PAGE_BYTES:
            raise ValueError(f"CMA window {base:#x}+{size:#x} must be aligned to {PAGE_BYTES} bytes")
        self.size = size
        self._free = [(base, size)]
        self.live: dict[int, int] = {}

    @property
    def used_bytes(self) -> int:
        """Bytes in live buffers, rounded up to pages."""
        return sum(self.live.values())

    @property
    def free_bytes(self) -> int:
        """Bytes that are not allocated, contiguous or not."""
        return self.size - self.used_bytes

    def allocate(self, length: int) -> int:
        """Physical address of ``length`` contiguous bytes. Raises MemoryError."""
        pages = max(1, -(-length // PAGE_BYTES)) * PAGE_BYTES
        for i, (base, size) in enumerate(self._free):
            if size >= pages:
                self._free[i : i + 1] = [(base + pages, size - pages)] if size > pages else []
                self.live[base] = pages
                return base
        raise MemoryError(f"CMA: no {length} contiguous bytes, {self.free_bytes} of {self.size} are free")

    def release(self, base: int) -> int:
        """Free a buffer; returns its length in bytes. Raises ValueError for an address that is not allocated."""
        if base not in self.live:
            raise ValueError(f"CMA: {base:#x} is not allocated (freed twice?)")
        pages = self.live.pop(base)
        merged: list[tuple[int, int]] = []
        for start, size in sorted([*self._free, (base, pages)]):
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + size)
            else:
                merged.append((start, size))
        self._free = merged
        return pages


class Bus:
    """Decodes 32-bit accesses to register models; a model has ``read(offset)`` and ``write(offset, value)``."""

    def __init__(self):
        self._slaves: dict[int, tuple[int, object]] = {}

    def attach(self, base: int, size: int, model: object) -> None:
        """Map a model at ``base``."""
        self._slaves[base] = (size, model)

    def detach(self, base: int) -> None:
        """Unmap what is at ``base``."""
        del self._slaves[base]

    def _find(self, address: int) -> tuple[int, object]:
        for base, (size, model) in self._slaves.items():
            if base <= address < base + size:
                return address - base, model
        raise BusError(f"no slave answers at {address:#x}: is the bitstream loaded? (a real board would hang here)")

    def read32(self, address: int) -> int:
        """Value of the register at ``address``. Raises BusError."""
        offset, model = self._find(address)
        return model.read(offset) & 0xFFFFFFFF

    def write32(self, address: int, value: int) -> None:
        """Write the register at ``address``. Raises BusError."""
        offset, model = self._find(address)
        model.write(offset, value & 0xFFFFFFFF)
