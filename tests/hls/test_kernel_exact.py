"""The kernel equals the reference bit for bit: random networks, directed layers, every spike train in its memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_trace import kernel_trace
from random_networks import Limits, random_frames, random_network

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.hwspec import CODE_BITS
from pynq_qsnn.network import Conv2d, Flatten, Head, Network, Pool, Skip, TensorType
from pynq_qsnn.neuron import INT32_MAX, INT32_MIN, THRESHOLD, Affine, Neuron
from pynq_qsnn.reference import Reference

SEEDS = st.integers(0, 2**32 - 1)


def check(executor, network: Network, frames: np.ndarray, trace: bool = True) -> None:
    program = compile_network(network)
    expected = Reference().load(network).trace(frames)
    assert np.array_equal(executor.load(program).run(frames), expected[network.head.name])
    if trace:
        for name, found in kernel_trace(executor.simulation, program, frames[0]).items():
            assert np.array_equal(found, expected[name][:, 0]), name


@settings(max_examples=120, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_random_networks(executor, seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    check(executor, network, random_frames(rng, network, 2))


WIDE = Limits(max_layers=2, max_channels=140, max_size=20, kernels=(1, 3), max_classes=70)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_networks_of_many_tiles_and_blocks(executor, seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng, WIDE)
    check(executor, network, random_frames(rng, network, 1))


def draw_weights(rng, shape, bits):
    if bits == 1:
        return rng.choice(np.array((-1, 1), np.int8), shape)
    return rng.integers(max(-(1 << (bits - 1)), -127), 1 << (bits - 1), shape, dtype=np.int8)


def draw_neuron(rng, channels: int, gain: float, s_max: int, leak_shift=1, reset_mode="subtract") -> Neuron:
    multiplier = rng.integers(-90000, 130000, channels)
    shift = np.clip(np.log2(np.abs(multiplier) / gain + 1).astype(int), 0, 48)
    bias = rng.integers(-THRESHOLD, 2 * THRESHOLD, channels)
    return Neuron(Affine(multiplier, shift, bias), s_max, leak_shift, reset_mode)


def draw_head(rng, source: str, inputs: int, classes: int = 10) -> Head:
    affine = Affine(rng.integers(-50, 50, classes), np.full(classes, 3), rng.integers(-999, 999, classes))
    return Head("head", source, draw_weights(rng, (classes, inputs), 8), 8, affine)


@pytest.mark.parametrize("num_steps", [1, 2, 5, 8])
@pytest.mark.parametrize("weight_bits", CODE_BITS)
@pytest.mark.parametrize("spike_bits", CODE_BITS)
def test_every_width(executor, weight_bits, spike_bits, num_steps):
    """A static image replayed, then a strided layer on trains, 33 and 17 channels, residual of either domain."""
    rng = np.random.default_rng(weight_bits * 100 + spike_bits * 10 + num_steps)
    s_max, gain = 2**spike_bits - 1, THRESHOLD * 2.0**-weight_bits / 40
    first = draw_neuron(rng, 33, gain * (spike_bits / 4), s_max)
    second = draw_neuron(rng, 33, gain, s_max, None, "zero")
    third = draw_neuron(rng, 35, gain, s_max, 3)
    skip = Skip("a", "spike", s_max)
    subsampled = Skip("a", "current", None, rng.integers(-99999, 99999, 35), rng.integers(0, 6, 35), 2)
    shapes = (33, 3, 3, 3), (33, 33, 3, 3), (35, 33, 1, 1)
    a, b, c = ((draw_weights(rng, shape, weight_bits), weight_bits) for shape in shapes)
    layers = (
        Conv2d("a", "input", *a, first, spike_bits, 1, 1),
        Conv2d("b", "a", *b, second, spike_bits, 1, 1, 1, skip),
        Conv2d("c", "b", *c, third, spike_bits, 2, 0, 1, subsampled),
        Flatten("flat", "c"),
        draw_head(rng, "flat", 35 * 4 * 3),
    )
    network = Network("widths", TensorType((3, 7, 6), 8, 1, 255), num_steps, layers)
    check(executor, network, rng.integers(0, 256, (1, 3, 7, 6), np.uint8))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("groups", [1, 4, 36])
def test_every_window(executor, kernel, stride, groups):
    rng = np.random.default_rng(kernel * 100 + stride * 10 + groups)
    neuron = draw_neuron(rng, 36, 60.0 * groups**0.5 / kernel, 3)
    weight = draw_weights(rng, (36, 36 // groups, kernel, kernel), 4)
    for padding in {0, kernel // 2, kernel - 1}:
        layer = Conv2d("a", "input", weight, 4, neuron, 2, stride, padding, groups)
        height, width = ((n + 2 * padding - kernel) // stride + 1 for n in (8, 9))
        layers = (layer, Flatten("flat", "a"), draw_head(rng, "flat", 36 * height * width))
        network = Network("windows", TensorType((36, 8, 9), 4, 2, 15), 2, layers)
        check(executor, network, rng.integers(0, 16, (1, 2, 36, 8, 9), np.uint8))


@pytest.mark.parametrize(
    "kind, kernel, stride", [("maximum", 3, 2), ("maximum", 2, 4), ("sum", 3, 3), ("average", 4, 1)]
)
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_every_pool(executor, kind, kernel, stride, bits):
    rng = np.random.default_rng(bits)
    size = (10 - kernel) // stride + 1
    layers = (Pool("p", "input", kind, kernel, stride), Flatten("flat", "p"), draw_head(rng, "flat", 17 * size * size))
    network = Network("pools", TensorType((17, 10, 10), bits, 5, 2**bits - 1), 5, layers)
    check(executor, network, rng.integers(0, 2**bits, (1, 5, 17, 10, 10), np.uint8))


@pytest.mark.parametrize("leak_shift", [None, 1, 5])
@pytest.mark.parametrize("reset_mode", ["subtract", "zero"])
def test_membranes_at_and_around_the_threshold(executor, leak_shift, reset_mode):
    """Channel c reaches k thresholds + (-1, 0, 1) units on code 100; others start at the limits of int32."""
    thresholds = np.repeat([-1, 0, 1, 2, 15, 16], 3)
    bias = np.append(thresholds * THRESHOLD - 100 + np.tile([-1, 0, 1], 6), [INT32_MAX - 100, INT32_MIN, 0, 0])
    start = np.append(np.zeros(18, np.int64), [INT32_MAX, INT32_MIN, INT32_MAX, INT32_MIN])
    affine = Affine(np.ones(22, np.int64), np.zeros(22, np.int64), bias)
    neuron = Neuron(affine, 15, leak_shift, reset_mode, start)
    layers = (
        Conv2d("a", "input", np.ones((22, 1, 1, 1), np.int8), 2, neuron, 4),
        Flatten("flat", "a"),
        draw_head(np.random.default_rng(0), "flat", 22 * 4),
    )
    network = Network("threshold", TensorType((1, 1, 4), 8, 1, 255), 6, layers)
    check(executor, network, np.array([[[[100, 99, 101, 0]]]], np.uint8))


def test_negative_ties_round_up(executor):
    """acc * m = -3 halves: (-3 + 1) >> 1 = -1; the head adds the currents of all steps."""
    weight = np.array([[-1], [1], [-3], [3]], np.int8)
    affine = Affine(np.ones(4, np.int64), np.full(4, 1), np.zeros(4, np.int64))
    network = Network("ties", TensorType((1, 1, 1), 8, 1, 255), 3, (Head("head", "input", weight, 4, affine),))
    frames = np.array([1, 2, 3, 5, 255], np.uint8).reshape(5, 1, 1, 1)
    check(executor, network, frames)
    assert executor.run(frames)[0].tolist() == [0, 3, -3, 6]


def test_layers_larger_than_the_weight_ring(executor):
    """Tiles that do not fit are streamed again for every block of pixels."""
    rng = np.random.default_rng(5)
    neuron = draw_neuron(rng, 320, 40.0, 15)
    layers = (
        Conv2d("a", "input", draw_weights(rng, (320, 512, 3, 3), 8), 8, neuron, 4, 1, 1),
        Pool("p", "a", "average", 8, 8),
        draw_head(rng, "p", 320, 100),
    )
    network = Network("large", TensorType((512, 8, 8), 4, 3, 15), 3, layers)
    program = compile_network(network)
    fields = program.instruction(1)
    assert not fields["weight_resident"] and fields["quadruples"] > fields["block_quadruples"]
    check(executor, network, rng.integers(0, 16, (2, 3, 512, 8, 8), np.uint8), trace=False)


def test_a_b_a(executor):
    """Nothing of program B or of earlier frames reaches program A: same logits, same cycles."""
    rng = np.random.default_rng(11)
    networks = [random_network(rng, Limits(max_layers=4)) for _ in range(2)]
    programs = [compile_network(network) for network in networks]
    frames = [random_frames(rng, network, 3) for network in networks]
    first = executor.load(programs[0]).run(frames[0]).copy()
    cycles = np.diff(executor.log.ravel())
    executor.load(programs[1]).run(frames[1])
    assert np.array_equal(executor.load(programs[0]).run(frames[0]), first)
    assert np.array_equal(np.diff(executor.log.ravel()), cycles)
    alone = np.concatenate([executor.run(frame[None]) for frame in frames[0]])
    assert np.array_equal(alone, first)
