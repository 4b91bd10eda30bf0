"""The benchmark networks: sizes as published, neurons that fire, records that belong to their network."""

import hashlib
import json
from collections import Counter

import numpy as np
import pytest

from pynq_qsnn import benchmark_networks as benchmarks
from pynq_qsnn.errors import ConfigError
from pynq_qsnn.network import Conv2d, Flatten, Head, Linear, Pool
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.simulator import Simulator

# (weight_bits, spike_bits, num_steps): every width of codes, few and many steps.
ALLOCATIONS = ((8, 1, 4), (8, 2, 3), (8, 4, 2), (8, 8, 1), (4, 1, 9), (2, 2, 2), (1, 4, 1))


def macs_and_weights(network) -> tuple[int, int]:
    """Counted from the arrays, one step of every layer."""
    macs = weights = 0
    for layer in network.layers:
        if isinstance(layer, (Conv2d, Linear, Head)):
            weights += layer.weight.size
            macs += layer.weight.size * int(np.prod(network.tensors[layer.name].shape[1:]))
    return macs, weights


@pytest.mark.parametrize("name", benchmarks.NAMES)
def test_every_network_fires_at_every_depth(name):
    """Built as in the first row of its kind; other frames than those of the calibration."""
    row = benchmarks.budgets(name)[0]
    network = benchmarks.build(name, row.weight_bits, row.spike_bits, row.num_steps)
    size = benchmarks.benchmark(name).size()
    assert macs_and_weights(network) == (size.macs, size.weights)
    assert network.num_steps == row.num_steps and network.name == f"{benchmarks.benchmark(name).title} {row.label}"
    check_rates(network)


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@pytest.mark.parametrize("name", ["CNV", "SNN7", "ResNet-20", "H2"])
def test_every_allocation_fires_at_every_depth(name, allocation):
    network = benchmarks.build(name, *allocation)
    weighted = [layer for layer in network.layers if isinstance(layer, (Conv2d, Linear, Head))]
    assert [layer.weight_bits for layer in weighted] == [8, *[allocation[0]] * (len(weighted) - 2), 8]
    assert {layer.spike_bits for layer in weighted[:-1]} == {allocation[1]}
    check_rates(network)


def check_rates(network, seed=99):
    """Mean codes of every layer; and no channel set is all silent or all saturated."""
    trains = Simulator().load(network).trace(benchmarks.random_frames(network, 2, seed))
    for layer in network.layers[:-1]:
        tensor, train = network.tensors[layer.name], trains[layer.name]
        assert 0.02 < train.mean() / tensor.s_max < 0.6, layer.name
        channels = train.max(axis=(0, 1, 3, 4))
        assert (channels > 0).mean() > 0.3 and (train.min(axis=(0, 1, 3, 4)) < tensor.s_max).mean() > 0.9, layer.name
    logits = trains[network.head.name]
    assert len(np.unique(logits)) > 0.95 * logits.size


@pytest.mark.parametrize("residual", ["spike", "current", "iand"])
def test_residuals_of_every_domain(residual):
    network = benchmarks.build("ResNet-20", 8, 1, 4, residual=residual)
    domains = Counter(layer.skip.domain for layer in network.layers if isinstance(layer, Conv2d) and layer.skip)
    assert domains == {residual: 9}
    assert macs_and_weights(network)[0] == benchmarks.benchmark("ResNet-20").size(residual=residual).macs
    check_rates(network)
    frames = benchmarks.random_frames(network, 1, 5)
    assert np.array_equal(Simulator().load(network).run(frames), Reference().load(network).run(frames))


def test_the_head_reads_sums_where_they_fit():
    kinds = {}
    for spike_bits in (1, 2, 4, 8):
        pools = [x for x in benchmarks.build("H2", 8, spike_bits, 1).layers if isinstance(x, Pool)]
        kinds[spike_bits] = (pools[-1].kind, pools[-1].kernel)
    assert kinds == {1: ("sum", 4), 2: ("sum", 4), 4: ("sum", 4), 8: ("average", 4)}
    network = benchmarks.build("H2", 8, 4, 1)
    assert network.tensors[network.head.source].bits == 8 and network.tensors[network.head.source].s_max == 240
    flattened = benchmarks.build("H1", 8, 4, 1).layers[-2]
    assert isinstance(flattened, Flatten)


