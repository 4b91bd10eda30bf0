"""The simulated kernel as the emulated board sees it: registers, streams, errors, time."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from random_networks import Limits, random_frames, random_network

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import ConfigError, DeviceError, SpecMismatch, ToolMissing
from pynq_qsnn.files import CACHE_VARIABLE
from pynq_qsnn.hwspec import INSTRUCTION, PROGRAM_HEADER, HardwareConfig, cpp_header, load_config, record_words
from pynq_qsnn.network import Conv2d, Head, Network, Pool, TensorType
from pynq_qsnn.neuron import Affine, Neuron
from pynq_qsnn.packing import WORD_BYTES, pack_frames
from pynq_qsnn.paths import resource
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime import csim
from pynq_qsnn.runtime.csim import CsimExecutor, KernelSimulation, build_library, call_memory
from pynq_qsnn.runtime.native_build import build
from pynq_qsnn.runtime.status import describe_status

CONFIG = load_config()
HEADER_WORDS = record_words(PROGRAM_HEADER)


@pytest.fixture(scope="module")
def network():
    return random_network(np.random.default_rng(8), Limits(max_layers=3))


@pytest.fixture(scope="module")
def program(network):
    return compile_network(network)


@pytest.fixture(scope="module")
def frames(network):
    return random_frames(np.random.default_rng(9), network, 2)


@pytest.fixture
def simulation(library):
    made = KernelSimulation(library=library)
    yield made
    made.close()


class Call:
    """Memory and registers of one call."""

    def __init__(self, compiled, num_frames: int, **changed: int):
        self.memory, self.registers = call_memory(compiled, num_frames)
        self.registers.update(changed)

    def start(self, simulation: KernelSimulation) -> None:
        simulation.start(self.memory.ctypes.data, self.memory.nbytes, self.registers)


def test_fingerprint_is_the_contracts(simulation):
    assert simulation.fingerprint == CONFIG.fingerprint64


def test_a_starved_kernel_goes_on(simulation, program, frames, network):
    call = Call(program, 2)
    call.start(simulation)
    beats = pack_frames(frames, network, CONFIG).tobytes()
    half = len(beats) // 2 // WORD_BYTES * WORD_BYTES
    simulation.push(beats[:half], False)
    assert not simulation.advance() and not simulation.done
    assert "execute waits to read frames" in simulation.blocked
    assert describe_status(simulation.status).startswith("RUNNING")
    with pytest.raises(DeviceError, match="while it runs"):
        call.start(simulation)
    simulation.push(beats[half:], True)
    assert simulation.advance() and simulation.done
    logits = np.frombuffer(b"".join(iter_beats(simulation)), "<i4").reshape(2, -1)[:, : len(network.head.weight)]
    assert np.array_equal(logits, Reference().load(network).run(frames))
    assert simulation.log_count == len(program.executions(2))


def iter_beats(simulation: KernelSimulation):
    while beat := simulation.pop():
        yield beat[0]


def test_reset_recovers_a_hung_kernel(simulation, program, frames, network):
    hung = Call(program, 1)
    hung.start(simulation)
    assert not simulation.advance()
    simulation.reset()
    call = Call(program, 2)
    call.start(simulation)
    simulation.push(pack_frames(frames, network, CONFIG).tobytes(), True)
    assert simulation.advance() and simulation.status == 0


@pytest.mark.parametrize(
    "word, byte, status",
    [
        (0, 0, "BAD_MAGIC (.*), instruction 0"),
        (0, 4, "BAD_FINGERPRINT (.*), instruction 0"),
        (0, 15, "BAD_FINGERPRINT (.*), instruction 0"),
        (1, 0, "BAD_FIELD (.*), instruction 0"),  # split
        (HEADER_WORDS, 0, "BAD_OPCODE (.*), instruction 0"),
        (HEADER_WORDS + record_words(INSTRUCTION), 6, "BAD_FIELD (.*), instruction 1"),
    ],
)
def test_a_bad_program_is_refused(simulation, program, frames, network, word, byte, status):
    call = Call(program, 2)
    call.memory[word, byte] ^= 0xF0
    call.start(simulation)
    simulation.push(pack_frames(frames, network, CONFIG).tobytes(), True)
    assert simulation.advance()
    assert re.match(status, describe_status(simulation.status))
    assert simulation.pop() is None


@pytest.mark.parametrize("register", ["program", "weights_even", "weights_odd", "spill", "log"])
def test_addresses_outside_the_memory_are_refused(simulation, program, register):
    for address in (2**40, 2**64 - 16, 8):
        with pytest.raises(DeviceError, match=register):
            Call(program, 1, **{register: address}).start(simulation)


def test_wrong_use_is_an_error(simulation, program):
    with pytest.raises(ConfigError, match="log_entries"):
        simulation.start(0, 0, {"program": 0})
    with pytest.raises(DeviceError, match="whole beats"):
        simulation.push(b"123", True)
    with pytest.raises(DeviceError, match="leave the banks"):
        simulation.activations(CONFIG.activation_bank_words, 1)
    with pytest.raises(DeviceError, match="no timing constant"):
        simulation.set_timing("luck", 7)
    simulation.close()
    simulation.close()
    with pytest.raises(DeviceError, match="closed"):
        Call(program, 1).start(simulation)


def test_a_foreign_program_is_refused(executor, program):
    with pytest.raises(SpecMismatch) as caught:
        executor.load(replace(program, fingerprint="00" * 32))
    assert caught.value.expected == CONFIG.fingerprint


def test_time_changes_no_result(library, program, frames):
    cycles = []
    for timing in ({}, {"stream_latency": 1, "ddr_read_ns": 8}, {"stream_latency": 31, "ddr_read_ns": 16000}):
        executor = CsimExecutor(library=library).load(program)
        for name, value in timing.items():
            executor.simulation.set_timing(name, value)
        logits = executor.run(frames)
        assert np.array_equal(logits, Reference().load(program.network).run(frames))
        start, end = executor.log[:, 0], executor.log[:, 1]
        assert len(executor.executions) == len(start)
        assert (end > start).all() and (start[1:] >= end[:-1]).all()
        cycles.append(int(end[-1] - start[0]))
        executor.close()
    assert cycles[1] < cycles[0] < cycles[2]


def test_measured_time_is_near_the_closed_form(executor):
    """Two derivations that share no code: the event model and the compiler's formula, for layers bound by the array."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-7, 8, (64, 64, 3, 3), dtype=np.int8)
    affine = Affine(np.full(64, 900), np.full(64, 5), np.zeros(64, np.int64))
    layers = (
        Conv2d("a", "input", weight, 4, Neuron(affine, 3), 2, 1, 1),
        Conv2d("b", "a", weight, 4, Neuron(affine, 3), 2, 2, 1, 1),
        Pool("p", "b", "average", 8, 8),
        Head("head", "p", weight[:10, :, 0, 0], 4, Affine(*(np.ones(10, np.int64),) * 3)),
    )
    program = compile_network(Network("timed", TensorType((64, 16, 16), 4, 2, 15), 2, layers))
    executor.load(program).run(rng.integers(0, 16, (1, 2, 64, 16, 16), np.uint8))
    for step, cycles in zip(program.steps, executor.cycles_by_instruction()):
        if step.layer in ("a", "b"):
            assert step.bound == "compute" and abs(cycles / step.predicted_cycles - 1) < 0.05


