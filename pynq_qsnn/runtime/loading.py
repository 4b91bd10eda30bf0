"""A compiled program in device memory, with the buffers to run it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import container
from ..errors import ModelFileError
from ..packing import WORD_BYTES
from ..program import Program
from .buffers import Slot, allocate


def read_program(model: str | Path | Program) -> Program:
    """``model`` itself, or the program in the file of that name. Raises ModelFileError."""
    if isinstance(model, Program):
        return model
    if not isinstance(model, (str, Path)):
        raise ModelFileError(f"load_model takes a Program or a program file's path, not {type(model).__name__}")
    if container.kind(model) == "network":
        raise ModelFileError(f"{model} is a network, not a program. Compile it first: pynq-qsnn compile {model}")
    return Program.load(model)


class LoadedModel:
    """Instructions, weights and the buffers of two batches in device memory; all of it, or none after an error.

    Raises DeviceMemoryError. slots: two, so that one is filled while the other is in the PL.
    """

    def __init__(self, device, program: Program, batch_size: int):
        self.device, self.program = device, program
        self.slots: list[Slot] = []
        self._code = self._weights = None
        try:
            self._code = _copy_in(device, program.code)
            self._weights = _copy_in(device, program.weights)
            self.resize(batch_size)
        except BaseException:
            self.free()
            raise

    def arguments(self) -> dict[str, int]:
        """The kernel's arguments that say where the program lies."""
        return {
            "program": self._code.physical_address,
            "weights": self._weights.physical_address,
            "num_instructions": self.program.num_instructions,
            "weight_words": len(self.program.weights),
        }

    def resize(self, batch_size: int) -> None:
        """Buffers for another batch size. After a DeviceMemoryError the old ones are still there."""
        slots: list[Slot] = []
        try:
            for _ in range(2):
                slots.append(Slot(self.device, self.program, batch_size))
        except BaseException:
            for slot in slots:
                slot.free()
            raise
        old, self.slots = self.slots, slots
        for slot in old:
            slot.free()

    def free(self) -> None:
        """Give the memory back. Freeing twice does nothing."""
        for owner in self.slots:
            owner.free()
        for buffer in (self._code, self._weights):
            if buffer is not None:
                buffer.freebuffer()
        self.slots, self._code, self._weights = [], None, None


def _copy_in(device, data: np.ndarray):
    """New device buffer with the contents of ``data`` (uint8 [words, 16]), flushed."""
    buffer = allocate(device, (max(1, len(data)), WORD_BYTES))
    buffer[: len(data)] = data
    buffer.flush()
    return buffer
