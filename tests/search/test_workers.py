"""Worker processes: their results, what they refuse, how they die, and that none outlives its parent."""

import multiprocessing
import os
import signal
import time

import pytest
import worker_tasks

from pynq_qsnn.errors import QsnnError
from pynq_qsnn.search.workers import Workers, read_result


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """Without the packages of training: these processes do not train."""
    monkeypatch.setattr("pynq_qsnn.search.workers.PRELOADED", [])


def test_results_refusals_and_deaths(tmp_path):
    with Workers(3) as workers:
        workers.start("good", tmp_path / "good", worker_tasks.succeed, 3)
        workers.start("bad", tmp_path / "bad", worker_tasks.refuse)
        workers.start("dead", tmp_path / "dead", worker_tasks.be_killed)
        assert workers.free == 0
        statuses = dict(workers.wait() for _ in range(3))
        assert statuses == {"good": 0, "bad": 0, "dead": -signal.SIGKILL} and workers.free == 3
        workers.start("broken", tmp_path / "broken", worker_tasks.miss_a_package)
        assert workers.wait() == ("broken", 0)
        workers.start("endless", tmp_path / "endless", worker_tasks.go_on_for_ever)
        (endless,) = workers.running.values()
    assert endless.exitcode == -signal.SIGKILL
    assert read_result(tmp_path / "good") == {"value": 3}
    assert read_result(tmp_path / "bad") == {"refused": "too wide"}
    assert read_result(tmp_path / "dead") is None
    with pytest.raises(QsnnError, match="no torch"):
        read_result(tmp_path / "broken")


def test_a_worker_ends_with_its_parent(tmp_path):
    parent = multiprocessing.get_context("spawn").Process(target=worker_tasks.begin_and_be_killed, args=(tmp_path,))
    parent.start()
    parent.join()
    worker, end = int((tmp_path / "pid").read_text()), time.monotonic() + 60
    while os.path.exists(f"/proc/{worker}"):
        assert time.monotonic() < end, "the worker lives on"
        time.sleep(0.01)