def test_a_seed_gives_one_network():
    def digest(network):
        meta, arrays = network.to_parts()
        parts = [json.dumps(meta, sort_keys=True).encode(), *(arrays[key].tobytes() for key in sorted(arrays))]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    one, same, other = (digest(benchmarks.build("CNV", 8, 2, 2, seed)) for seed in (3, 3, 4))
    assert one == same != other
    assert digest(benchmarks.build("SNN7", 8, 2, 2, 3)) != one


def test_frames_look_like_images_and_like_events():
    images = benchmarks.random_images((3, 32, 48), 4, 1)
    assert images.shape == (4, 3, 32, 48) and images.dtype == np.uint8
    assert images.min(axis=(1, 2, 3)).max() == 0 and images.max(axis=(1, 2, 3)).min() == 255
    steps = np.abs(np.diff(images.astype(int), axis=3)).mean()
    assert steps < 0.25 * images.std() * 2, "neighbours are alike"
    assert np.array_equal(images, benchmarks.random_images((3, 32, 48), 4, 1))
    events = benchmarks.random_events((2, 64, 64), 5, 3, 2, 1)
    assert events.shape == (2, 5, 2, 64, 64) and events.max() <= 3
    active = (events > 0).mean(axis=(0, 3, 4))
    assert np.all((active > 0.01) & (active < 0.1))
    assert not np.array_equal(events[:, 0], events[:, 1])


# ---- budgets and records ----


def test_budgets_are_table_4s():
    rows = benchmarks.budgets("H1")
    assert [row.label for row in rows] == ["8/1/4", "8/2/2", "8/4/1", "8/1/8", "8/2/3", "8/2/4", "8/4/2", "8/8/1"]
    assert [row.label for row in benchmarks.budgets("DVS-Net")] == ["8/1/16", "8/2/8", "8/4/4", "8/8/2"]
    for row in benchmarks.BUDGETS:
        product = row.weight_bits * row.spike_bits * row.num_steps
        assert product == row.bit_budget or row.note.startswith("as printed: 48"), row
    assert benchmarks.budgets("SEW-ResNet-34") == benchmarks.budgets("H2")


def test_records_belong_to_their_network():
    assert [(r.fps, r.network_named) for r in benchmarks.records("H1", 8, 1, 4)] == [(342.35, False)]
    assert [(r.fps, r.network_named) for r in benchmarks.records("H2", 8, 1, 4)] == [(333.7, True), (342.35, False)]
    assert [r.fps for r in benchmarks.records("SNN7", 8, 1, 4)] == [2342]
    assert [r.fps for r in benchmarks.records("ResNet-20", 8, 8, 1)] == [7601]
    assert [r.latency_ms for r in benchmarks.records("DVS-Net", 8, 8, 2)] == [49.57]
    assert benchmarks.records("CNV", 8, 1, 4) == () == benchmarks.records("H1", 8, 2, 8)
    assert benchmarks.records("H1", 8, 4, 1)[0].network_label == "not named by the source, read as H1"
    for record in benchmarks.RECORDS:
        assert (record.fps is None) != (record.latency_ms is None) and record.source
        key = (record.weight_bits, record.spike_bits, record.num_steps)
        assert key in {(r.weight_bits, r.spike_bits, r.num_steps) for r in benchmarks.budgets(record.network)}
    for name in ("H1", "H2", "SEW-ResNet-18", "DVS-Net"):
        for row in benchmarks.budgets(name):
            found = benchmarks.records(name, row.weight_bits, row.spike_bits, row.num_steps)
            assert sum(not r.network_named for r in found) == 1


# ---- refusals ----


@pytest.mark.parametrize(
    "arguments, match",
    [
        (("VGG", 8, 1, 4), "unknown benchmark network 'VGG'; known: H1, H2"),
        (("H1", 3, 1, 4), "weight_bits is 3, must be one of"),
        (("H1", 8, 16, 4), "spike_bits is 16, must be one of"),
        (("H1", 8, 1, 0), "num_steps is 0, must be 1..255"),
        (("ResNet-20", 8, 1, 4, 0, "both"), "residual is 'both', must be one of"),
        (("ResNet-20", 8, 2, 4, 0, "iand"), "iand residuals join 1-bit codes, spike_bits is 2"),
    ],
)
def test_refusals_name_value_and_remedy(arguments, match):
    with pytest.raises(ConfigError, match=match):
        benchmarks.build(*arguments)
