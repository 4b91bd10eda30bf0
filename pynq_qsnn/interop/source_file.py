"""What both importers do with a file before they trust it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..errors import ModelFileError

LARGEST_FILE = 1 << 30  # bytes, also of what a compressed file unpacks to


def read_file(path: str | Path) -> bytes:
    """Content of a file of up to 1 GiB. Raises ModelFileError."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise ModelFileError(f"{path} has {size} bytes, limit {LARGEST_FILE}")
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"no file {path}") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error


def origin(path: str | Path, content: bytes, format: str) -> dict:
    """First lines of an imported network's card."""
    return {"imported_from": Path(path).name, "sha256": hashlib.sha256(content).hexdigest(), "format": format}
