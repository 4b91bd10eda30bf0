"""Every figure of a report against one computed by hand, and every flag."""

import math
import re

import numpy as np
import pytest

from pynq_qsnn.errors import ConfigError, SensorError
from pynq_qsnn.runtime.power.arms import IDLE, RUN, Arm
from pynq_qsnn.runtime.power.report import evaluate
from pynq_qsnn.runtime.power.statistics import Spread
from pynq_qsnn.runtime.power.trace import Trace

TAIL = 1.0


def arms_of(*frames, seconds=10.0):
    """An idle arm, then idle and run for each number of frames, an idle arm; one tail between any two."""
    kinds = [(IDLE, None, 0)]
    for pair, number in enumerate(frames):
        kinds += [(IDLE, pair, 0), (RUN, pair, number)]
    kinds.append((IDLE, None, 0))
    starts = [TAIL + i * (seconds + TAIL) for i in range(len(kinds))]
    return [Arm(kind, pair, s, s + seconds, frames) for s, (kind, pair, frames) in zip(starts, kinds)]


def trace_of(arms, idle, run, last_idle=None, step=0.1, ripple=0.01):
    """Readings every ``step``: ``idle`` W, ``run[pair]`` W in running arms; every second one higher by ``ripple``."""
    times = np.arange(0, arms[-1].end_s + 3 * TAIL, step)
    watts = np.full(len(times), float(idle))
    for arm in arms:
        if arm.kind == RUN:
            watts[(times > arm.start_s - 1e-9) & (times < arm.end_s + 1e-9)] = run[arm.pair]
    if last_idle is not None:
        watts[times > arms[-2].end_s + TAIL / 2] = last_idle
    watts[::2] += ripple / 2
    watts[1::2] -= ripple / 2
    return Trace(times, watts)


def report_of(arms, trace, window_s=0.1, pl_busy_share=0.9):
    return evaluate(
        arms, trace, window_s=window_s, tail_s=TAIL, sensor="by hand", method="by hand", pl_busy_share=pl_busy_share
    )


def test_figures_by_hand():
    arms = arms_of(1000, 500, 2000, 1000, 1000)
    run = [6.0, 6.0, 6.0, 5.0, 7.0]
    report = report_of(arms, trace_of(arms, 4.0, run))
    # 10 s, and half a step of 0.1 s on the way down after the arm; the way up lies before it.
    dynamic = [(watts - 4) * 10.05 for watts in run]
    total = [joules + 40 for joules in dynamic]
    frames = [1000, 500, 2000, 1000, 1000]
    for k, repeat in enumerate(report.repeats):
        assert repeat.idle_first and repeat.frames == frames[k]
        assert repeat.seconds == pytest.approx(10)
        assert repeat.above_idle_joules_per_frame == pytest.approx(dynamic[k] / frames[k], rel=1e-3)
        assert repeat.joules_per_frame == pytest.approx(total[k] / frames[k], rel=1e-3)
        assert repeat.mean_watts == pytest.approx(total[k] / 10, rel=1e-3)
        assert repeat.above_idle_watts == pytest.approx(dynamic[k] / 10, rel=1e-3)
        assert repeat.fps == pytest.approx(frames[k] / 10)
        assert repeat.fps_per_watt == pytest.approx(frames[k] / total[k], rel=1e-3)
    assert report.joules_per_frame.mean == pytest.approx(
        (60.1 / 1000 + 60.1 / 500 + 60.1 / 2000 + 50.05 / 1000 + 70.15 / 1000) / 5, rel=1e-3
    )
    assert report.idle_watts.mean == pytest.approx(4.0, abs=1e-3)
    assert (report.idle_before_watts, report.idle_after_watts) == pytest.approx((4, 4), abs=1e-3)
    row = report.row()
    assert row["valid"] is False and row["method"] == "by hand" and row["pl_busy_share"] == 0.9
    assert row["joules_per_frame"]["count"] == 5 and len(row["repeats"]) == 5
    assert len(report.flags) == 1 and "has a standard deviation of" in report.flags[0]


def test_spread_by_hand():
    spread = Spread.of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert spread == Spread(5.0, math.sqrt(32 / 7), 2.0, 9.0, 8)
    assert Spread.of([3.0]) == Spread(3.0, None, 3.0, 3.0, 1)


def test_a_measurement_without_fault_is_valid():
    arms = arms_of(*[1000] * 5)
    report = report_of(arms, trace_of(arms, 4.0, [6.0] * 5))
    assert report.valid and report.flags == () and report.row()["valid"] is True


@pytest.mark.parametrize(
    ("arms", "changes", "flag"),
    [
        (arms_of(*[1000] * 4), {}, "number of repeats 4, fewer than 5"),
        (arms_of(*[1000] * 5, seconds=3.0), {}, "an arm of 3 s, shorter than 35 of the sensor's windows of 100 ms"),
        (arms_of(*[1000] * 5), {"ripple": 0.0}, "only 1 distinct readings in a running arm"),
        (arms_of(*[1000] * 5), {"step": 0.25}, "250 ms without a reading, longer than 2 windows"),
        (arms_of(*[1000] * 5), {"run": [4.02] * 5}, "20.1 mW above idle, less than 30 mW"),
        (arms_of(*[1000] * 5), {"last_idle": 4.2}, "idle power drifted by [+]200 mW, more than 5 %"),
        (arms_of(*[1000] * 5), {"run": [5.5, 6, 6, 6, 6.5]}, "standard deviation of .* more than 5 % of it"),
    ],
)
def test_flags(arms, changes, flag):
    report = report_of(arms, trace_of(arms, **{"idle": 4.0, "run": [6.0] * 5, **changes}))
    assert not report.valid and len(report.flags) == 1
    assert re.search(flag, report.flags[0])


def test_a_kernel_that_mostly_waits_is_flagged():
    arms = arms_of(*[1000] * 5)
    report = report_of(arms, trace_of(arms, 4.0, [6.0] * 5), pl_busy_share=0.02)
    assert len(report.flags) == 1 and "the kernel worked in 2 % of the running arms" in report.flags[0]


def test_a_sensor_that_stops_is_an_error_not_a_figure():
    arms = arms_of(*[1000] * 5)
    trace = trace_of(arms, 4.0, [6.0] * 5)
    stopped = np.where(trace.times > arms[4].start_s + 5, trace.watts[700], trace.watts)
    with pytest.raises(SensorError, match=r"by hand gave the same reading all through .* \(22 s\): it has stopped"):
        report_of(arms, Trace(trace.times, stopped))


def test_no_difference_at_all_is_flagged_not_divided_by():
    arms = arms_of(*[1000] * 5)
    report = report_of(arms, trace_of(arms, 4.0, [4.0] * 5))
    assert not report.valid and any("mW above idle" in flag for flag in report.flags)


@pytest.mark.parametrize("arms", [[], arms_of(), arms_of(10)[1:], arms_of(10)[:-1]])
def test_arms_of_no_plan(arms):
    with pytest.raises(ConfigError, match="an idle arm before, at least one pair"):
        report_of(arms, Trace(np.arange(3.0), np.ones(3)))
