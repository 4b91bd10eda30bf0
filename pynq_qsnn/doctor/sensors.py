"""The sensors of power and temperature."""

from __future__ import annotations

import re

from .report import BOARD, OK, OPTIONAL, WRONG, Case, Line, Outcome
from .system import System

HWMON, IIO = "/sys/class/hwmon", "/sys/bus/iio/devices"
# The K26C module is specified for junction temperatures of 0 to 85 degrees, and the bitstream is timed for them.
LIMIT_C = 85.0


def check_power(case: Case) -> Outcome:
    system = case.system
    for entry in system.names(HWMON):
        name = system.read(f"{HWMON}/{entry}/name") or ""
        if name.startswith("ina260"):
            reading = system.read(f"{HWMON}/{entry}/power1_input")
            if reading is None or not reading.isdecimal():
                return Outcome(WRONG, f"{name} in {HWMON}/{entry} gives no power1_input", "reboot")
            told = ", assumed" if system.emulated else ""
            return Outcome(OK, f"{name}, {int(reading) / 1e6:.2f} W of the whole module{told}")
    return Outcome(
        OPTIONAL, "no ina260 under /sys/class/hwmon; energy figures need it", "modprobe -a ina260-adc iio-hwmon"
    )


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
