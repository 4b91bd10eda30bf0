"""Power over time, and its integral."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import SensorError


@dataclass(frozen=True)
class Trace:
    """Readings of a power sensor: times float64 [N] in seconds, strictly increasing, and watts float64 [N]."""

    times: np.ndarray
    watts: np.ndarray

    def joules(self, start_s: float, end_s: float) -> float:
        """Energy from ``start_s`` to ``end_s`` by the trapezoid rule; both ends are interpolated.

        Raises SensorError where the readings do not span the time.
        """
        if not (len(self.times) and self.times[0] <= start_s < end_s <= self.times[-1]):
            span = f"{self.times[0]:.3f} to {self.times[-1]:.3f} s" if len(self.times) else "nothing"
            raise SensorError(
                f"the readings span {span}, the energy from {start_s:.3f} to {end_s:.3f} s was asked for. Start the "
                "meter before the arm, stop it after its tail, and let it keep more samples for a longer measurement."
            )
        inner = self._inside(start_s, end_s)
        times = np.concatenate([[start_s], self.times[inner], [end_s]])
        watts = np.interp(times, self.times, self.watts)
        return float(np.sum((watts[1:] + watts[:-1]) / 2 * np.diff(times)))

    def mean_watts(self, start_s: float, end_s: float) -> float:
        """Mean power from ``start_s`` to ``end_s``. Raises SensorError as :meth:`joules` does."""
        return self.joules(start_s, end_s) / (end_s - start_s)

    def samples(self, start_s: float, end_s: float) -> int:
        """Number of readings between the two times."""
        return len(self.times[self._inside(start_s, end_s)])

    def distinct(self, start_s: float, end_s: float) -> int:
        """Number of readings between the two times that differ from the one before: conversions seen for certain.

        Two conversions with the same result count as one.
        """
        inner = self.watts[self._inside(start_s, end_s)]
        return int(np.count_nonzero(np.diff(inner))) + bool(len(inner))

    def longest_gap(self, start_s: float, end_s: float) -> float:
        """Longest time without a reading between the two times, their ends included, in seconds."""
        return float(np.diff([start_s, *self.times[self._inside(start_s, end_s)], end_s]).max())

    def _inside(self, start_s: float, end_s: float) -> slice:
        return slice(np.searchsorted(self.times, start_s, "right"), np.searchsorted(self.times, end_s, "left"))
