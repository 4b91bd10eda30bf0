"""Waiting that ends."""

from __future__ import annotations

import time
from collections.abc import Callable

SHORTEST_SLEEP_S, LONGEST_SLEEP_S, GROWTH = 10e-6, 0.2e-3, 1.25
LONGEST_IN_QUESTIONS = 8  # a board behind a connection takes 2 ms to answer: then a ninth of the time goes into asking


def wait_until(done: Callable[[], bool], seconds: float, clock: Callable[[], float] = time.monotonic) -> bool:
    """Poll ``done`` with growing pauses until it is true (returns True) or ``seconds`` have passed (returns False).

    clock: monotonic seconds. The emulated board brings its own, which stands still while the host simulates.
    """
    end, pause, question_s = clock() + seconds, SHORTEST_SLEEP_S, float("inf")
    while True:
        asked = time.monotonic()
        if done():
            return True
        if clock() >= end:
            return done()
        question_s = min(question_s, time.monotonic() - asked)  # of some, because other threads may have delayed one
        pause = max(pause, question_s)
        time.sleep(pause)
        pause = min(GROWTH * pause, max(LONGEST_SLEEP_S, LONGEST_IN_QUESTIONS * question_s))
