"""Boards behind PYNQ.remote: three emulated ones, each in a server of its own, of which one dies and one hangs."""

import subprocess

import numpy as np
import pytest

pytest.importorskip("pynq.pl_server.remote_device", reason="needs pynq >= 3.1")
pytest.importorskip("distributed", reason="several boards need distributed")
pytest.importorskip("cryptography", reason="several boards need cryptography")

from farm import CHUNK, Model, board_processes, command

from pynq_qsnn.boards import evaluate

TIMEOUT_S = 4.0


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


def test_nothing_is_lost_with_a_server(servers):
    """SIGKILL for one server and SIGSTOP for another, when every board has finished a chunk."""
    model = Model(240)
    dead, hung, alive = servers
    done = 0

    def progress(count):
        nonlocal done
        done += count
        if done == 80:
            servers[dead].kill()
        elif done == 120:
            servers[hung].send_signal(19)

    result = evaluate(
        model.program, model.frames, list(servers), chunk=CHUNK, batch_size=2, progress=progress, timeout_s=TIMEOUT_S
    )
    assert np.array_equal(result.logits, model.logits) and result.done.all()
    reports = {board.name: board for board in result.boards}
    assert [reports[name].state for name in servers] == ["lost", "lost", "ready"]
    assert sum(board.frames for board in result.boards) == len(model.frames)
    assert reports[alive].method == "emulated (cycle model)"
    for name in (dead, hung):
        assert any(name in chunk.lost_on for chunk in result.chunks), reports[name]
    assert result.retries >= 2 and board_processes() == []
