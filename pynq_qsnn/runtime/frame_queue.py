"""Frames of a source, read ahead by a thread of its own, a bounded number at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

JOIN_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class QueuedFrame:
    """index: place in the source, from 0.  arrived_s: when the source gave it."""

    index: int
    frame: np.ndarray
    arrived_s: float


class FrameQueue:
    """Back-pressure: the source is asked for a frame only where fewer than ``size`` wait, and one more is in hand.

    source: iterable of frames; its ``close()``, if it has one, is called at the end by the thread that reads it.
    check: called with each frame, returns it or raises.  clock: monotonic seconds.
    """

    def __init__(
        self,
        source: Iterable[np.ndarray],
        size: int,
        check: Callable[[np.ndarray], np.ndarray],
        clock: Callable[[], float],
    ):
        self._source, self._size, self._check, self._clock = source, size, check, clock
        self._frames: deque[QueuedFrame] = deque()
        self._changed = threading.Condition()
        self._exhausted = self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="frame-source", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for index, frame in enumerate(self._source):
                item = QueuedFrame(index, self._check(frame).copy(), self._clock())  # a source may reuse its array
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or len(self._frames) < self._size)
                    if self._closed:
                        break
                    self._frames.append(item)
                    self._changed.notify_all()
        except BaseException as error:  # whatever it is, it belongs to the thread that takes the frames
            self._error = error
        finally:
            self._end()

    def _end(self) -> None:
        try:
            close_source(self._source)
        except Exception as error:
            self._error = self._error or error
        with self._changed:
            self._exhausted = True
            self._changed.notify_all()

    def wait(self, count: int, seconds: float) -> bool:
        """True as soon as ``count`` frames are there or no more will come, False after ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: self._exhausted or len(self._frames) >= count, seconds)

    def take(self, most: int) -> list[QueuedFrame]:
        """Up to ``most`` of the frames that are there, none if there are none; does not wait."""
        with self._changed:
            frames = [self._frames.popleft() for _ in range(min(most, len(self._frames)))]
            self._changed.notify_all()
        return frames

    @property
    def ended(self) -> bool:
        """The source has ended and every frame was taken. Raises what the source or the check raised."""
        with self._changed:
            if not self._exhausted or self._frames:
                return False
        if self._error is not None:
            raise self._error
        return True

    def close(self) -> None:
        """Stop reading. A source that is blocked inside a read ends with it; that is not waited for for long."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:  # the garbage collector may run anywhere
            self._thread.join(JOIN_TIMEOUT_S)


def close_source(source: Iterable) -> None:
    """Close a source that can be closed."""
    close = getattr(source, "close", None)
    if close is not None:
        close()
