"""Waiting that ends."""

from __future__ import annotations

import time
from collections.abc import Callable

SHORTEST_SLEEP_S, LONGEST_SLEEP_S, GROWTH = 10e-6, 0.2e-3, 1.25


def wait_until(done: Callable[[], bool], seconds: float, clock: Callable[[], float] = time.monotonic) -> bool:
    """Poll ``done`` with growing pauses until it is true (returns True) or ``seconds`` have passed (returns False).

    clock: monotonic seconds. The emulated board brings its own, which stands still while the host simulates.
    """
    end, pause = clock() + seconds, SHORTEST_SLEEP_S
    while not done():
        if clock() >= end:
            return done()
        time.sleep(pause)
        pause = min(GROWTH * pause, LONGEST_SLEEP_S)
    return True
