"""The compiled form of a network: instructions and weights as the overlay reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import container
from .errors import ModelFileError
from .hwspec import INSTRUCTION, PROGRAM_HEADER, record_words
from .network import Network
from .packing import WORD_BYTES, result_beats, unpack_record


@dataclass(frozen=True)
class Step:
    """One instruction, for people: which layer, its work and the compiler's closed-form prediction of its cycles.

    bound: what limits it: "compute", "integrate", "weights", "activations" or "stream".
    """

    layer: str
    opcode: str
    macs: int
    predicted_cycles: int
    bound: str


@dataclass(frozen=True)
class Program:
    """Layer program for one overlay.

    fingerprint: of the hardware contract it was compiled for, 64 hexadecimal digits.
    code: uint8 [words, 16], program header then instructions.  weights: uint8 [words, 16].
    frame_beats, result_beats: 128-bit stream beats of one frame.  network: what it was compiled from.
    """

    network: Network
    fingerprint: str
    code: np.ndarray
    weights: np.ndarray
    steps: tuple[Step, ...]
    frame_beats: int
    result_beats: int

    @property
    def num_instructions(self) -> int:
        """Instructions, END not counted."""
        return len(self.steps)

    @property
    def predicted_cycles(self) -> int:
        """Closed-form cycles of one frame, all instructions one after the other."""
        return sum(step.predicted_cycles for step in self.steps)

    def instruction(self, index: int) -> dict[str, int]:
        """Fields of instruction ``index`` by name."""
        first = record_words(PROGRAM_HEADER) + index * record_words(INSTRUCTION)
        return unpack_record(INSTRUCTION, self.code[first : first + record_words(INSTRUCTION)])

    def save(self, path: str | Path) -> None:
        """Write the program file atomically (see :mod:`pynq_qsnn.container`)."""
        meta, arrays = self.network.to_parts()
        arrays = {**arrays, "code": self.code, "weights": self.weights}
        program = {
            "network": meta,
            "fingerprint": self.fingerprint,
            "steps": [vars(step) for step in self.steps],
            "frame_beats": self.frame_beats,
            "result_beats": self.result_beats,
        }
        container.save(path, "program", program, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Program:
        """Read and validate a program file. Raises ModelFileError; the overlay checks the fingerprint when it loads."""
        meta, arrays = container.load(path, "program")
        try:
            network = Network.from_parts(meta["network"], arrays, path)
            steps = tuple(Step(**step) for step in meta["steps"])
            program = cls(
                network,
                str(meta["fingerprint"]),
                arrays["code"],
                arrays["weights"],
                steps,
                int(meta["frame_beats"]),
                int(meta["result_beats"]),
            )
            words = record_words(PROGRAM_HEADER) + (len(steps) + 1) * record_words(INSTRUCTION)
            for name, array in (("code", program.code), ("weights", program.weights)):
                if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != WORD_BYTES:
                    raise ModelFileError(
                        f"{path}: {name} is {array.dtype} of shape {array.shape}, must be uint8 [N, 16]"
                    )
            if len(program.code) != words:
                raise ModelFileError(
                    f"{path}: {len(program.code)} code words for {len(steps)} instructions, not {words}"
                )
            # Buffers are made from these two: they must be what the instructions move.
            frame, result = program.instruction(0)["receive_words"], result_beats(len(network.head.weight))
            for name, found, needed in (
                ("frame", program.frame_beats, frame),
                ("result", program.result_beats, result),
            ):
                if found != needed:
                    raise ModelFileError(f"{path}: {name}_beats is {found}, the program moves {needed}")
            return program
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, ModelFileError):
                raise
            raise ModelFileError(f"{path}: {type(error).__name__} in the program's description: {error}") from error
