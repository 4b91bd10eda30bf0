"""A thread that reads a power sensor while something else runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from ...errors import QsnnError, SensorError
from ...kv260 import INA260_WINDOW_S
from .sensor import Sensor
from .trace import Trace

PERIOD_WINDOWS = 0.02 / INA260_WINDOW_S  # 20 ms on the INA260
TAIL_WINDOWS = 0.3 / INA260_WINDOW_S  # a reading tells of up to two windows ago
STALL_S = 5.0
CAPACITY = 1 << 18  # 87 minutes at 20 ms, in 4 MiB


class PowerMeter:
    """Samples a sensor every ``period_s`` and keeps the last ``capacity`` readings.

    clock: monotonic seconds in which the readings are stamped, each with the middle of its read. On the emulated board
    that is the board's time, which stands still while the host simulates.
    The thread runs inside a ``with`` block. An error in it ends it and is raised by :meth:`check`, :meth:`catch_up` and
    the end of the block.
    """

    def __init__(self, sensor: Sensor, clock: Callable[[], float] = time.monotonic, capacity: int = CAPACITY):
        self.sensor, self._clock = sensor, clock
        self.period_s, self.tail_s = PERIOD_WINDOWS * sensor.window_s, TAIL_WINDOWS * sensor.window_s
        self._ring = np.empty((capacity, 2))
        self._count = 0  # readings kept so far, the overwritten ones included
        self._reads = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def sample(self) -> None:
        """Take one reading. Raises SensorError."""
        before = self._clock()
        watts = self.sensor.watts()
        stamp = (before + self._clock()) / 2
        with self._changed:
            last = (self._count - 1) % len(self._ring)
            if self._count and stamp <= self._ring[last, 0]:  # the clock stands still: the newer reading counts
                self._ring[last, 1] = watts
            else:
                self._ring[self._count % len(self._ring)] = stamp, watts
                self._count += 1
            self._reads += 1
            self._changed.notify_all()

    def trace(self) -> Trace:
        """A copy of the readings kept so far."""
        with self._changed:
            first = max(0, self._count - len(self._ring))
            kept = self._ring[np.arange(first, self._count) % len(self._ring)]
        return Trace(kept[:, 0], kept[:, 1])

    def check(self) -> None:
        """Raise the error that ended the thread, if one did: SensorError."""
        if self._error is None:
            return
        if isinstance(self._error, QsnnError):
            raise self._error
        raise SensorError(
            f"{self.sensor.name} cannot be read: {self._error!r}. The board or the connection to it is gone."
        ) from self._error

    def catch_up(self) -> None:
        """Wait until a reading that began after this call is there. Raises SensorError when none comes."""
        with self._changed:
            wanted = self._reads + 2  # one may have begun before the call
            in_time = self._changed.wait_for(lambda: self._reads >= wanted or self._error is not None, STALL_S)
        self.check()
        if not in_time:
            raise SensorError(
                f"{self.sensor.name} gave no reading for {STALL_S:g} s. The sensor's bus or the connection to the "
                "board hangs; look at the sensor by hand, then run the measurement again."
            )

    def __enter__(self) -> PowerMeter:
        self._stopping.clear()
        self._error = None
        self._thread = threading.Thread(target=self._work, name="power-meter", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind, *_) -> None:
        self._stopping.set()
        self._thread.join(STALL_S)  # a read that hangs must not hang the program
        if kind is None:
            self.check()

    def _work(self) -> None:
        due = time.monotonic()
        try:
            while not self._stopping.is_set():
                self.sample()
                due = max(due + self.period_s, time.monotonic())
                self._stopping.wait(due - time.monotonic())
        except Exception as error:  # for the thread that waits for readings
            with self._changed:
                self._error = error
                self._changed.notify_all()
