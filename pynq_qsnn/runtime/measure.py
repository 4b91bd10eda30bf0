"""Figures of the overlay: rate, latency and cycles of a layer from the kernel's time log, host time of each stage."""

from __future__ import annotations

import numpy as np

from ..program import Program
from .cycles import call_cycles, instruction_cycles

PERCENTILES = (50, 90, 99)


def percentiles(samples) -> tuple[float, float, float]:
    """p50, p90 and p99, interpolated linearly between samples: with fewer than 100 of them p99 lies near the largest.

    >>> percentiles(range(101))
    (50.0, 90.0, 99.0)
    """
    p50, p90, p99 = np.percentile(np.asarray(samples, np.float64), PERCENTILES)
    return float(p50), float(p90), float(p99)


def frames_per_second(log: np.ndarray, num_frames: int, clock_mhz: float) -> float:
    """Rate of one batch: frames over the time from its first instruction's start to its last one's end.

    log: uint64 [executions, 2], start and end in clock cycles.
    """
    return num_frames * clock_mhz * 1e6 / max(call_cycles(log), 1)


def latencies_us(log: np.ndarray, executions: list[tuple[int, int, int]], clock_mhz: float) -> np.ndarray:
    """Microseconds of each frame, float64 [frames]: start of its first instruction to end of its last one.

    executions: what the entries of ``log`` are. A frame of a group waits for the others where they run together.
    """
    num_frames = sum(frames for index, _, frames in executions if index == 0)
    start, end = np.full(num_frames, np.iinfo(np.uint64).max, np.uint64), np.zeros(num_frames, np.uint64)
    for (_, first, frames), (begin, done) in zip(executions, log):
        group = slice(first, first + frames)
        start[group], end[group] = np.minimum(start[group], begin), np.maximum(end[group], done)
    return (end - start).astype(np.float64) / clock_mhz


def layer_cycles(log: np.ndarray, program: Program, num_frames: int) -> list[dict]:
    """One row an instruction: layer, opcode, cycles a frame, and the compiler's prediction for a frame alone or, in a
    batch, for each frame of a long one.
    """
    cycles = instruction_cycles(program, log, num_frames)
    return [
        {
            "layer": s.layer,
            "opcode": s.opcode,
            "cycles": float(c),
            "predicted_cycles": s.batch_cycles if num_frames > 1 else s.predicted_cycles,
        }
        for s, c in zip(program.steps, cycles)
    ]


def throughput(overlay, frames: np.ndarray, num_batches: int) -> dict:
    """What :meth:`QsnnOverlay.throughput_test` returns, for one batch of frames run ``num_batches`` times."""
    clock = overlay.monotonic
    stages = {"pack_ms": 0.0, "copy_ms": 0.0, "run_ms": 0.0, "unpack_ms": 0.0}
    rates, latencies = [], []
    for _ in range(num_batches):
        marks = [clock()]
        packed = overlay.pack(frames)
        marks.append(clock())
        overlay.write_packed(packed)
        marks.append(clock())
        overlay.execute_on_buffers()
        marks.append(clock())
        overlay.read_logits()
        marks.append(clock())
        for stage, seconds in zip(stages, np.diff(marks)):
            stages[stage] += 1e3 * float(seconds) / num_batches
        rates.append(frames_per_second(overlay.time_log(), len(frames), overlay.clock_mhz))
    for frame in frames:  # alone, so that no weights of a next frame are fetched meanwhile
        overlay.write_packed(overlay.pack(frame[None]))
        overlay.execute_on_buffers()
        latencies.append(latencies_us(overlay.time_log(), overlay.executions(), overlay.clock_mhz))
    p50, p90, p99 = percentiles(np.concatenate(latencies))
    return {
        "method": overlay.method,
        "clock_mhz": overlay.clock_mhz,
        "batch_size": len(frames),
        "fps": float(np.mean(rates)),
        "latency_us_p50": p50,
        "latency_us_p90": p90,
        "latency_us_p99": p99,
        **stages,
    }
