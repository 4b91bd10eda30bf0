"""The folder of a server's inner sockets."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from .lock import take

# not $TMPDIR, which may be too long for the path of a socket
PARENT, PREFIX = Path("/tmp"), "pynq-qsnn-server-"


class PrivateFolder:
    """A new folder ``path`` that only this user can enter; an abstract socket would let everybody in.

    It is locked while it is in use, and those without a lock, which killed servers left, are removed here.
    """

    def __init__(self):
        _remove_stale()
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PARENT))
            try:
                self._lock = take(self.path)
                return
            except (BlockingIOError, FileNotFoundError):
                continue  # another server has found it before it was locked, and removes it

    def remove(self) -> None:
        """Delete it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _remove_stale() -> None:
    for path in PARENT.glob(f"{PREFIX}*"):
        with suppress(OSError):  # in use, another user's, or gone
            lock = take(path)
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
