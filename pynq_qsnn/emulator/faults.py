"""Faults that a test can inject into the emulated board."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Faults:
    """All off by default; set an attribute to break something, set it back to repair it.

    kernel_hangs: this many of the next calls never finish; loading the bitstream frees the kernel.
    dma_stall: "mm2s" or "s2mm", a channel that accepts a transfer and never ends it.
    dma_slave_error: physical address that answers the DMA with an AXI slave error.
    clock_locked: writes to the PL clock's divisors are ignored.
    drop_result_bytes: the next result packet loses this many bytes at its end.
    """

    kernel_hangs: int = 0
    dma_stall: str | None = None
    dma_slave_error: int | None = None
    clock_locked: bool = False
    drop_result_bytes: int = 0
