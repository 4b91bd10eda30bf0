"""A compiled program in device memory, with the buffers to run it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from .. import container
from ..errors import ModelFileError
from ..packing import WORD_BYTES
from ..program import Program
from .buffers import Slot, address_of, allocate, free_all
from .connection import board_errors


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
    """Instructions, both planes of the weights, spill memory and the buffers of two batches in device memory.

    All of it, or none after an error. Raises DeviceMemoryError. slots: two, so that one is filled while the other is in
    the PL. One spill memory serves both, because calls of the kernel follow each other.
    """

    def __init__(self, device, program: Program, batch_size: int):
        self.device, self.program = device, program
        self.slots: list[Slot] = []
        self._buffers: dict[str, object] = {}
        try:
            for name, data in (
                ("program", program.code),
                ("weights_even", program.weights[0]),
                ("weights_odd", program.weights[1]),
            ):
                self._buffers[name] = _copy_in(device, data, name)
            if program.spill_words:
                self._buffers["spill"] = allocate(device, (program.spill_words, WORD_BYTES), "spill memory")
            self._addresses = {name: address_of(buffer) for name, buffer in self._buffers.items()}
            self.resize(batch_size)
        except BaseException:
            self.free()
            raise

    def arguments(self) -> dict[str, int]:
        """The kernel's arguments that say where the program and its memories lie."""
        return {
            "spill": 0,  # of a program without
            **self._addresses,
            "num_instructions": self.program.num_instructions,
            "weight_pairs": self.program.weights.shape[1],
            "spill_words": self.program.spill_words,
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
        slots, self.slots = self.slots, []
        buffers, self._buffers = self._buffers, {}
        with ExitStack() as stack:  # all of them, also after an error
            stack.callback(free_all, buffers.values())
            for slot in slots:
                stack.callback(slot.free)


def _copy_in(device, data: np.ndarray, purpose: str):
    """New device buffer with the contents of ``data`` (uint8 [words, 16]), flushed."""
    buffer = allocate(device, (max(1, len(data)), WORD_BYTES), purpose)
    buffer[: len(data)] = data
    with board_errors:
        buffer.flush()
    return buffer
