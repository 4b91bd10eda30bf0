"""Device memory of a program: two planes of weights, the spill memory, a log entry for each execution."""

import numpy as np
import pytest
from limits import BATCH_SIZE
from tiny_networks import affine

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import DeviceMemoryError
from pynq_qsnn.network import Conv2d, Head, Network, Pool, TensorType
from pynq_qsnn.neuron import Neuron
from pynq_qsnn.reference import Reference


@pytest.fixture(scope="module")
def large_network() -> Network:
    """16 x 224 x 224 codes of 8 bits, which the activation memory does not hold."""
    rng = np.random.default_rng(4)
    weight = rng.integers(-7, 8, (16, 16, 3, 3), np.int8)
    layers = (
        Conv2d("conv", "input", weight, 4, Neuron(affine(16, 9), s_max=3), 2, stride=2, padding=1),
        Pool("pool", "conv", "maximum", 8, 8),
        Pool("largest", "pool", "maximum", 14, 14),
        Head("head", "largest", rng.integers(-7, 8, (5, 32), np.int8)[:, :16], 4, affine(5, 7)),
    )
    return Network("large", TensorType((16, 224, 224), 8, 1, 255), 1, layers)


@pytest.fixture(scope="module")
def large_program(large_network):
    return compile_network(large_network)


@pytest.fixture(scope="module")
def large_frames() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (2, 16, 224, 224), np.uint8)


def test_frames_larger_than_the_chip(overlay, large_network, large_program, large_frames):
    assert large_program.spill_words >= 16 * 224 * 224 // 16
    assert {"LOAD"} <= {step.opcode for step in large_program.steps}
    expected = Reference().load(large_network).run(large_frames)
    overlay.load_model(large_program)
    assert np.array_equal(overlay.execute(large_frames), expected)
    assert np.array_equal(overlay.execute(large_frames[::-1]), expected[::-1])
    assert len(overlay.time_log()) == len(overlay.executions()) == len(large_program.executions(2))


def test_spill_memory_that_cannot_be_had(overlay, board, large_program, check_right):
    used, needed = board.cma.used_bytes, large_program.spill_words * 16
    hog = board.cma.allocate(board.cma.free_bytes - needed)
    with pytest.raises(DeviceMemoryError, match=f"for spill memory: {needed} bytes, .* left"):
        overlay.load_model(large_program)
    board.cma.release(hog)
    assert board.cma.used_bytes == used
    check_right()  # with the former model


def test_each_plane_has_its_buffer(overlay, board, program):
    arguments = overlay._model.arguments()
    for plane, name in enumerate(("weights_even", "weights_odd")):
        words = program.weights[plane]
        assert board.ddr.read(arguments[name], words.nbytes) == words.tobytes()
    assert arguments["weight_pairs"] == program.weights.shape[1] and arguments["spill_words"] == 0


def test_executions_tell_what_the_log_holds(overlay, program, frames):
    overlay.execute(frames[:BATCH_SIZE])
    log, executions = overlay.time_log(), overlay.executions()
    assert log.shape == (len(executions), 2) and executions == program.executions(BATCH_SIZE)
    assert (log[:, 1] > log[:, 0]).all() and (log[1:, 0] >= log[:-1, 1]).all()
