"""The simulator equals the reference executor bit for bit, every spike train included."""

import numpy as np
import pytest
from attention_network import at_the_threshold
from random_networks import HOST_ONLY, Limits, random_frames, random_network

from pynq_qsnn.network import Conv2d, Flatten, Head, Linear, Network, Pool, Skip, TensorType
from pynq_qsnn.neuron import INT32_MAX, INT32_MIN, THRESHOLD, Affine, Neuron
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime import simulator as simulator_module
from pynq_qsnn.runtime.simulator import Simulator

SEEDS = range(20)
FAMILIES = {
    "any": Limits(),
    "wide": Limits(max_layers=3, max_channels=65, max_size=7),
    "one step": Limits(max_steps=1),
    "binary": Limits(spike_bits=(1,), weight_bits=(1,)),
    "bytes": Limits(spike_bits=(8,), weight_bits=(8,), max_steps=3),
    "events": Limits(static_input=False),
    "current residuals": Limits(skip_domains=("current",), groups=0.0, max_layers=7),
    "spike residuals": Limits(skip_domains=("spike",), strides=(1,), max_layers=7),
    "inverted residuals": Limits(skip_domains=("iand",), spike_bits=(1,), strides=(1,), max_layers=7),
    "inverted residuals, one step": Limits(skip_domains=("iand",), spike_bits=(1,), max_steps=1, extremes=0.0),
    "ordinary": Limits(extremes=0.0),
    "extreme": Limits(extremes=1.0),
    "host only": Limits(**HOST_ONLY, max_layers=7),
    "attention": Limits(**{**HOST_ONLY, "attentions": 0.7}, max_channels=65, max_size=9, max_steps=5),
    "attention, one step": Limits(attentions=0.7, max_steps=1, min_size=3, max_size=7),
    "attention, binary": Limits(attentions=0.7, spike_bits=(1,), extremes=0.0, max_size=14),
    "attention, bytes": Limits(attentions=0.7, spike_bits=(8,), max_steps=3),
    "steps": Limits(**{**HOST_ONLY, "steps": 0.6}, spike_bits=(1, 2), max_steps=12),
    "padded pools": Limits(pools=0.6, padded_pools=0.8, pool_kinds=("maximum",), max_pool_kernel=7),
    "large": Limits(max_size=24, max_layers=3, max_channels=20, max_steps=4),
}


def assert_equals_reference(network, frames, simulator):
    expected, found = Reference().load(network).trace(frames), simulator.load(network).trace(frames)
    assert list(found) == list(expected)
    for name, train in expected.items():
        assert found[name].dtype == train.dtype and found[name].shape == train.shape, name
        assert np.array_equal(found[name], train), f"{name}: {np.mean(found[name] != train):.1%} differ"
    assert np.array_equal(simulator.run(frames), expected[network.head.name])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks(family, seed):
    rng = np.random.default_rng([seed, *family.encode()])
    network = random_network(rng, FAMILIES[family])
    frames = random_frames(rng, network, int(rng.integers(1, 7)))
    assert_equals_reference(network, frames, Simulator(threads=int(rng.integers(1, 4))))


