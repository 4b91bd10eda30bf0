"""What the figures of the overlay mean: rate from batches, latency from frames that are sent alone."""

import time

import numpy as np
import pytest
from limits import BATCH_SIZE

from pynq_qsnn.runtime import measure
from pynq_qsnn.runtime.bench import measure_board, measure_overlay
from pynq_qsnn.runtime.measure import STAGES


def test_latency_is_that_of_a_frame_sent_alone(overlay, frames, logits):
    measured = measure_overlay(overlay, frames)
    assert np.array_equal(measured.logits, logits)
    overlay.execute(frames[:1])
    alone = measure.latencies_us(overlay.time_log(), overlay.executions(), overlay.clock_mhz) / 1e3
    assert measured.latency_ms_p50 == pytest.approx(alone[0])
    overlay.execute(frames[:BATCH_SIZE])
    together = measure.latencies_us(overlay.time_log(), overlay.executions(), overlay.clock_mhz) / 1e3
    assert together[-1] != pytest.approx(alone[0])  # the weights of later frames arrive during the first
    assert measured.batch_size == BATCH_SIZE and measured.fps > 0


def test_the_way_through_python_holds_the_kernel_and_its_four_stages(overlay, frames, logits):
    kernel, whole = measure_board(overlay, frames, repeats=3, minimum_seconds=0, latency_samples=20)
    assert np.array_equal(kernel.logits, logits) and np.array_equal(whole.logits, logits)
    assert kernel.method == whole.method == overlay.method
    assert kernel.latency_samples == whole.latency_samples == 20 and kernel.fps_repeats == whole.fps_repeats == 3
    assert kernel.fps == pytest.approx(measure_overlay(overlay, frames).fps, rel=0.01)
    assert whole.fps_max < kernel.fps_min and whole.latency_ms_p50 > kernel.latency_ms_p99
    batch_ms = sum(whole.stages_ms.values())
    assert tuple(whole.stages_ms) == STAGES and min(whole.stages_ms.values()) > 0
    assert whole.fps_min <= 1e3 * BATCH_SIZE / batch_ms <= whole.fps_max
    kernel_ms = 1e3 * BATCH_SIZE / kernel.fps
    assert whole.stages_ms["run"] > kernel_ms
    assert whole.python_percent == pytest.approx(100 * (1 - kernel_ms / batch_ms), abs=2)


def test_a_first_call_of_either_size_is_in_no_figure(overlay, frames, monkeypatch):
    pack, seen = overlay.pack, []

    def slow_at_first(batch):
        if len(batch) not in seen:
            time.sleep(1)
        seen.append(len(batch))
        return pack(batch)

    monkeypatch.setattr(overlay, "pack", slow_at_first)
    _, whole = measure_board(overlay, frames[:BATCH_SIZE], repeats=2, minimum_seconds=0, latency_samples=10)
    assert whole.latency_samples == 10 and seen.count(1) == 11
    assert whole.latency_ms_p99 < 900 and whole.batch_latency_ms_p99 < 900  # p99 of so few lies near the largest


def test_batch_latencies(overlay, frames):
    count = len(frames) // BATCH_SIZE * BATCH_SIZE
    kernel, whole = measure_board(overlay, frames[:count], repeats=1, minimum_seconds=0, latency_samples=1)
    assert kernel.batch_latency_samples == whole.batch_latency_samples == count // BATCH_SIZE
    seconds = []
    for first in range(0, count, BATCH_SIZE):
        overlay.execute(frames[first : first + BATCH_SIZE])
        log = overlay.time_log()
        seconds.append(float(log[-1, 1] - log[0, 0]) / (1e6 * overlay.clock_mhz))
    assert kernel.batch_latency_ms_p50 == pytest.approx(1e3 * np.median(seconds), rel=0.01)
    assert whole.batch_latency_ms_p50 == pytest.approx(sum(whole.stages_ms.values()))  # of two, median and mean agree
    assert kernel.latency_ms_p50 < kernel.batch_latency_ms_p50 < whole.batch_latency_ms_p50


def test_throughput_test_tells_its_percentiles(overlay, frames):
    found = overlay.throughput_test(frames, num_batches=2)
    assert 0 < found["latency_us_p50"] <= found["latency_us_p90"] <= found["latency_us_p99"]
    assert found["latency_us_p99"] < 1e6 * BATCH_SIZE / found["fps"]  # frames alone, in batches not much slower
