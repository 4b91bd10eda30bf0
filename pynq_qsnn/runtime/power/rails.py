"""Board power through ``pynq.get_rails()``: optional, and no better than hwmon.

It goes through libsensors, which pynq loads by the name of the development package, and whose labels it takes as rail
names: on a KV260 the INA260's three features come out as rails of their own, none called after what it measures. The
sensor behind is the same. libsensors' error codes are not looked at by pynq: a sensor that fails keeps its last value.
"""

from __future__ import annotations

import warnings

import pynq

from ...errors import SensorError, SensorMissing
from ...kv260 import INA260_WINDOW_S
from .sensor import plausible

REMEDY = "Use the hwmon files instead (--sensor hwmon), or type: sudo apt-get install libsensors-dev lm-sensors"


class PmbusRail:
    """Power of one of pynq's rails; a :class:`~.sensor.Sensor`.

    rail: a ``pynq.pmbus.Rail`` with a power sensor, by default :func:`only_power_rail`.
    """

    def __init__(self, rail=None, window_s: float = INA260_WINDOW_S):
        rail = rail or only_power_rail()
        self._sensor, self.name, self.window_s = rail.power, f"pynq rail {rail.name}", window_s

    def watts(self) -> float:
        """Latest reading. Raises SensorError when it cannot be read or makes no sense."""
        try:
            return plausible(float(self._sensor.value), self.name)
        except (OSError, ValueError) as error:
            raise SensorError(f"{self.name} cannot be read: {error}. {REMEDY}") from error

    def close(self) -> None:
        """Nothing to release: libsensors stays loaded."""


def only_power_rail(rails: dict | None = None):
    """The one of ``rails`` (default: ``pynq.get_rails()``) that has a power sensor.

    Raises SensorMissing when there is none or more than one.
    """
    if rails is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "Could not initialise libsensors"; the error says more
            rails = pynq.get_rails()
    powered = [rail for rail in rails.values() if rail.power is not None]
    if len(powered) == 1:
        return powered[0]
    names = ", ".join(sorted(rail.name for rail in powered)) or "none"
    raise SensorMissing(
        f"pynq.get_rails() has {len(rails)} rails, with power: {names}; exactly one is needed. {REMEDY}"
    )
