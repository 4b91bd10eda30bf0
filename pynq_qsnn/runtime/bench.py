"""Throughput, latency and accuracy of executors on the same frames, as rows that say how each figure came about."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import measure
from .cycles import call_cycles

MEASURED_HOST = "measured (host)"
BOARD_LATENCY_FRAMES = 16
MINIMUM_SECONDS = 1.0  # shorter runs are repeated: a single short one mostly measures the machine's mood


@dataclass(frozen=True)
class Measurement:
    """One executor on one set of frames.

    method: "measured (host)", "emulated (cycle model)" or "measured (board)".  frames: distinct frames judged.
    fps: frames a second in batches of ``batch_size``.  latency_ms_p50, _p99: batch 1, milliseconds.
    logits: int32 or float32 [N, classes].
    """

    executor: str
    method: str
    frames: int
    batch_size: int
    fps: float
    latency_ms_p50: float
    latency_ms_p99: float
    logits: np.ndarray

    def row(self, labels: np.ndarray | None, truth: np.ndarray) -> dict:
        """Table row: accuracy against ``labels`` [N] (None: unknown), agreement of classes with ``truth`` logits."""
        predicted, count = self.logits.argmax(axis=1), len(self.logits)
        values = {k: v for k, v in vars(self).items() if k != "logits"}
        values["accuracy_percent"] = None if labels is None else float(100 * np.mean(predicted == labels[:count]))
        values["agreement_percent"] = float(100 * np.mean(predicted == truth[:count].argmax(axis=1)))
        integers = self.logits.dtype.kind == "i"  # a float model has no bits to compare
        values["bit_exact"] = bool(np.array_equal(self.logits, truth[:count])) if integers else None
        return values


def measure_host(
    name: str,
    run: Callable[[np.ndarray], np.ndarray],
    frames: np.ndarray,
    batch_size: int,
    latency_frames: int = 100,
    minimum_seconds: float = MINIMUM_SECONDS,
) -> Measurement:
    """Time ``run(frames) -> logits`` on this computer, by the wall clock and after a warm-up.

    The frames go through in batches, over and over until ``minimum_seconds`` have passed; latency is taken over
    ``latency_frames`` calls with one frame each.
    """
    batches = [frames[i : i + batch_size] for i in range(0, len(frames), batch_size)]
    run(batches[0])
    start, passes = time.perf_counter(), 0
    while passes == 0 or time.perf_counter() - start < minimum_seconds:
        logits = np.concatenate([run(batch) for batch in batches])
        passes += 1
    fps = passes * len(frames) / (time.perf_counter() - start)
    seconds = []
    for index in range(latency_frames):
        frame = frames[index % len(frames)][None]
        begin = time.perf_counter()
        run(frame)
        seconds.append(time.perf_counter() - begin)
    p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return Measurement(name, MEASURED_HOST, len(frames), batch_size, fps, float(p50), float(p99), logits)


def measure_overlay(overlay, frames: np.ndarray) -> Measurement:
    """Figures of a :class:`~pynq_qsnn.runtime.driver.QsnnOverlay` from the kernel's own time log, batch by batch.

    fps: frames over the clocks between the first instruction's start and the last one's end of each batch; the host's
    packing and copying is not in it.  Latency: first start to last end of frames that are sent alone (batch 1), so
    that no weights of a next frame are fetched meanwhile.
    """
    logits, cycles, latencies = [], 0, []
    for first in range(0, len(frames), overlay.batch_size):
        overlay.write_packed(overlay.pack(frames[first : first + overlay.batch_size]))
        overlay.execute_on_buffers()
        logits.append(overlay.read_logits())
        cycles += call_cycles(overlay.time_log())
    for frame in frames[:BOARD_LATENCY_FRAMES]:
        overlay.write_packed(overlay.pack(frame[None]))
        overlay.execute_on_buffers()
        latencies.append(measure.latencies_us(overlay.time_log(), overlay.executions(), overlay.clock_mhz))
    p50, p99 = np.percentile(np.concatenate(latencies) / 1e3, [50, 99])
    return Measurement(
        executor=f"{'emulated KV260' if overlay.is_emulated else 'KV260'} at {overlay.clock_mhz:g} MHz",
        method=overlay.method,
        frames=len(frames),
        batch_size=min(overlay.batch_size, len(frames)),
        fps=len(frames) * overlay.clock_mhz * 1e6 / cycles,
        latency_ms_p50=float(p50),
        latency_ms_p99=float(p99),
        logits=np.concatenate(logits),
    )
