"""What the figures of the overlay mean: rate from batches, latency from frames that are sent alone."""

import numpy as np
from conftest import BATCH_SIZE

from pynq_qsnn.runtime import measure
from pynq_qsnn.runtime.bench import measure_overlay


def test_latency_is_that_of_a_frame_sent_alone(overlay, frames, logits):
    measured = measure_overlay(overlay, frames)
    assert np.array_equal(measured.logits, logits)
    overlay.execute(frames[:1])
    alone = measure.latencies_us(overlay.time_log(), overlay.executions(), overlay.clock_mhz) / 1e3
    assert measured.latency_ms_p50 == alone[0]
    overlay.execute(frames[:BATCH_SIZE])
    together = measure.latencies_us(overlay.time_log(), overlay.executions(), overlay.clock_mhz) / 1e3
    assert together[-1] != alone[0]  # the weights of later frames arrive during the first
    assert measured.batch_size == BATCH_SIZE and measured.fps > 0
