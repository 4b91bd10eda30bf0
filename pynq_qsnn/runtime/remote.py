"""A board that pynq reaches through PYNQ.remote: what a download must see to there that pynq leaves undone."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pynq import pl_server
from pynq.pl_server.device import Device

from ..errors import DeviceError, DeviceTimeout
from ..files import cache_dir
from .connection import board_errors
from .deadline import wait_until

FPGA_STATE = "/sys/class/fpga_manager/fpga0/state"
LOCK_TIMEOUT_S = 60.0
LOCK = "pynq-qsnn.lock"


def is_remote(device) -> bool:
    """True for a board that pynq reaches over a connection."""
    return device.has_capability("REMOTE")


def _lock_file() -> BinaryIO:
    """Beside pynq's files, whose users it has to keep apart, or in the user's cache folder where that cannot be.

    Then pynq cannot write its files either. An existing one need only be readable: another user may have made it.
    """
    beside = Path(pl_server.__file__).with_name(LOCK)
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        with suppress(OSError):
            return open(beside, "rb", opener=lambda path, _, flags=flags: os.open(path, flags, 0o644))
    return open(cache_dir() / LOCK, "wb")


class _Loading:
    """Held while pynq makes an overlay or loads it on a remote device; does nothing for other devices.

    pynq keeps files about the loaded bitstream that all programs with the same pynq share, whatever boards they use:
    several that load an overlay at the same time would read half-written ones. And it asks the active device for
    interrupts, and writes port widths there, instead of the overlay's. The same thread may enter again.
    """

    def __init__(self):
        self._threads, self._depth, self._file = threading.RLock(), 0, None

    @contextmanager
    def __call__(self, device) -> Iterator[None]:
        if not is_remote(device):
            yield
            return
        with self._threads:
            if not self._depth:
                self._file = _lock_file()
                self._take()
            self._depth += 1
            try:
                with _active(device):
                    yield
            finally:
                self._depth -= 1
                if not self._depth:
                    self._file.close()

    def _take(self) -> None:
        def taken() -> bool:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not wait_until(taken, LOCK_TIMEOUT_S):
            self._file.close()
            raise DeviceTimeout(
                f"another program has been loading an overlay for {LOCK_TIMEOUT_S:g} s and holds {self._file.name}. "
                "End it and try again."
            )


@contextmanager
def _active(device) -> Iterator[None]:
    previous = vars(Device).get("_active_device")
    Device.active_device = device
    try:
        yield
    finally:
        if previous is None:
            del Device._active_device
        else:
            Device.active_device = previous


loading = _Loading()


def firmware_name(bitfile: str) -> str:
    """Name for the bitstream on the board, which changes with its contents.

    pynq sends nothing when the board has a file of that name, and would load an older bitstream.
    """
    digest = hashlib.sha256(Path(bitfile).read_bytes()).hexdigest()
    return f"{Path(bitfile).stem}-{digest[:16]}.bin"


def check_loaded(device) -> None:
    """Raise DeviceError unless the FPGA manager says that it works: its failures are not reported otherwise."""
    state = device.read_file(FPGA_STATE).decode(errors="replace").strip()
    if state != "operating":
        raise DeviceError(
            f"the board's FPGA manager did not load the bitstream, its state is {state!r}. "
            "Its kernel log (dmesg on the board) says why; is this a bitstream for that board?"
        )


def board_clock(device) -> Callable[[], float]:
    """Monotonic seconds of the board.

    An emulated board's time stands still while its host simulates, so that deadlines mean what they mean on a board; a
    remote one tells it in a file. A real board's time is this computer's.
    """
    if hasattr(device, "monotonic"):
        return device.monotonic
    from .locate import is_emulated

    if not is_emulated(device):
        return time.monotonic
    from ..emulator.board import TIME_FILE

    @board_errors
    def now() -> float:
        return float(device.read_file(TIME_FILE))

    return now
