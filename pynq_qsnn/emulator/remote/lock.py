"""Locks that tell what a living server uses from what a killed one left: the kernel ends them with their process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def take(path: Path, flags: int = os.O_RDONLY) -> int:
    """File descriptor that holds the lock of a file or folder of this user, until it is closed.

    flags: of os.open. Raises BlockingIOError when it is taken, FileNotFoundError when it is removed meanwhile (whoever
    removes it does so while holding the lock), PermissionError when it is another user's.
    """
    handle = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    try:
        if os.fstat(handle).st_uid != os.geteuid():
            raise PermissionError(f"{path} belongs to another user")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(handle), os.stat(path)):
            raise FileNotFoundError(f"{path} was replaced")
    except BaseException:
        os.close(handle)
        raise
    return handle
