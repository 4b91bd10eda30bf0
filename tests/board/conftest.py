"""Fixtures of the driver suite. It needs numpy, pynq, pytest and g++ with the ap_int headers, nothing else."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pynq", reason="the driver suite needs pynq")

from limits import BATCH_SIZE, TIMEOUT_S
from tiny_networks import image_network

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.emulator import open_board
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.csim import KernelSimulation, build_library
from pynq_qsnn.runtime.driver import QsnnOverlay


@pytest.fixture(scope="session")
def network():
    return image_network()


@pytest.fixture(scope="session")
def program(network):
    return compile_network(network)


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (11, 3, 6, 7), np.uint8)


@pytest.fixture(scope="session")
def logits(network, frames) -> np.ndarray:
    """What every executor must return for ``frames``."""
    expected = Reference().load(network).run(frames)
    assert len(np.unique(expected)) > len(frames)  # a constant would hide mistakes
    return expected


@pytest.fixture(scope="session")
def library():
    """The kernel compiled by g++; finding it again for every board would take longer than the tests."""
    return build_library()


@pytest.fixture
def emulated(library):
    """A freshly opened board; ``emulated.board.faults`` breaks it."""
    with open_board(make_simulation=lambda: KernelSimulation(library=library)) as opened:
        yield opened


@pytest.fixture
def board(emulated):
    return emulated.board


@pytest.fixture
def overlay(board, program):
    """Overlay with the tiny image network; the test fails when it leaks device memory."""
    with QsnnOverlay(batch_size=BATCH_SIZE, timeout_s=TIMEOUT_S) as opened:
        yield opened.load_model(program)
    assert board.cma.used_bytes == 0


@pytest.fixture
def check_right(overlay, frames, logits):
    """Call it to assert that the overlay returns the right logits now."""

    def check() -> None:
        assert np.array_equal(overlay.execute(frames), logits)

    return check
