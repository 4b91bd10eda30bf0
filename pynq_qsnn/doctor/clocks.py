"""The clocks of the PL, from the registers of the processing system: no bitstream needs to be loaded."""

from __future__ import annotations

from ..kv260 import (
    CLKACT,
    CRL_APB,
    IOPLL_CTRL,
    IOPLL_MHZ,
    PL0_REF_CTRL,
    RPLL_CTRL,
    divided_mhz,
    pll_mhz,
)
from .board import as_root
from .report import BOARD, OK, OPTIONAL, SKIPPED, WRONG, Case, Line, Outcome
from .system import System

PLL_CONTROL = {0: CRL_APB + IOPLL_CTRL, 2: CRL_APB + RPLL_CTRL}  # SRCSEL -> IOPLL, RPLL (UG1087, CRL_APB)
PL_CONTROL = tuple(CRL_APB + PL0_REF_CTRL + 4 * index for index in range(4))
REGISTERS = (*PLL_CONTROL.values(), *PL_CONTROL)
TOLERANCE = 1e-3
SWITCH_OFF = (
    "python3 -c 'from pynq import Clocks; [setattr(r, \"CLKACT\", 0) for r in Clocks._instance.PL_CLK_CTRLS[1:]]'"
)


def pl_mhz(system: System, index: int) -> float | None:
    """Frequency of a PL clock; 0 when it is off, None of a source other than IOPLL and RPLL."""
    control = system.register(PL_CONTROL[index])
    if not control & CLKACT:
        return 0.0
    source = PLL_CONTROL.get(control & 7)
    if source is None:
        return None
    return divided_mhz(pll_mhz(system.register(source)), control)


def _unreadable(case: Case, error: OSError) -> Outcome:
    remedy = as_root(case.system) if isinstance(error, PermissionError) else ""
    return Outcome(SKIPPED, f"the registers cannot be read: {error.strerror}", remedy)


def check_clock(case: Case) -> Outcome:
    wanted = case.config.clock_mhz
    try:
        found, pll = pl_mhz(case.system, 0), pll_mhz(case.system.register(PLL_CONTROL[0]))
    except OSError as error:
        return _unreadable(case, error)
    if abs(pll - IOPLL_MHZ) > TOLERANCE * IOPLL_MHZ:
        told = f"the IOPLL runs at {pll:.2f} MHz, exact clocks divide {IOPLL_MHZ} MHz"
        return Outcome(WRONG, told, "reboot   (if it stays: xmutil bootfw_status)")
    text = "of an unknown source" if found is None else f"{found:.2f} MHz" if found else "off"
    if case.loaded is None:
        return Outcome(OK, f"{text} now; loading the overlay sets {wanted} MHz")
    if found is None or abs(found - wanted) > TOLERANCE * wanted:
        return Outcome(
            WRONG, f"{text} with the overlay loaded, not {wanted} MHz", "reboot, then pynq-qsnn doctor --load"
        )
    return Outcome(OK, f"{text}, exact")


def check_other_clocks(case: Case) -> Outcome:
    try:
        running = {index: pl_mhz(case.system, index) for index in (1, 2, 3)}
    except OSError as error:
        return _unreadable(case, error)
    on = [f"PL{index} {'?' if mhz is None else f'{mhz:g}'} MHz" for index, mhz in running.items() if mhz != 0]
    if not on:
        return Outcome(OK, "off")
    # pynq enables them with every bitstream; they drive nothing here and cost power
    return Outcome(OPTIONAL, f"{', '.join(on)} for nothing; off is better for energy figures", SWITCH_OFF)


LINES = (Line("PL clock", BOARD, check_clock), Line("PL clocks 1-3", BOARD, check_other_clocks))
