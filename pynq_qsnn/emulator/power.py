"""The emulated board's power sensor: an INA260 that averages assumed watts over windows of the board's time.

The watts are assumptions of the right order, measured on no board: idle watts always, and dynamic watts while the
kernel computes. What the CPU does costs nothing. Figures made from them are labelled "emulated (assumed watts)".
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..kv260 import EMULATED_WINDOW_S
from .ps import BoardTime

HWMON = "/sys/class/hwmon/hwmon0"
LSB_WATTS, VOLTS = 0.01, 5.0


class PowerModel:
    """The board's input power as the sensor tells it.

    time: the board's; ``time.busy`` says when the kernel computed.  idle_w, busy_w: assumed watts.
    """

    def __init__(self, time: BoardTime, idle_w: float = 4.2, busy_w: float = 5.6):
        self._time, self.idle_w, self.busy_w = time, idle_w, busy_w

    @property
    def watts(self) -> float:
        """Mean power over the last conversion window that has ended."""
        end = math.floor(self._time.now() / EMULATED_WINDOW_S) * EMULATED_WINDOW_S
        busy_share = self._time.busy_seconds(end - EMULATED_WINDOW_S, end) / EMULATED_WINDOW_S
        return self.idle_w + (self.busy_w - self.idle_w) * busy_share

    def files(self) -> dict[str, Callable[[], bytes]]:
        """hwmon files of an INA260: mV, mA, and uW in the sensor's steps of 10 mW."""
        return {
            f"{HWMON}/name": lambda: b"ina260_u14\n",
            f"{HWMON}/in1_input": lambda: b"%d\n" % round(VOLTS * 1e3),
            f"{HWMON}/curr1_input": lambda: b"%d\n" % round(self.watts / VOLTS * 1e3),
            f"{HWMON}/power1_input": lambda: b"%d\n" % (round(self.watts / LSB_WATTS) * round(LSB_WATTS * 1e6)),
        }
