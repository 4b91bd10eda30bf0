"""QONNX's quantizers: Quant, BipolarQuant and Trunc, of activations and of weights.

Definitions: https://github.com/fastmachinelearning/qonnx/tree/main/docs/qonnx-custom-ops
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import NetworkError
from .weights import IntegerWeight, stored_bits
from .wires import LARGEST_CODE, LARGEST_WEIGHT

WIDEST = 32  # bits of a bias
LEADS = {"ROUND": 0.5, "HALF_EVEN": 0.5, "HALF_UP": 0.5, "FLOOR": 0.0}  # see Quantizer.lead
ROUNDINGS = {
    "ROUND": np.rint,  # half to even
    "HALF_EVEN": np.rint,
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "DOWN": np.trunc,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}


@dataclass(frozen=True)
class Quantizer:
    """An activation's: code = function(real value), 0..s_max; real value of a code = scale * code + offset.

    function: float64 [C, n] or [1, n] -> int64 of that shape.  step: real width of a code, None where only the sign
    counts.  step, scale, offset: float64 [1] or [C].
    lead: code = floor((x - offset) / step + lead), clipped; None for a quantizer that is not of this form.
    """

    function: Callable[[np.ndarray], np.ndarray]
    s_max: int
    step: np.ndarray | None
    scale: np.ndarray
    offset: np.ndarray
    lead: float | None


@dataclass(frozen=True)
class Arguments:
    """Of Quant and Trunc: real width of an integer, zero point, width of the integers. step: float64 [1] or [C]."""

    node: str
    step: np.ndarray
    zero: float
    bits: float
    signed: bool
    narrow: bool
    rounding: str

    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer, as QONNX defines them."""
        if not 1 <= self.bits <= WIDEST or self.bits != int(self.bits):
            raise NetworkError(f"{self.node}: {self.bits:g} bits, must be a whole number, 1 to {WIDEST}")
        bits = int(self.bits)
        if self.signed:
            return -(1 << (bits - 1)) + int(self.narrow), (1 << (bits - 1)) - 1
        return 0, (1 << bits) - 1 - int(self.narrow)

    def levels(self) -> tuple[int, int]:
        """limits() of an activation. Raises NetworkError where 8-bit codes cannot hold it."""
        low, high = self.limits()
        if not 1 <= high - low <= LARGEST_CODE:
            raise NetworkError(f"{self.node}: {high - low + 1} levels; activations have 2 to 256: use 1 to 8 bits")
        if self.zero != int(self.zero):
            raise NetworkError(f"{self.node}: zero point {self.zero:g} is not an integer")
        return low, high

    def rounded(self, values: np.ndarray) -> np.ndarray:
        if self.rounding.upper() not in ROUNDINGS:
            raise NetworkError(f"{self.node}: rounding mode {self.rounding!r}, must be one of {sorted(ROUNDINGS)}")
        return ROUNDINGS[self.rounding.upper()](values)


def bipolar(scale: np.ndarray) -> Quantizer:
    """BipolarQuant: -scale below zero, scale from zero on; code k means scale * (2 k - 1)."""
    return Quantizer(lambda x: (x >= 0).astype(np.int64), 1, None, 2 * scale, -scale, 1.0)


def uniform(q: Arguments, rectified: bool) -> Quantizer:
    """Quant. rectified: a ReLU stands before it, so that codes below zero never occur."""
    if q.bits == 1 and q.signed:
        return bipolar(q.step)  # as qonnx computes it
    low, high = q.levels()
    if rectified:
        low = max(low, int(q.zero))

    def function(x):
        return q.rounded(np.clip(x / q.step[:, None] + q.zero, low, high)).astype(np.int64) - low

    return Quantizer(function, high - low, q.step, q.step, q.step * (low - q.zero), LEADS.get(q.rounding.upper()))


def truncating(q: Arguments, ratio: np.ndarray, step_out: np.ndarray) -> Quantizer:
    """Trunc: integers of ``q.step`` divided by ``ratio``, a power of two, to integers of ``step_out``."""
    low, high = q.levels()

    def function(x):
        wide = np.rint(x / q.step[:, None] + q.zero)
        return q.rounded(np.clip(wide / ratio[:, None], low, high)).astype(np.int64) - low

    return Quantizer(function, high - low, q.step * ratio, step_out, step_out * (low - q.zero / ratio), None)


def constant_levels(q: Arguments, values: np.ndarray) -> np.ndarray:
    """Integers (float64) of a constant's Quant. Computed in float32, as executors do: ties must round as there."""
    if q.zero:
        raise NetworkError(f"{q.node}: weights with zero point {q.zero:g}; use a symmetric weight quantizer")
    if not np.isfinite(values).all():
        raise NetworkError(f"{q.node}: weights are not finite; the training diverged")
    scaled = np.asarray(values, np.float32) / np.asarray(q.step, np.float32)
    if q.bits == 1 and q.signed:
        return np.where(scaled >= 0, 1.0, -1.0)
    return q.rounded(np.clip(scaled, *q.limits())).astype(np.float64)


def weight_of(node: str, levels: np.ndarray, scale: np.ndarray, axis: int) -> IntegerWeight:
    """Weights with their output channels moved from ``axis`` to the front, and one scale for each."""
    if np.abs(levels).max(initial=0) > LARGEST_WEIGHT:
        raise NetworkError(
            f"{node}: weights span {levels.min():g}..{levels.max():g}, the multiplier is exact for "
            f"{-LARGEST_WEIGHT}..{LARGEST_WEIGHT}; quantize with narrow_range=True, signed, to 8 bits or fewer"
        )
    rows = np.moveaxis(np.broadcast_to(scale, levels.shape), axis, 0).reshape(levels.shape[axis], -1)
    if np.any(rows != rows[:, :1]):
        raise NetworkError(f"{node}: the weight scale differs within an output channel; use one a channel or a tensor")
    moved = np.ascontiguousarray(np.moveaxis(levels, axis, 0)).astype(np.int8)
    return IntegerWeight(moved, stored_bits(moved), rows[:, 0].astype(np.float64))
