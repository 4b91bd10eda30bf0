"""Board servers in processes of their own, as tests start and stop them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
END_S = 30


class Server:
    """A server process and its address."""

    def __init__(self, command: list, address: str):
        self.address = address
        paths = filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        environment.pop("PYNQ_REMOTE_DEVICES", None)
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
            cwd=HERE.parents[1],
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

    def connect(self):
        """A client in this process; pynq's own way, by a variable read at import, is for clients of their own."""
        from pynq.pl_server.remote_device import RemoteDevice

        return RemoteDevice(0, self.address)

    def free_kib(self) -> int:
        """CmaFree of the board, over a connection that is closed again."""
        device = self.connect()
        try:
            return free_kib(device)
        finally:
            device.client.channel.close()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it by a signal; (exit status, the rest of stdout)."""
        self.process.send_signal(number)
        try:
            rest, _ = self.process.communicate(timeout=END_S)
        finally:
            self.process.kill()
        return self.process.returncode, rest


def free_kib(device) -> int:
    """CmaFree of the board."""
    return int(device.read_file("/proc/meminfo").split(b"CmaFree:")[1].split()[0])


def wait_for(condition, seconds: float = 30.0) -> bool:
    """Whether ``condition`` comes true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
