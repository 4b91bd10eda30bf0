"""The process that drives one board: a Dask worker that joins when its board is open and its model loaded.

Its standard input carries one line of JSON, its settings, and then nothing: the end of it means that the parent has
closed it or is no more. Its standard output carries one line of JSON for each thing that the parent must know.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .session import NOT_THE_BOARDS, BoardSession, describe_error

CLOSE_S = 5.0  # for the batch in the PL, which still writes to memory
_board: Board | None = None  # one process, one board: pynq keeps its device in global state


class Board:
    """The session, the one thread that uses it, and the line to the parent."""

    def __init__(self, reports):
        self._reports, self.name = reports, ""
        self._lock = threading.Lock()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="board")
        self.session: BoardSession | None = None

    def open(self, settings: dict) -> dict:
        self.name = settings["name"]
        self.session = BoardSession(*(settings[key] for key in ("kind", "program", "batch_size", "bitfile")))
        return self.session.describe()

    def report(self, event: str, **values) -> None:
        """Tell the parent. Whole lines, from any thread."""
        with self._lock:
            self._reports.write(json.dumps({"event": event, **values}) + "\n")
            self._reports.flush()

    def give_up(self, error: BaseException) -> None:
        """Report a board that fails for good, and end the process: Dask then runs its chunks elsewhere."""
        self.report("lost", reason=describe_error(error))
        self.end(1)

    def end(self, status: int) -> None:
        """End the process, after the board where it still answers. pynq's remote buffers hang a normal exit."""
        timer = threading.Timer(CLOSE_S, os._exit, (status,))
        timer.daemon = True
        timer.start()
        try:
            if self.session is not None:
                self.session.close()
        finally:
            os._exit(status)


def run_chunk(index: int, frames: np.ndarray) -> dict:
    """Task of the evaluation: frames uint8 [N, ...] on this process' board.

    Gives what BoardSession.run gives, and the board's name as ``board``.
    """
    _board.report("started", chunk=index)
    try:
        return {"board": _board.name, **_board.session.run(frames)}
    except NOT_THE_BOARDS:
        raise
    except Exception as error:
        return _board.give_up(error)


def main() -> None:
    """Read the settings, open the board, then work until the parent ends it."""
    global _board
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then closes the standard input
    _board = Board(_take_standard_output())
    settings = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        description = _board.thread.submit(_board.open, settings).result()
    except NOT_THE_BOARDS as error:
        _board.report("refused", type=type(error).__name__, message=str(error))
        os._exit(1)
    except Exception as error:
        _board.give_up(error)
    asyncio.run(_serve(settings, description))
    os._exit(0)


def _take_standard_output():
    """The parent's line for this module alone: whatever else prints goes to the standard error."""
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return reports


def _end_with_the_parent() -> None:
    sys.stdin.read()
    _board.thread.submit(_board.end, 0)
    threading.Event().wait(CLOSE_S)  # a thread that is stuck in a board does not come to it
    os._exit(0)


async def _serve(settings: dict, description: dict) -> None:
    import dask
    from distributed import Security, Worker

    # nothing of ours is written to disk, and nothing samples the board's thread
    dask.config.set({"distributed.worker.profile.enabled": False, "temporary-directory": settings["folder"]})
    worker = Worker(
        settings["scheduler"],
        nthreads=1,
        name=settings["name"],
        host="127.0.0.1",
        executor=_board.thread,
        memory_limit=0,
        local_directory=settings["folder"],
        security=Security(require_encryption=True, **settings["tls"]),
    )
    async with worker:
        _board.report("ready", worker=worker.address, **description)
        await worker.finished()
