"""Float weights -> integers, and staircases that a multiplier and a bias can cut."""

import numpy as np
import pytest

from pynq_qsnn.errors import ConfigError, NetworkError
from pynq_qsnn.interop import staircase
from pynq_qsnn.interop.weights import quantize_weight, relative_error, stored_bits
from pynq_qsnn.neuron import fire, scale


@pytest.mark.parametrize("bits, largest", [(8, 127), (4, 7), (2, 1)])
def test_weights_on_a_grid_keep_their_integers(bits, largest):
    rng = np.random.default_rng(bits)
    integers = rng.integers(-largest, largest + 1, (16, 5, 3, 3))
    integers[:, 0, 0, 0] = largest
    steps = rng.uniform(0.001, 0.1, 16)
    weight = (integers * steps[:, None, None, None]).astype(np.float32)
    found = quantize_weight(weight, bits, "conv")
    assert np.array_equal(found.integers, integers) and found.integers.dtype == np.int8
    assert np.allclose(found.scale, steps, rtol=1e-6) and found.bits == bits
    assert relative_error(weight, found) < 1e-6
    # A narrower grid is found although more bits are allowed.
    assert quantize_weight(weight, 8, "conv").bits == bits


@pytest.mark.parametrize("bits, error", [(8, 0.01), (4, 0.15), (2, 0.5), (1, 0.65)])
def test_trained_weights_are_rounded(bits, error):
    weight = np.random.default_rng(0).normal(size=(8, 200)).astype(np.float32)
    weight[3] = 0  # a channel that was pruned
    found = quantize_weight(weight, bits, "linear")
    assert found.bits == bits and found.scale[3] == 0
    assert error / 3 < relative_error(weight, found) < error
    if bits == 1:
        assert set(np.unique(found.integers)) == {-1, 1}
    else:
        assert np.abs(found.integers[0]).max() == 2 ** (bits - 1) - 1


def test_bits_of_integers():
    assert [stored_bits(np.array(v, np.int8)) for v in ([1, -1], [1, 0], [-7, 3], [8], [-127])] == [1, 2, 4, 8, 8]


def test_weights_that_cannot_be():
    with pytest.raises(NetworkError, match="conv: 1 weights are not finite"):
        quantize_weight(np.array([[1.0, np.nan]]), 8, "conv")
    with pytest.raises(ConfigError, match="must be one of"):
        quantize_weight(np.ones((1, 1)), 3, "conv")


def all_codes(affine, s_max, sums):
    return fire(scale(sums, affine, 0), s_max)


@pytest.mark.parametrize("s_max", [1, 3, 15, 200, 255])
@pytest.mark.parametrize("rounding", [np.floor, np.ceil, np.rint])
def test_every_sum_gets_the_quantizers_code(s_max, rounding):
    rng = np.random.default_rng(s_max)
    slope, offset = rng.normal(size=40) * s_max / 400, rng.normal(size=40) * s_max
    slope[0] = 0

    def codes(sums):
        return np.clip(rounding(slope[:, None] * sums + offset[:, None]), 0, s_max)

    ends = np.full(40, -700), np.full(40, 900)
    affine, off = staircase.fit(codes, s_max, slope, ends, np.zeros(40, int), "conv")
    sums = np.broadcast_to(np.arange(-700, 901), (40, 1601))
    assert off == 0
    assert np.array_equal(all_codes(affine, s_max, sums), codes(sums))


def test_steps_that_no_line_can_cut_are_counted():
    """Half of an integer rounds to even: 1/2 -> 0, 3/2 -> 2, 5/2 -> 2, so that steps are 3 and 1 sums long in turn."""

    def codes(sums):
        return np.clip(np.rint(sums / 2), 0, 15)

    affine, off = staircase.fit(codes, 15, np.array([0.5]), (np.array([-40]), np.array([40])), np.zeros(1, int), "conv")
    sums = np.arange(-40, 41)[None]
    different = np.flatnonzero(all_codes(affine, 15, sums) != codes(sums)) - 40
    assert off == len(different) == 7  # the other half of the 15 fits
    assert np.all(different % 2 == 1)  # exact ties, and nothing else
