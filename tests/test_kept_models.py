"""The kept models: every executor gives the same logits, on real frames where the data is at hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import DataError
from pynq_qsnn.network import Network
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.simulator import Simulator

MODELS = sorted((Path(__file__).parent.parent / "models").glob("*.qsnn"))
OF_ONE_BUDGET = [path for path in MODELS if path.name.startswith("cifar10_")]
NUM_FRAMES = 8


@pytest.fixture(scope="module", params=("real", "random"))
def frames(request, tmp_path_factory):
    """Eight test images, and eight random ones that need no data."""
    if request.param == "random":
        return np.random.default_rng(7).integers(0, 256, (NUM_FRAMES, 3, 32, 32), dtype=np.uint8)
    from pynq_qsnn.data.cifar import CIFAR10, DATA_VARIABLE, load_cifar

    if not os.environ.get(DATA_VARIABLE):
        pytest.skip(f"${DATA_VARIABLE} is not set: no CIFAR-10 frames here, only the random ones are run")
    try:
        return load_cifar(CIFAR10, "test").images[:NUM_FRAMES]
    except (DataError, ModuleNotFoundError) as error:
        pytest.skip(f"no CIFAR-10 here: {error}")


@pytest.fixture(scope="module")
def overlay():
    pytest.importorskip("pynq")
    from pynq_qsnn.emulator import open_board
    from pynq_qsnn.runtime.driver import QsnnOverlay

    with open_board() as board, QsnnOverlay(board.bitfile, batch_size=NUM_FRAMES) as overlay:
        yield overlay


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_executor_agrees(path, frames, overlay):
    network = Network.load(path)
    expected = Reference().load(network).run(frames)
    assert np.array_equal(Simulator().load(network).run(frames), expected)
    overlay.load_model(compile_network(network))
    assert np.array_equal(overlay.execute(frames), expected)


def test_three_allocations_of_one_topology():
    networks = [Network.load(path) for path in OF_ONE_BUDGET]
    hidden = [n.layers[1] if hasattr(n.layers[1], "spike_bits") else n.layers[2] for n in networks]
    allocations = {(h.weight_bits, h.spike_bits, n.num_steps) for h, n in zip(hidden, networks)}
    assert allocations == {(8, 4, 1), (8, 2, 2), (8, 1, 4)}
    assert len({tuple(n.tensors[layer.name].shape for layer in n.layers) for n in networks}) == 1
    for network in networks:
        assert {"data_note", "command", "seed", "accuracy_float", "accuracy_integer"} <= set(network.card)