@pytest.fixture(scope="module")
def portable(tmp_path_factory):
    """The library without this machine's instruction sets, as another machine would build it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator_module, "FLAGS", ("-O1", "-fopenmp", "-Wno-psabi"))
        simulator_module._library.cache_clear()
        yield
    simulator_module._library.cache_clear()


@pytest.mark.parametrize("seed", range(40))
def test_portable_code(portable, seed):
    rng = np.random.default_rng([seed, 1])
    network = random_network(rng, Limits(**HOST_ONLY))
    assert_equals_reference(network, random_frames(rng, network, 3), Simulator(threads=2))


def largest_sums(bits):
    """Every weight and code at its limit, so that partial sums are as large as they get; 1 x 1 x 640 inputs."""
    channels, s_max = 640, 2**bits - 1
    weight = np.full((34, channels, 1, 1), 127, np.int8)
    weight[1::2] = -127
    affine = Affine(np.full(34, 1 << 10), np.full(34, 10), np.arange(34))
    head = Head("head", "conv", np.ones((1, 34), np.int8), 8, Affine(np.array([1]), np.array([0]), np.array([0])))
    conv = Conv2d("conv", "input", weight, 8, Neuron(affine, 255), 8)
    network = Network("limits", TensorType((channels, 1, 1), bits, 2, s_max), 2, (conv, head))
    return network, np.full((7, *network.frame_shape), s_max, np.uint8)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_largest_sums(bits):
    assert_equals_reference(*largest_sums(bits), Simulator(threads=1))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_largest_sums_of_portable_code(portable, bits):
    assert_equals_reference(*largest_sums(bits), Simulator(threads=1))


@pytest.mark.parametrize("s_max", [1, 3, 15, 255])  # sums that float holds, int32, and int64
@pytest.mark.parametrize("size, heads", [((3, 3), 1), ((7, 7), 2), ((16, 16), 1), ((4, 5), 7)])
def test_attention_at_and_one_below_the_threshold(s_max, size, heads):
    """Fewer and more tokens than channels of a head, more than a block of tokens, more than a panel of channels."""
    assert_equals_reference(*at_the_threshold(s_max, size, heads), Simulator(threads=2))


def one_pixel(weight, neuron, num_steps=1):
    """A network on one 8-bit pixel a step: a 1x1 convolution, and a head that sums its codes."""
    head = np.ones((1, len(weight)), np.int8)
    layers = (
        Conv2d("conv", "input", weight, 8, neuron, 8),
        Head("head", "conv", head, 8, Affine(np.array([1]), np.array([0]), np.array([0]))),
    )
    return Network("one pixel", TensorType((1, 1, 1), 8, num_steps, 255), num_steps, layers)


@pytest.mark.parametrize("s_max", [1, 3, 15, 255])
@pytest.mark.parametrize("multiplier", [1, 257, 1 << 14, (1 << 17) - 1, -77, -(1 << 17)])
@pytest.mark.parametrize("shift", [0, 1, 7, 20])
def test_every_input_code_around_the_threshold(s_max, multiplier, shift):
    """All 256 inputs, biases that put the steps of the staircase on and beside exact thresholds."""
    biases = np.array(
        [0, 1, -1, THRESHOLD, THRESHOLD - 1, s_max * THRESHOLD, s_max * THRESHOLD - 1, INT32_MIN, INT32_MAX]
    )
    count = len(biases)
    affine = Affine(np.full(count, multiplier), np.full(count, shift), biases)
    weight = np.full((count, 1, 1, 1), 127, np.int8)
    weight[::2] = -1
    network = one_pixel(weight, Neuron(affine, s_max, leak_shift=1, initial_membrane=np.arange(count) - 4))
    frames = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    assert_equals_reference(network, frames, Simulator(threads=1))


@pytest.mark.parametrize("num_steps", [1, 2, 7])
@pytest.mark.parametrize("reset_mode", ["subtract", "zero"])
@pytest.mark.parametrize("leak_shift", [None, 1, 31])
@pytest.mark.parametrize("start", [0, INT32_MIN, INT32_MAX])
def test_saturating_membrane(num_steps, reset_mode, leak_shift, start):
    """Currents and membranes beyond int32 saturate where the definition says so."""
    biases = np.array([INT32_MIN, INT32_MAX, 0, THRESHOLD])
    affine = Affine(np.array([-(1 << 17), (1 << 17) - 1, (1 << 17) - 1, 5]), np.array([0, 0, 2, 3]), biases)
    neuron = Neuron(affine, 255, leak_shift, reset_mode, np.full(4, start))
    network = one_pixel(np.full((4, 1, 1, 1), 127, np.int8), neuron, num_steps)
    frames = np.random.default_rng(0).integers(0, 256, (9, *network.frame_shape), dtype=np.uint8)
    frames[:3] = 255
    assert_equals_reference(network, frames, Simulator(threads=1))


def test_residual_currents_at_the_threshold():
    """Residuals of every shift whose rounding decides between exactly the threshold and one below."""
    shifts = np.repeat(np.arange(49), 4)
    multipliers = np.tile([-1, 1, -(1 << 17), (1 << 17) - 1], 49)
    constant = Affine(np.zeros(4, np.int64), np.zeros(4, np.int64), np.full(4, THRESHOLD))
    head = Head("head", "conv", np.ones((1, 4), np.int8), 8, Affine(np.array([1]), np.array([0]), np.array([0])))
    for part in np.split(np.arange(len(shifts)), 49):  # small layers: each may need another arithmetic
        skip = Skip("input", "current", None, multipliers[part], shifts[part])
        conv = Conv2d("conv", "input", np.ones((4, 1, 1, 1), np.int8), 8, Neuron(constant, 255), 8, skip=skip)
        network = Network("residual", TensorType((1, 1, 1), 8, 1, 255), 1, (conv, head))
        assert_equals_reference(network, np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1), Simulator(1))


def test_flattened_tensors_with_every_reader():
    """A Flatten is free for a linear layer; convolutions, pools, residuals and other Flattens read its tensor."""
    rng = np.random.default_rng(3)

    def weight(*shape):
        return rng.integers(-127, 128, shape, dtype=np.int8)

    def neuron(channels):
        return Neuron(Affine(np.full(channels, 181), np.full(channels, 1), np.full(channels, THRESHOLD // 2)), 3)

    residual = Skip("flat", "current", None, np.full(36, 90000), np.full(36, 2))
    layers = (
        Conv2d("conv", "input", weight(3, 2, 3, 3), 8, neuron(3), 2, padding=2),
        Pool("pool", "conv", "maximum", 2, 2),  # [3, 3, 4]
        Flatten("flat", "pool"),
        Conv2d("mixed", "flat", weight(36, 36, 1, 1), 8, neuron(36), 2, skip=Skip("flat", "spike", 3)),
        Pool("same", "mixed", "average", 1, 1),
        Flatten("again", "same"),
        Flatten("once more", "again"),
        Linear("linear", "once more", weight(36, 36), 8, neuron(36), 2),
        Conv2d("added", "linear", weight(36, 36, 1, 1), 8, neuron(36), 2, skip=residual),
        Head("head", "added", weight(5, 36), 8, Affine(np.full(5, 9), np.full(5, 2), np.arange(5))),
    )
    network = Network("flattened", TensorType((2, 5, 7), 2, 3, 3), 3, layers)
    frames = rng.integers(0, 4, (5, 3, 2, 5, 7), dtype=np.uint8)
    assert_equals_reference(network, frames, Simulator(threads=2))
