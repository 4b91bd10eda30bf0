"""How wrong an energy is: whole measurements on a real file tree, in simulated time, where the truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from hwmon_tree import SteppedBoard

from pynq_qsnn.runtime.power.arms import plan, run_arms
from pynq_qsnn.runtime.power.report import evaluate
from pynq_qsnn.runtime.power.simulation import IDLE_W, RUN_W, rms_errors

SETTINGS = {"window_s": 0.1408, "sensor": "simulated", "method": "simulated", "pl_busy_share": 1.0}
TRUE_JOULES = (RUN_W - IDLE_W) * SteppedBoard.BUSY_S / SteppedBoard.BATCH


def measure(folder, seconds, repeats, seed):
    phase = np.random.default_rng(seed).uniform(0, 0.1408)
    board = SteppedBoard(folder, phase)
    try:
        arms = list(run_arms(plan(repeats, seed), seconds, board.run_batch, board.meter, board.clock, board.sleep))
        return arms, board.meter.trace(), board.meter.tail_s
    finally:
        board.close()


def test_five_second_arms_are_right_to_two_percent_and_need_the_tail(tmp_path):
    errors, without = [], []
    for seed in range(60):
        arms, trace, tail_s = measure(tmp_path / str(seed), 5.0, 1, seed)
        for tail, list_of_errors in ((tail_s, errors), (0.0, without)):
            report = evaluate(arms, trace, tail_s=tail, **SETTINGS)
            list_of_errors.append(report.above_idle_joules_per_frame.mean / TRUE_JOULES - 1)
    rms, rms_without = (np.sqrt(np.mean(np.square(e))) for e in (errors, without))
    assert rms <= 0.005  # the requirement is 2 %
    assert 0.02 < rms_without and rms_without > 5 * rms
    assert np.mean(without) < -0.02  # the end of the arm is lost, always the same way


def test_a_good_measurement_has_no_flags_and_a_known_total(tmp_path):
    arms, trace, tail_s = measure(tmp_path, 5.0, 5, seed=3)
    report = evaluate(arms, trace, tail_s=tail_s, **SETTINGS)
    assert report.valid, report.flags
    period = SteppedBoard.BUSY_S + SteppedBoard.GAP_S
    assert report.joules_per_frame.mean == pytest.approx(TRUE_JOULES + IDLE_W * period / SteppedBoard.BATCH, rel=2e-3)
    assert report.above_idle_joules_per_frame.std < 0.02 * TRUE_JOULES
    assert report.idle_watts.mean == pytest.approx(IDLE_W, abs=1e-3)
    assert report.fps.mean == pytest.approx(SteppedBoard.BATCH / period, rel=1e-6)
    assert {repeat.idle_first for repeat in report.repeats} == {True, False}
    late = replace(arms[-1], end_s=arms[-1].end_s + 60)
    with pytest.raises(Exception, match="the readings span"):
        evaluate([*arms[:-1], late], trace, tail_s=tail_s, **SETTINGS)


def test_the_table_of_the_documentation():
    for seconds, limit, least_without in ((1.0, 0.02, 0.1), (5.0, 0.004, 0.02)):
        with_tail, without = rms_errors(seconds, 60)
        assert with_tail < limit < least_without < without
