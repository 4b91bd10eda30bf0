"""Small networks made by hand, so that the driver suite needs no training package."""

from __future__ import annotations

import numpy as np

from pynq_qsnn.network import Conv2d, Flatten, Head, Linear, Network, Pool, TensorType
from pynq_qsnn.neuron import Affine, Neuron


def affine(channels: int, multiplier: int) -> Affine:
    """The same scale for all channels, and a different bias for each."""
    bias = (np.arange(channels, dtype=np.int64) - channels // 2) * 4096
    return Affine(np.full(channels, multiplier), np.full(channels, 4), bias)


def image_network(num_steps: int = 2, classes: int = 5, seed: int = 0) -> Network:
    """3x6x7 image -> convolution -> max pool -> classes, over ``num_steps`` steps."""
    rng = np.random.default_rng(seed)
    kernel = rng.integers(-7, 8, (9, 3, 3, 3), np.int8)
    weight = rng.integers(-7, 8, (classes, 9 * 3 * 3), np.int8)
    layers = (
        Conv2d("conv", "input", kernel, 4, Neuron(affine(9, 900), s_max=3, leak_shift=3), 2, padding=1),
        Pool("pool", "conv", "maximum", 2, 2),
        Flatten("flat", "pool"),
        Head("head", "flat", weight, 4, affine(classes, 700)),
    )
    return Network("tiny image", TensorType((3, 6, 7), 8, 1, 255), num_steps, layers)


def event_network(seed: int = 0) -> Network:
    """3 steps of 2x5x5 one-bit events -> linear -> 4 classes."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-1, 1, (33, 50), np.int8) * 2 + 1
    layers = (
        Flatten("flat", "input"),
        Linear("linear", "flat", weight.astype(np.int8), 1, Neuron(affine(33, 60000), s_max=1), 1),
        Head("head", "linear", rng.integers(-100, 101, (4, 33), np.int8), 8, affine(4, 500)),
    )
    return Network("tiny events", TensorType((2, 5, 5), 1, 3, 1), 3, layers)
