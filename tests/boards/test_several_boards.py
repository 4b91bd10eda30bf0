"""One model on several boards: exact and complete whatever happens to them."""

import gc
import signal
import subprocess
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pynq", reason="the boards' processes need pynq")
pytest.importorskip("distributed", reason="several boards need distributed")
pytest.importorskip("cryptography", reason="several boards need cryptography")

from farm import CHUNK, Model, board_processes, command, joined_boards, read_json, wait_for, write_model

from pynq_qsnn.boards import BoardsLost, evaluate
from pynq_qsnn.boards.evaluation import AHEAD
from pynq_qsnn.cli import main
from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import ConfigError, FrameError, ModelFileError, SpecMismatch
from pynq_qsnn.hwspec import load_config

TIMEOUT_S = 3.0


@pytest.fixture(scope="module")
def model():
    return Model(120)


@pytest.fixture(autouse=True)
def nothing_stays(caplog):
    """Neither a process nor a task whose error nobody has asked for: asyncio complains of those to the user."""
    yield
    assert board_processes() == []
    gc.collect()
    assert not [record for record in caplog.get_records("call") + caplog.records if record.name == "asyncio"]


class Counting(np.ndarray):
    """Frames that count how many of them have been taken out."""

    taken = 0

    def __getitem__(self, key):
        if isinstance(key, slice):
            Counting.taken += len(range(*key.indices(len(self))))
        return super().__getitem__(key)


def test_no_more_frames_are_sent_than_boards_can_take(model):
    """Two boards, the second of which is killed: every row is right and few frames are on their way at any time."""
    most, done, killed = 0, 0, []

    def progress(count):
        nonlocal most, done
        done += count
        most = max(most, Counting.taken - done)
        if not killed:
            killed.append(joined_boards(2)[0])
            killed[0].kill()

    Counting.taken = 0
    frames = model.frames.view(Counting)
    result = evaluate(model.program, frames, ["emulated", "emulated"], chunk=CHUNK, batch_size=2, progress=progress)
    assert np.array_equal(result.logits, model.logits) and result.logits.dtype == np.int32
    assert done == Counting.taken == len(frames) and 0 < most <= AHEAD * 2 * CHUNK
    lost, kept = sorted(result.boards, key=lambda board: board.state)
    assert (lost.state, kept.state) == ("lost", "ready")
    assert lost.reason == "its process was killed by SIGKILL"
    assert lost.frames + kept.frames == len(frames)
    assert [(chunk.first, chunk.last) for chunk in result.chunks] == [
        (first, first + CHUNK) for first in range(0, len(frames), CHUNK)
    ]
    assert all(set(chunk.lost_on) <= {lost.name} for chunk in result.chunks)
    assert kept.method == "emulated (cycle model)" and kept.kernel_fps > 0 and kept.fps > 0


def test_a_board_that_hangs_is_given_up(model):
    """One is not there from the start, one stops in the middle, the third does it all."""
    stopped = []

    def progress(count):
        if not stopped:
            stopped.append(joined_boards(2)[0])
            stopped[0].suspend()

    names = ["emulated", "unix:/nowhere/board", "emulated"]
    result = evaluate(model.program, model.frames, names, chunk=CHUNK, progress=progress, timeout_s=TIMEOUT_S)
    assert np.array_equal(result.logits, model.logits)
    one, absent, two = result.boards
    assert absent.state == "lost" and "nobody answers at unix:/nowhere/board" in absent.reason
    hung, other = sorted((one, two), key=lambda board: board.state)
    assert (hung.state, other.state) == ("lost", "ready")
    assert hung.reason.startswith(f"it finished no chunk within {TIMEOUT_S:g} s")
    assert hung.frames + other.frames == len(model.frames) and absent.frames == 0


def test_all_boards_die(model):
    def progress(count):
        for process in board_processes():
            process.kill()

    with pytest.raises(BoardsLost) as caught:
        evaluate(model.program, model.frames, ["emulated", "emulated"], chunk=CHUNK, progress=progress)
    result = caught.value.result
    assert [board.state for board in result.boards] == ["lost", "lost"]
    assert 0 < result.done.sum() < len(model.frames)
    assert np.array_equal(result.logits[result.done], model.logits[result.done])
    assert sum(last - first for first, last in result.done_ranges) == result.done.sum()
    for first, last in result.done_ranges:
        assert f"{first}..{last - 1}" in str(caught.value)
    assert "emulated-1, emulated-2: its process was killed by SIGKILL" in str(caught.value)


def test_no_board_at_all(model):
    with pytest.raises(BoardsLost, match=r"after 0 of 120 frames.*nobody answers.*done: none"):
        evaluate(model.program, model.frames, ["unix:/nowhere/1", "unix:/nowhere/2"])


def test_no_emulated_board_stands_in_for_a_local_one(model):
    from pynq_qsnn.runtime.locate import find_device

    if find_device() is not None:
        pytest.skip("this machine has a board")
    with pytest.raises(BoardsLost, match="local: pynq finds no device on this machine"):
        evaluate(model.program, model.frames, ["local"])


def test_a_models_error_ends_it_at_once(model):
    """Another board would say the same: the first one's error is raised, with its type and what it carries."""
    config = load_config()
    other = replace(config, maximum_steps=config.maximum_steps // 2)
    program = compile_network(model.program.network, other)
    with pytest.raises(SpecMismatch) as caught:
        evaluate(program, model.frames, ["emulated", "emulated"])
    assert caught.value.expected != caught.value.found and "Compile the network" in str(caught.value)


def test_wrong_input_starts_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    network = model.program.network
    network.save(tmp_path / "model.qsnn")
    boards = ["emulated"]
    for frames in (model.frames.astype(np.float32), model.frames[:, :, :1], model.frames[:0]):
        with pytest.raises(FrameError):
            evaluate(model.program, frames, boards)
    with pytest.raises(ModelFileError, match="pynq-qsnn compile"):
        evaluate(tmp_path / "model.qsnn", model.frames, boards)
    with pytest.raises(ConfigError, match="named twice"):
        evaluate(model.program, model.frames, ["local", "local"])
    for option in ("chunk", "batch_size", "timeout_s", "start_timeout_s"):
        with pytest.raises(ConfigError, match=option):
            evaluate(model.program, model.frames, boards, **{option: 0})
    with pytest.raises(ConfigError, match="travel together"):
        evaluate(model.program, model.frames, boards, chunk=1 << 24)


def test_command(model, tmp_path, capsys):
    file = tmp_path / "result.json"
    arguments = [*write_model(tmp_path, model), "--boards", "emulated", "unix:/nowhere/board", "--check"]
    assert main([*arguments, "--json", str(file)]) == 0
    output = capsys.readouterr()
    assert "all 120 frames equal the reference" in output.out and "kernel fps, emulated (cycle model)" in output.out
    assert "unix:/nowhere/board is lost: nobody answers" in output.err
    content = read_json(file)
    assert content["predictions"] == model.logits.argmax(axis=1).tolist()
    assert [board["frames"] for board in content["boards"]] == [120, 0]
    assert content["frames_differing_from_reference"] == 0


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_no_process_outlives_the_command(model, tmp_path, number, status):
    """Ctrl-C ends the boards' processes; where the parent is killed they notice it themselves."""
    arguments = command(*write_model(tmp_path, model), "--boards", "emulated", "emulated")
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        children = wait_for(lambda: (found := board_processes(process.pid)) and len(found) == 2 and found)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == status
        assert "Traceback" not in errors
    wait_for(lambda: not any(child.is_running() for child in children), 10)
