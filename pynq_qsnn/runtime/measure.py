"""Figures of the overlay: rate, latency and cycles of a layer from the kernel's time log, host time of each stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..program import Program
from .cycles import call_cycles, instruction_cycles

PERCENTILES = (50, 90, 99)
STAGES = ("pack", "copy", "run", "unpack")


def percentiles(samples) -> tuple[float, float, float]:
    """p50, p90 and p99, interpolated linearly between samples: with fewer than 100 of them p99 lies near the largest.

    >>> percentiles(range(101))
    (50.0, 90.0, 99.0)
    """
    p50, p90, p99 = np.percentile(np.asarray(samples, np.float64), PERCENTILES)
    return float(p50), float(p90), float(p99)


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


@dataclass(frozen=True)
class TimedCall:
    """One call of the kernel, from frames to logits.

    logits: int32 [N, classes].  stages_s: seconds of each of STAGES by ``overlay.monotonic``, float64 [4].
    kernel_s: from the start of the first instruction to the end of the last one, by the kernel's counter.
    latencies_s: the same of each frame, float64 [N].
    """

    logits: np.ndarray
    stages_s: np.ndarray
    kernel_s: float
    latencies_s: np.ndarray

    @property
    def seconds(self) -> float:
        """All stages together."""
        return float(self.stages_s.sum())


def timed_call(overlay, frames: np.ndarray, clock_mhz: float) -> TimedCall:
    """Pack, copy, run and unpack ``frames``, at most ``overlay.batch_size``, one after the other.

    clock_mhz: the overlay's, which costs a register access to ask for. Raises what ``overlay.execute`` raises.
    """
    marks = [overlay.monotonic()]
    packed = overlay.pack(frames)
    marks.append(overlay.monotonic())
    overlay.write_packed(packed)
    marks.append(overlay.monotonic())
    overlay.execute_on_buffers()
    marks.append(overlay.monotonic())
    logits = overlay.read_logits()
    marks.append(overlay.monotonic())
    log = overlay.time_log()
    latencies_s = latencies_us(log, overlay.executions(), clock_mhz) / 1e6
    return TimedCall(logits, np.diff(marks), max(call_cycles(log), 1) / (1e6 * clock_mhz), latencies_s)


def throughput(overlay, frames: np.ndarray, num_batches: int) -> dict:
    """What :meth:`QsnnOverlay.throughput_test` returns, for one batch of frames run ``num_batches`` times."""
    clock_mhz = overlay.clock_mhz
    calls = [timed_call(overlay, frames, clock_mhz) for _ in range(num_batches)]
    alone = [timed_call(overlay, frame[None], clock_mhz) for frame in frames]  # no weights of a next one are fetched
    p50, p90, p99 = percentiles([1e6 * call.latencies_s[0] for call in alone])
    stages_s = np.mean([call.stages_s for call in calls], axis=0)
    return {
        "method": overlay.method,
        "clock_mhz": clock_mhz,
        "batch_size": len(frames),
        "fps": float(np.mean([len(frames) / call.kernel_s for call in calls])),
        "latency_us_p50": p50,
        "latency_us_p90": p90,
        "latency_us_p99": p99,
        **{f"{stage}_ms": float(1e3 * seconds) for stage, seconds in zip(STAGES, stages_s)},
    }
