"""A board in the process that drives it: opened once, then fed chunk by chunk. Everything happens on one thread."""

from __future__ import annotations

import time
from contextlib import ExitStack

import numpy as np

from ..errors import (
    CapacityError,
    DeviceError,
    FrameError,
    ModelFileError,
    NetworkError,
    QsnnError,
    ToolMissing,
)
from ..runtime.cycles import call_cycles
from .address import EMULATED, REMOTE

# Another board would say the same, so these end the evaluation; any other error is the board's. SpecMismatch and
# ConfigError are the board's too: boards may carry different overlays.
NOT_THE_BOARDS = (CapacityError, FrameError, ModelFileError, NetworkError)


class BoardSession:
    """An open board with its model.

    kind: LOCAL, EMULATED or REMOTE (of $PYNQ_REMOTE_DEVICES).  program: path.
    bitfile: as QsnnOverlay's, for a board that is not EMULATED: that one has its own.

    Raises what QsnnOverlay raises, ToolMissing for a remote board and an old pynq, and DeviceError where no board
    answers: an emulated one never stands in.
    """

    def __init__(self, kind: str, program: str, batch_size: int, bitfile: str | None = None):
        from ..runtime.driver import QsnnOverlay

        self._stack = ExitStack()
        try:
            device = None
            if kind == EMULATED:
                from ..emulator import open_board

                bitfile = self._stack.enter_context(open_board()).bitfile
            else:
                device = _remote_device() if kind == REMOTE else _local_device()
            self._overlay = self._stack.enter_context(QsnnOverlay(bitfile, device=device, batch_size=batch_size))
            self._overlay.load_model(program)
        except BaseException:
            self._stack.close()
            raise

    def describe(self) -> dict:
        """method and clock_mhz of the board."""
        return {"method": self._overlay.method, "clock_mhz": self._overlay.clock_mhz}

    def run(self, frames: np.ndarray) -> dict:
        """Logits int32 [N, classes] of frames uint8 [N, ...], with seconds, sampled_frames and sampled_cycles.

        Sampled is the last batch if it is a full one: the kernel spends longer on each frame of a smaller one.
        errors: messages; an error of the board is answered by a second try, because the driver resets it. Raises the
        second one, and those of NOT_THE_BOARDS at once.
        """
        start, errors = time.monotonic(), []
        try:
            logits = self._overlay.execute(frames)
        except NOT_THE_BOARDS:
            raise
        except Exception as error:
            errors.append(describe_error(error))
            logits = self._overlay.execute(frames)
        full = len(frames) % self._overlay.batch_size == 0
        return {
            "logits": logits,
            "errors": errors,
            "sampled_frames": self._overlay.batch_size if full else 0,
            "sampled_cycles": call_cycles(self._overlay.time_log()) if full else 0,
            "seconds": time.monotonic() - start,
        }

    def close(self) -> None:
        """Wait for what still runs, and let go of the board."""
        self._stack.close()


def describe_error(error: BaseException) -> str:
    """One line: its message, with its type where that is no error of ours."""
    message = " ".join(str(error).split()) or "no message"
    return message if isinstance(error, QsnnError) else f"{type(error).__name__}: {message}"


def _remote_device():
    from ..runtime.locate import find_device
    from ..runtime.remote import is_remote

    device = find_device()
    if not is_remote(device):  # an older pynq on a machine with a board of its own
        raise ToolMissing("boards at an address need PYNQ.remote, which pynq has since 3.1; upgrade pynq")
    return device


def _local_device():
    from ..runtime.locate import find_device

    device = find_device()
    if device is None:
        raise DeviceError("pynq finds no device on this machine; 'emulated' opens an emulated one")
    return device
