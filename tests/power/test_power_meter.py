"""The meter: a real thread on a real file tree, and what happens when the sensor fails under it."""

import threading
import time
from itertools import count

import numpy as np
import pytest
from hwmon_tree import write_hwmon

from pynq_qsnn.errors import SensorError
from pynq_qsnn.runtime.power import meter as meter_module
from pynq_qsnn.runtime.power.arms import IDLE, RUN, plan, run_arms
from pynq_qsnn.runtime.power.hwmon import HwmonSensor
from pynq_qsnn.runtime.power.meter import PowerMeter
from pynq_qsnn.runtime.power.trace import Trace


class Readings:
    """A sensor that calls ``watts`` for a reading; a hundred conversions a second."""

    name, window_s = "readings", 0.01

    def __init__(self, watts):
        self.watts = watts

    def close(self):
        pass


def test_a_thread_on_real_files(tmp_path):
    power = write_hwmon(tmp_path, ["ams", "ina260_u14"])
    sensor, before = HwmonSensor(root=str(tmp_path)), threading.active_count()
    with PowerMeter(sensor) as meter:
        meter.catch_up()
        start = time.monotonic()
        time.sleep(0.3)
        power.write_text("5600000\n")
        time.sleep(0.3)
        end = time.monotonic()
        meter.catch_up()
    assert threading.active_count() == before
    sensor.close()
    trace = meter.trace()
    assert meter.period_s == pytest.approx(0.02) and meter.tail_s == pytest.approx(0.3)
    assert np.all(np.diff(trace.times) > 0)
    assert 5 <= trace.samples(start, end) <= 31  # 30 where nothing else runs
    assert trace.distinct(start, end) == 2
    assert 4.3 < trace.mean_watts(start, end) < 5.5
    taken = len(trace.times)
    time.sleep(0.05)
    assert len(meter.trace().times) == taken  # it has stopped


@pytest.mark.parametrize("error", [SensorError("it holds rubbish"), ConnectionResetError("peer is gone")])
def test_an_error_in_the_thread_reaches_the_caller(error):
    numbers = count()

    def watts():
        if next(numbers) > 5:
            raise error
        return 4.2

    with pytest.raises(SensorError, match="it holds rubbish|peer is gone.*The board or the connection"):
        with PowerMeter(Readings(watts)) as meter:
            for _ in range(100):
                meter.catch_up()
    with pytest.raises(SensorError):
        meter.check()
    with pytest.raises(SensorError):  # an arm ends at once, not after its seconds
        list(run_arms(plan(5, 0), 1000.0, lambda: 1, meter, time.monotonic))


def test_the_end_of_the_block_raises_what_nobody_asked_for():
    def watts():
        raise SensorError("gone")

    with pytest.raises(SensorError, match="gone"):
        with PowerMeter(Readings(watts)):
            time.sleep(0.05)
    with pytest.raises(ValueError):  # and does not hide another error
        with PowerMeter(Readings(watts)):
            raise ValueError


def test_a_read_that_hangs_is_an_error_and_does_not_hang_the_program(monkeypatch):
    monkeypatch.setattr(meter_module, "STALL_S", 0.2)
    release = threading.Event()

    def watts():
        release.wait()
        return 4.2

    try:
        with pytest.raises(SensorError, match="gave no reading for 0.2 s"):
            with PowerMeter(Readings(watts)) as meter:
                meter.catch_up()
    finally:
        release.set()


def test_memory_is_bounded():
    now = count()
    meter = PowerMeter(Readings(lambda: float(next(now))), lambda: float(next(now)), capacity=10)
    for _ in range(1000):
        meter.sample()
    trace = meter.trace()
    assert len(trace.times) == 10 and np.all(np.diff(trace.times) == 3)
    assert trace.times[-1] == 2998 and np.array_equal(trace.watts, trace.times)  # the middle of each read
    with pytest.raises(SensorError, match="the readings span 2971.000 to 2998.000 s"):
        trace.joules(2970, 2990)


def test_a_clock_that_stands_still_keeps_the_newest_reading():
    readings = iter([1.0, 2.0, 3.0, 4.0])
    meter, now = PowerMeter(Readings(lambda: next(readings)), lambda: now), 0.0
    meter.sample()
    now = 1.0
    meter.sample()
    meter.sample()
    now = 2.0
    meter.sample()
    trace = meter.trace()
    assert trace.times.tolist() == [0, 1, 2] and trace.watts.tolist() == [1, 3, 4]


def test_the_trapezoid_by_hand():
    trace = Trace(np.array([0.0, 1.0, 2.0, 4.0]), np.array([2.0, 2.0, 4.0, 4.0]))
    assert trace.joules(0, 4) == 2 + 3 + 8
    assert trace.joules(0.5, 1.5) == 1 + 1.25  # both ends interpolated
    assert trace.joules(2.5, 3.5) == 4  # no reading inside
    assert trace.mean_watts(1, 4) == pytest.approx(11 / 3)
    assert (trace.samples(0, 4), trace.samples(0.5, 4), trace.samples(2.5, 3.5)) == (2, 2, 0)
    assert (trace.distinct(0.5, 3), trace.distinct(1.5, 3), trace.distinct(2.5, 3)) == (2, 1, 0)
    assert (trace.longest_gap(0, 4), trace.longest_gap(2.5, 3)) == (2, 0.5)
    for start, end in ((-1, 1), (3, 5), (2, 2), (3, 2)):
        with pytest.raises(SensorError, match="the readings span 0.000 to 4.000 s"):
            trace.joules(start, end)
    with pytest.raises(SensorError, match="span nothing"):
        Trace(np.empty(0), np.empty(0)).joules(0, 1)


def test_plans_are_pairs_in_an_order_of_their_seed():
    arms = plan(20, seed=7)
    assert arms == plan(20, seed=7) != plan(20, seed=8)
    assert arms[0] == arms[-1] == (IDLE, None) and len(arms) == 42
    pairs = [arms[1 + 2 * i : 3 + 2 * i] for i in range(20)]
    assert all({kind for kind, _ in pair} == {IDLE, RUN} for pair in pairs)
    assert [number for pair in pairs for _, number in pair] == sorted(2 * list(range(20)))
    assert {pair[0][0] for pair in pairs} == {IDLE, RUN}
