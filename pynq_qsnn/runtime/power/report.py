"""Figures of a measurement: energy of a frame, in total and above idle, with their spread and what is wrong with them.

The energy above idle of a running arm is the integral of (power - idle power) from its start to its end plus the
meter's tail: the sensor averages, so its readings tell of the arm's end only afterwards. Idle power is that of the idle
arm of the same pair. The total is the energy above idle plus the idle power over the arm itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ...errors import ConfigError, SensorError
from .arms import IDLE, RUN, Arm
from .statistics import Spread
from .trace import Trace

MEASURED, EMULATED_WATTS = "measured (board)", "emulated (assumed watts)"
FEWEST_REPEATS, FEWEST_WINDOWS, FEWEST_DISTINCT = 5, 35, 3  # 35 windows of the INA260 are 5 s
MOST_DRIFT, MOST_SPREAD, MOST_GAP_WINDOWS, LEAST_WATTS, LEAST_BUSY = 0.05, 0.05, 2.0, 0.03, 0.3


@dataclass(frozen=True)
class Repeat:
    """One pair of arms. Watts, joules a frame, frames a second, and frames a second and watt (= frames a joule).

    seconds, frames, samples, distinct: of the running arm; ``distinct`` counts readings that differ from the one
    before.  idle_first: whether the idle arm came first.
    """

    idle_first: bool
    seconds: float
    frames: int
    samples: int
    distinct: int
    idle_watts: float
    mean_watts: float
    above_idle_watts: float
    joules_per_frame: float
    above_idle_joules_per_frame: float
    fps: float
    fps_per_watt: float


@dataclass(frozen=True)
class EnergyReport:
    """What a measurement gives.

    method: "measured (board)" or "emulated (assumed watts)".  sensor: its name.  window_s, tail_s: averaging time of
    the sensor and the time after an arm that is integrated too.  pl_busy_share: part of the running arms in which the
    kernel worked, by its own counter.  Every other figure is a :class:`Spread` over the repeats.
    idle_before_watts, idle_after_watts: mean power of the first and of the last idle arm; their difference is
    ``idle_drift_watts``.  flags: why the figures should not be trusted, empty when nothing is known against them.
    """

    method: str
    sensor: str
    window_s: float
    tail_s: float
    pl_busy_share: float
    joules_per_frame: Spread
    above_idle_joules_per_frame: Spread
    mean_watts: Spread
    above_idle_watts: Spread
    fps: Spread
    fps_per_watt: Spread
    idle_watts: Spread
    idle_before_watts: float
    idle_after_watts: float
    repeats: tuple[Repeat, ...]
    flags: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """True when nothing is known against the figures."""
        return not self.flags

    @property
    def idle_drift_watts(self) -> float:
        """How much more the board drew after the measurement than before, idle."""
        return self.idle_after_watts - self.idle_before_watts

    def row(self) -> dict:
        """Plain dictionary for JSON."""
        return {**asdict(self), "idle_drift_watts": self.idle_drift_watts, "valid": self.valid}


def evaluate(
    arms: Sequence[Arm],
    trace: Trace,
    *,
    window_s: float,
    tail_s: float,
    sensor: str,
    method: str,
    pl_busy_share: float,
) -> EnergyReport:
    """The report of arms that ran while ``trace`` was recorded.

    Raises SensorError when the readings do not span the arms or stand still over a whole pair, ConfigError for arms
    that :func:`~.arms.plan` does not make.
    """
    outer = [arm for arm in arms if arm.pair is None]
    numbers = sorted({arm.pair for arm in arms if arm.pair is not None})
    if not numbers or len(outer) != 2 or any(arm.kind != IDLE for arm in outer):
        raise ConfigError("an energy report needs an idle arm before, at least one pair and an idle arm after")
    pairs = [{arm.kind: arm for arm in arms if arm.pair == number} for number in numbers]
    for pair in pairs:
        _check_alive(pair, trace, tail_s, sensor)
    repeats = tuple(_repeat(pair[IDLE], pair[RUN], trace, tail_s) for pair in pairs)
    before, after = (trace.mean_watts(arm.start_s, arm.end_s) for arm in outer)
    names = ("joules_per_frame", "above_idle_joules_per_frame", "mean_watts", "above_idle_watts", "fps", "fps_per_watt")
    spreads = {name: Spread.of(getattr(repeat, name) for repeat in repeats) for name in (*names, "idle_watts")}
    return EnergyReport(
        method=method,
        sensor=sensor,
        window_s=window_s,
        tail_s=tail_s,
        pl_busy_share=pl_busy_share,
        idle_before_watts=before,
        idle_after_watts=after,
        repeats=repeats,
        flags=tuple(_flags(arms, repeats, spreads, after - before, trace, window_s, pl_busy_share)),
        **spreads,
    )


def _check_alive(pair: dict[str, Arm], trace: Trace, tail_s: float, sensor: str) -> None:
    start = min(arm.start_s for arm in pair.values())
    end = max(arm.end_s for arm in pair.values()) + tail_s
    if trace.distinct(start, end) == 1:
        raise SensorError(
            f"{sensor} gave the same reading all through an idle and a running arm ({end - start:.3g} s): it has "
            "stopped, or the network draws less than the sensor resolves (10 mW). Read it by hand while a model runs; "
            "reboot the board if it stands still."
        )


def _repeat(idle: Arm, run: Arm, trace: Trace, tail_s: float) -> Repeat:
    idle_watts = trace.mean_watts(idle.start_s, idle.end_s)
    end = run.end_s + tail_s
    above_joules = trace.joules(run.start_s, end) - idle_watts * (end - run.start_s)
    joules = above_joules + idle_watts * run.seconds
    return Repeat(
        idle_first=idle.start_s < run.start_s,
        seconds=run.seconds,
        frames=run.frames,
        samples=trace.samples(run.start_s, run.end_s),
        distinct=trace.distinct(run.start_s, run.end_s),
        idle_watts=idle_watts,
        mean_watts=joules / run.seconds,
        above_idle_watts=above_joules / run.seconds,
        joules_per_frame=joules / run.frames,
        above_idle_joules_per_frame=above_joules / run.frames,
        fps=run.frames / run.seconds,
        fps_per_watt=run.frames / joules,
    )


def _flags(arms, repeats, spreads, drift, trace, window_s, pl_busy_share):
    """Sentences with value, limit and remedy."""
    above = spreads["above_idle_watts"].mean
    shortest = min(arm.seconds for arm in arms)
    if len(repeats) < FEWEST_REPEATS:
        yield f"number of repeats {len(repeats)}, fewer than {FEWEST_REPEATS}: use --repeats {FEWEST_REPEATS} or more"
    if shortest < FEWEST_WINDOWS * window_s:
        yield (
            f"an arm of {shortest:.3g} s, shorter than {FEWEST_WINDOWS} of the sensor's windows of "
            f"{1e3 * window_s:.4g} ms: use --seconds {FEWEST_WINDOWS * window_s:.2g} or more"
        )
    fewest = min(repeat.distinct for repeat in repeats)
    if fewest < FEWEST_DISTINCT:
        yield (
            f"only {fewest} distinct readings in a running arm, fewer than {FEWEST_DISTINCT}: use longer arms, and "
            "look whether the sensor averages over more than its window"
        )
    gap = max(trace.longest_gap(arm.start_s, arm.end_s) for arm in arms)
    if gap > MOST_GAP_WINDOWS * window_s:
        yield (
            f"{1e3 * gap:.4g} ms without a reading, longer than {MOST_GAP_WINDOWS:g} windows of the sensor: other "
            "programs keep the CPU busy (on the emulated board: calls are too long, use a smaller --batch)"
        )
    if pl_busy_share < LEAST_BUSY:
        yield (
            f"the kernel worked in {100 * pl_busy_share:.2g} % of the running arms, less than {100 * LEAST_BUSY:g} %: "
            "the total is mostly that of a board that waits for its CPU; use a larger --batch"
        )
    if above < LEAST_WATTS:
        yield f"{1e3 * above:.3g} mW above idle, less than {1e3 * LEAST_WATTS:g} mW: the sensor resolves 10 mW"
    if abs(drift) > MOST_DRIFT * abs(above):
        yield (
            f"idle power drifted by {1e3 * drift:+.4g} mW, more than {100 * MOST_DRIFT:g} % of the power above idle: "
            "let the board warm up and stop other programs"
        )
    spread = spreads["above_idle_joules_per_frame"]
    if spread.std is not None and spread.std > MOST_SPREAD * abs(spread.mean):
        yield (
            f"the energy above idle of a frame, {spread.mean:.3g} J, has a standard deviation of {spread.std:.2g} J "
            f"between repeats, more than {100 * MOST_SPREAD:g} % of it: use longer arms, stop other programs"
        )
