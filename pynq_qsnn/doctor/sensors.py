"""The sensors of power and temperature."""

from __future__ import annotations

import re

from ..errors import SensorError, SensorMissing
from ..runtime.power.hwmon import HWMON, HwmonSensor
from ..runtime.power.report import EMULATED_WATTS
from .report import BOARD, OK, OPTIONAL, WRONG, Case, Line, Outcome
from .system import System

IIO = "/sys/bus/iio/devices"
DRIVERS = "modprobe -a ina260-adc iio-hwmon"
# The K26C module is specified for junction temperatures of 0 to 85 degrees, and the bitstream is timed for them.
LIMIT_C = 85.0


def check_power(case: Case) -> Outcome:
    try:
        sensor = HwmonSensor(read=case.system.read_bytes)
        watts = sensor.watts()
    except SensorMissing:
        return Outcome(OPTIONAL, f"no ina260* under {HWMON}; energy figures need it", DRIVERS)
    except SensorError as error:
        return Outcome(WRONG, str(error), f"{DRIVERS}; cat {HWMON}/hwmon*/name")
    label = f", {EMULATED_WATTS}" if case.system.emulated else ""
    return Outcome(OK, f"{sensor.path}, {watts:.2f} W of the whole module{label}")


def _attribute(system: System, device: str, channel: str, name: str) -> float:
    """Of a channel, or shared by all channels of its kind. Raises ValueError where there is none."""
    text = system.read(f"{IIO}/{device}/{channel}_{name}") or system.read(f"{IIO}/{device}/in_temp_{name}")
    if text is None:
        raise ValueError(f"{IIO}/{device} has no {channel}_{name}")
    return float(text)


def check_temperature(case: Case) -> Outcome:
    system = case.system
    found = []
    for device in system.names(IIO):
        for name in system.names(f"{IIO}/{device}"):
            match = re.fullmatch(r"(in_temp\d+(?:_\w+)?)_raw", name)
            if match:
                raw, offset, scale = (_attribute(system, device, match[1], x) for x in ("raw", "offset", "scale"))
                found.append((raw + offset) * scale / 1000)
    if not found:
        return Outcome(OPTIONAL, f"no in_temp*_raw under {IIO}", "modprobe xilinx-ams")
    told = f"{max(found):.1f} degrees, limit {LIMIT_C:g}"
    return Outcome(OK, told) if max(found) <= LIMIT_C else Outcome(WRONG, told, "poweroff   (then look at the fan)")


LINES = (Line("temperature", BOARD, check_temperature, real_only=True), Line("power sensor", BOARD, check_power))
