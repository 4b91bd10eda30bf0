"""A board's process, as its parent holds it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from .address import Address

# As multiprocessing's "spawn": the child finds modules where its parent does. No __main__ is imported, so that a script
# needs no guard and a notebook works.
BOOTSTRAP = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from pynq_qsnn.boards.worker import main; main()"


class BoardProcess:
    """Starts the process of a board and puts (self, report) on ``events`` for each of its lines, "exited" last.

    settings: what worker.main reads.  folder: where it runs, empty, so that no file there is taken for a module.
    """

    def __init__(self, address: Address, settings: dict, folder: Path, events: queue.Queue):
        self._log = folder / "stderr.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", BOOTSTRAP, json.dumps([os.path.abspath(entry) for entry in sys.path])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**address.environment(), "TMPDIR": str(folder)},  # a killed board leaves nothing behind either
                cwd=folder,
                start_new_session=True,  # the terminal's Ctrl-C is the parent's
            )
        self.pid = self._process.pid
        self._events = events
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._process.stdin.write(json.dumps({**settings, "folder": str(folder)}) + "\n")
            self._process.stdin.flush()
        except OSError:  # it is gone already: "exited" will say why
            pass

    def _read(self) -> None:
        torn = ""
        try:
            for line in self._process.stdout:
                self._events.put((self, json.loads(line)))
        except ValueError:  # half a line, of a process that was killed while it wrote, or no text at all
            torn = "its last report was cut off; "
            self._process.kill()
        finally:
            status = self._process.wait()
            self._events.put((self, {"event": "exited", "reason": torn + self._why(status)}))

    def _why(self, status: int) -> str:
        if status < 0:
            names = {number.value: number.name for number in signal.Signals}
            return f"its process was killed by {names.get(-status, f'signal {-status}')}"
        lines = self._log.read_text(errors="replace").split("\n") if self._log.exists() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        return f"its process ended with status {status}: {last}"

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def ask_to_end(self) -> None:
        """Close its standard input: it lets go of the board and ends."""
        try:
            self._process.stdin.close()
        except OSError:  # it is gone
            pass

    def join(self, deadline: float) -> None:
        """Wait until it has ended; kill it at ``deadline`` (time.monotonic)."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
