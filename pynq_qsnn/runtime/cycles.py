"""Cycles by layer: the compiler's closed form beside the event simulation of the kernel.

The two are independent derivations. The event simulation runs the kernel itself (g++), its stages, streams, bursts and
the memory controller; the closed form is :mod:`pynq_qsnn.prediction`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..hwspec import MODES, HardwareConfig
from ..program import Program


@dataclass(frozen=True)
class LayerCycles:
    """One layer of a frame: its instructions added up over bands and output tiles.

    ideal: clocks of a full array for the layer's unpadded operations in its mode.  bound: of the closed form.
    """

    layer: str
    mode: str
    macs: int
    ideal: float
    predicted: float
    measured: float
    bound: str

    @property
    def difference_percent(self) -> float:
        """Closed form against event simulation."""
        return 100 * (self.predicted / self.measured - 1)

    @property
    def efficiency_percent(self) -> float:
        """Unpadded operations / (peak of the mode x measured cycles)."""
        return 100 * self.ideal / self.measured


def peak_operations(mode: str, config: HardwareConfig) -> int:
    """Multiply-accumulates (in MUX_ADD: gated sums of one bit plane) that the array does in a clock."""
    return config.macs_per_cycle * {"MULTIPLY8": 1, "MULTIPLY4": 2, "MUX_ADD": 4}[mode]


def ideal_cycles(program: Program, config: HardwareConfig) -> np.ndarray:
    """Clocks of a full array for each instruction and frame, float64 [instructions]."""
    clocks = np.zeros(program.num_instructions)
    for index, step in enumerate(program.steps):
        if step.mode:
            planes = program.instruction(index)["input_bits"] if step.mode == "MUX_ADD" else 1
            clocks[index] = step.macs * planes / peak_operations(step.mode, config)
    return clocks


def instruction_cycles(program: Program, log: np.ndarray, num_frames: int) -> np.ndarray:
    """Clocks of each instruction for a frame of a call, float64 [instructions]; log: uint64 [executions, 2]."""
    clocks = np.zeros(program.num_instructions)
    order = [index for index, _, _ in program.executions(num_frames)]
    np.add.at(clocks, order, (log[:, 1] - log[:, 0]).astype(np.float64) / num_frames)
    return clocks


def call_cycles(log: np.ndarray) -> int:
    """First beat taken to last logit sent; log: uint64 [executions, 2]."""
    return int(log[-1, 1] - log[0, 0])


def by_layer(program: Program, measured: np.ndarray, batch: bool, config: HardwareConfig) -> list[LayerCycles]:
    """Layers in order. measured: of :func:`instruction_cycles`; batch: the closed form is that of a long batch."""
    ideal = ideal_cycles(program, config)
    rows: list[LayerCycles] = []
    for layer in dict.fromkeys(step.layer for step in program.steps):
        indices = [i for i, step in enumerate(program.steps) if step.layer == layer]
        steps = [program.steps[i] for i in indices]
        predicted = [step.batch_cycles if batch else step.predicted_cycles for step in steps]
        longest = steps[int(np.argmax(predicted))]
        rows.append(
            LayerCycles(
                layer=layer,
                mode=max(step.mode for step in steps),
                macs=sum(step.macs for step in steps),
                ideal=float(ideal[indices].sum()),
                predicted=float(sum(predicted)),
                measured=float(measured[indices].sum()),
                bound=longest.batch_bound if batch else longest.bound,
            )
        )
    return rows


assert set(MODES) == {"MULTIPLY8", "MULTIPLY4", "MUX_ADD"}
