"""A board server as a process: one line on stdout when it serves, an end by signal."""

from __future__ import annotations

import logging
import os
import signal
import threading

from ..board import Board
from .address import Address
from .server import BoardServer

END_S = 5.0


def serve(board: Board, address: Address) -> None:
    """Serve ``board`` until SIGINT or SIGTERM; prints ``ready ADDRESS``, and logs to stderr what clients do wrong.

    Call it in the main thread. Raises ConfigError when the address is taken.
    """
    server = BoardServer(board, address)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print(f"ready {address.text}", flush=True)
    stop.wait()
    # What the PL computes cannot be stopped halfway, and is of no use to anybody any more.
    end = threading.Thread(target=server.close, daemon=True)
    end.start()
    end.join(END_S)
    if end.is_alive():
        os._exit(0)
