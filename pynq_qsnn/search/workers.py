"""Worker processes: one for each piece of work, so that a kill loses no more than that piece.

A worker writes its result as JSON, atomically, and ends; there is no channel that a kill could leave half written.
Processes come from a fork server that has imported torch once. They end when the process that started them does.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path

from ..errors import CapacityError, ConfigError, NetworkError, QsnnError
from ..files import atomic_file

PRELOADED = ["pynq_qsnn.search.objective", "pynq_qsnn.training.export"]  # by the fork server, once for all workers
REFUSED = (ConfigError, NetworkError, CapacityError)  # of this work alone; other errors would hit all of it


class Workers:
    """Up to ``count`` processes at a time. A context manager: what still runs at its end is killed."""

    def __init__(self, count: int):
        self.count = count
        self.running: dict[object, multiprocessing.Process] = {}
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception) -> None:
        for process in self.running.values():
            process.kill()
            process.join()

    @property
    def free(self) -> int:
        return self.count - len(self.running)

    def start(self, key: object, result: Path, work: Callable[..., dict], *arguments) -> None:
        """Begin ``work(*arguments)``, whose dict becomes the file ``result``."""
        process = self.context.Process(target=_run, args=(result, work, arguments))
        process.start()
        self.running[key] = process

    def wait(self) -> tuple[object, int]:
        """(key, exit status) of a process that has ended: 0 where its result is there, -N for signal N."""
        connection.wait([process.sentinel for process in self.running.values()])
        key = next(key for key, process in self.running.items() if process.exitcode is not None)
        process = self.running.pop(key)
        process.join()
        return key, process.exitcode


def read_result(result: Path) -> dict | None:
    """What a worker wrote, None where it did not come to it.

    ``{"refused": text}`` for an error that concerns this work alone. Raises QsnnError for one that concerns all.
    """
    try:
        found = json.loads(result.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if "failed" in found:
        result.unlink()
        raise QsnnError(found["failed"])
    return found


def _run(result: Path, work: Callable[..., dict], arguments: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _switch_bars_off()
    try:
        found = work(*arguments)
    except REFUSED as error:
        found = {"refused": str(error)}
    except (QsnnError, ModuleNotFoundError) as error:
        found = {"failed": str(error)}
    with atomic_file(result) as stream:
        stream.write(json.dumps(found, indent=1).encode() + b"\n")


def _switch_bars_off() -> None:
    """Of tqdm: those of several processes would mix."""
    from tqdm import tqdm

    begin = tqdm.__init__
    tqdm.__init__ = lambda bar, *arguments, **options: begin(bar, *arguments, **{**options, "disable": True})
    tqdm.set_lock(threading.RLock())  # its own one is a semaphore, which a killed process would leave behind


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
