"""The event model behind the kernel's clocks: what each of its constants moves, and what it must not.

One network with a layer for each bound: `wide` waits for the array, `narrow` (1x1) for the integration unit, `deeper`
for its weights, with a ring that `deep` before it has emptied. A constant that changes by some factor moves the layers
that it binds by that factor, and leaves the others their clocks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import ConfigError, DeviceError
from pynq_qsnn.network import Conv2d, Head, Network, Pool, TensorType
from pynq_qsnn.neuron import Affine, Neuron
from pynq_qsnn.paths import resource
from pynq_qsnn.prediction import PORT_EFFICIENCY
from pynq_qsnn.runtime.csim import CsimExecutor, StageTimes

NUM_STEPS = 4


def timed_network(seed: int) -> Network:
    rng = np.random.default_rng(seed)

    def affine(channels: int) -> Affine:
        return Affine(rng.integers(500, 900, channels), np.full(channels, 5), np.zeros(channels, np.int64))

    def conv(name: str, source: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> Conv2d:
        weight = rng.integers(-7, 8, (outputs, inputs, kernel, kernel), dtype=np.int8)
        return Conv2d(name, source, weight, 8, Neuron(affine(outputs), 1), 1, stride, kernel // 2)

    layers = (
        conv("wide", "input", 64, 32, 5),
        conv("narrow", "wide", 32, 128, 1),
        Pool("half", "narrow", "maximum", 2, 2),
        conv("deep", "half", 128, 512, 3, stride=2),
        conv("deeper", "deep", 512, 512, 3),
        Pool("global", "deeper", "average", 4, 4),
        Head("head", "global", rng.integers(-7, 8, (32, 512), dtype=np.int8), 8, affine(32)),
    )
    return Network("timed", TensorType((64, 16, 16), 1, NUM_STEPS, 1), NUM_STEPS, layers)


@dataclass(frozen=True)
class Run:
    log: np.ndarray
    layers: tuple[str, ...]
    stages: list[StageTimes]

    def cycles(self, layer: str) -> int:
        start, end = map(int, self.log[self.layers.index(layer)])
        return end - start

    def stage(self, name: str, layer: str) -> StageTimes:
        """The run of a stage inside the execution of a layer."""
        start, end = map(int, self.log[self.layers.index(layer)])
        (found,) = (s for s in self.stages if s.stage == name and start <= s.begin and s.end <= end)
        return found


@pytest.fixture(scope="module")
def program():
    return compile_network(timed_network(1))


@pytest.fixture(scope="module")
def timed(library, program):
    """Run one frame under changed constants; each run on a kernel of its own."""

    def run(changed: dict[str, int] | None = None, of=program, seed: int = 0) -> Run:
        executor = CsimExecutor(library=library).load(of)
        for name, value in (changed or {}).items():
            executor.simulation.set_timing(name, value)
        executor.run(np.random.default_rng(seed).integers(0, 2, (1, NUM_STEPS, 64, 16, 16), np.uint8))
        made = Run(executor.log, tuple(step.layer for step in of.steps), executor.simulation.stage_times())
        executor.close()
        return made

    return run


@pytest.fixture(scope="module")
def base(timed):
    return timed()


def ratio(changed: Run, base: Run, layer: str) -> float:
    return changed.cycles(layer) / base.cycles(layer)


def test_the_layers_are_bound_by_what_their_names_say(program):
    bounds = {step.layer: step.bound for step in program.steps}
    assert [bounds[layer] for layer in ("wide", "narrow", "deep", "deeper")] == [
        "compute",
        "integrate",
        "weights",
        "weights",
    ]


@pytest.mark.parametrize("knob", ["port_efficiency", "clock_mhz"])
def test_memory_moves_layers_that_wait_for_weights(timed, knob):
    """Half the efficiency of the ports, and a kernel clock at which the controller gives each port half a word."""
    slow, fast = ({"port_efficiency": 40}, {"port_efficiency": 80})
    if knob == "clock_mhz":  # 19.2 GB/s x 75 % over 900 MHz: one word a clock for both ports
        slow, fast = ({"port_efficiency": 100, "clock_mhz": mhz} for mhz in (900, 450))
    slow, fast = timed(slow), timed(fast)
    assert ratio(slow, fast, "deeper") == pytest.approx(2, rel=0.03)
    assert ratio(slow, fast, "deep") > 1.5  # more: its prefetch shrank, too
    for layer in ("wide", "narrow", "global", "head"):
        assert slow.cycles(layer) == fast.cycles(layer), layer


def test_the_controller_counts_only_when_ports_want_more_than_it_has(timed, base):
    ample = timed({"controller_efficiency": 50})  # 2.4 words a clock for 2 x 0.75 and the frames
    assert ratio(ample, base, "deeper") == pytest.approx(1, rel=0.002)
    short = timed({"controller_efficiency": 20})  # 0.96 words
    assert ratio(short, base, "deeper") == pytest.approx(1.5 / 0.96, rel=0.03)
    assert ratio(short, base, "input") > 1.5  # the frames come while the first weights do


def test_the_dma_moves_what_it_receives(timed, base):
    slow = timed({"dma_efficiency": 25})
    assert ratio(slow, base, "input") == pytest.approx(3, rel=0.15)
    for layer in ("wide", "narrow", "deeper", "head"):
        assert ratio(slow, base, layer) == pytest.approx(1, rel=0.001), layer


@pytest.mark.parametrize("stage", ["accumulate", "feed"])
def test_the_array_moves_layers_that_compute(timed, base, stage):
    slow = timed({f"interval:{stage}": 2})
    assert ratio(slow, base, "wide") == pytest.approx(2, rel=0.05)
    assert ratio(slow, base, "narrow") == pytest.approx(1, rel=0.06)  # its first pass is not hidden
    assert 0.85 < ratio(slow, base, "deeper") < 1.001  # more has arrived when it begins


@pytest.mark.parametrize("stage", ["integrate", "store"])
def test_the_integration_unit_moves_layers_that_integrate(timed, base, stage):
    slow = timed({f"interval:{stage}": 2})
    assert ratio(slow, base, "narrow") == pytest.approx(2, rel=0.05)
    assert ratio(slow, base, "wide") == pytest.approx(1, rel=0.08)  # its last block is not hidden
    assert ratio(slow, base, "deeper") == pytest.approx(1, rel=0.001)


def test_without_a_buffer_of_sums_array_and_integration_take_turns(timed, base, program):
    """The array gives the sums of a block in its last tap, in as many clocks as groups; one token deep, that tap lasts
    as long as the integration of the block, which the array does not hide any more."""
    shallow = timed({"depth:partial_sums": 1})
    for layer in ("wide", "narrow"):
        fields = program.instruction(base.layers.index(layer))
        groups = fields["block_quadruples"] * fields["chunks"]
        pairs = fields["quadruples"] // fields["block_quadruples"] * fields["output_tiles"]
        array = fields["kernel_height"] * fields["kernel_width"] * fields["input_tiles"] * groups
        unit = 4 * fields["num_steps"] * fields["block_quadruples"]
        buffered = (pairs - 1) * max(array, unit) + array + unit
        assert base.cycles(layer) == pytest.approx(buffered, rel=0.03)
        assert shallow.cycles(layer) == pytest.approx(pairs * (array - groups + unit), rel=0.03)
        assert ratio(shallow, base, layer) > 1.05
    for layer in ("deeper", "head"):  # the array waits for weights, in the head for its few pixels
        assert ratio(shallow, base, layer) == pytest.approx(1, rel=0.001), layer


def test_without_a_buffer_of_parameters_no_layer_prefetches(timed, base):
    """Parameters lie before the tiles: those of the next layer stop the tiles behind them until it begins."""
    shallow = timed({"depth:parameters": 1})
    assert ratio(shallow, base, "head") > 1.8  # 512 pairs of tiles in 256 clocks of the array
    assert ratio(shallow, base, "deep") > 1.1
    assert ratio(shallow, base, "deeper") == pytest.approx(1, rel=0.002)  # nothing was there before, either
    assert ratio(shallow, base, "wide") < 1.05


@pytest.mark.parametrize("stream", ["operands", "held_weights", "even_words", "fired", "commands"])
def test_streams_that_only_smooth_move_nothing(timed, base, stream):
    """Neither end of them pauses for longer than the pipeline behind it holds tokens."""
    shallow = timed({f"depth:{stream}": 1})
    for layer in base.layers:
        assert ratio(shallow, base, layer) == pytest.approx(1, rel=0.005), layer


def test_the_latency_of_the_array_is_paid_once_a_layer(timed, base):
    row = json.loads(resource("hls/rtl/qsnn_mac_row.json").read_text())["rtl_performance"]
    latency = int(row["latency"])  # as Verilator measures it, see test_mac_row.py
    assert np.array_equal(timed({"tile_latency": latency}).log, base.log)
    for clocks in (0, 40):
        other = timed({"tile_latency": latency + clocks})
        for layer in ("wide", "head"):  # in `narrow` it passes while the unit still loads parameters
            assert abs(other.cycles(layer) - base.cycles(layer) - clocks) <= 1


def test_time_depends_on_control_alone(timed, base):
    """Not on values, not on the order in which the simulation happens to run stages, and not on earlier calls."""
    assert np.array_equal(timed(seed=5).log, base.log)
    assert np.array_equal(timed(of=compile_network(timed_network(2)), seed=6).log, base.log)
    for seed in (1, 2, 3):
        shuffled = timed({"schedule_seed": seed})
        assert np.array_equal(shuffled.log, base.log)
        assert sorted(map(str, shuffled.stages)) == sorted(map(str, base.stages))


def test_a_second_call_takes_as_long(executor, program):
    executor.load(program)
    frames = np.zeros((1, NUM_STEPS, 64, 16, 16), np.uint8)
    spans = []
    for _ in range(2):
        executor.run(frames)
        spans.append(executor.log - executor.log[0, 0])
    assert np.array_equal(*spans)


def test_the_account_tells_what_held_a_stage_up(base):
    array = base.stage("accumulate", "wide")
    assert array.busy > 0.92 * base.cycles("wide")
    unit = base.stage("integrate", "narrow")
    assert unit.busy > 0.94 * base.cycles("narrow")
    assert base.stage("accumulate", "narrow").waits["room", "partial_sums"] > 800
    hungry = base.stage("accumulate", "deeper")
    assert hungry.waits["tokens", "held_weights"] > 0.5 * base.cycles("deeper")
    ring = base.stage("hold_weights", "deeper")
    assert ring.waits["tokens", "arrivals"] > 0.5 * base.cycles("deeper")
    readers = [stage for stage in base.stages if stage.stage == "read_weights"]
    for reader, port in zip(sorted(readers, key=lambda stage: sorted(stage.waits)), ("weights_even", "weights_odd")):
        assert reader.waits["memory", port] > 0.2 * reader.busy
    for stage in base.stages:
        assert stage.busy >= 0 and all(clocks > 0 for clocks in stage.waits.values())


def test_both_derivations_assume_the_same_port(timed, base):
    assert np.array_equal(timed({"port_efficiency": round(100 * PORT_EFFICIENCY)}).log, base.log)


def test_unknown_constants_and_values_are_refused(executor):
    simulation = executor.simulation
    for name in ("luck", "interval:partial_sums", "depth:accumulate", "latency:"):
        with pytest.raises(
            DeviceError, match=rf"no timing constant {name}; .*port_efficiency.*accumulate.*partial_sums"
        ):
            simulation.set_timing(name, 1)
    with pytest.raises(DeviceError, match="must be 1 to 100"):
        simulation.set_timing("port_efficiency", 0)
    with pytest.raises(ConfigError, match="-1"):
        simulation.set_timing("stream_latency", -1)
