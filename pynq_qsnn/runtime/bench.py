"""Throughput, latency and accuracy of executors on the same frames, as rows that say how each figure came about."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from . import measure
from .cycles import call_cycles
from .machine import cpu_name

MEASURED_HOST = "measured (host)"
REPEATS = 5
BOARD_LATENCY_FRAMES = 16
LATENCY_SAMPLES = 100
LATENCY_SECONDS = 5.0  # a slow executor gives fewer samples than LATENCY_SAMPLES, and says how many
MINIMUM_SECONDS = 1.0  # shorter runs are repeated: a single short one mostly measures the machine's mood
STAGES = ("pack", "copy", "run", "unpack")


@dataclass(frozen=True)
class Measurement:
    """One executor on one set of frames.

    method: "measured (host)", "emulated (cycle model)" or "measured (board)".  runs_on: the processor's or PL's name.
    threads: None where the executor does not tell.  frames: distinct frames judged.
    fps: frames a second in batches of ``batch_size``, the median of ``fps_repeats`` rates from fps_min to fps_max.
    latency_ms_*: percentiles of ``latency_samples`` calls with one frame, milliseconds.
    stages_ms: of a batch on its way through Python and the board.  python_percent: share of that way in which the
    kernel's clock does not run.  Both None where there are no such stages.
    logits: int32 or float32 [N, classes].
    """

    executor: str
    method: str
    runs_on: str
    threads: int | None
    frames: int
    batch_size: int
    fps: float
    fps_min: float
    fps_max: float
    fps_repeats: int
    latency_ms_p50: float
    latency_ms_p90: float
    latency_ms_p99: float
    latency_samples: int
    logits: np.ndarray
    stages_ms: dict[str, float] | None = None
    python_percent: float | None = None

    def row(self, labels: np.ndarray | None, truth: np.ndarray) -> dict:
        """Table row: accuracy against ``labels`` [N] (None: unknown), agreement of classes with ``truth`` logits.

        ``truth`` may be of fewer frames; then these are compared.
        """
        predicted, count = self.logits.argmax(axis=1), min(len(self.logits), len(truth))
        same = predicted[:count] == truth[:count].argmax(axis=1)
        values = {k: v for k, v in vars(self).items() if k != "logits"}
        values["accuracy_percent"] = (
            None if labels is None else float(100 * np.mean(predicted == labels[: len(predicted)]))
        )
        values["agreement_percent"] = float(100 * np.mean(same))
        integers = self.logits.dtype.kind == "i"  # a float model has no bits to compare
        values["bit_exact"] = bool(np.array_equal(self.logits[:count], truth[:count])) if integers else None
        return values


@dataclass
class HostExecutor:
    """``run(frames) -> logits`` on this computer, and the frames and batch it is measured with."""

    name: str
    run: Callable[[np.ndarray], np.ndarray]
    frames: np.ndarray
    batch_size: int
    threads: int | None = None


def measure_hosts(
    executors: list[HostExecutor],
    repeats: int = REPEATS,
    minimum_seconds: float = MINIMUM_SECONDS,
    latency_samples: int = LATENCY_SAMPLES,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Measurement]:
    """Time executors by the wall clock, in turns: a machine that slows down meanwhile slows all of them.

    Each has ``repeats`` turns: batches for ``minimum_seconds`` / ``repeats`` or longer, so that every frame has gone
    through at the end, then single frames until the samples or ``LATENCY_SECONDS`` are shared out. A first call of
    either size in a turn is not timed. Only full batches are; the frames left over count for the logits alone.
    """
    samples = [_HostSamples(executor, clock) for executor in executors]
    for _ in range(repeats):
        for sample in samples:
            sample.time_batches(repeats, minimum_seconds)
            sample.time_single_frames(repeats, latency_samples)
    return [sample.measurement() for sample in samples]


def measure_host(
    name: str,
    run: Callable[[np.ndarray], np.ndarray],
    frames: np.ndarray,
    batch_size: int,
    latency_frames: int = LATENCY_SAMPLES,
    minimum_seconds: float = MINIMUM_SECONDS,
) -> Measurement:
    """:func:`measure_hosts` for one executor alone."""
    return measure_hosts([HostExecutor(name, run, frames, batch_size)], REPEATS, minimum_seconds, latency_frames)[0]


class _HostSamples:
    """What the turns of one executor gave so far."""

    def __init__(self, executor: HostExecutor, clock: Callable[[], float]):
        self._executor, self._clock = executor, clock
        self._batches, self._rest = _full_batches(executor.frames, executor.batch_size)
        self._logits: dict[int, np.ndarray] = {}
        self._calls = 0
        self._rates: list[float] = []
        self._latencies: list[float] = []

    def time_batches(self, turns: int, seconds: float) -> None:
        """One rate, over this turn's share of the batches and of ``seconds`` at least."""
        count = len(self._batches)
        share, calls, passed = -(-count // turns), 0, 0.0
        self._executor.run(self._batches[self._calls % count])
        while calls < share or passed < seconds / turns:
            index = self._calls % count
            begin = self._clock()
            self._logits[index] = self._executor.run(self._batches[index])
            passed += self._clock() - begin
            self._calls, calls = self._calls + 1, calls + 1
        self._rates.append(calls * len(self._batches[0]) / passed)

    def time_single_frames(self, turns: int, samples: int) -> None:
        """This turn's share of ``samples`` latencies, or what fits its share of LATENCY_SECONDS; one at least."""
        frames, calls, passed = self._executor.frames, 0, 0.0
        self._executor.run(frames[:1])
        while calls == 0 or (calls < -(-samples // turns) and passed < LATENCY_SECONDS / turns):
            index = len(self._latencies) % len(frames)
            begin = self._clock()
            self._executor.run(frames[index : index + 1])
            self._latencies.append(self._clock() - begin)
            passed, calls = passed + self._latencies[-1], calls + 1

    def measurement(self) -> Measurement:
        """The figures, once every turn has run."""
        executor = self._executor
        logits = [self._logits[index] for index in range(len(self._batches))]
        if len(self._rest):
            logits.append(executor.run(self._rest))
        return Measurement(
            executor=executor.name,
            method=MEASURED_HOST,
            runs_on=cpu_name(),
            threads=executor.threads,
            frames=len(executor.frames),
            batch_size=len(self._batches[0]),
            logits=np.concatenate(logits),
            **_figures(self._rates, self._latencies),
        )


def _full_batches(frames: np.ndarray, batch_size: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Batches of the same size, all frames in one where they are fewer, and the frames left over."""
    size = min(batch_size, len(frames))
    whole = len(frames) // size * size
    return [frames[i : i + size] for i in range(0, whole, size)], frames[whole:]


def _figures(rates: list[float], latencies_s: list[float]) -> dict:
    """The fields of a Measurement that rates [1/s] and latencies [s] make up."""
    p50, p90, p99 = measure.percentiles(1e3 * np.asarray(latencies_s))
    return {
        "fps": float(np.median(rates)),
        "fps_min": float(min(rates)),
        "fps_max": float(max(rates)),
        "fps_repeats": len(rates),
        "latency_ms_p50": p50,
        "latency_ms_p90": p90,
        "latency_ms_p99": p99,
        "latency_samples": len(latencies_s),
    }


# the board


@dataclass
class _BoardCall:
    """One call of the kernel. stages_s: pack, copy, run, unpack, of the board's own time; kernel_s: of its clocks."""

    frames: int
    kernel_s: float
    latency_s: float
    stages_s: np.ndarray


@dataclass
class _BoardSamples:
    logits: np.ndarray
    batches: list[_BoardCall]
    singles: list[_BoardCall] = field(default_factory=list)

    def rates(self, repeats: int, seconds: Callable[[_BoardCall], float]) -> list[float]:
        """Frames a second of ``repeats`` stretches of calls."""
        parts = np.array_split(np.arange(len(self.batches)), repeats)
        stretches = [[self.batches[i] for i in part] for part in parts]
        return [sum(call.frames for call in calls) / sum(map(seconds, calls)) for calls in stretches]


def measure_overlay(overlay, frames: np.ndarray) -> Measurement:
    """Figures of a :class:`~pynq_qsnn.runtime.driver.QsnnOverlay` from the kernel's own time log, in one pass.

    fps: frames over the clocks between the first instruction's start and the last one's end of each batch; the host's
    packing and copying is not in it.  Latency: first start to last end of frames that are sent alone (batch 1), so
    that no weights of a next frame are fetched meanwhile.
    """
    samples = _call_overlay(overlay, frames, 1, 0.0, min(BOARD_LATENCY_FRAMES, len(frames)))
    return _kernel_figures(overlay, frames, samples, 1)


def measure_board(
    overlay,
    frames: np.ndarray,
    repeats: int = REPEATS,
    minimum_seconds: float = MINIMUM_SECONDS,
    latency_samples: int = LATENCY_SAMPLES,
) -> list[Measurement]:
    """The kernel by its own clocks (see :func:`measure_overlay`), and the way through Python, of the same calls.

    End to end is pack, copy, start, DMA, kernel, wait and unpack, one after the other, by ``overlay.monotonic``. On the
    emulated board that is the kernel's modelled time and what Python, the register models included, took on this
    computer; of an emulated board in another process, the calls to it too.
    """
    overlay.write_packed(overlay.pack(frames[: overlay.batch_size]))
    overlay.execute_on_buffers()  # not timed
    samples = _call_overlay(overlay, frames, repeats, minimum_seconds, latency_samples)
    return [_kernel_figures(overlay, frames, samples, repeats), _end_to_end_figures(overlay, frames, samples, repeats)]


def _call_overlay(overlay, frames: np.ndarray, repeats: int, seconds: float, samples: int) -> _BoardSamples:
    batches, rest = _full_batches(frames, overlay.batch_size)
    clock_mhz, logits, calls = overlay.clock_mhz, [], []
    begin = time.monotonic()  # of the computer: how long a user waits, whatever the board's time is
    while len(calls) < max(len(batches), repeats) or time.monotonic() - begin < seconds:
        result, call = _call(overlay, batches[len(calls) % len(batches)], clock_mhz)
        calls.append(call)
        if len(logits) < len(batches):
            logits.append(result)
    if len(rest):
        logits.append(_call(overlay, rest, clock_mhz)[0])
    found = _BoardSamples(np.concatenate(logits), calls)
    begin = time.monotonic()
    while not found.singles or (len(found.singles) < samples and time.monotonic() - begin < LATENCY_SECONDS):
        index = len(found.singles) % len(frames)
        found.singles.append(_call(overlay, frames[index : index + 1], clock_mhz)[1])
    return found


def _call(overlay, frames: np.ndarray, clock_mhz: float) -> tuple[np.ndarray, _BoardCall]:
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
    latency_us = measure.latencies_us(log, overlay.executions(), clock_mhz)[0]
    kernel_s = call_cycles(log) / (1e6 * clock_mhz)
    return logits, _BoardCall(len(frames), kernel_s, 1e-6 * float(latency_us), np.diff(marks))


def _kernel_figures(overlay, frames: np.ndarray, samples: _BoardSamples, repeats: int) -> Measurement:
    return Measurement(
        executor=f"{_board_name(overlay)}, kernel",
        runs_on=f"PL at {overlay.clock_mhz:g} MHz",
        **_board_fields(overlay, frames, samples),
        **_figures(samples.rates(repeats, lambda call: call.kernel_s), [call.latency_s for call in samples.singles]),
    )


def _end_to_end_figures(overlay, frames: np.ndarray, samples: _BoardSamples, repeats: int) -> Measurement:
    stages = np.mean([call.stages_s for call in samples.batches], axis=0)
    kernel_s = np.mean([call.kernel_s for call in samples.batches])
    return Measurement(
        executor=f"{_board_name(overlay)}, end to end in Python",
        runs_on=f"PL at {overlay.clock_mhz:g} MHz, Python on {cpu_name()}",
        **_board_fields(overlay, frames, samples),
        **_figures(
            samples.rates(repeats, lambda call: call.stages_s.sum()), [call.stages_s.sum() for call in samples.singles]
        ),
        stages_ms={stage: float(1e3 * seconds) for stage, seconds in zip(STAGES, stages)},
        python_percent=float(100 * (1 - kernel_s / stages.sum())),
    )


def _board_name(overlay) -> str:
    return f"{'emulated KV260' if overlay.is_emulated else 'KV260'} at {overlay.clock_mhz:g} MHz"


def _board_fields(overlay, frames: np.ndarray, samples: _BoardSamples) -> dict:
    return {
        "method": overlay.method,
        "threads": None,
        "frames": len(frames),
        "batch_size": samples.batches[0].frames,
        "logits": samples.logits,
    }
