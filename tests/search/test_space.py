"""Allocations: what fits a budget, every one once, and the layer lists that they become."""

from math import prod

import pytest

from pynq_qsnn.architectures import with_bits, words_with_neurons
from pynq_qsnn.errors import ConfigError
from pynq_qsnn.search.space import BITS, Allocation, Space


@pytest.mark.parametrize("budget", (1, 2, 6, 32, 256))
def test_uniform_allocations_are_those_within_the_budget(budget):
    steps = (1, 2, 3, 4)
    expected = {(w, s, t) for w in BITS for s in BITS for t in steps if w * s * t <= budget}
    found = list(Space("8 P FC", budget, num_steps=steps).allocations())
    assert len(found) == len(expected)
    assert {(*a.weight_bits, *a.spike_bits, a.num_steps) for a in found} == expected
    assert all(a.bit_budget == prod((*a.weight_bits, *a.spike_bits, a.num_steps)) for a in found)


def test_allocations_per_layer_keep_the_budget_layer_by_layer():
    space = Space("8 P 16/2 F32 FC", 4, num_steps=(1, 2), per_layer=True)
    found = list(space.allocations())
    assert len(found) == len(set(found)) == len({a.folder for a in found})
    pairs = {t: [(w, s) for w in BITS for s in BITS if t * w * s <= 4] for t in (1, 2)}
    spikes = {t: [s for s in BITS if t * s <= 4] for t in (1, 2)}
    assert len(found) == sum(len(spikes[t]) * len(pairs[t]) ** 2 for t in (1, 2))
    for allocation in found:
        assert allocation.weight_bits[0] == 8 and allocation.bit_budget <= 4
        inner = zip(allocation.weight_bits[1:], allocation.spike_bits[1:])
        assert max(w * s for w, s in inner) * allocation.num_steps == allocation.bit_budget
    assert space.model_of(Allocation((8, 4, 1), (2, 1, 4), 1)) == "8w8s2 P 16w4s1/2 F32w1s4 FC"


def test_words_keep_their_own_bits_and_blocks_the_spikes_before_them():
    space = Space("8s2 2xR8 16w8/2 R16s1 F32w1s8 FC10", 4, num_steps=(1,), per_layer=True)
    for allocation in space.allocations():
        weights, spikes = allocation.weight_bits, allocation.spike_bits
        assert spikes[0] == spikes[1] == 2 and weights[2] == 8 and spikes[3] == 1
        assert (weights[4], spikes[4]) == (1, 8)
        assert weights[1] * spikes[1] <= 4 and weights[3] * spikes[3] <= 4
    assert {a.weight_bits[1] for a in space.allocations()} == {1, 2}


def test_a_small_space_is_counted_and_a_large_one_is_not():
    assert len(Space("8 P FC", 2, num_steps=(1,)).up_to(3)) == 3
    assert Space("8 P FC", 2, num_steps=(1,)).up_to(2) is None
    assert Space("SEW-ResNet-18", 64, per_layer=True).up_to(1000) is None  # ends soon, though they are millions


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 3, "weight_bits": (4, 2), "num_steps": (2, 4)}, "2/1/2, spends 4"),
        ({"budget": 0}, "bit budget of 0"),
        ({"weight_bits": (3,)}, "1, 2, 4, 8, not .3"),
        ({"spike_bits": ()}, "spike_bits"),
        ({"spike_bits": (1, 1)}, "different ones"),
        ({"num_steps": (0,)}, "1..255"),
        ({"model": "8 P T2 16 FC"}, "T words"),
        ({"model": "8 P FC", "per_layer": True}, "single layer"),
        ({"model": "8 16s4 FC", "per_layer": True, "weight_bits": (2, 4)}, "2/4/1, spends 8"),
        ({"model": "nothing"}, "unknown architecture"),
    ],
)
def test_impossible_spaces_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Space(**{"model": "8 P 16 FC", "budget": 4, **changes})


def test_bits_of_words():
    text = "64k7p4/2 P3p1/2 S2 3xR64n1w2 B32s4/2 X64h2m2 16vw1 G F64 FC10"
    assert words_with_neurons(text) == [
        ("64k7p4/2", None, None), ("3xR64n1w2", 2, None), ("B32s4/2", None, 4), ("X64h2m2", None, None),
        ("16vw1", 1, None), ("F64", None, None),
    ]  # fmt: skip
    changed = with_bits(text, [(None, 2), (8, None), (4, 1), (2, 2), (None, None), (1, 8)])
    assert changed == "64k7p4s2/2 P3p1/2 S2 3xR64n1w8 B32w4s1/2 X64h2m2w2s2 16vw1 G F64w1s8 FC10"
    with pytest.raises(ConfigError, match="2 pairs .* 6 words"):
        with_bits(text, [(1, 1)] * 2)
