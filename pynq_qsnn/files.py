"""The user's cache folder, and writes into it that are whole or absent."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

CACHE_VARIABLE = "PYNQ_QSNN_CACHE"


def cache_dir() -> Path:
    """$PYNQ_QSNN_CACHE, else $XDG_CACHE_HOME/pynq_qsnn, else ~/.cache/pynq_qsnn; created when absent."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        folder = Path(chosen)
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pynq_qsnn"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic_file(target: Path):
    """Yield a binary file that becomes `target` when the block ends well, and vanishes when it does not.

    The temporary file lies in the same folder, because os.replace is atomic only within one file system.
    """
    target = Path(target)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
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
