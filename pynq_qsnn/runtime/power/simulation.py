"""How wrong the sensor makes an energy: a simulated INA260 in front of a power that is known.

    python -m pynq_qsnn.runtime.power.simulation

The sensor's averaging, its 10 mW steps and the unknown phase of its windows are modelled; noise, offset and gain error
of the chip are not. The power is a step: idle watts, and more while the arm runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from .meter import PowerMeter
from .sensor import INA260_WINDOW_S

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


def energy_error(seconds: float, with_tail: bool, seed: int) -> float:
    """Relative error of the energy above idle of one running arm after an idle arm, at a random phase."""
    rng = np.random.default_rng(seed)
    start = LEAD_S + seconds + rng.uniform(0.5, 1.5)
    now = 0.0
    sensor = SimulatedSensor(lambda: now, [(start, start + seconds)], rng.uniform(0, INA260_WINDOW_S))
    meter = PowerMeter(sensor, lambda: now)
    while now < start + seconds + 2 * meter.tail_s:
        meter.sample()
        now += meter.period_s
    trace = meter.trace()
    end = start + seconds + (meter.tail_s if with_tail else 0.0)
    above = trace.joules(start, end) - trace.mean_watts(LEAD_S, LEAD_S + seconds) * (end - start)
    return above / ((RUN_W - IDLE_W) * seconds) - 1


def rms_error(seconds: float, with_tail: bool, phases: int = 200) -> float:
    """Root mean square of :func:`energy_error` over random phases."""
    return math.sqrt(np.mean([energy_error(seconds, with_tail, seed) ** 2 for seed in range(phases)]))


def main() -> None:
    """Print the table of docs/how-to/energy.md."""
    lengths = (0.2, 0.5, 1, 2, 5, 10, 20)
    print("rms error of the energy above idle, 200 phases, 4.2 W idle and 1.4 W more running")
    print("seconds an arm  " + "  ".join(f"{seconds:7g}" for seconds in lengths))
    for text, with_tail in (("with the tail   ", True), ("without it      ", False)):
        print(text + "  ".join(f"{100 * rms_error(seconds, with_tail):5.2f} %" for seconds in lengths))


if __name__ == "__main__":
    main()
