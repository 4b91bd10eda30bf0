"""Boards behind PYNQ.remote: three emulated ones, each in a server of its own, of which one dies and one hangs."""

import signal
import subprocess
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pynq.pl_server.remote_device", reason="needs pynq >= 3.1")
pytest.importorskip("distributed", reason="several boards need distributed")
pytest.importorskip("cryptography", reason="several boards need cryptography")

from farm import CHUNK, Model, board_processes, command, joined_boards

from pynq_qsnn.boards import BoardsLost, evaluate
from pynq_qsnn.boards.evaluation import _Evaluation
from pynq_qsnn.emulator.bitstream import write_overlay
from pynq_qsnn.hwspec import load_config

TIMEOUT_S = 10.0  # of the hung board; the others have it too, on a machine that is busy with other work


@pytest.fixture
def servers(tmp_path):
    """Board name -> process of its server."""
    names = [f"unix:{tmp_path}/board{number}" for number in range(3)]
    running = {name: subprocess.Popen(command("emulate", "--listen", name), stdout=subprocess.PIPE) for name in names}
    try:
        for name, process in running.items():
            assert process.stdout.readline().decode().split() == ["ready", name]
        yield running
    finally:
        for process in running.values():
            process.kill()
            process.communicate()


def test_nothing_is_lost_with_a_server(servers, monkeypatch):
    """SIGKILL for one server and SIGSTOP for another, each when its board has finished a chunk and all have joined."""
    model = Model(240)
    dead, hung, alive = servers
    faults = {dead: signal.SIGKILL, hung: signal.SIGSTOP}
    collect = _Evaluation._collect

    def collect_and_strike(self, index, result, error):
        collect(self, index, result, error)
        if len(faults) == 2:
            joined_boards(3)
        if result["board"] in faults:
            servers[result["board"]].send_signal(faults.pop(result["board"]))

    monkeypatch.setattr(_Evaluation, "_collect", collect_and_strike)
    result = evaluate(model.program, model.frames, list(servers), chunk=CHUNK, batch_size=2, timeout_s=TIMEOUT_S)
    assert np.array_equal(result.logits, model.logits) and result.done.all()
    reports = {board.name: board for board in result.boards}
    assert [reports[name].state for name in servers] == ["lost", "lost", "ready"]
    assert sum(board.frames for board in result.boards) == len(model.frames)
    assert reports[alive].method == "emulated (cycle model)"
    for name in (dead, hung):
        assert any(name in chunk.lost_on for chunk in result.chunks), reports[name]
    assert result.retries >= 2 and board_processes() == []


def test_a_board_with_another_overlay_is_lost_alone(servers, tmp_path, monkeypatch):
    """`bitfile` is loaded on the board at an address, which refuses it; the other board does the work with its own."""
    model, config = Model(24), load_config()
    bitfile = write_overlay(tmp_path, replace(config, maximum_steps=config.maximum_steps // 2))
    monkeypatch.chdir(tmp_path)
    first = next(iter(servers))
    result = evaluate(model.program, model.frames, [first, "emulated"], chunk=CHUNK, bitfile=bitfile.name)
    other, own = result.boards
    assert np.array_equal(result.logits, model.logits)
    assert (other.state, own.state, own.frames) == ("lost", "ready", len(model.frames))
    assert "not the emulated bitstream of overlay" in other.reason
    with pytest.raises(BoardsLost, match="no bitstream nowhere.bit"):
        evaluate(model.program, model.frames, [first], bitfile="nowhere.bit")
