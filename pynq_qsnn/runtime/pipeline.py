"""Double buffering: the next batch is packed and copied while the PL works on the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ..errors import DeviceError
from .buffers import Slot
from .loading import LoadedModel
from .runner import Runner

INTERRUPTED = "another call ran while this stream was open: finish or close() the stream first"


def run_batches(
    runner: Runner,
    model: LoadedModel,
    chunks: Iterable[tuple[np.ndarray, bool]],
    unpack: Callable[[Slot], np.ndarray],
) -> Iterator[np.ndarray]:
    """Run packed chunks in order and yield the concatenated results of each item.

    chunks: (packed frames, whether they end their item).
    However the generator ends, the batch in the PL is waited for and dropped. Others may wait for it too; raises
    DeviceError when its results are gone.
    """
    parts: list[np.ndarray] = []
    running: Slot | None = None
    running_ends, started = False, None

    def finish() -> None:
        runner.wait()
        if runner.finished is not running or runner.calls != started:
            raise DeviceError(INTERRUPTED)

    try:
        for packed, ends in chunks:
            slot = model.slots[1] if running is model.slots[0] else model.slots[0]
            slot.fill(packed)
            if running is not None:
                finish()
            finished, running = running, slot
            started = runner.start(slot, model)
            if finished is not None:
                parts.append(unpack(finished))
                if running_ends:
                    yield np.concatenate(parts)
                    parts = []
            running_ends = ends
        if running is not None:
            finish()
            yield np.concatenate([*parts, unpack(running)])
    finally:
        if runner.calls == started:  # a generator may be finalized late, while another call's batch runs
            runner.wait()
