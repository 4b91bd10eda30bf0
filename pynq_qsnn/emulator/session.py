"""Attach an emulated board to pynq, and detach it without a trace."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pynq.ps
from pynq.pl_server.device import Device

from ..hwspec import HardwareConfig, load_config
from .bitstream import write_overlay
from .board import Board
from .device import EmulatedDevice
from .memory import CMA_BYTES


class OpenBoard:
    """An emulated KV260 that pynq uses as its active device until :meth:`close`.

    bitfile: path of the emulated .bit.  device: the ``pynq.Device``.  board: the models, with ``board.faults``.
    """

    def __init__(self, config: HardwareConfig, make_simulation: Callable[[], object], cma_bytes: int):
        self.board = Board(config, make_simulation, cma_bytes)
        self.device = EmulatedDevice(self.board)
        self._folder = tempfile.TemporaryDirectory(prefix="emulated-kv260-")
        self.bitfile = str(write_overlay(Path(self._folder.name), config))
        self.device.default_bitfile = self.bitfile
        self._previous = vars(Device).get("_active_device")
        self._architecture = pynq.ps.CPU_ARCH
        Device.active_device = self.device
        pynq.ps.CPU_ARCH = "aarch64"  # pynq 3.0.1 chooses its clock registers by the host's architecture
        _forget_clocks()

    def close(self) -> None:
        """Unload the logic and give pynq its former device back. Closing twice does nothing."""
        if self._folder is None:
            return
        self.board.unload()
        if vars(Device).get("_active_device") is self.device:
            if self._previous is None:
                del Device._active_device
            else:
                Device.active_device = self._previous
        pynq.ps.CPU_ARCH = self._architecture
        _forget_clocks()
        self._folder.cleanup()
        self._folder = None

    def __enter__(self) -> OpenBoard:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def open_board(
    config: HardwareConfig | None = None,
    cma_bytes: int = CMA_BYTES,
    make_simulation: Callable[[], object] | None = None,
) -> OpenBoard:
    """Open an emulated KV260 with the overlay of ``config`` (default: the KV260's).

    cma_bytes: size of the contiguous memory.  make_simulation: what runs as the kernel, by default the HLS sources
    compiled by g++. Raises ToolMissing without a compiler. Use it as a context manager::

        with open_board() as emulated, QsnnOverlay(emulated.bitfile) as overlay:
            overlay.load_model("digits.qprog")
    """
    config = config or load_config()
    return OpenBoard(config, make_simulation or hls_simulation(config), cma_bytes)


def hls_simulation(config: HardwareConfig) -> Callable[[], object]:
    """What makes the simulated kernel of ``config`` from the HLS sources. Raises ToolMissing without a compiler."""
    from ..runtime.csim import KernelSimulation, build_library

    library = build_library(config=config)
    return lambda: KernelSimulation(config, library)


def _forget_clocks() -> None:
    """pynq keeps its clock object for ever, with the registers of the device that was active at first use."""
    if hasattr(pynq.ps.Clocks, "_real_instance"):
        del pynq.ps.Clocks._real_instance
    if getattr(pynq.ps.Clocks, "device", None) is not None:
        pynq.ps.Clocks.device = None
