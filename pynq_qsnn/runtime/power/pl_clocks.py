"""PL clocks that the loaded design does not use, switched off for a measurement.

Loading any overlay through pynq switches on all four PL clocks, whether or not the design has something behind them.
pynq offers no call to switch one off again; this writes the enable bit (CLKACT) of the Zynq UltraScale+ registers
CRL_APB.PLn_REF_CTRL through ``pynq.MMIO``, which is where pynq set it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pynq import MMIO

from ...kv260 import CLKACT, CRL_APB, PL0_REF_CTRL


@contextmanager
def unused_clocks_off(overlay) -> Iterator[list[int]]:
    """Inside the block, the PL clocks that ``overlay``'s design does not enable stand still; gives their numbers.

    overlay: a loaded ``pynq.Overlay``. Afterwards the registers hold what they held before.
    """
    registers = MMIO(CRL_APB, 0x100, device=overlay.device)
    unused = [clock for clock, settings in overlay.clock_dict.items() if not settings.get("enable")]
    before = {PL0_REF_CTRL + 4 * clock: registers.read(PL0_REF_CTRL + 4 * clock) for clock in unused}
    try:
        for offset, value in before.items():
            registers.write(offset, value & ~CLKACT)
        yield sorted(unused)
    finally:
        for offset, value in before.items():
            registers.write(offset, value)
