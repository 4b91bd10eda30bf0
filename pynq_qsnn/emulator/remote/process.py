"""A board server as a process: one line on stdout when it serves, an end by signal."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..board import Board
from .address import Address
from .server import BoardServer

END_S = 5.0


def serve(board: Board, address: Address) -> None:
    """Serve ``board`` until SIGINT or SIGTERM; prints ``ready ADDRESS``, and logs to stderr what clients do wrong.

    Call it in the main thread. Raises ConfigError when the address is taken.
    """
    with _end_signals() as stop:  # before there is a socket that would have to be removed
        server = BoardServer(board, address)
        logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
        print(f"ready {address.text}", flush=True)
        stop.wait()
        _end(server)


@contextmanager
def _end_signals() -> Iterator[threading.Event]:
    """An event that is set when the process is asked to end."""
    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end(server: BoardServer) -> None:
    # What the PL computes cannot be stopped halfway, and is of no use to anybody any more.
    end = threading.Thread(target=server.close, daemon=True)
    end.start()
    end.join(END_S)
    if end.is_alive():
        os._exit(0)
