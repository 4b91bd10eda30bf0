"""The compiled form of a network: instructions and weights as the overlay reads them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import container
from .errors import ModelFileError, SpecMismatch
from .hwspec import INSTRUCTION, OPCODES, PROGRAM_HEADER, RECORDS, SPEC_VERSION, record_words
from .network import Network
from .packing import WORD_BYTES, result_beats, unpack_record


@dataclass(frozen=True)
class Step:
    """One instruction, for people: which layer, its work and the compiler's closed-form prediction of its cycles.

    tensor: the one that it leaves whole in activation memory, or "".  mode: of the array, see hwspec.MODES.
    predicted_cycles: for a frame alone.  batch_cycles: for each frame of a long batch.
    bound: what limits a frame alone: "compute", "integrate", "weights", "activations", "spill" or "stream".
    batch_bound: the same for a long batch.
    """

    layer: str
    tensor: str
    opcode: str
    mode: str
    macs: int
    predicted_cycles: int
    batch_cycles: int
    bound: str
    batch_bound: str


def executions(num_instructions: int, split: int, group_frames: int, num_frames: int) -> list[tuple[int, int, int]]:
    """(instruction, first frame, frames) in the order in which the kernel executes and logs them.

    Instructions before ``split`` run once a frame, the others once a group of at most ``group_frames``.
    """
    order = []
    for first in range(0, num_frames, group_frames):
        frames = min(group_frames, num_frames - first)
        order += [(i, frame, 1) for frame in range(first, first + frames) for i in range(split)]
        order += [(i, first, frames) for i in range(split, num_instructions)]
    return order


def layout() -> str:
    """SHA-256 of how a program's words and steps are read, whatever the numbers of the overlay."""
    records = {name: [(field.name, field.bits) for field in record] for name, record in RECORDS.items()}
    return hashlib.sha256(json.dumps([SPEC_VERSION, records, list(Step.__annotations__)]).encode()).hexdigest()


@dataclass(frozen=True)
class Program:
    """Layer program for one overlay.

    fingerprint: of the hardware contract it was compiled for, 64 hexadecimal digits.
    code: uint8 [words, 16], program header then instructions.  weights: uint8 [2, pairs, 16], even and odd plane.
    split, group_frames: instructions before ``split`` run once a frame, the others once a group of frames.
    spill_words: 128-bit words of the spill memory.
    frame_beats, result_beats: 128-bit stream beats of one frame.  network: what it was compiled from.
    """

    network: Network
    fingerprint: str
    code: np.ndarray
    weights: np.ndarray
    steps: tuple[Step, ...]
    frame_beats: int
    result_beats: int
    split: int
    group_frames: int
    spill_words: int

    @property
    def num_instructions(self) -> int:
        """Instructions, END not counted."""
        return len(self.steps)

    @property
    def predicted_cycles(self) -> int:
        """Closed-form cycles of one frame, all instructions one after the other."""
        return sum(step.predicted_cycles for step in self.steps)

    @property
    def batch_cycles(self) -> int:
        """Closed-form cycles of each frame of a long batch."""
        return sum(step.batch_cycles for step in self.steps)

    def executions(self, num_frames: int) -> list[tuple[int, int, int]]:
        """(instruction, first frame, frames) of a call, in the order of its log."""
        return executions(self.num_instructions, self.split, self.group_frames, num_frames)

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
            "layout": layout(),
            "steps": [vars(step) for step in self.steps],
            "frame_beats": self.frame_beats,
            "result_beats": self.result_beats,
            "split": self.split,
            "group_frames": self.group_frames,
            "spill_words": self.spill_words,
        }
        container.save(path, "program", program, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Program:
        """Read and validate a program file; the overlay checks the fingerprint when it loads.

        Raises ModelFileError, SpecMismatch for the file of a release whose instructions look different.
        """
        meta, arrays = container.load(path, "program")
        try:
            found = str(meta.get("layout", "none: of an earlier release"))
            if found != layout():
                remedy = "Its instructions are not this release's: compile the model again, pynq-qsnn compile."
                raise SpecMismatch(f"{path}", layout(), found, remedy)
            network = Network.from_parts(meta["network"], arrays, path)
            steps = tuple(Step(**step) for step in meta["steps"])
            numbers = {key: int(meta[key]) for key in NUMBERS}
            program = cls(network, str(meta["fingerprint"]), arrays["code"], arrays["weights"], steps, **numbers)
            program._check(path)
            return program
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, ModelFileError):
                raise
            raise ModelFileError(f"{path}: {type(error).__name__} in the program's description: {error}") from error

    def _check(self, path: str | Path) -> None:
        """Refuse arrays and numbers that are not what the instructions move: buffers are made from them."""
        for name, array, shape in (("code", self.code, "[N, 16]"), ("weights", self.weights, "[2, N, 16]")):
            dimensions = len(shape.split(","))
            if array.dtype != np.uint8 or array.ndim != dimensions or array.shape[-1] != WORD_BYTES:
                raise ModelFileError(f"{path}: {name} is {array.dtype} of shape {array.shape}, must be uint8 {shape}")
        words = record_words(PROGRAM_HEADER) + (len(self.steps) + 1) * record_words(INSTRUCTION)
        if len(self.weights) != 2:
            raise ModelFileError(f"{path}: {len(self.weights)} planes of weights, must be 2")
        if len(self.code) != words:
            raise ModelFileError(f"{path}: {len(self.code)} code words for {len(self.steps)} instructions, not {words}")
        header = unpack_record(PROGRAM_HEADER, self.code[: record_words(PROGRAM_HEADER)])
        ends = [f["spill_offset"] + f["transfer_words"] for f in self._instructions() if _uses_spill(f)]
        for name, found, needed in (
            ("frame_beats", self.frame_beats, self.instruction(0)["transfer_words"]),
            ("result_beats", self.result_beats, result_beats(len(self.network.head.weight))),
            ("split", self.split, header["split"]),
            ("group_frames", self.group_frames, header["group_frames"]),
            ("spill_words", self.spill_words, max(ends, default=0)),
        ):
            if found != needed:
                raise ModelFileError(f"{path}: {name} is {found}, the program moves {needed}")

    def _instructions(self) -> list[dict[str, int]]:
        return [self.instruction(index) for index in range(self.num_instructions)]


NUMBERS = ("frame_beats", "result_beats", "split", "group_frames", "spill_words")
SPILLING = tuple(OPCODES[name][0] for name in ("LOAD", "SAVE"))


def _uses_spill(fields: dict[str, int]) -> bool:
    return fields["opcode"] in SPILLING or fields["spilled"] == 1
