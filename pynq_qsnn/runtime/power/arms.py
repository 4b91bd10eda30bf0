"""Arms of a measurement: stretches of time in which the board only idles, or only runs batches.

Each repeat is a pair, one idle and one running arm in random order: what drifts slowly, as the temperature does, then
falls on both alike. One idle arm more comes before all pairs and one after.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .meter import PowerMeter

IDLE, RUN = "idle", "run"
LONGEST_SLEEP_S = 0.05  # between two looks at the meter


@dataclass(frozen=True)
class Arm:
    """One stretch: kind IDLE or RUN, its pair (None: before or after all pairs), meter times, frames run in it."""

    kind: str
    pair: int | None
    start_s: float
    end_s: float
    frames: int

    @property
    def seconds(self) -> float:
        """Length."""
        return self.end_s - self.start_s


def plan(repeats: int, seed: int) -> list[tuple[str, int | None]]:
    """(kind, pair) of each arm in the order they run; the same for the same seed."""
    order = random.Random(seed)
    pairs = [(kind, pair) for pair in range(repeats) for kind in order.sample((IDLE, RUN), 2)]
    return [(IDLE, None), *pairs, (IDLE, None)]


def run_arms(
    arms: Iterable[tuple[str, int | None]],
    seconds: float,
    run_batch: Callable[[], int],
    meter: PowerMeter,
    clock: Callable[[], float],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Arm]:
    """Run the arms of a plan, ``seconds`` each by ``clock``, with the meter's tail before and after every one.

    run_batch: runs one batch to its end and returns its frames; an arm ends with a whole batch, and has at least one.
    Raises SensorError as soon as the meter has failed, and what ``run_batch`` raises.
    """

    def settle() -> None:
        end = clock() + meter.tail_s
        while (left := end - clock()) > 0:
            sleep(left)
        meter.catch_up()

    settle()
    for kind, pair in arms:
        frames, start = 0, clock()
        end = start
        while end < start + seconds or (kind == RUN and not frames):
            meter.check()
            if kind == RUN:
                frames += run_batch()
            else:
                sleep(min(LONGEST_SLEEP_S, start + seconds - end))
            end = clock()
        settle()
        yield Arm(kind, pair, start, end, frames)