def test_no_compiler_or_headers_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv(csim.AP_TYPES_VARIABLE, str(tmp_path))
    with pytest.raises(ToolMissing, match="hls4ml"):
        build_library()
    monkeypatch.delenv(csim.AP_TYPES_VARIABLE)
    monkeypatch.setattr(csim, "AP_TYPES_PACKAGES", ())
    with pytest.raises(ToolMissing, match="pip install"):
        build_library()


def small_overlay() -> HardwareConfig:
    """Two slots, 16 output lanes, the smallest weight ring, twelve tiles: the numbers of config.json are parameters."""
    return replace(
        CONFIG,
        name="small",
        slots=2,
        activation_banks=2,
        output_lanes=16,
        block_groups=16,
        minimum_groups=4,
        weight_ring_beats=48,
        maximum_steps=16,
        activation_bank_words=16384,
    )


@pytest.fixture(scope="module")
def shallow_library(tmp_path_factory):
    """Kernel of the small overlay with every stream one token deep, but for the partial sums of a block."""
    cache = tmp_path_factory.mktemp("shallow")
    tree = cache / "hls"
    shutil.copytree(resource("hls"), tree, ignore=shutil.ignore_patterns("build"))
    types = tree / "src" / "types.hpp"
    shallow, count = re.subn(r"(constexpr int k(?!PartialSum)\w+Depth =)[^;]+;", r"\1 1;", types.read_text())
    assert count == 9
    types.write_text(shallow)
    (tree / "include" / "hw_spec.hpp").write_text(cpp_header(small_overlay()))
    folders = [tree / "include", tree / "src", tree / "sim", csim.ap_types()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(cache))
        return build("qsnn_shallow", [tree / "test" / "bridge.cpp"], ("-O1", *csim.FLAGS[1:]), folders)


def test_another_overlay_with_shallow_streams_computes_the_same(shallow_library):
    config = small_overlay()
    executor = CsimExecutor(config, shallow_library)
    assert executor.simulation.fingerprint == config.fingerprint64
    for seed in range(40):
        rng = np.random.default_rng(seed)
        network = random_network(rng)
        frames = random_frames(rng, network, 1)
        logits = executor.load(compile_network(network, config)).run(frames)
        assert np.array_equal(logits, Reference().load(network).run(frames)), seed
    executor.close()


def test_headers_of_another_overlay_are_generated():
    assert csim._header_folder(CONFIG) == resource("hls", "include")
    folder = csim._header_folder(small_overlay())
    assert f"kFingerprint = 0x{small_overlay().fingerprint64:016X}" in (folder / "hw_spec.hpp").read_text()


def test_an_error_leaves_nothing_for_the_next_call(library, program, frames):
    executor = CsimExecutor(library=library)
    code = program.code.copy()
    code[HEADER_WORDS, 0] = 99
    with pytest.raises(DeviceError, match="BAD_OPCODE"):
        executor.load(replace(program, code=code)).run(frames)
    logits = executor.load(program).run(frames)
    assert np.array_equal(logits, Reference().load(program.network).run(frames))
    executor.close()
