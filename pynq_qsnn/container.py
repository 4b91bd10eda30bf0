"""One file format for networks and programs: a zip of .npy arrays and one JSON description. No pickle.

Members: ``manifest.json`` (magic, format version, kind, SHA-256 of every other member), ``meta.json``, ``<key>.npy``.
Files are written beside their destination and moved into place, so a killed writer leaves the old file whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .errors import ModelFileError

MAGIC = "pynq-qsnn"
FORMAT_VERSION = 1
MAXIMUM_MEMBER_BYTES = 1 << 30  # a hostile archive must not fill the memory


def save(path: str | Path, kind: str, meta: dict, arrays: dict[str, np.ndarray]) -> None:
    """Write ``meta`` (JSON values) and ``arrays`` to ``path`` atomically. kind: "network" or "program"."""
    members = {"meta.json": json.dumps(meta, indent=1, sort_keys=True).encode()}
    for key, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        members[f"{key}.npy"] = buffer.getvalue()
    manifest = {
        "magic": MAGIC,
        "version": FORMAT_VERSION,
        "kind": kind,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in {"manifest.json": json.dumps(manifest).encode(), **members}.items():
                    # A fixed date makes equal contents equal files.
                    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: str | Path, kind: str) -> tuple[dict, dict[str, np.ndarray]]:
    """Read a container of the given kind and check every checksum. Raises ModelFileError."""
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(_member(archive, "manifest.json", path))
            if not isinstance(manifest, dict) or manifest.get("magic") != MAGIC:
                raise ModelFileError(f"{path} is a zip file, but not one that pynq_qsnn wrote")
            if manifest.get("version") != FORMAT_VERSION:
                raise ModelFileError(
                    f"{path} has format version {manifest.get('version')}, this release reads {FORMAT_VERSION}; "
                    "export the model again"
                )
            if manifest.get("kind") != kind:
                raise ModelFileError(f"{path} holds a {manifest.get('kind')}, a {kind} was asked for")
            members = {}
            for name, digest in manifest["sha256"].items():
                members[name] = _member(archive, name, path)
                if hashlib.sha256(members[name]).hexdigest() != digest:
                    raise ModelFileError(f"{path}: checksum of {name} is wrong; the file is damaged, copy it again")
        arrays = {
            name[:-4]: np.load(io.BytesIO(data), allow_pickle=False)
            for name, data in members.items()
            if name.endswith(".npy")
        }
        return json.loads(members["meta.json"]), arrays
    except FileNotFoundError:
        raise ModelFileError(f"no file {path}") from None
    except IsADirectoryError:
        raise ModelFileError(f"{path} is a folder, a file was expected") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{path} is truncated or not a pynq-qsnn file: {error}") from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    size = archive.getinfo(name).file_size
    if size > MAXIMUM_MEMBER_BYTES:
        raise ModelFileError(f"{path}: member {name} unpacks to {size} bytes, limit {MAXIMUM_MEMBER_BYTES}")
    return archive.read(name)
