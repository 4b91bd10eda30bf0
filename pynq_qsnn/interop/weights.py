"""Float weights -> integers with one scale an output channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError, NetworkError
from ..fixed_point import MANTISSA_BITS
from ..hwspec import CODE_BITS

GRID_TOLERANCE = 4e-7  # of a grid step, times the largest integer: what float32 rounding leaves
CLIPPED = np.linspace(0.2, 1, 33)  # largest integer * step, as shares of the largest weight, that are tried
SAMPLE = 64  # weights of a channel that a candidate grid is tried on before all are


@dataclass(frozen=True)
class IntegerWeight:
    """weight = integers * scale[channel]. integers: int8 [Co, ...].  bits: 1, 2, 4 or 8.  scale: float64 [Co]."""

    integers: np.ndarray
    bits: int
    scale: np.ndarray


def quantize_weight(weight: np.ndarray, bits: int, name: str) -> IntegerWeight:
    """Symmetric integers of float weights [Co, ...], in ``bits`` bits or fewer.

    A channel whose weights already lie on a grid of so many levels keeps its integers, to the bit: that is what
    quantization-aware training leaves. Any other channel is rounded with the step of the least square error; with one
    bit to sign(w) * mean|w|, which is that.
    Raises NetworkError for weights that are not finite, ConfigError for another number of bits.
    """
    if bits not in CODE_BITS:
        raise ConfigError(f"weight bits must be one of {CODE_BITS}, not {bits}")
    weight = np.asarray(weight, np.float64)
    if not np.isfinite(weight).all():
        raise NetworkError(f"{name}: {np.sum(~np.isfinite(weight))} weights are not finite; the training diverged")
    rows = weight.reshape(len(weight), -1)
    largest = np.abs(rows).max(axis=1, initial=0)
    limit = max(2 ** (bits - 1) - 1, 1)
    levels = _grid_levels(rows, largest, limit)
    if bits == 1:
        on_grid = (levels == 1) & np.all(rows != 0, axis=1)
        scale = np.where(on_grid, largest, np.abs(rows).mean(axis=1))
        integers = np.where(rows < 0, -1, 1)
    else:
        scale = np.where(levels > 0, largest / np.maximum(levels, 1), _least_square_step(rows, largest, limit))
        integers = _rounded(rows, scale, limit)
    integers = integers.astype(np.int8).reshape(weight.shape)
    return IntegerWeight(integers, stored_bits(integers), scale)


def stored_bits(integers: np.ndarray) -> int:
    """Bits that hold all integers of a layer: 1 for -1 and 1 alone, else 2, 4 or 8."""
    if np.all(np.abs(integers) == 1):
        return 1
    largest = int(np.abs(integers.astype(np.int16)).max(initial=0))
    return next(bits for bits in CODE_BITS[1:] if largest < 1 << (bits - 1))


def relative_error(weight: np.ndarray, quantized: IntegerWeight) -> float:
    """Root mean square of what rounding changed, divided by that of the weights."""
    shape = (-1, *[1] * (quantized.integers.ndim - 1))
    error = quantized.integers * quantized.scale.reshape(shape) - weight
    power = float(np.sum(np.square(weight, dtype=np.float64)))
    return float(np.sqrt(np.sum(np.square(error)) / power)) if power else 0.0


def _rounded(rows: np.ndarray, scale: np.ndarray, limit: int) -> np.ndarray:
    return np.clip(np.rint(rows / np.where(scale > 0, scale, 1)[:, None]), -limit, limit)


def _least_square_step(rows: np.ndarray, largest: np.ndarray, limit: int) -> np.ndarray:
    """float64 [Co]: few levels are better spent on the many small weights than on the largest one."""
    best, error = largest / limit, np.full(len(rows), np.inf)
    for share in CLIPPED:
        scale = share * largest / limit
        found = np.square(_rounded(rows, scale, limit) * scale[:, None] - rows).sum(axis=1)
        best, error = np.where(found < error, scale, best), np.minimum(found, error)
    return best


def _grid_levels(rows: np.ndarray, largest: np.ndarray, limit: int) -> np.ndarray:
    """int64 [Co]: a number of levels, 1..limit, that makes a channel's weights integers; 0 where there is none.

    Several may: the integers then share a factor. The fewest are taken, but for a layer all of whose channels have a
    number whose step is a multiplier of the unit: this is how a network that was exported gets its own constants back.
    """
    ratio = rows / np.where(largest > 0, largest, 1)[:, None]
    fewest, exact = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for count in range(1, limit + 1):
        candidates = np.flatnonzero(_is_integer(ratio[:, :SAMPLE] * count, count))
        fits = candidates[_is_integer(ratio[candidates] * count, count)]
        mantissa = np.ldexp(np.frexp(largest[fits] / count)[0], MANTISSA_BITS)
        fewest[fits[fewest[fits] == 0]] = count
        exact[fits[(exact[fits] == 0) & (mantissa == np.rint(mantissa))]] = count
    return exact if np.all(exact > 0) else fewest


def _is_integer(values: np.ndarray, count: int) -> np.ndarray:
    return np.all(np.abs(values - np.rint(values)) <= GRID_TOLERANCE * count, axis=1)
