"""Fixtures of the remote suite: a server for all tests, connections to it. Each test file skips without PYNQ.remote."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from server_process import HERE, Server, wait_for

sys.path.append(str(HERE.parent / "board"))  # tiny_networks

BATCH_SIZE, TIMEOUT_S = 4, 0.5


@pytest.fixture(scope="session")
def folder():
    """Short: the path of a unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="qsnn-") as path:
        yield Path(path)


@pytest.fixture
def start(folder):
    """Starts servers, and ends them after the test."""
    servers = []

    def start_server(name: str, cma_mib: int = 64) -> Server:
        address = f"unix:{folder}/{name}"
        servers.append(Server([HERE / "board_server.py", address, cma_mib], address))
        return servers[-1]

    yield start_server
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(folder):
    """One server for all tests that leave it as it was; it must survive each of them."""
    address = f"unix:{folder}/shared"
    shared = Server([HERE / "board_server.py", address, 64], address)
    yield shared
    assert shared.process.poll() is None, shared.errors()
    status, rest = shared.stop()
    assert (status, rest) == (0, ""), shared.errors()
    assert "Traceback" not in shared.errors()


@pytest.fixture
def device(server):
    """A fresh connection to the shared server. When it ends nothing may be left on the board."""
    connected = server.connect()
    yield connected
    connected.client.channel.close()
    assert wait_for(lambda: server.free_kib() == 64 << 10)


@pytest.fixture(scope="session")
def network():
    from tiny_networks import image_network

    return image_network()


@pytest.fixture(scope="session")
def program(network):
    from pynq_qsnn.compiler import compile_network

    return compile_network(network)


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (11, 3, 6, 7), np.uint8)


@pytest.fixture(scope="session")
def logits(network, frames) -> np.ndarray:
    """What every executor must return for ``frames``."""
    from pynq_qsnn.reference import Reference

    return Reference().load(network).run(frames)


@pytest.fixture
def overlay(device, program):
    from pynq_qsnn.runtime.driver import QsnnOverlay

    with QsnnOverlay(device=device, batch_size=BATCH_SIZE, timeout_s=TIMEOUT_S) as opened:
        yield opened.load_model(program)
