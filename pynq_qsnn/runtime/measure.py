"""Figures of the overlay: rate, latency and cycles of a layer from the kernel's time log, host time of each stage."""

from __future__ import annotations

import numpy as np

from ..program import Program


def frames_per_second(log: np.ndarray, clock_mhz: float) -> float:
    """Rate of one batch: frames over the time from its first instruction's start to its last one's end.

    log: uint64 [frames, instructions, 2], start and end in clock cycles.
    """
    cycles = int(log[:, :, 1].max()) - int(log[:, :, 0].min())
    return len(log) * clock_mhz * 1e6 / max(cycles, 1)


def latencies_us(log: np.ndarray, clock_mhz: float) -> np.ndarray:
    """Microseconds of each frame, float64 [frames], from its first instruction's start to its last one's end."""
    cycles = log[:, :, 1].max(axis=1) - log[:, :, 0].min(axis=1)
    return cycles.astype(np.float64) / clock_mhz


def layer_cycles(log: np.ndarray, program: Program) -> list[dict]:
    """One row an instruction: layer, opcode, mean cycles over the frames, the compiler's predicted cycles."""
    cycles = (log[:, :, 1] - log[:, :, 0]).mean(axis=0)
    return [
        {"layer": s.layer, "opcode": s.opcode, "cycles": float(c), "predicted_cycles": s.predicted_cycles}
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
        rates.append(frames_per_second(overlay.time_log(), overlay.clock_mhz))
    for frame in frames:  # alone, so that no weights of a next frame are fetched meanwhile
        overlay.write_packed(overlay.pack(frame[None]))
        overlay.execute_on_buffers()
        latencies.append(latencies_us(overlay.time_log(), overlay.clock_mhz))
    p50, p99 = np.percentile(np.concatenate(latencies), [50, 99])
    return {
        "method": overlay.method,
        "clock_mhz": overlay.clock_mhz,
        "batch_size": len(frames),
        "fps": float(np.mean(rates)),
        "latency_us_p50": float(p50),
        "latency_us_p99": float(p99),
        **stages,
    }
