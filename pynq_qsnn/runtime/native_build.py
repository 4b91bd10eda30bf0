"""Compile C++ at first use and keep the shared library in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import QsnnError, ToolMissing
from ..files import cache_dir

SHARED_FLAGS = ("-std=c++17", "-fPIC", "-shared")
TAIL_CHARACTERS = 4000  # of the compiler's complaint that an error repeats


def build(name: str, sources: Sequence[Path], flags: Sequence[str], include_dirs: Sequence[Path] = ()) -> Path:
    """Shared library made of ``sources``; compiled once for each combination of code, flags, compiler and CPU.

    name: stem of the library's file name.  flags: for compiling and linking, e.g. ``("-O3", "-march=native")``.
    The library lies below $PYNQ_QSNN_CACHE (default ~/.cache/pynq_qsnn). It appears there whole, by a rename, so that
    several processes may build at the same time. $CXX names another compiler than g++.
    Raises ToolMissing without a compiler, QsnnError with the compiler's message when the code does not compile.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise ToolMissing(
            f"{name} is C++ that is compiled at first use, and there is no {os.environ.get('CXX', 'g++')} on the PATH. "
            "Remedy: apt-get install g++"
        )
    command = [compiler, *SHARED_FLAGS, *flags, *(f"-I{folder}" for folder in include_dirs)]
    library = cache_dir() / "native" / f"{name}-{_key(name, command, sources)[:24]}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent, prefix=f".{library.stem}.") as folder:
            made = Path(folder) / library.name
            _run(name, [*command, *map(str, sources), "-o", str(made)])
            os.replace(made, library)
    return library


def _key(name: str, command: list[str], sources: Sequence[Path]) -> str:
    """SHA-256 of everything that decides the machine code.

    The predefined macros carry the compiler's version and, under -march=native, this CPU's instruction sets; the
    preprocessed sources carry every included file's content. The preprocessor takes longest: keep the sources few.
    """
    digest = hashlib.sha256("\0".join(command).encode())
    digest.update(_run(name, [*command, "-dM", "-E", "-x", "c++", os.devnull]))
    for source in sources:
        digest.update(_run(name, [*command, "-E", "-P", str(source)]))
    return digest.hexdigest()


def _run(name: str, command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        message = done.stderr.decode(errors="replace")[-TAIL_CHARACTERS:]
        raise QsnnError(f"{name} does not compile (exit status {done.returncode}): {' '.join(command)}\n{message}")
    return done.stdout
