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
    while True:
        asked = time.monotonic()
        if done():
            return True
        if clock() >= end:
            return done()
        # a board behind a connection takes longer to answer than to wait: half of the time is enough for asking
        time.sleep(max(pause, time.monotonic() - asked))
        pause = min(GROWTH * pause, LONGEST_SLEEP_S)
