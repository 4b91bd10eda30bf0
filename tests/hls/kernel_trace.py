"""Every spike train of a program, read back from the simulated kernel's activation memory."""

from __future__ import annotations

import numpy as np

from pynq_qsnn.hwspec import PROGRAM_HEADER, STATUS, record_words
from pynq_qsnn.network import INPUT
from pynq_qsnn.packing import (
    bank_words,
    fold_frames,
    frame_tensor,
    pack_frames,
    pack_record,
    unpack_record,
    unpack_trains,
)
from pynq_qsnn.program import Program
from pynq_qsnn.runtime.csim import KernelSimulation, call_memory


def run_prefix(simulation: KernelSimulation, program: Program, frame: np.ndarray, instructions: int) -> None:
    """The first ``instructions`` of ``program`` on one frame: what the last one wrote is still in memory."""
    memory, registers = call_memory(program, 1)
    words = record_words(PROGRAM_HEADER)
    header = unpack_record(PROGRAM_HEADER, memory[:words])
    header["split"] = min(program.split, instructions)
    memory[:words] = pack_record(PROGRAM_HEADER, header)
    registers["num_instructions"] = instructions
    simulation.start(memory.ctypes.data, memory.nbytes, registers)
    simulation.push(pack_frames(frame[None], program.network, simulation.config).tobytes(), True)
    assert simulation.advance(), simulation.blocked
    assert simulation.status == STATUS["OK"][0]
    while simulation.pop():
        pass


def kernel_trace(simulation: KernelSimulation, program: Program, frame: np.ndarray) -> dict[str, np.ndarray]:
    """Tensors by name, uint8 [T, C, H, W], of one frame: all that are ever whole in the activation memory.

    Folded frames are checked here and left out, because no network has a tensor of their shape.
    """
    completed = {step.tensor: index for index, step in enumerate(program.steps) if step.tensor}
    tensors = {}
    for name, index in completed.items():
        run_prefix(simulation, program, frame, index + 1)
        tensor = frame_tensor(program.network) if name == INPUT else program.network.tensors[name]
        words = bank_words(tensor, simulation.config)
        read = simulation.activations(program.instruction(index)["output_base"], words)
        tensors[name] = unpack_trains(read[None], tensor, simulation.config)[0]
    if INPUT in tensors:
        trains = frame[None, None] if frame.ndim == 3 else frame[None]
        folded = tensors.pop(INPUT)
        assert np.array_equal(folded, fold_frames(trains, program.network)[0])
    return tensors
