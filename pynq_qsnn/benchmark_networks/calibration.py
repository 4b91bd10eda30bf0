"""Constants of random layers such that their neurons fire neither never nor always.

A layer's exact sums are computed at a few positions of the real spike trains before it. The scale brings their
deviation to a fraction of the code range; the bias is found by bisection on the integer neuron itself. Everything is
integer or exact in float64: the same seed gives the same network on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..network import Conv2d, Linear
from ..neuron import INT32_MAX, MULTIPLIER_BITS, THRESHOLD, Affine, Neuron, integrate

POSITIONS = 96  # sampled pixels of a layer
SPREAD = 0.4  # deviation of a step's current, in units of the largest code
REACH = 8  # biases are searched within this many deviations on either side
HALVINGS = 12


@dataclass(frozen=True)
class Sample:
    """Positions of an output map: frame, row and column indices, int [S] each."""

    frame: np.ndarray
    row: np.ndarray
    col: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, frames: int, height: int, width: int) -> Sample:
        """All positions where they are few, else a random choice."""
        total = frames * height * width
        chosen = np.arange(total) if total <= POSITIONS else rng.choice(total, POSITIONS, replace=False)
        return cls(*np.unravel_index(chosen, (frames, height, width)))

    def codes(self, train: np.ndarray, stride: int = 1) -> np.ndarray:
        """int64 [T, S, C] of a spike train uint8 [T, N, C, H, W] at these positions times ``stride``."""
        return train[:, self.frame, :, self.row * stride, self.col * stride].transpose(1, 0, 2).astype(np.int64)


def sampled_sums(layer: Conv2d | Linear, train: np.ndarray, sample: Sample) -> np.ndarray:
    """Exact sums int64 [T, S, Co] of a layer without groups at the sample's positions; train: uint8 [T, N, C, H, W]."""
    weight = layer.weight if layer.weight.ndim == 4 else layer.weight[:, :, None, None]
    stride, padding = getattr(layer, "stride", 1), getattr(layer, "padding", 0)
    padded = np.pad(train, ((0, 0), (0, 0), (0, 0), (padding, padding), (padding, padding)))
    total = 0.0
    for row in range(weight.shape[2]):
        for col in range(weight.shape[3]):
            codes = padded[:, sample.frame, :, sample.row * stride + row, sample.col * stride + col]
            # Advanced indices around a slice: [S, T, Ci]. Products and sums are integers below 2**53.
            total = total + codes.astype(np.float64) @ weight[:, :, row, col].T.astype(np.float64)
    return total.transpose(1, 0, 2).astype(np.int64)


def calibrated_neuron(
    rng: np.random.Generator, sums: np.ndarray, s_max: int, num_steps: int, rate: float, extra: np.ndarray | None
) -> Neuron:
    """Neuron whose channels' mean code is about ``rate * s_max``, half as much to one and a half times as much.

    sums: int64 [T or 1, S, C].  extra: int64 [T, S, C] residual current, or None.
    """
    count = sums.shape[0] * sums.shape[1]
    total = sums.sum(axis=(0, 1))
    mean, centred = total / count, sums - total // count  # squares of centred sums add up exactly
    variance = (centred**2).sum(axis=(0, 1)) / count - (mean - total // count) ** 2
    deviation = np.sqrt(np.maximum(variance, 0))
    deviation = np.maximum(deviation, max(1.0, deviation.max() / 8))  # a channel that hardly moves on this sample
    multiplier, shift = fixed_point(THRESHOLD * s_max * SPREAD / deviation)
    centre = -(multiplier * mean / 2.0**shift)
    sums = np.broadcast_to(sums, (num_steps, *sums.shape[1:]))
    wanted = rate * rng.integers(50, 151, len(mean)) / 100
    reach = THRESHOLD * s_max * SPREAD * REACH + (0 if extra is None else int(np.abs(extra).max()))
    low, high = centre - reach, centre + reach
    for _ in range(HALVINGS):
        middle = np.floor((low + high) / 2)
        neuron = _neuron(multiplier, shift, middle, s_max)
        codes, _ = integrate(sums, neuron, 2, extra)
        fires = codes.mean(axis=(0, 1), dtype=np.float64) > wanted * s_max
        low, high = np.where(fires, low, middle), np.where(fires, middle, high)
    return _neuron(multiplier, shift, np.floor((low + high) / 2), s_max)


def _neuron(multiplier: np.ndarray, shift: np.ndarray, bias: np.ndarray, s_max: int) -> Neuron:
    bias = np.clip(bias, -INT32_MAX, INT32_MAX).astype(np.int64)
    return Neuron(Affine(multiplier, shift, bias), s_max)  # the paper's leak and reset are the defaults


def fixed_point(gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """18-bit multiplier and shift nearest to positive gains below 2**17."""
    _, exponent = np.frexp(gain)
    shift = np.clip(MULTIPLIER_BITS - 1 - exponent, 0, 40).astype(np.int64)
    limit = (1 << (MULTIPLIER_BITS - 1)) - 1
    return np.clip(np.floor(gain * 2.0**shift + 0.5), 1, limit).astype(np.int64), shift


def head_affine(weight: np.ndarray, s_max: int, num_steps: int) -> Affine:
    """Scales with which no sum over T leaves a quarter of int32. weight: int8 [classes, Ci]."""
    largest = int(np.abs(weight.astype(np.int64)).sum(axis=1).max()) * s_max * num_steps
    multiplier, shift = fixed_point(np.full(len(weight), min(2.0**29 / largest, 2.0**14)))
    return Affine(multiplier, shift, np.zeros(len(weight), np.int64))


def random_weights(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """int8 weights whose mean is about zero, as trained ones have it: triangular for 8 and 4 bits, -2..1, -1 and +1."""
    if bits == 1:
        return (2 * rng.integers(0, 2, shape) - 1).astype(np.int8)
    if bits == 2:
        return np.array((-2, -1, 0, 0, 0, 1, 1, 1), np.int8)[rng.integers(0, 8, shape)]
    half = 1 << (bits - 2)
    return rng.integers(-half + 1, half, shape, dtype=np.int8) + rng.integers(-half, half, shape, dtype=np.int8)
