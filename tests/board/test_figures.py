"""What the figures of the overlay mean: rate from batches, latency from frames that are sent alone."""

import numpy as np
import pytest
from conftest import BATCH_SIZE

from pynq_qsnn.runtime import measure
from pynq_qsnn.runtime.bench import STAGES, measure_board, measure_overlay


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


def test_throughput_test_tells_its_percentiles(overlay, frames):
    found = overlay.throughput_test(frames, num_batches=2)
    assert 0 < found["latency_us_p50"] <= found["latency_us_p90"] <= found["latency_us_p99"]
    assert found["latency_us_p99"] < 1e6 * BATCH_SIZE / found["fps"]  # frames alone, in batches not much slower
