"""Throughput, latency and accuracy of executors on the same frames, as rows that say how each figure came about."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import measure
from .machine import cpu_name
from .measure import STAGES, TimedCall, timed_call

MEASURED_HOST = "measured (host)"
REPEATS = 5
BOARD_LATENCY_FRAMES = 16
LATENCY_SAMPLES = 100
LATENCY_SECONDS = 5.0  # a slow executor gives fewer samples than LATENCY_SAMPLES, and says how many
MINIMUM_SECONDS = 1.0  # shorter runs are repeated: a single short one mostly measures the machine's mood


@dataclass(frozen=True)
class Measurement:
    """One executor on one set of frames.

    method: "measured (host)", "emulated (cycle model)" or "measured (board)".  runs_on: the processor's or PL's name.
    threads: None where the executor does not tell.  frames: distinct frames judged.
    fps: frames a second in batches of ``batch_size``, the median of ``fps_repeats`` rates from fps_min to fps_max.
    latency_ms_*: percentiles of ``latency_samples`` calls with one frame, milliseconds.
    batch_latency_ms_*: the same of ``batch_latency_samples`` calls with ``batch_size`` frames.
    stages_ms: of a batch on its way through Python and the board.  python_percent: share of that way in which the
    kernel's clock does not run.  python_on: processor that this share was measured on, which on the emulated board is
    not the board's.  All three None where there are no such stages.
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
    batch_latency_ms_p50: float
    batch_latency_ms_p90: float
    batch_latency_ms_p99: float
    batch_latency_samples: int
    logits: np.ndarray
    stages_ms: dict[str, float] | None = None
    python_percent: float | None = None
    python_on: str | None = None

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
    **options,
) -> Measurement:
    """:func:`measure_hosts` for one executor alone, with its options."""
    return measure_hosts([HostExecutor(name, run, frames, batch_size)], **options)[0]


class _HostSamples:
    """What the turns of one executor gave so far."""

    def __init__(self, executor: HostExecutor, clock: Callable[[], float]):
        self._executor, self._clock = executor, clock
        self._batches, self._rest = _full_batches(executor.frames, executor.batch_size)
        self._logits: dict[int, np.ndarray] = {}
        self._calls = 0
        self._rates: list[float] = []
        self._latencies: list[float] = []
        self._batch_latencies: list[float] = []

    def time_batches(self, turns: int, seconds: float) -> None:
        """One rate, over this turn's share of the batches and of ``seconds`` at least."""
        count = len(self._batches)
        share, calls, passed = -(-count // turns), 0, 0.0
        self._executor.run(self._batches[self._calls % count])
        while calls < share or passed < seconds / turns:
            index = self._calls % count
            begin = self._clock()
            self._logits[index] = self._executor.run(self._batches[index])
            self._batch_latencies.append(self._clock() - begin)
            passed += self._batch_latencies[-1]
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
            **_figures(self._rates, self._latencies, self._batch_latencies),
        )


