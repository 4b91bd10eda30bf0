"""One model on several boards: exact and complete whatever happens to them."""

import gc
import queue
import signal
import subprocess
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pynq", reason="the boards' processes need pynq")
pytest.importorskip("distributed", reason="several boards need distributed")
pytest.importorskip("cryptography", reason="several boards need cryptography")

from farm import CHUNK, Model, board_processes, command, joined_boards, read_json, wait_for, write_model

from pynq_qsnn.boards import BoardsLost, evaluate, evaluation
from pynq_qsnn.boards.address import parse_boards
from pynq_qsnn.boards.engine import Engine
from pynq_qsnn.boards.evaluation import AHEAD
from pynq_qsnn.boards.process import BoardProcess
from pynq_qsnn.cli import main
from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import ConfigError, FrameError, ModelFileError
from pynq_qsnn.hwspec import load_config
from pynq_qsnn.reference import Reference

TIMEOUT_S = 10.0  # of the hung board; the other has it too, on a machine that is busy with other work


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


def test_a_program_for_another_overlay(model):
    """It is each board's loss, for boards may differ: the reason is there when the last one is lost."""
    config = load_config()
    other = replace(config, maximum_steps=config.maximum_steps // 2)
    program = compile_network(model.program.network, other)
    with pytest.raises(BoardsLost, match="emulated-1, emulated-2: .*expected fingerprint .*Compile the network"):
        evaluate(program, model.frames, ["emulated", "emulated"])


def test_a_models_error_ends_it_at_once(model, monkeypatch):
    """Another board would say the same: the first one's error is raised, with its type."""

    def save(self, path):
        path.write_bytes(b"damaged on its way to the boards")

    monkeypatch.setattr(type(model.program), "save", save)
    with pytest.raises(ModelFileError) as caught:
        evaluate(model.program, model.frames, ["emulated", "emulated"])
    assert not caught.value.result.done.any()


def test_a_board_that_dask_forgets_is_lost(model, monkeypatch):
    """Its process is stopped, so that it does not notice; without an answer it would be waited for without end."""
    engines = []

    class Kept(Engine):
        def __enter__(self):
            engines.append(self)
            return self

    def progress(count):
        if not engines:
            return  # of a chunk that came while this was done
        client, (worker,) = engines[0]._client, engines.pop().workers()
        joined_boards(1)[0].suspend()
        client.sync(client.cluster.scheduler.remove_worker, worker, stimulus_id="test")

    monkeypatch.setattr(evaluation, "Engine", Kept)
    with pytest.raises(BoardsLost, match="lost the connection to its process") as caught:
        evaluate(model.program, model.frames, ["emulated"], chunk=CHUNK, progress=progress)
    assert 0 < caught.value.result.done.sum() < len(model.frames)


def test_dask_itself_gives_up_no_silent_board():
    with Engine(1) as engine:
        assert engine._client.cluster.scheduler.worker_ttl is None


@pytest.mark.parametrize(
    "child, reason",
    [
        ("import os; os._exit(3)", "its process ended with status 3: no message"),
        ("print('{\"event\": \"rea', end='', flush=True); import os; os._exit(0)", "cut off"),
        ("import os; os.kill(os.getpid(), 35)", "was killed by signal 35"),
    ],
)
def test_a_process_that_dies_at_once_is_its_boards_loss(child, reason, tmp_path, monkeypatch):
    """Its death may come before its settings are written, or in the middle of a report."""
    monkeypatch.setattr("pynq_qsnn.boards.process.BOOTSTRAP", child)
    events: queue.Queue = queue.Queue()
    settings = {"filler": "x" * (1 << 20)}  # more than a pipe holds: the write meets the death
    process = BoardProcess(parse_boards(["emulated"])[0], settings, tmp_path, events)
    source, report = events.get(timeout=60)
    assert source is process and report["event"] == "exited" and reason in report["reason"]
    process.ask_to_end()
    process.join(0)


def test_an_interruption_keeps_what_is_done(model, tmp_path, monkeypatch):
    """Ctrl-C: --json is written with the rows that are done."""
    collect, file = evaluation._Evaluation._collect, tmp_path / "result.json"

    def collect_and_interrupt(self, *event):
        collect(self, *event)
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation._Evaluation, "_collect", collect_and_interrupt)
    assert main([*write_model(tmp_path, model), "--boards", "emulated", "--json", str(file)]) == 130
    content = read_json(file)
    assert content["frames"] == CHUNK and content["predictions"].count(None) == len(model.frames) - CHUNK


@pytest.mark.parametrize("nbytes, batch, size", [(100_000, 16, 80), (1 << 20, 16, 8), (10, 48, 480), (10, 1000, 1000)])
def test_default_chunks_are_whole_batches(nbytes, batch, size):
    """Unless a batch is too large to travel."""
    frames = np.broadcast_to(np.zeros(1, np.uint8), (100_000, nbytes))
    assert evaluation._chunk_size(frames, None, batch, 1) == size


def test_kernels_rates_come_from_full_batches(model):
    """A batch that is not full takes longer for each frame."""
    full, rest = (
        evaluate(model.program, model.frames[:count], ["emulated"], chunk=6, batch_size=4) for count in (4, 6)
    )
    assert full.boards[0].kernel_fps > 0 and rest.boards[0].kernel_fps is None and rest.boards[0].frames == 6


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


def test_differences_are_written_before_they_are_an_error(model, tmp_path, monkeypatch, capsys):
    """--check --json of `evaluate` and of `run`: which frames differ is in the file."""
    right = Reference.run

    def wrong(self, frames):
        logits = right(self, frames).copy()
        logits[[2, 5]] += 1
        return logits

    monkeypatch.setattr(Reference, "run", wrong)
    arguments = write_model(tmp_path, model)
    evaluated, ran = tmp_path / "evaluate.json", tmp_path / "run.json"
    options = ["--check", "--frames", "8", "--json"]
    assert main([*arguments, "--boards", "emulated", *options, str(evaluated)]) == 2
    assert main(["run", *arguments[1:4], "--emulate", *options, str(ran)]) == 2
    assert capsys.readouterr().err.count("2 of 8 frames differ from the reference executor: 2, 5") == 2
    for content in (read_json(evaluated), read_json(ran)):
        assert content["frames_differing_from_reference"] == 2 and content["differing_frames"] == [2, 5]
        assert len(content["predictions"]) == 8


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_no_process_outlives_the_command(model, tmp_path, number, status):
    """Ctrl-C ends the boards' processes; where the parent is killed they notice it themselves."""
    arguments = command(*write_model(tmp_path, model), "--boards", "emulated", "emulated")
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        children = wait_for(lambda: (found := board_processes(process.pid)) and len(found) == 2 and found)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == status
        assert "Traceback" not in errors
    wait_for(lambda: not any(child.is_running() for child in children))
