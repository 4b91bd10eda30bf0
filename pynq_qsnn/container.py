"""One file format for networks and programs: a zip of .npy arrays and one JSON description. No pickle.

Members: ``manifest.json`` (magic, format version, kind, SHA-256 of every other member), ``meta.json``, ``<key>.npy``.
Files are written beside their destination and moved into place, so a killed writer leaves the old file whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .errors import ModelFileError
from .files import atomic_file

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
    with atomic_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"manifest.json": json.dumps(manifest).encode(), **members}.items():
            # A fixed date makes equal contents equal files.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def load(path: str | Path, kind: str) -> tuple[dict, dict[str, np.ndarray]]:
    """Read a container of the given kind and check every checksum. Raises ModelFileError."""
    path = Path(path)
    with _reading(path), zipfile.ZipFile(path) as archive:
        manifest = _manifest(archive, path)
        if manifest["kind"] != kind:
            raise ModelFileError(f"{path} holds a {manifest['kind']}, a {kind} was asked for")
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


def kind(path: str | Path) -> str:
    """What a container holds: "network" or "program". Raises ModelFileError when it is none."""
    path = Path(path)
    with _reading(path), zipfile.ZipFile(path) as archive:
        return _manifest(archive, path)["kind"]


@contextmanager
def _reading(path: Path):
    """Turn whatever a damaged or missing file provokes into a ModelFileError."""
    try:
        yield
    except ModelFileError:
        raise
    except FileNotFoundError:
        raise ModelFileError(f"no file {path}") from None
    except PermissionError:
        raise ModelFileError(f"{path} cannot be read: permission denied") from None
    except IsADirectoryError:
        raise ModelFileError(f"{path} is a folder, a file was expected") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        NotImplementedError,  # zipfile's word for an unknown compression method
        RuntimeError,  # and for an encrypted member
        MemoryError,  # NumPy's for an array header that promises more than there is
        OSError,
    ) as error:
        raise ModelFileError(f"{path} is truncated or not a pynq-qsnn file: {error}") from error


def _manifest(archive: zipfile.ZipFile, path: Path) -> dict:
    manifest = json.loads(_member(archive, "manifest.json", path))
    if not isinstance(manifest, dict) or manifest.get("magic") != MAGIC:
        raise ModelFileError(f"{path} is a zip file, but not one that pynq_qsnn wrote")
    if manifest.get("version") != FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {manifest.get('version')}, this release reads {FORMAT_VERSION}; "
            "export the model again"
        )
    return manifest


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    size = archive.getinfo(name).file_size
    if size > MAXIMUM_MEMBER_BYTES:
        raise ModelFileError(f"{path}: member {name} unpacks to {size} bytes, limit {MAXIMUM_MEMBER_BYTES}")
    return archive.read(name)
