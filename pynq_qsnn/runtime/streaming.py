"""Frames from a source through the overlay without a gap, each result with its times."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from .frame_queue import FrameQueue
from .pipeline import DoubleBuffer, FinishedBatch

POLL_S = 2e-4
LATENCIES_KEPT = 100_000


@dataclass(frozen=True)
class StreamedFrame:
    """Result of one frame.

    index: place in the source.  frame: uint8 [C, H, W] ([T, C, H, W] for event frames).  logits: int32 [classes].
    arrived_s: when the source gave it; started_s, finished_s: when its batch was started and was seen to have ended.
    All on the clock of ``overlay.monotonic``.
    """

    index: int
    frame: np.ndarray
    logits: np.ndarray
    arrived_s: float
    started_s: float
    finished_s: float

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

    method: how they came about.  fps: frames a second.  kernel_fps: what the kernel alone would do, by its counter.
    busy: share of the time in which the kernel worked, fps / kernel_fps.  latency_ms_*: source to result, of the last
    100,000 frames; None before the first result, as are the rates.
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


class ResultStream:
    """Iterator over :class:`StreamedFrame`, in the order of the source; made by ``QsnnOverlay.stream``.

    Leaving early (:meth:`close`, the end of a ``with`` block, Ctrl-C) waits for the batch in the PL and drops it.

    buffers: of the model.  open_queue: starts reading the source.  pack: uint8 [N, ...] -> packed frames.
    check_turn: raises when another call has taken the overlay.  method, clock_mhz: of the overlay.
    """

    def __init__(
        self,
        buffers: DoubleBuffer,
        open_queue: Callable[[], FrameQueue],
        pack: Callable[[np.ndarray], np.ndarray],
        check_turn: Callable[[], None],
        batch_size: int,
        method: str,
        clock_mhz: float,
    ):
        self._buffers, self._open_queue, self._pack, self._check_turn = buffers, open_queue, pack, check_turn
        self._batch_size, self._method, self._clock_mhz = batch_size, method, clock_mhz
        self._frames = self._batches = self._cycles = 0
        self._first_s = self._last_s = 0.0
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._results = self._run()

    def _run(self) -> Generator[StreamedFrame, None, None]:
        buffers, size = self._buffers, self._batch_size
        with closing(self._open_queue()) as queue, closing(buffers):
            while True:
                # While the PL works a batch can fill up. When it does not, what is there goes at once.
                while buffers.busy and not queue.wait(size, POLL_S):
                    pass
                self._check_turn()
                if frames := queue.take(size):
                    packed = self._pack(np.stack([item.frame for item in frames]))
                    yield from self._give(buffers.put(packed, frames))
                elif buffers.pending:
                    yield from self._give(buffers.finish())
                elif queue.ended:
                    return
                else:
                    queue.wait(1, POLL_S)

    def _give(self, batch: FinishedBatch | None) -> Iterator[StreamedFrame]:
        if batch is None:
            return
        self._first_s = self._first_s if self._batches else batch.started_s
        self._last_s = batch.finished_s
        self._batches += 1
        self._frames += len(batch.tag)
        self._cycles += batch.cycles
        self._latencies.extend(batch.finished_s - item.arrived_s for item in batch.tag)
        for item, logits in zip(batch.tag, batch.logits):
            yield StreamedFrame(item.index, item.frame, logits, item.arrived_s, batch.started_s, batch.finished_s)
            self._check_turn()

    def report(self) -> StreamReport:
        """Figures of the batches that have ended; may be asked for at any time, also after the end."""
        seconds = self._last_s - self._first_s
        rates = latencies = (None, None, None)
        if self._frames:
            kernel_s = self._cycles / (self._clock_mhz * 1e6)
            rates = self._frames / seconds, self._frames / kernel_s, kernel_s / seconds
            latencies = tuple(float(ms) for ms in np.percentile(self._latencies, [50, 90, 99]) * 1e3)
        return StreamReport(self._method, self._frames, self._batches, seconds, *rates, *latencies)

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
