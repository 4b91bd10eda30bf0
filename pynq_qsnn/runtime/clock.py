"""The PL clock: set exactly, read back, or refused."""

from __future__ import annotations

from pynq.ps import Clocks

from ..errors import ConfigError, DeviceError
from ..kv260 import CRYSTAL_MHZ, IOPLL_MHZ
from .connection import board_errors

TOLERANCE = 1e-3  # Vivado's figures are off by 1e-5 for the same reason as pynq's
CRYSTAL_OF_PYNQ_MHZ = 33.333
COMMON_MHZ = (100, 125, 150, 187.5, 250, 300)


def use(device) -> None:
    """Make pynq's Clocks that of ``device``: it keeps the registers of the first device for ever."""
    if hasattr(Clocks, "_real_instance"):
        del Clocks._real_instance
    if hasattr(Clocks, "device"):  # pynq 3.0.1 has none, and takes the active device
        Clocks.device = device


@board_errors
def read_mhz(device) -> float:
    """Frequency of PL clock 0 by the PS registers."""
    if getattr(Clocks, "device", device) is not device:
        use(device)
    return round(Clocks.fclk0_mhz * CRYSTAL_MHZ / CRYSTAL_OF_PYNQ_MHZ, 3)


def rated_mhz(overlay) -> float:
    """Frequency that the bitstream was timed for, from its .hwh."""
    system = overlay.parser.ps_name
    return float(overlay.ip_dict[system]["parameters"]["PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ"])


def apply(overlay, fclk_mhz: float | None) -> None:
    """Set PL clock 0 to ``fclk_mhz`` (None: the bitstream's own) and check what the registers say.

    Raises ConfigError for a frequency that the PLL cannot divide to or above the rating, DeviceError when the clock
    that was set is not the one asked for: cycle counts would then be turned into wrong times.
    """
    rated = rated_mhz(overlay)
    wanted = rated if fclk_mhz is None else float(fclk_mhz)
    if fclk_mhz is not None:
        # "not <=" refuses NaN too
        if not 0 < wanted <= rated * (1 + TOLERANCE):
            raise ConfigError(f"fclk_mhz is {fclk_mhz}, this bitstream meets its timing up to {rated:g} MHz")
        if IOPLL_MHZ % wanted:
            exact = ", ".join(f"{mhz:g}" for mhz in COMMON_MHZ if mhz <= rated * (1 + TOLERANCE))
            raise ConfigError(f"fclk_mhz is {fclk_mhz}, not an exact division of {IOPLL_MHZ} MHz; use one of {exact}")
        with board_errors:
            Clocks.fclk0_mhz = wanted
    found = read_mhz(overlay.device)
    if abs(found - wanted) > TOLERANCE * wanted:
        raise DeviceError(
            f"the PL clock runs at {found:g} MHz, {wanted:g} MHz was set. If {wanted:g} is no exact division of the "
            f"{IOPLL_MHZ} MHz PLL, choose another clock; else another program changed it: reboot the board, or pass "
            "fclk_mhz explicitly."
        )
