"""Board servers in processes of their own, and clients of them. Needs pynq 3.1, grpc, and g++ as tests/board does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("grpc", reason="PYNQ.remote needs grpc")
pytest.importorskip("pynq.remote", reason="PYNQ.remote came with pynq 3.1")

sys.path.append(str(Path(__file__).parents[1] / "board"))

from pynq.pl_server.remote_device import RemoteDevice
from tiny_networks import image_network

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.driver import QsnnOverlay

HERE = Path(__file__).parent
BATCH_SIZE, TIMEOUT_S = 4, 0.5
START_S, END_S = 30, 10


class Server:
    """A server process and its address."""

    def __init__(self, command: list, address: str):
        self.address = address
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), *sys.path[:0]])}
        environment.pop("PYNQ_REMOTE_DEVICES", None)
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
        )
        assert self.process.stdout.readline() == f"ready {address}\n", self.errors()

    def errors(self) -> str:
        """What it has logged so far."""
        self.log.seek(0)
        return self.log.read()

    def set_faults(self, **faults) -> None:
        """Break the board, or repair it."""
        self.process.stdin.write(json.dumps(faults) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "set\n"

    def connect(self) -> RemoteDevice:
        """A client in this process; pynq's own way, by a variable read at import, is for clients of their own."""
        return RemoteDevice(0, self.address)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it by a signal; (exit status, the rest of stdout)."""
        self.process.send_signal(number)
        try:
            rest, _ = self.process.communicate(timeout=END_S)
        finally:
            self.process.kill()
        return self.process.returncode, rest


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
        server.stop(signal.SIGKILL)


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
    assert wait_for(lambda: free_kib(server.connect()) == 64 << 10)


def free_kib(device) -> int:
    """CmaFree of the board."""
    return int(device.read_file("/proc/meminfo").split(b"CmaFree:")[1].split()[0])


def wait_for(condition, seconds: float = 5.0) -> bool:
    """Whether ``condition`` comes true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


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
    return Reference().load(network).run(frames)


@pytest.fixture
def overlay(device, program):
    with QsnnOverlay(device=device, batch_size=BATCH_SIZE, timeout_s=TIMEOUT_S) as opened:
        yield opened.load_model(program)
