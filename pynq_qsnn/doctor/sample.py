"""A network of a few bytes for one frame through the whole overlay: convolution, pooling, classes."""

from __future__ import annotations

import numpy as np

from ..network import Conv2d, Flatten, Head, Network, Pool, TensorType
from ..neuron import Affine, Neuron


def _affine(channels: int, multiplier: int) -> Affine:
    bias = (np.arange(channels, dtype=np.int64) - channels // 2) * 4096
    return Affine(np.full(channels, multiplier), np.full(channels, 4), bias)


def sample_network() -> Network:
    """1x8x8 image -> 20 channels of 2-bit codes over 2 steps -> maximum of 2x2 -> 4 classes."""
    rng = np.random.default_rng(7)
    kernel = rng.integers(-7, 8, (20, 1, 3, 3), np.int8)
    weight = rng.integers(-7, 8, (4, 20 * 4 * 4), np.int8)
    layers = (
        Conv2d("conv", "input", kernel, 4, Neuron(_affine(20, 900), s_max=3, leak_shift=3), 2, padding=1),
        Pool("pool", "conv", "maximum", 2, 2),
        Flatten("flat", "pool"),
        Head("head", "flat", weight, 4, _affine(4, 700)),
    )
    return Network("doctor's sample", TensorType((1, 8, 8), 8, 1, 255), 2, layers)


def sample_frames() -> np.ndarray:
    """One frame, uint8 [1, 1, 8, 8]."""
    return np.random.default_rng(8).integers(0, 256, (1, 1, 8, 8), np.uint8)
