"""A network whose attention meets exact thresholds, with sums that this file computes in Python's integers."""

from __future__ import annotations

import numpy as np

from pynq_qsnn.network import Attention, Conv2d, Flatten, Head, Network, TensorType
from pynq_qsnn.neuron import INT32_MAX, INT32_MIN, MAXIMUM_SHIFT, THRESHOLD, Affine, Neuron

CHANNELS = 2 * (MAXIMUM_SHIFT + 1)  # two for each shift
NUM_STEPS = 2


def at_the_threshold(s_max: int, size: tuple[int, int], heads: int) -> tuple[Network, np.ndarray]:
    """Network and frames: in the first step of the first frame, the attention's first token (row 0, column 0) has a
    membrane of exactly the threshold in even channels, and one below it in odd ones.

    Codes are so near s_max that the sums come to two thirds of their largest.
    """
    rng = np.random.default_rng([s_max, *size, heads])
    frames = rng.integers(-(-s_max * 3 // 4), s_max + 1, (2, NUM_STEPS, CHANNELS, *size), dtype=np.uint8)
    bits = next(b for b in (1, 2, 4, 8) if s_max < 1 << b)
    orders = {name: rng.permutation(CHANNELS) for name in ("query", "key", "value")}
    layers: list = [_reordered(name, order, s_max, bits) for name, order in orders.items()]
    query, key, value = (frames[0, 0][order].reshape(CHANNELS, -1).tolist() for order in orders.values())
    constants = [_constants(rng, c, _sum(query, key, value, c, heads)) for c in range(CHANNELS)]
    affine = Affine(*np.array(constants).T)
    weight = rng.integers(-1, 2, (3, CHANNELS * size[0] * size[1]), dtype=np.int8)
    layers += [
        Attention("attention", *orders, heads, Neuron(affine, 255), 8),
        Flatten("flat", "attention"),
        Head("head", "flat", weight, 2, Affine(np.ones(3, int), np.zeros(3, int), np.arange(3))),
    ]
    frame = TensorType((CHANNELS, *size), bits, NUM_STEPS, s_max)
    return Network("at the threshold", frame, NUM_STEPS, tuple(layers)), frames


def _reordered(name: str, order: np.ndarray, s_max: int, bits: int) -> Conv2d:
    """The input's codes, channel order[c] as channel c."""
    weight = np.eye(CHANNELS, dtype=np.int8)[order].reshape(CHANNELS, CHANNELS, 1, 1)
    one = Affine(np.full(CHANNELS, THRESHOLD), np.zeros(CHANNELS, int), np.zeros(CHANNELS, int))
    return Conv2d(name, "input", weight, 2, Neuron(one, s_max, None), bits)


def _sum(query: list, key: list, value: list, channel: int, heads: int) -> int:
    """(Q K^T) V of the first token."""
    width = CHANNELS // heads
    head = range(channel // width * width, (channel // width + 1) * width)
    tokens = range(len(key[0]))
    return sum(sum(query[c][0] * key[c][token] for c in head) * value[channel][token] for token in tokens)


def _constants(rng: np.random.Generator, channel: int, acc: int) -> tuple[int, int, int]:
    """(multiplier, shift, bias); channels 2 s and 2 s + 1 have shift s."""
    shift = channel // 2
    half = 1 << shift >> 1
    multiplier = int(rng.integers(1 << 16, 1 << 17))
    if -acc * multiplier >> shift > INT32_MIN + 2 * THRESHOLD and rng.random() < 0.5:
        multiplier = -multiplier
    current = min(max((acc * multiplier + half) >> shift, INT32_MIN), INT32_MAX)
    return multiplier, shift, THRESHOLD - current - channel % 2
