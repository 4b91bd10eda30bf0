"""The reference's own layers, beside numbers that were computed by hand or in Python's integers."""

import numpy as np
import pytest
from attention_network import CHANNELS, at_the_threshold

from pynq_qsnn.network import INPUT, Attention, Conv2d, Flatten, Head, Network, Pool, Steps, TensorType
from pynq_qsnn.neuron import THRESHOLD, Affine, Neuron
from pynq_qsnn.reference import Reference, attend, change_steps, pool


def tokens(*codes) -> np.ndarray:
    """[1, C, 1, W] of one tuple of channels a token."""
    return np.array(codes, np.uint8).T[None, :, None, :]


QUERY, KEY, VALUE = tokens((1, 3), (2, 0)), tokens((1, 1), (0, 2)), tokens((5, 7), (2, 1))


def test_one_head_attends_over_all_channels():
    # Scores of token 0: (1, 3)(1, 1) = 4 and (1, 3)(0, 2) = 6; of token 1: 2 and 0.
    # 4 (5, 7) + 6 (2, 1) = (32, 34); 2 (5, 7) = (10, 14).
    assert np.array_equal(attend(QUERY, KEY, VALUE, 1), np.array([[[[32, 10]], [[34, 14]]]]))


def test_each_head_attends_over_its_own_channels():
    # Channel 0: scores 1, 0 and 2, 0; 1 * 5 = 5 and 2 * 5 = 10. Channel 1: 3, 6 and 0, 0; 3 * 7 + 6 * 1 = 27.
    assert np.array_equal(attend(QUERY, KEY, VALUE, 2), np.array([[[[5, 10]], [[27, 0]]]]))


def test_sums_beyond_int32_are_exact():
    full = np.full((1, 3, 20, 20), 255, np.uint8)
    assert np.array_equal(attend(full, full, full, 3), np.full((1, 3, 20, 20), 400 * 255**3, np.int64))


def test_an_attention_has_the_neurons_of_any_layer():
    """32 and 10 with the scale 1/32 and 34 and 14 with 1/16, T = 2, IF: membranes of 1, 0.3125, 2.125 and 0.875."""
    neuron = Neuron(Affine(np.array([THRESHOLD // 32, THRESHOLD // 16]), np.zeros(2, int), np.zeros(2, int)), 2, None)
    unit = Affine(np.array([1]), np.array([0]), np.array([0]))
    merged = np.concatenate([QUERY, KEY, VALUE], axis=1)[:, None].repeat(2, axis=1)  # [N, T, 6, 1, 2]
    picks = {name: np.eye(6, dtype=np.int8)[2 * i : 2 * i + 2, :, None, None] for i, name in enumerate("qkv")}
    one = Affine(np.full(2, THRESHOLD), np.zeros(2, int), np.zeros(2, int))
    layers = (
        *(Conv2d(name, INPUT, weight, 2, Neuron(one, 7, None), 4) for name, weight in picks.items()),
        Attention("a", *"qkv", 1, neuron, 2),
        Flatten("flat", "a"),
        Head("head", "flat", np.ones((1, 4), np.int8), 2, unit),
    )
    network = Network("attention", TensorType((6, 1, 2), 4, 2, 7), 2, layers)
    found = Reference().load(network).trace(merged)
    assert found["a"][:, 0, :, 0].tolist() == [[[1, 0], [2, 0]], [[1, 0], [2, 1]]]
    assert found["head"].tolist() == [[7]]


@pytest.mark.parametrize("s_max", [1, 15, 255])
@pytest.mark.parametrize("size, heads", [((3, 3), 1), ((16, 16), 1), ((4, 5), 7)])
def test_attention_at_and_one_below_the_threshold(s_max, size, heads):
    network, frames = at_the_threshold(s_max, size, heads)
    spikes = Reference().load(network).trace(frames)["attention"]
    assert spikes[0, 0, :, 0, 0].tolist() == [1, 0] * (CHANNELS // 2)


def test_steps_are_repeated_or_summed():
    train = np.array([1, 2, 3, 200], np.uint8).reshape(4, 1, 1, 1, 1)
    assert change_steps(train, 8).ravel().tolist() == [1, 1, 2, 2, 3, 3, 200, 200]
    assert change_steps(train, 4).ravel().tolist() == [1, 2, 3, 200]
    assert change_steps(train, 2).ravel().tolist() == [3, 203]
    assert change_steps(train, 1).ravel().tolist() == [206]


@pytest.mark.parametrize(
    "changed, logit",
    [((), 2 * 3), ((4,), 4 * 3), ((1,), 2 * 3), ((1, 5), 5 * 6), ((4, 2), 2 * 6)],
)
def test_every_layer_has_its_own_number_of_steps(changed, logit):
    """The image's 3 fires the code 3 in each of two steps; the head sums what arrives over its own steps."""
    unit, one = (Affine(np.array([m]), np.array([0]), np.array([0])) for m in (1, THRESHOLD))
    layers: list = [Conv2d("conv", INPUT, np.ones((1, 1, 1, 1), np.int8), 2, Neuron(one, 15), 4)]
    layers += [Steps(f"steps{i}", layers[-1].name if i == 0 else f"steps{i - 1}", n) for i, n in enumerate(changed)]
    layers.append(Head("head", layers[-1].name, np.ones((1, 1), np.int8), 2, unit))
    network = Network("steps", TensorType((1, 1, 1), 8, 1, 255), 2, tuple(layers))
    assert Reference().load(network).run(np.full((1, 1, 1, 1), 3, np.uint8)).tolist() == [[logit]]


def test_steps_of_the_image_take_the_place_of_the_networks():
    unit = Affine(np.array([1]), np.array([0]), np.array([0]))
    layers = (Steps("steps", INPUT, 5), Head("head", "steps", np.ones((1, 1), np.int8), 2, unit))
    network = Network("steps", TensorType((1, 1, 1), 8, 1, 255), 2, layers)
    assert Reference().load(network).run(np.full((1, 1, 1, 1), 7, np.uint8)).tolist() == [[35]]


def test_a_padded_maximum_sees_zeros_around_the_map():
    codes = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)[None, None]
    assert pool(codes, Pool("p", INPUT, "maximum", 3, 2, 1))[0, 0].tolist() == [[5, 6], [8, 9]]
    assert pool(codes, Pool("p", INPUT, "maximum", 2, 2, 1))[0, 0].tolist() == [[1, 3], [7, 9]]
    assert pool(np.zeros_like(codes), Pool("p", INPUT, "maximum", 3, 1, 2)).shape == (1, 1, 5, 5)
