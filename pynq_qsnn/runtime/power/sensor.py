"""What every power sensor has in common."""

from __future__ import annotations

from typing import Protocol

from ...errors import SensorError

MOST_WATTS = 100.0  # a KV260's supply gives 36 W


class Sensor(Protocol):
    """A power sensor.

    name: for people.  window_s: seconds of one conversion; a reading is the mean of the last one that has ended.
    """

    name: str
    window_s: float

    def watts(self) -> float:
        """Latest reading in watts. Raises SensorError."""
        ...

    def close(self) -> None:
        """Release what the sensor holds. Closing twice does nothing."""
        ...


def plausible(watts: float, name: str) -> float:
    """``watts`` itself. Raises SensorError for what no running board draws."""
    if not 0 < watts <= MOST_WATTS:  # NaN is refused too
        raise SensorError(
            f"{name} reads {watts:g} W; a KV260 that runs draws more than 0 W and less than {MOST_WATTS:g} W. "
            "Look at it by hand (cat .../power1_input) and reboot the board if it stays."
        )
    return watts
