"""The user's cache folder, and writes into it that are whole or absent."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .errors import ConfigError

CACHE_VARIABLE = "PYNQ_QSNN_CACHE"


def cache_dir() -> Path:
    """$PYNQ_QSNN_CACHE, else $XDG_CACHE_HOME/pynq_qsnn, else ~/.cache/pynq_qsnn; created when absent.

    Raises ConfigError when it cannot be created or written.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        folder = Path(chosen)
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pynq_qsnn"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cache folder {folder}: {error.strerror}; set ${CACHE_VARIABLE} to one of yours") from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"cache folder {folder} is not writable; set ${CACHE_VARIABLE} to one of yours")
    return folder


@contextmanager
def atomic_file(target: str | Path):
    """Yield a binary file that becomes `target` when the block ends well, and vanishes when it does not.

    Its folder is created when absent. The temporary file lies in the same one, because os.replace is atomic only within
    one file system.
    Raises ConfigError when nothing can be written there.
    """
    target = Path(target)
    if target.is_dir():
        raise ConfigError(f"{target} is a folder, a file name is needed")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp gives 0600, which would lock out other users of a shared folder
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
