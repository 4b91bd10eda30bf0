"""What the tests of several boards share: a model whose answers are known, and the boards' processes."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from random_networks import Limits, random_frames, random_network

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.reference import Reference

CHUNK = 4


class Model:
    """A small program, ``count`` frames and their logits by the reference."""

    def __init__(self, count: int):
        rng = np.random.default_rng(7)
        network = random_network(rng, Limits(max_layers=2, max_channels=17, max_size=8, max_steps=2))
        self.program = compile_network(network)
        self.frames = random_frames(rng, network, count)
        self.logits = Reference().load(network).run(self.frames)


def board_processes(parent: int | None = None) -> list[psutil.Process]:
    """Processes of boards that this process, or ``parent``, has started."""
    children = psutil.Process(parent).children(recursive=True)
    return [child for child in children if "pynq_qsnn.boards.worker" in " ".join(_command(child))]


def joined_boards(count: int) -> list[psutil.Process]:
    """The processes of ``count`` boards, once all of them have joined the scheduler and can be given work."""

    def joined():
        found = [p for p in board_processes() if any(c.status == "ESTABLISHED" for c in p.net_connections("tcp"))]
        return found if len(found) == count else None

    return wait_for(joined)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def wait_for(condition, seconds: float = 60.0):
    """The first true value of ``condition()``; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.05)
    return value


def write_model(folder: Path, model: Model) -> list[str]:
    """The model's program and frames as files; gives the arguments of ``pynq-qsnn evaluate`` that name them."""
    model.program.save(folder / "model.qprog")
    np.save(folder / "frames.npy", model.frames)
    return ["evaluate", str(folder / "model.qprog"), "--input", str(folder / "frames.npy"), "--chunk", str(CHUNK)]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pynq_qsnn", *arguments]


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())
