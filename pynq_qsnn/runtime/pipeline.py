"""Double buffering: the next batch is packed and copied while the PL works on the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from .buffers import Slot
from .loading import LoadedModel
from .runner import Runner


def run_batches(
    runner: Runner,
    model: LoadedModel,
    chunks: Iterable[tuple[np.ndarray, bool]],
    unpack: Callable[[Slot], np.ndarray],
) -> Iterator[np.ndarray]:
    """Run packed chunks in order and yield the concatenated results of each item.

    chunks: (packed frames, whether they end their item).
    However the generator ends, the batch in the PL is waited for and dropped.
    """
    parts: list[np.ndarray] = []
    running_ends, started = False, None
    try:
        for packed, ends in chunks:
            slot = model.slots[1] if runner.running is model.slots[0] else model.slots[0]
            slot.fill(packed)
            finished = runner.wait()
            started = runner.start(slot, model)
            if finished is not None:
                parts.append(unpack(finished))
                if running_ends:
                    yield np.concatenate(parts)
                    parts = []
            running_ends = ends
        finished = runner.wait()
        if finished is not None:
            yield np.concatenate([*parts, unpack(finished)])
    finally:
        if runner.calls == started:  # a generator may be finalized late, while another call's batch runs
            runner.wait()
