"""Frames from a source through the overlay without a gap, each result with its times."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from .cycles import call_cycles
from .frame_queue import FrameQueue
from .measure import latencies_us, percentiles
from .pipeline import DoubleBuffer, FinishedBatch

POLL_S = 2e-4
LATENCIES_KEPT = 100_000


@dataclass(frozen=True)
class StreamedFrame:
    """Result of one frame.

    index: place in the source.  frame: uint8 [C, H, W] ([T, C, H, W] for event frames).  logits: int32 [classes].
    arrived_s: when the source gave it; started_s, finished_s: when its batch was started and was seen to have ended,
    all on the clock of ``overlay.monotonic``.  kernel_s: from the start of its first instruction to the end of its last
    one, by the kernel's counter.
    """

    index: int
    frame: np.ndarray
    logits: np.ndarray
    arrived_s: float
    started_s: float
    finished_s: float
    kernel_s: float

    @property
    def label(self) -> int:
        """Class of the largest logit."""
        return int(self.logits.argmax())

    @property
    def latency_s(self) -> float:
        """From the source to the result, the wait in the queue and for the batch included."""
        return self.finished_s - self.arrived_s


@dataclass(frozen=True)
class StreamReport:
    """Figures of a stream so far, from the first batch's start to the last one's end.

    method: how they came about; on the emulated board the kernel's time is modelled, and what Python needs between two
    calls is this computer's.  fps: frames a second.  kernel_fps: what the kernel alone would do, by its counter.
    busy: share of the time in which the kernel worked, fps / kernel_fps.  latency_ms_*: source to result, of the last
    100,000 frames.  Rates and latencies are None before the first result.
    """

    method: str
    frames: int
    batches: int
    seconds: float
    fps: float | None
    kernel_fps: float | None
    busy: float | None
    latency_ms_p50: float | None
    latency_ms_p90: float | None
    latency_ms_p99: float | None


class _Figures:
    """What the batches so far add up to."""

    def __init__(self, method: str, clock_mhz: float):
        self._method, self._clock_mhz = method, clock_mhz
        self._frames = self._batches = self._cycles = 0
        self._first_s = self._last_s = 0.0
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)

    def add(self, batch: FinishedBatch) -> Iterator[StreamedFrame]:
        """Count a batch; its frames."""
        self._first_s = self._first_s if self._batches else batch.started_s
        self._last_s = batch.finished_s
        self._batches += 1
        self._frames += len(batch.items)
        self._cycles += call_cycles(batch.log)
        self._latencies.extend(batch.finished_s - item.arrived_s for item in batch.items)
        kernel_s = latencies_us(batch.log, batch.executions, self._clock_mhz) / 1e6
        for item, logits, seconds in zip(batch.items, batch.logits, kernel_s):
            times = item.arrived_s, batch.started_s, batch.finished_s, float(seconds)
            yield StreamedFrame(item.index, item.frame, logits, *times)

    def report(self) -> StreamReport:
        seconds = self._last_s - self._first_s
        rates = latencies = (None, None, None)
        if self._frames:
            kernel_s = max(self._cycles, 1) / (self._clock_mhz * 1e6)
            rates = self._frames / seconds, self._frames / kernel_s, kernel_s / seconds
            latencies = percentiles(np.array(self._latencies) * 1e3)
        return StreamReport(self._method, self._frames, self._batches, seconds, *rates, *latencies)


class ResultStream:
    """Iterator over :class:`StreamedFrame`, in the order of the source; made by ``QsnnOverlay.stream``.

    Leaving early (:meth:`close`, the end of a ``with`` block, Ctrl-C) waits for the batch in the PL and drops it.

    buffers: of the model.  open_queue: starts reading the source.  pack: uint8 [N, ...] -> packed frames.
    check_turn: raises when another call has taken the overlay.  batch_size: most frames of a batch.  gather: frames
    that are waited for while the PL works.  method, clock_mhz: of the overlay.
    """

    def __init__(
        self,
        buffers: DoubleBuffer,
        open_queue: Callable[[], FrameQueue],
        pack: Callable[[np.ndarray], np.ndarray],
        check_turn: Callable[[], None],
        batch_size: int,
        gather: int,
        method: str,
        clock_mhz: float,
    ):
        self._figures = _Figures(method, clock_mhz)
        # The generator knows nothing of this object: without a cycle, dropping the iterator ends it at once.
        self._results = _run(buffers, open_queue, pack, check_turn, batch_size, gather, self._figures)

    def report(self) -> StreamReport:
        """Figures of the batches that have ended; may be asked for at any time, also after the end."""
        return self._figures.report()

    def close(self) -> None:
        """End the stream; its results are gone, its report stays. Closing twice does nothing."""
        self._results.close()

    def __iter__(self) -> ResultStream:
        return self

    def __next__(self) -> StreamedFrame:
        return next(self._results)

    def __enter__(self) -> ResultStream:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _run(buffers, open_queue, pack, check_turn, batch_size, gather, figures) -> Iterator[StreamedFrame]:
    with closing(open_queue()) as queue, closing(buffers):
        while True:
            # While the PL works a batch can fill up. When it does not, what is there goes at once. The kernel is asked
            # last: on the emulated board its CPU counts as waiting from then on.
            while not queue.wait(gather, 0) and buffers.busy:
                queue.wait(gather, POLL_S)
            check_turn()
            if items := queue.take(batch_size):
                batch = buffers.put(pack(np.stack([item.frame for item in items])), items)
            elif buffers.pending:
                batch = buffers.finish()
            elif queue.ended:
                return
            else:
                queue.wait(1, POLL_S)
                continue
            for result in figures.add(batch) if batch else ():
                yield result
                check_turn()
