"""Calls, threads and errors of the simulator."""

import subprocess
import sys
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


OUT_OF_MEMORY = """
import re, resource
import numpy as np
from pynq_qsnn.network import Attention, Head, Network, Pool, TensorType
from pynq_qsnn.neuron import Affine, Neuron
from pynq_qsnn.runtime.simulator import Simulator

def affine(channels):
    return Affine(np.ones(channels, int), np.full(channels, 8), np.zeros(channels, int))

train = TensorType((512, 16, 16), 1, 16, 1)
attention = Attention("a", "input", "input", "input", 1, Neuron(affine(512), 1), 1)
head = Head("head", "p", np.ones((2, 512), np.int8), 1, affine(2))
network = Network("large", train, 16, (attention, Pool("p", "a", "maximum", 16, 16), head))
simulator, frames = Simulator(1).load(network), np.zeros((1, 16, 512, 16, 16), np.uint8)
size = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + (16 << 20), resource.RLIM_INFINITY))
try:
    simulator.run(frames)
except MemoryError as error:
    print("MemoryError:", error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(simulator.run(frames).tolist())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
def test_memory_that_ends_within_a_layer_is_an_error_and_the_simulator_goes_on():
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "MemoryError: the simulator ran out of memory; use a smaller batch_size",
        "[[0, 0]]",
    ]
