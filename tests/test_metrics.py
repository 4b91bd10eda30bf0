"""Counts against numbers worked out by hand, the identities of Eq. 8 and 9, and rates against a brute-force count."""

import json
from dataclasses import replace

import numpy as np
import pytest
from board.tiny_networks import affine, event_network, image_network

from pynq_qsnn import metrics
from pynq_qsnn.errors import NetworkError
from pynq_qsnn.metrics import PLATFORMS, Activity, count, measure_frames, measure_rates
from pynq_qsnn.network import Attention, Conv2d, Flatten, Head, Linear, Network, Pool, Skip, Steps, TensorType
from pynq_qsnn.neuron import THRESHOLD, Affine, Neuron
from pynq_qsnn.reference import Reference


def random_weights(name, low, high, shape):
    """int8; the same for a layer's name, whatever tests run."""
    return np.random.default_rng(list(name.encode())).integers(low, high, shape, np.int8)


def neuron(channels, spike_bits=2, threshold=8):
    """Neurons that fire once for sums of ``threshold``."""
    scale = Affine(np.full(channels, THRESHOLD // threshold), np.zeros(channels, int), np.zeros(channels, int))
    return Neuron(scale, s_max=2**spike_bits - 1)


def conv(name, source, inputs, outputs, kernel=3, bits=4, spike_bits=2, threshold=8, **options):
    weight = random_weights(name, 0, 2, (outputs, inputs, kernel, kernel))
    if bits == 1:
        weight = weight * 2 - 1
    neurons = neuron(outputs, spike_bits, threshold)
    return Conv2d(name, source, weight, bits, neurons, spike_bits, padding=kernel // 2, **options)


def head(source, inputs):
    return Head("head", source, random_weights("head", -9, 9, (5, inputs)), 8, affine(5, 700))


@pytest.fixture(scope="module")
def network():
    """3x6x6 image -> convolution -> stride 2 -> depthwise with a residual -> attention -> pool -> classes; T = 4."""
    layers = (
        conv("stem", "input", 3, 4, bits=8, threshold=1600),
        conv("half", "stem", 4, 4, stride=2),
        conv("each", "half", 1, 4, groups=4, threshold=2, skip=Skip("half", "spike", s_max=3)),
        conv("q", "each", 4, 4, kernel=1, bits=1, spike_bits=1, threshold=1),
        conv("k", "each", 4, 4, kernel=1, bits=1, spike_bits=1, threshold=1),
        conv("v", "each", 4, 4, kernel=1, bits=1, spike_bits=2, threshold=1),
        Attention("mix", "q", "k", "v", 2, neuron(4, 4, threshold=16), 4),
        Pool("top", "mix", "maximum", 3, 3),
        head("top", 4),
    )
    return Network("by hand", TensorType((3, 6, 6), 8, 1, 255), 4, layers)


@pytest.fixture(scope="module")
def trace(network):
    frames = np.random.default_rng(1).integers(0, 256, (6, 3, 6, 6), np.uint8)
    return Reference().load(network).trace(frames)


# name: MACs of a step, T, weight bits, input bits, weights, constants, bytes read, written, of membranes
BY_HAND = {
    "stem": (4 * 36 * 27, 1, 8, 8, 108, 12, 108, 144 * 4 * 2 // 8, 2 * 3 * 144 * 4),
    "half": (4 * 9 * 36, 4, 4, 2, 144, 12, 144, 36, 2 * 3 * 36 * 4),
    "each": (4 * 9 * 9, 4, 4, 2, 36, 12, 36 + 36, 36, 864),
    "q": (4 * 9 * 4, 4, 1, 2, 16, 12, 36, 18, 864),
    "k": (4 * 9 * 4, 4, 1, 2, 16, 12, 36, 18, 864),
    "v": (4 * 9 * 4, 4, 1, 2, 16, 12, 36, 36, 864),
    "mix QK": (9 * 9 * 4, 4, 1, 1, 0, 0, 18 + 18, 0, 0),
    "mix V": (9 * 9 * 4, 4, 1, 2, 0, 12, 36, 72, 864),
    "top": (0, 4, None, 4, 0, 0, 72, 8, 0),
    "head": (20, 4, 8, 4, 20, 15, 8, 20, 0),
}


def test_counts_are_those_worked_out_by_hand(network):
    cost = count(network)
    found = {
        row.name: (
            *(row.macs, row.num_steps, row.weight_bits, row.input_bits, row.weights, row.constants),
            *(row.read_bytes, row.written_bytes, row.membrane_bytes),
        )
        for row in cost.layers
    }
    assert found == BY_HAND
    assert [row.name for row in cost.layers if row.image] == ["stem"]
    assert cost.macs == 3888 + 1296 + 324 + 3 * 144 + 20
    assert cost.s_ace == 3888 * 64 + (1296 + 324) * 4 * 4 * 2 + 3 * 144 * 4 * 2 + 20 * 4 * 8 * 4
    totals = cost.totals()
    assert totals["attention_macs"] == 2 * 324 and totals["attention_s_ace"] == 324 * 4 * (1 + 2)
    assert cost.normalised_parameters == (108 * 8 + 180 * 4 + 48 + 20 * 8) / 16
    assert totals["weight_bytes"] == 108 + 90 + 3 * 2 + 20 and totals["weights"] == 356
    assert cost.ns_ace is None and cost.sops is None and cost.layers[0].rate is None


def test_the_measures_are_those_of_the_paper(network, trace):
    cost = count(network, measure_rates(network, trace))
    for row in cost.layers:
        if row.weight_bits:
            assert row.ns_ace == pytest.approx(row.weight_bits * row.sops)
            assert row.sops == pytest.approx(row.rate * row.macs * row.num_steps * row.input_bits)
    assert cost.ns_ace == pytest.approx(sum(row.ns_ace for row in cost.layers if row.weights))
    assert cost.layers[0].rate == 1 and cost.layers[0].ns_ace == cost.layers[0].s_ace
    assert 0 < cost.ns_ace < cost.s_ace
    for row, source in zip(cost.layers, ("input", "stem", "half", "each", "each", "each", "q", "v", "mix", "top")):
        if source != "input":
            assert row.rate == pytest.approx(np.count_nonzero(trace[source]) / trace[source].size)
    json.dumps([row.row() for row in cost.layers]), json.dumps(cost.totals())


def test_s_ace_is_ns_ace_where_every_code_fires(network, trace):
    full = {name: np.ones_like(train) for name, train in trace.items()}
    cost = count(network, measure_rates(network, full))
    assert cost.ns_ace == cost.s_ace
    assert cost.totals()["attention_ns_ace"] == cost.totals()["attention_s_ace"]


def test_equal_bit_budgets_have_equal_s_ace():
    """But for the image, which is convolved once, and the edges of 8 bits."""
    found = []
    for weight_bits, spike_bits, steps in ((8, 1, 2), (2, 8, 1), (4, 2, 2), (1, 4, 4), (2, 1, 8), (1, 2, 8)):
        layers = (
            conv("stem", "input", 3, 4, bits=8, spike_bits=spike_bits),
            conv("one", "stem", 4, 8, bits=weight_bits, spike_bits=spike_bits),
            conv("two", "one", 8, 8, bits=weight_bits, spike_bits=spike_bits, stride=2),
            Pool("top", "two", "maximum", 3, 3),
            head("top", 8),
        )
        cost = count(Network("budget", TensorType((3, 6, 6), 8, 1, 255), steps, layers))
        found.append(sum(row.s_ace for row in cost.layers if row.name in ("one", "two")))
    assert set(found) == {(8 * 36 * 36 + 8 * 9 * 72) * 16}


def test_rates_are_a_brute_force_count(network, trace):
    for name, activity in measure_rates(network, trace).items():
        codes = [int(code) for code in trace[name].ravel()]
        assert activity.rate == pytest.approx(sum(code > 0 for code in codes) / len(codes))
        assert activity.set_bits == pytest.approx(sum(bin(code).count("1") for code in codes) / len(codes))
        assert activity.mean_code == pytest.approx(sum(codes) / len(codes))
        assert np.allclose(activity.rates, [(step > 0).mean() for step in trace[name]])


def test_firing_rates_are_those_of_the_neurons(network, trace):
    rates = metrics.firing_rates(network, trace)
    assert list(rates) == ["stem", "half", "each", "q", "k", "v", "mix"]
    for name, rate in rates.items():
        assert rate.shape == (4,) and np.allclose(rate, [(step > 0).mean() for step in trace[name]])
        assert 0 < rate.mean() < 1


def test_batches_add_up_to_the_whole(network, trace, monkeypatch):
    executor = Reference().load(network)
    frames = trace["input"][0]
    whole = measure_rates(network, trace)
    monkeypatch.setattr(metrics, "BATCH_BYTES", 1)
    shown = []
    found = measure_frames(executor, frames, lambda batches: shown.extend(batches) or batches)
    assert len(shown) == len(frames) and set(found) == set(whole)
    assert all(np.array_equal(found[name].histogram, whole[name].histogram) for name in whole)


def test_bits_and_spikes_of_a_code_are_told_apart():
    activity = Activity(np.array([[3, 0, 0, 0, 0, 1]]))  # 5 is 0b101
    assert (activity.rate, activity.set_bits, activity.mean_code) == (0.25, 0.5, 1.25)


def test_steps_of_a_layer_are_those_of_its_own_sums():
    """An event frame enters with T steps; behind a Steps layer the sums are computed as often as its codes come."""
    layers = (
        conv("stem", "input", 2, 4, bits=1, spike_bits=1),
        conv("down", "stem", 4, 6, bits=4, stride=2, skip=residual_current()),
        Steps("fewer", "down", 2),
        Flatten("flat", "fewer"),
        Linear("mixed", "flat", random_weights("mixed", -3, 4, (8, 6 * 9)), 4, neuron(8, 1), 1),
        Steps("more", "mixed", 6),
        head("more", 8),
    )
    cost = count(Network("events", TensorType((2, 6, 6), 1, 4, 1), 4, layers))
    rows = {row.name: row for row in cost.layers}
    assert [rows[n].num_steps for n in ("stem", "down", "mixed", "head")] == [4, 4, 2, 6]
    assert rows["mixed"].input_bits == 4  # sums of two 2-bit codes
    assert not rows["stem"].image
    assert (
        rows["down"].read_bytes == 4 * 36 * 4 // 8 + 4 * 9 * 4 // 8
    )  # a residual of stride 2 reads every second pixel
    assert rows["down"].constants == 5 * 6 and rows["down"].macs == 6 * 9 * 36
    assert rows["flat"].read_bytes == rows["flat"].written_bytes == 0
    one_step = count(Network("events", TensorType((2, 6, 6), 1, 1, 1), 1, layers[:1] + pooled_head()))
    assert one_step.layers[0].membrane_bytes == 0


def residual_current():
    return Skip("stem", "current", multiplier=np.full(6, 100), shift=np.full(6, 4), stride=2)


def pooled_head():
    return Pool("top", "stem", "maximum", 6, 6), head("top", 4)


def test_energy_is_the_constants_times_the_counts(network, trace):
    cost = count(network, measure_rates(network, trace))
    dense, sparse, floating = (cost.energy(platform) for platform in PLATFORMS)
    by_layer = sum(
        row.macs * row.num_steps * (0.2 / 64 * row.weight_bits * row.input_bits + 0.1)
        for row in cost.layers
        if row.macs
    )
    assert dense["compute_uj"] == pytest.approx(by_layer / 1e6)
    traffic = sum(row.read_bytes + row.written_bytes + row.membrane_bytes for row in cost.layers)
    memory = sum(row.weight_bytes for row in cost.layers) * 8 * 1300 / 64 + traffic * 8 * 100 / 64
    assert dense["memory_uj"] == pytest.approx(memory / 1e6) == sparse["memory_uj"]
    assert sparse["compute_uj"] < dense["compute_uj"]
    spikes = sum(row.macs * row.num_steps * row.activity.mean_code for row in cost.layers[1:])
    assert floating["compute_uj"] == pytest.approx((3888 * 4.6 + 0.9 * spikes) / 1e6) and floating["memory_uj"] == 0
    assert all(energy["method"] == "estimate" and "ISSCC 2014" in energy["source"] for energy in (dense, floating))
    unmeasured = [count(network).energy(platform)["total_uj"] for platform in PLATFORMS]
    assert unmeasured[0] == dense["total_uj"] and unmeasured[1:] == [None, None]


def test_trains_of_another_network_are_refused(network, trace):
    other = image_network()
    with pytest.raises(NetworkError, match=r"a train uint8 \(1, 6, 3, 6, 6\) of tensor 'input'.*3, 6, 7"):
        measure_rates(other, trace)
    with pytest.raises(NetworkError, match="no train of tensor 'half'"):
        measure_rates(network, {name: train for name, train in trace.items() if name != "half"})
    with pytest.raises(NetworkError, match="int32"):
        measure_rates(network, {**trace, "half": trace["half"].astype(np.int32)})
    with pytest.raises(NetworkError, match="N >= 1"):
        measure_rates(network, {name: train[:, :0] for name, train in trace.items()})
    with pytest.raises(NetworkError, match="'q' has codes of up to 2, its s_max is 1"):
        measure_rates(network, {**trace, "q": trace["q"] * 2})
    with pytest.raises(NetworkError, match="'stem' has codes of up to 255, its s_max is 3"):
        measure_rates(network, {**trace, "stem": trace["stem"] | 255})
    with pytest.raises(NetworkError, match="no activity of tensor 'conv'"):
        count(other, measure_rates(network, trace))
    with pytest.raises(NetworkError, match="no activity of tensor 'stem' over 4 steps"):
        count(
            network,
            measure_rates(
                replace(network, num_steps=2), Reference().load(replace(network, num_steps=2)).trace(trace["input"][0])
            ),
        )
    with pytest.raises(NetworkError, match="rates of 0 frames"):
        measure_frames(Reference().load(network), trace["input"][0][:0])


def test_event_frames_are_measured_at_the_input():
    network = event_network()
    frames = np.random.default_rng(2).integers(0, 2, (5, 3, 2, 5, 5), np.uint8)
    cost = count(network, measure_frames(Reference().load(network), frames))
    linear = next(row for row in cost.layers if row.name == "linear")
    assert linear.rate == pytest.approx(frames.mean()) and linear.num_steps == 3 and linear.macs == 33 * 50
