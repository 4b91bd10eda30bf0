"""Double buffering: the next batch is packed and copied while the PL works on the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DeviceError, QsnnError
from ..packing import unpack_results
from .buffers import Slot
from .loading import LoadedModel
from .runner import Runner

INTERRUPTED = "another call ran while this stream was open: finish or close() the stream first"


@dataclass(frozen=True)
class FinishedBatch:
    """logits: int32 [N, classes].  log, executions: the kernel's time samples, as ``QsnnOverlay.time_log`` has them.

    started_s, finished_s: when the kernel was started, and when its end was seen.  items: as given to ``put``.
    """

    logits: np.ndarray
    log: np.ndarray
    executions: list[tuple[int, int, int]]
    started_s: float
    finished_s: float
    items: Sequence


class DoubleBuffer:
    """Runs batches one after the other on both slots of a model. Others may wait for a batch of its; none is lost.

    clock: monotonic seconds.
    """

    def __init__(self, runner: Runner, model: LoadedModel, clock: Callable[[], float]):
        self._runner, self._model, self._clock = runner, model, clock
        self._slot: Slot | None = None
        self._number, self._started_s, self._items = 0, 0.0, ()
        self._failure: QsnnError | None = None

    @property
    def pending(self) -> bool:
        """A batch was put whose results, or whose error, have not been given yet."""
        return self._slot is not None

    @property
    def busy(self) -> bool:
        """The PL works on it: waiting for it now would take time."""
        return self.pending and self._failure is None and self._runner.busy

    def put(self, packed: np.ndarray, items: Sequence = ()) -> FinishedBatch | None:
        """Start packed frames, uint8 [N, frame_beats, 16], after the batch before; returns that one, if any.

        Raises what :meth:`Runner.wait` raises; DeviceError when another call has run since. An error of the start is
        raised by the next call, because the batch before was good.
        """
        first, second = self._model.slots
        slot = second if self._slot is first else first
        slot.fill(packed)
        before = self._wait()
        self._slot, self._items, self._started_s = slot, items, self._clock()
        try:
            self._number = self._runner.start(slot, self._model)
        except QsnnError as error:
            self._failure = error
        return before and _collect(*before)

    def finish(self) -> FinishedBatch | None:
        """Wait for the last batch and return it; None without one."""
        before = self._wait()
        return before and _collect(*before)

    def _wait(self) -> tuple | None:
        if self._slot is None:
            return None
        if self._failure is not None:
            raise self._failure
        self._runner.wait()
        if self._runner.finished is not self._slot or self._runner.calls != self._number:
            raise DeviceError(INTERRUPTED)
        slot, self._slot = self._slot, None
        return slot, self._started_s, self._clock(), self._items

    def close(self) -> None:
        """Wait for a batch of this object that is still in the PL, and drop it."""
        self._slot = None
        if self._runner.calls == self._number:  # else another call's batch runs
            self._runner.wait()


def _collect(slot: Slot, started_s: float, finished_s: float, items: Sequence) -> FinishedBatch:
    logits = unpack_results(slot.take_results(), slot.program.network)
    return FinishedBatch(logits, slot.take_log(), slot.executions, started_s, finished_s, items)
