"""The machine as the checks see it: files, environment, versions, commands. Tests put a folder in its place."""

from __future__ import annotations

import mmap
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np

PAGE_BYTES = 4096
DEADLINE_S = 10.0


@dataclass(frozen=True)
class Finished:
    """A command that has ended. status: its exit status, None when it was stopped at the deadline."""

    status: int | None
    output: str


def run_command(
    command: Sequence[str], deadline_s: float = DEADLINE_S, environ: Mapping[str, str] | None = None
) -> Finished:
    """Run a command, standard output and error together, and end it with its children at the deadline.

    Raises FileNotFoundError where there is no such command.
    """
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=None if environ is None else dict(environ),
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=deadline_s)
        return Finished(process.returncode, output.decode(errors="replace"))
    except subprocess.TimeoutExpired:
        return Finished(None, f"no answer within {deadline_s:g} s")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # a process that hangs in the kernel does not end even then: it is left behind
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=1)


def installed_version(package: str) -> str | None:
    """Version of an installed package, without importing it; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class System:
    """One machine.

    root: folder that stands for "/".  python: version of the interpreter.  prefix: its environment's folder.
    version, run, free_bytes: as :func:`installed_version`, :func:`run_command`, and the bytes free at a path.
    files, registers: contents of an emulated board in place of ``root``'s: path -> bytes, address -> value.
    """

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    version: Callable[[str], str | None] = installed_version
    run: Callable[..., Finished] = run_command
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    user: int = field(default_factory=os.geteuid)
    python: tuple[int, ...] = tuple(sys.version_info[:3])
    prefix: str = sys.prefix
    executable: str = sys.executable
    architecture: str = field(default_factory=platform.machine)
    files: Mapping[str, bytes] | None = None
    registers: Mapping[int, int] | None = None

    @property
    def emulated(self) -> bool:
        """Files and registers are an emulated board's."""
        return self.files is not None

    def path(self, name: str) -> Path:
        """Where the file ``name``, an absolute path of the machine, lies."""
        return self.root / name.lstrip("/")

    def exists(self, name: str) -> bool:
        """A file or folder is there."""
        if self.files is not None:
            return name in self.files or any(other.startswith(f"{name}/") for other in self.files)
        try:
            return self.path(name).exists()
        except OSError:  # a folder that is closed to this user
            return False

    def read_bytes(self, name: str) -> bytes:
        """Contents of a small file. Raises OSError."""
        if self.files is None:
            return self.path(name).read_bytes()
        if name not in self.files:
            raise FileNotFoundError(f"the emulated board has no file {name}")
        return self.files[name]

    def read(self, name: str) -> str | None:
        """Text of a small file, stripped of blanks and the device tree's zeros; None where it cannot be read."""
        try:
            return self.read_bytes(name).replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return None

    def names(self, folder: str) -> list[str]:
        """Names in a folder, sorted; empty where there is none."""
        if self.files is not None:
            inside = [name[len(folder) + 1 :] for name in self.files if name.startswith(f"{folder}/")]
            return sorted({name.partition("/")[0] for name in inside})
        try:
            return sorted(os.listdir(self.path(folder)))
        except OSError:
            return []

    def on_path(self, command: str) -> str | None:
        """First place of a command on the PATH."""
        for folder in self.environ.get("PATH", "").split(":"):
            place = self.path(f"{folder}/{command}")
            if folder and place.is_file() and os.access(place, os.X_OK):
                return f"{folder}/{command}"
        return None

    def register(self, address: int) -> int:
        """A 32-bit register of the processing system. Raises OSError without the right to read it."""
        if self.registers is not None:
            return self.registers[address]
        handle = os.open(self.path("/dev/mem"), os.O_RDONLY | os.O_SYNC)
        try:
            page, offset = address & -PAGE_BYTES, address & PAGE_BYTES - 1
            with mmap.mmap(handle, PAGE_BYTES, mmap.MAP_SHARED, mmap.PROT_READ, offset=page) as window:
                return int(np.frombuffer(window, np.uint32, 1, offset)[0])  # one access of 32 bits, as pynq's
        finally:
            os.close(handle)
