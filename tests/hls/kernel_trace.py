"""Every spike train of a program, read back from the simulated kernel's activation memory."""

from __future__ import annotations

import numpy as np

from pynq_qsnn.hwspec import STATUS
from pynq_qsnn.packing import WORD_BYTES, bank_words, pack_frames, unpack_trains
from pynq_qsnn.program import Program
from pynq_qsnn.runtime.csim import KernelSimulation


def run_prefix(simulation: KernelSimulation, program: Program, frame: np.ndarray, instructions: int) -> None:
    """The first ``instructions`` of ``program`` on one frame: what the last one wrote is still in memory."""
    memory = np.concatenate([program.code, program.weights])
    registers = dict(program=0, weights=len(program.code) * WORD_BYTES, log=0, log_entries=0)
    registers.update(num_instructions=instructions, num_frames=1, weight_words=len(program.weights))
    simulation.start(memory.ctypes.data, memory.nbytes, registers)
    simulation.push(pack_frames(frame[None], program.network, simulation.config).tobytes(), True)
    assert simulation.advance(), simulation.blocked
    assert simulation.status == STATUS["OK"][0]
    while simulation.pop():
        pass


def kernel_trace(simulation: KernelSimulation, program: Program, frame: np.ndarray) -> dict[str, np.ndarray]:
    """Tensors by name, uint8 [T, C, H, W], of one frame: input and every layer but Flatten and the Head."""
    tensors = {}
    for index, step in enumerate(program.steps):
        following = program.steps[index + 1 : index + 2]
        if step.layer == program.network.head.name or (following and following[0].layer == step.layer):
            continue  # a grouped layer takes several instructions: the last one completes it
        run_prefix(simulation, program, frame, index + 1)
        tensor = program.network.tensors[step.layer]
        words = bank_words(tensor, simulation.config)
        read = simulation.activations(program.instruction(index)["output_base"], words)
        tensors[step.layer] = unpack_trains(read[None], tensor, simulation.config)[0]
    return tensors
