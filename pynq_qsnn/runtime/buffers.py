"""Device buffers that the driver owns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from ..errors import BoardUnreachable, DeviceError, DeviceMemoryError
from ..hwspec import LOG_ENTRY, record_words
from ..packing import WORD_BYTES
from ..program import Program
from .connection import board_errors

LOG_ENTRY_BYTES = record_words(LOG_ENTRY) * WORD_BYTES


def allocate(device, shape: tuple[int, ...], purpose: str) -> np.ndarray:
    """uint8 buffer in contiguous device memory. Raises DeviceMemoryError with its purpose, bytes asked and left."""
    try:
        with board_errors:
            buffer = device.allocate(shape, np.uint8)
            if not buffer.physical_address:  # some allocators notice only here that there is no memory
                raise MemoryError("no physical address")
        return buffer
    except BoardUnreachable:
        raise
    except (MemoryError, RuntimeError, OSError) as error:
        left = cma_free_bytes(device)
        known = "an unknown number of" if left is None else left
        raise DeviceMemoryError(
            f"no contiguous device memory for {purpose}: {int(np.prod(shape))} bytes, {known} bytes left ({error}). "
            "Use a smaller batch_size, close other overlays and buffers, or boot with a larger cma= argument."
        ) from error


@board_errors
def address_of(buffer) -> int:
    """Physical address of a device buffer. A remote board is asked for it each time: keep it."""
    return int(buffer.physical_address)


def free(buffer) -> None:
    """Give a buffer's memory back. Where the board is gone, or its server knows no such buffer, so is the memory."""
    with suppress(RuntimeError), board_errors:  # a DeviceError is one, and what pynq makes of a server's refusal
        buffer.freebuffer()


def free_all(buffers: Iterable) -> None:
    """Free each of them, also after an error, which is raised at the end."""
    with ExitStack() as stack:
        for buffer in buffers:
            stack.callback(free, buffer)


def cma_free_bytes(device) -> int | None:
    """Bytes of contiguous memory left, by the kernel's account; None where it is not told."""
    path = "/proc/meminfo"
    try:
        with board_errors:
            text = device.read_file(path).decode() if hasattr(device, "read_file") else Path(path).read_text()
    except (OSError, DeviceError):
        return None
    match = re.search(r"CmaFree:\s*(\d+) kB", text)
    return int(match[1]) << 10 if match else None


class Slot:
    """Buffers of one batch: frames, results, time log. ``count`` is the number of frames in it.

    frames: uint8 [batch, frame_beats * 16].  results: uint8 [batch, result_beats * 16].
    log: uint8 [executions of a batch, 16 * words of a LOG_ENTRY].
    """

    def __init__(self, device, program: Program, batch_size: int):
        self.program, self.count = program, 0
        self._buffers: list = []
        try:
            for purpose, shape in (
                ("frames", (batch_size, program.frame_beats * WORD_BYTES)),
                ("results", (batch_size, program.result_beats * WORD_BYTES)),
                ("time log", (len(program.executions(batch_size)), LOG_ENTRY_BYTES)),
            ):
                self._buffers.append(allocate(device, shape, purpose))
        except BaseException:
            self.free()
            raise
        self.frames, self.results, self.log = self._buffers
        self.log_address = address_of(self.log)

    def fill(self, packed: np.ndarray) -> None:
        """Copy packed frames, uint8 [N, frame_beats, 16]."""
        self.count = len(packed)
        self.frames[: self.count] = packed.reshape(self.count, -1)

    @property
    def executions(self) -> list[tuple[int, int, int]]:
        """(instruction, first frame, frames) of the batch, in the order of the log."""
        return self.program.executions(self.count)

    @property
    def frame_bytes(self) -> int:
        """Bytes to send."""
        return self.count * self.program.frame_beats * WORD_BYTES

    @property
    def result_bytes(self) -> int:
        """Bytes expected back."""
        return self.count * self.program.result_beats * WORD_BYTES

    @board_errors
    def read_back(self) -> None:
        """Fetch results and time log of the finished batch from device memory."""
        self.results.invalidate()
        self.log.invalidate()

    def take_results(self) -> np.ndarray:
        """Results of the finished batch, uint8 [count, result_beats, 16], copied out of the device buffer."""
        beats = np.array(self.results[: self.count], np.uint8, subok=False)
        return beats.reshape(self.count, -1, WORD_BYTES)

    def take_log(self) -> np.ndarray:
        """Time samples of the finished batch in clock cycles, uint64 [executions, 2] (start, end)."""
        entries = np.array(self.log[: len(self.executions)], np.uint8, subok=False)
        return entries.view("<u8")[:, :2]

    def free(self) -> None:
        """Give the memory back. Freeing twice does nothing."""
        buffers, self._buffers = self._buffers, []
        free_all(buffers)