def _full_batches(frames: np.ndarray, batch_size: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Batches of the same size, all frames in one where they are fewer, and the frames left over."""
    size = min(batch_size, len(frames))
    whole = len(frames) // size * size
    return [frames[i : i + size] for i in range(0, whole, size)], frames[whole:]


def _figures(rates: list[float], latencies_s: list[float], batch_latencies_s: list[float]) -> dict:
    """The fields of a Measurement that rates [1/s] and latencies [s] make up."""
    return {
        "fps": float(np.median(rates)),
        "fps_min": float(min(rates)),
        "fps_max": float(max(rates)),
        "fps_repeats": len(rates),
        **_latencies("latency", latencies_s),
        **_latencies("batch_latency", batch_latencies_s),
    }


def _latencies(name: str, seconds: list[float]) -> dict:
    p50, p90, p99 = measure.percentiles(1e3 * np.asarray(seconds))
    return {f"{name}_ms_p50": p50, f"{name}_ms_p90": p90, f"{name}_ms_p99": p99, f"{name}_samples": len(seconds)}


# the board


@dataclass
class _BoardSamples:
    """logits: of every frame.  batches: calls with ``batch_size`` frames.  singles: with one."""

    logits: np.ndarray
    batch_size: int
    batches: list[TimedCall]
    singles: list[TimedCall]

    def figures(self, repeats: int, batch: Callable[[TimedCall], float], single: Callable[[TimedCall], float]) -> dict:
        """Rates of ``repeats`` stretches of calls, and latencies. batch, single: the seconds of a call that count."""
        seconds = [batch(call) for call in self.batches]
        rates = [len(part) * self.batch_size / part.sum() for part in np.array_split(seconds, repeats)]
        return _figures(rates, [single(call) for call in self.singles], seconds)


def measure_overlay(overlay, frames: np.ndarray) -> Measurement:
    """Figures of a :class:`~pynq_qsnn.runtime.driver.QsnnOverlay` from the kernel's own time log, in one pass.

    fps and batch latency: the clocks between the first instruction's start and the last one's end of each batch; the
    host's packing and copying is not in it.  Latency: first start to last end of frames that are sent alone (batch 1),
    so that no weights of a next frame are fetched meanwhile.
    """
    samples = _call_overlay(overlay, frames, 1, 0.0, min(BOARD_LATENCY_FRAMES, len(frames)), warm_ups=0)
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
    computer; of an emulated board in another process, the calls to it too. The first call of either size is not timed.
    """
    samples = _call_overlay(overlay, frames, repeats, minimum_seconds, latency_samples, warm_ups=1)
    return [_kernel_figures(overlay, frames, samples, repeats), _end_to_end_figures(overlay, frames, samples, repeats)]


def _call_overlay(
    overlay, frames: np.ndarray, repeats: int, seconds: float, samples: int, warm_ups: int
) -> _BoardSamples:
    """warm_ups: calls of either size that no figure is made of; the kernel's own clocks need none."""
    batches, rest = _full_batches(frames, overlay.batch_size)
    clock_mhz, calls, singles = overlay.clock_mhz, [], []
    for _ in range(warm_ups):
        timed_call(overlay, batches[0], clock_mhz)
    begin = time.monotonic()  # of the computer: how long a user waits, whatever the board's time is
    while len(calls) < max(len(batches), repeats) or time.monotonic() - begin < seconds:
        calls.append(timed_call(overlay, batches[len(calls) % len(batches)], clock_mhz))
    logits = [call.logits for call in calls[: len(batches)]]
    if len(rest):
        logits.append(timed_call(overlay, rest, clock_mhz).logits)
    for _ in range(warm_ups):
        timed_call(overlay, frames[:1], clock_mhz)
    begin = time.monotonic()
    while not singles or (len(singles) < samples and time.monotonic() - begin < LATENCY_SECONDS):
        index = len(singles) % len(frames)
        singles.append(timed_call(overlay, frames[index : index + 1], clock_mhz))
    return _BoardSamples(np.concatenate(logits), len(batches[0]), calls, singles)


def _kernel_figures(overlay, frames: np.ndarray, samples: _BoardSamples, repeats: int) -> Measurement:
    return Measurement(
        executor=f"{_board_name(overlay)}, kernel",
        **_board_fields(overlay, frames, samples),
        **samples.figures(repeats, lambda call: call.kernel_s, lambda call: float(call.latencies_s[0])),
    )


def _end_to_end_figures(overlay, frames: np.ndarray, samples: _BoardSamples, repeats: int) -> Measurement:
    stages = np.mean([call.stages_s for call in samples.batches], axis=0)
    kernel_s = np.mean([call.kernel_s for call in samples.batches])
    return Measurement(
        executor=f"{_board_name(overlay)}, end to end, Python on this computer",
        **_board_fields(overlay, frames, samples),
        **samples.figures(repeats, lambda call: call.seconds, lambda call: call.seconds),
        stages_ms={stage: float(1e3 * seconds) for stage, seconds in zip(STAGES, stages)},
        python_percent=float(100 * (1 - kernel_s / stages.sum())),
        python_on=cpu_name(),
    )


def _board_name(overlay) -> str:
    return f"{'emulated KV260' if overlay.is_emulated else 'KV260'} at {overlay.clock_mhz:g} MHz"


def _board_fields(overlay, frames: np.ndarray, samples: _BoardSamples) -> dict:
    return {
        "method": overlay.method,
        "runs_on": f"PL at {overlay.clock_mhz:g} MHz",
        "threads": None,
        "frames": len(frames),
        "batch_size": samples.batch_size,
        "logits": samples.logits,
    }
