"""How wrong the sensor makes an energy: a simulated INA260 in front of a power that is known.

    python -m pynq_qsnn.runtime.power.simulation

The sensor's averaging, its 10 mW steps and the unknown phase of its windows are modelled; noise, offset and gain error
of the chip are not. The power is a step: idle watts, and more while the arm runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...kv260 import INA260_WINDOW_S
from .meter import PowerMeter

IDLE_W, RUN_W, LSB_W = 4.2, 5.6, 0.01
LEAD_S = 1.0  # sampled before the idle arm


class SimulatedSensor:
    """A :class:`~.sensor.Sensor` that reads the mean of the last ended window, rounded to 10 mW.

    clock: seconds.  busy: (start, end) of the times at RUN_W, may grow; otherwise the board draws IDLE_W.
    phase_s: when a window ended.
    """

    name = "simulated INA260"

    def __init__(
        self,
        clock: Callable[[], float],
        busy: Sequence[tuple[float, float]],
        phase_s: float = 0.0,
        window_s: float = INA260_WINDOW_S,
    ):
        self._clock, self._busy, self._phase_s, self.window_s = clock, busy, phase_s, window_s

    def watts(self) -> float:
        """Latest reading."""
        end = math.floor((self._clock() - self._phase_s) / self.window_s) * self.window_s + self._phase_s
        start = end - self.window_s
        busy_s = sum(max(0.0, min(end, b) - max(start, a)) for a, b in self._busy)
        mean = IDLE_W + (RUN_W - IDLE_W) * busy_s / self.window_s
        return round(mean / LSB_W) * LSB_W

    def close(self) -> None:
        """Nothing to release."""


def energy_errors(seconds: float, seed: int) -> tuple[float, float]:
    """Relative error of the energy above idle of one running arm after an idle arm, with and without the meter's tail.

    seed: of the sensor's phase and of the arm's start.
    """
    rng = np.random.default_rng(seed)
    start = LEAD_S + seconds + rng.uniform(0.5, 1.5)
    now = 0.0
    sensor = SimulatedSensor(lambda: now, [(start, start + seconds)], rng.uniform(0, INA260_WINDOW_S))
    meter = PowerMeter(sensor, lambda: now)
    while now < start + seconds + 2 * meter.tail_s:
        meter.sample()
        now += meter.period_s
    trace = meter.trace()
    idle_w = trace.mean_watts(LEAD_S, LEAD_S + seconds)

    def error(end: float) -> float:
        above = trace.joules(start, end) - idle_w * (end - start)
        return above / ((RUN_W - IDLE_W) * seconds) - 1

    return error(start + seconds + meter.tail_s), error(start + seconds)


def rms_errors(seconds: float, phases: int = 200) -> tuple[float, float]:
    """Root mean squares of :func:`energy_errors` over random phases."""
    errors = [energy_errors(seconds, seed) for seed in range(phases)]
    with_tail, without = np.sqrt(np.mean(np.square(errors), axis=0))
    return float(with_tail), float(without)


def main() -> None:
    """Print the table of docs/how-to/energy.md."""
    print("rms error of the energy above idle, 200 phases, 4.2 W idle and 1.4 W more running")
    print("seconds an arm  with the tail  without it")
    for seconds in (0.2, 0.5, 1, 2, 5, 10, 20):
        with_tail, without = rms_errors(seconds)
        print(f"{seconds:14g}  {100 * with_tail:11.2f} %  {100 * without:8.2f} %")


if __name__ == "__main__":
    main()
