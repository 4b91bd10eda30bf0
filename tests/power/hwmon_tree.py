"""A hwmon tree in a folder, and a board in time that passes only when somebody sleeps."""

from __future__ import annotations

import os
from pathlib import Path

from pynq_qsnn.runtime.power.hwmon import HwmonSensor
from pynq_qsnn.runtime.power.meter import PowerMeter
from pynq_qsnn.runtime.power.simulation import SimulatedSensor


def write_hwmon(root: Path, names: list[str], microwatts: int = 4_200_000) -> Path:
    """hwmon0, hwmon1, ... with these names; those of an INA260 get a power1_input. Returns the last of these."""
    for index, name in enumerate(names):
        folder = root / f"hwmon{index}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        if name.startswith("ina"):
            power = folder / "power1_input"
            power.write_text(f"{microwatts}\n")
    return power


class SteppedBoard:
    """A simulated INA260 that writes a real power1_input, and a meter that reads it, in simulated time.

    ``clock``, ``sleep`` and ``run_batch`` (70 ms of work for 100 frames, then 1 ms of the CPU) move the time; the meter
    samples whenever it is due.
    """

    BATCH, BUSY_S, GAP_S = 100, 0.07, 0.001

    def __init__(self, root: Path, phase_s: float = 0.0):
        self.now, self.busy = 0.0, []
        self._file = os.open(write_hwmon(root, ["ams", "ina260_u14"]), os.O_WRONLY)
        self._power = SimulatedSensor(self.clock, self.busy, phase_s)
        self.sensor = HwmonSensor(root=str(root))
        board = self

        class Meter(PowerMeter):
            """Sampled by the board's time instead of a thread."""

            def catch_up(self):
                """One reading now."""
                board.read_sensor()
                self.check()

        self.meter = Meter(self.sensor, self.clock)
        self._due = 0.0
        self.sleep(1.0)

    def clock(self) -> float:
        return self.now

    def read_sensor(self) -> None:
        os.pwrite(self._file, b"%d\n" % round(self._power.watts() * 1e6), 0)
        self.meter.sample()

    def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        while self._due <= end:
            self.now = max(self._due, self.now)
            self.read_sensor()
            self._due += self.meter.period_s
        self.now = end

    def run_batch(self) -> int:
        self.busy.append((self.now, self.now + self.BUSY_S))
        del self.busy[:-10]  # older ones are in no window any more
        self.sleep(self.BUSY_S)
        self.sleep(self.GAP_S)
        return self.BATCH

    def close(self) -> None:
        os.close(self._file)
        self.sensor.close()
