"""The emulated KV260: memory, bus, processing system and the programmable logic that a bitstream brings."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..hwspec import HardwareConfig
from ..kv260 import CRL_APB
from .axi_dma import AxiDma
from .bitstream import check_firmware
from .design import DMA, INTERRUPTS, KERNEL
from .faults import Faults
from .hls_kernel import HlsKernel
from .memory import CMA_BASE, CMA_BYTES, Bus, CmaAllocator, Ddr
from .power import PowerModel
from .ps import (
    CRF_APB,
    FPGA_MANAGER,
    PORT_WIDTH_BASES,
    BoardTime,
    ClockRegisters,
    Files,
    RegisterBank,
)

NAME = "KV260 (emulated)"
FIRMWARE = "/lib/firmware"
TIME_FILE = "/run/emulated_board/monotonic"  # a remote client's only way to the board's time


class Board:
    """State of the whole board. Register accesses and the kernel's worker share ``lock``.

    make_simulation: called when a bitstream is loaded; returns the simulated kernel.
    """

    def __init__(self, config: HardwareConfig, make_simulation: Callable[[], object], cma_bytes: int = CMA_BYTES):
        self.config, self._make_simulation = config, make_simulation
        self.lock = threading.RLock()
        self.faults, self.time = Faults(), BoardTime()
        self.ddr, self.cma = Ddr(), CmaAllocator(CMA_BASE, cma_bytes)
        self.clocks = ClockRegisters(self.faults)
        self.bus = Bus()
        self.bus.attach(CRL_APB, 0x1000, self.clocks)
        # DPLL, APLL and VPLL as the reset leaves them, so that pynq's CPU clock reads sensibly
        self.bus.attach(CRF_APB, 0x1000, RegisterBank({0x20: 0x14800, 0x2C: 0x14000, 0x38: 0x15A00, 0x60: 0x3000100}))
        for base in PORT_WIDTH_BASES:
            self.bus.attach(base, 0x1000, RegisterBank())
        self.dma: AxiDma | None = None
        self.kernel: HlsKernel | None = None
        self.loads = 0
        self.power = PowerModel(self.time)
        self.files = Files(
            {
                "/proc/version": b"Linux version 5.15.0 (emulated) aarch64\n",
                "/proc/device-tree/chosen/pynq_board": NAME.encode() + b"\0",
                TIME_FILE: lambda: b"%.9f\n" % self.time.now(),
                "/proc/meminfo": self._memory_info,
                f"{FPGA_MANAGER}/state": b"unknown\n",
                f"{FPGA_MANAGER}/flags": b"0\n",
                **self.power.files(),
            }
        )

    def _memory_info(self) -> bytes:
        return b"CmaTotal: %8d kB\nCmaFree: %8d kB\n" % (self.cma.size >> 10, self.cma.free_bytes >> 10)

    def read32(self, address: int) -> int:
        """CPU read of a register. Raises BusError where nothing answers."""
        with self.lock:
            return self.bus.read32(address)

    def write32(self, address: int, value: int) -> None:
        """CPU write of a register. Raises BusError where nothing answers."""
        with self.lock:
            self.bus.write32(address, value)
            if self.kernel is not None and 0 <= address - DMA.base < DMA.size:
                self.kernel.notify()

    def load_firmware(self, name: str, binary: bytes) -> None:
        """What the FPGA manager does with a file name: check the file, replace the programmable logic.

        Raises ValueError for a file that is no bitstream, or not of this board's overlay.
        """
        check_firmware(binary, self.config)
        self.unload()
        with self.lock:
            self.files.write(f"{FIRMWARE}/{name}", binary)
            self.dma = AxiDma(self.ddr, self.faults, self.config.dma_length_bits, self.config.address_bits)
            self.kernel = HlsKernel(
                self._make_simulation, self.ddr, self.dma, self.clocks, self.time, self.faults, self.lock
            )
            for instance, model in ((DMA, self.dma), (KERNEL, self.kernel), (INTERRUPTS, RegisterBank())):
                self.bus.attach(instance.base, instance.size, model)
            self.files.write(f"{FPGA_MANAGER}/state", b"operating\n")
            self.loads += 1

    def unload(self) -> None:
        """Clear the programmable logic: its addresses answer no more."""
        kernel, self.kernel = self.kernel, None
        if kernel is None:
            return
        kernel.close()  # outside the lock: its worker may need it to end
        with self.lock:
            for instance in (DMA, KERNEL, INTERRUPTS):
                self.bus.detach(instance.base)
            self.dma = None
            self.files.write(f"{FPGA_MANAGER}/state", b"unknown\n")
