"""Calls, threads and errors of the simulator."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from random_networks import Limits, random_frames, random_network

from pynq_qsnn.errors import ConfigError, FrameError, QsnnError, ToolMissing
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime import simulator as simulator_module
from pynq_qsnn.runtime.simulator import Simulator


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def model(rng):
    """A network, 41 frames and their logits."""
    network = random_network(rng, Limits(max_layers=4, static_input=False))
    frames = random_frames(rng, network, 41)
    return network, frames, Reference().load(network).run(frames)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 40, 1000])
def test_threads_and_batches_change_nothing(model, threads, batch_size):
    network, frames, logits = model
    assert np.array_equal(Simulator(threads).load(network).run(frames, batch_size), logits)


def test_runs_leave_no_state(model, rng):
    """A-B-A: neither another network nor another batch nor a trace changes a later run."""
    network, frames, logits = model
    simulator = Simulator().load(network)
    other = random_network(rng)
    for _ in range(2):
        assert np.array_equal(simulator.run(frames), logits)
        assert np.array_equal(simulator.run(frames[::-1]), logits[::-1])
        simulator.trace(frames[:3])
        simulator.load(other).run(random_frames(rng, other, 5))
        simulator.load(network)


def test_accepts_a_program_and_strided_frames(model):
    network, frames, logits = model
    simulator = Simulator().load(SimpleNamespace(network=network))
    assert np.array_equal(simulator.run(np.asfortranarray(frames)), logits)
    assert np.array_equal(simulator.run(frames[::3]), logits[::3])
    assert np.array_equal(simulator.predict(frames), logits.argmax(axis=1))


def test_python_threads_may_share_a_simulator(model):
    network, frames, logits = model
    simulator, found = Simulator(threads=2).load(network), [None] * 4

    def work(i):
        found[i] = [simulator.run(frames, 5) for _ in range(5)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(found))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(np.array_equal(result, logits) for results in found for result in results)


def test_interrupt_between_batches(model, monkeypatch):
    network, frames, logits = model
    simulator = Simulator().load(network)
    run, calls = simulator_module._Engine.run, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        run(*args)

    monkeypatch.setattr(simulator_module._Engine, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulator.run(frames, 10)
    assert np.array_equal(simulator.run(frames, 10), logits)


def test_frame_errors(model):
    network, frames, logits = model
    simulator = Simulator().load(network)
    for bad in (frames.astype(np.float32), frames[0], frames[:, :, :, :-1], frames[:0], frames.tolist()):
        for call in (simulator.run, simulator.trace, simulator.predict):
            with pytest.raises(FrameError):
                call(bad)
    if network.input.s_max < 255:
        with pytest.raises(FrameError, match=str(network.input.s_max)):
            simulator.run(np.full_like(frames, network.input.s_max + 1))
    assert np.array_equal(simulator.run(frames), logits)


def test_settings_are_checked(model):
    network, frames, _ = model
    with pytest.raises(ConfigError, match="threads is 0"):
        Simulator(threads=0)
    with pytest.raises(ConfigError, match="batch_size is 0"):
        Simulator().load(network).run(frames, 0)
    with pytest.raises(QsnnError, match="load"):
        Simulator().run(frames)


def test_without_a_compiler(model, monkeypatch):
    """The message names the remedy and the executor that needs no compiler; a loaded network stays usable."""
    network, frames, logits = model
    simulator = Simulator().load(network)
    monkeypatch.setenv("PATH", "")
    simulator_module._library.cache_clear()
    with pytest.raises(ToolMissing, match=r"apt-get install g\+\+.*Reference"):
        simulator.load(network)
    assert np.array_equal(simulator.run(frames), logits)
