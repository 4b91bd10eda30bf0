"""The integer neuron: charge, fire, reset. Every other implementation must equal this one bit for bit.

One step of one neuron, with ``acc`` the exact int32 sum of weights times input codes::

    u = sat32((acc * multiplier + half) >> shift) + bias      half = 1 << (shift - 1), or 0 when shift is 0
    v = sat32(v - (v >> leak_shift) + u)                      charge; no leak term for an IF neuron
    s = clip(v >> 16, 0, s_max)                               fire; the threshold is 1 << 16, equality fires
    v = v - (s << 16)      or      v = 0 where s > 0          reset: "subtract" or "zero"

``>>`` is the arithmetic shift, so it floors negative values and the rounding sends halves toward +infinity. The
membrane has 16 fraction bits; ``v`` saturates once, after the int64 sum.

The worked example is the paper's neuron (Eq. 6 and 7 of "Are Conventional SNNs Really Efficient?") with 2-bit spikes,
over two steps. The threshold is 65536, so a current of 2.5 thresholds fires the code 2 and leaves half a threshold;
the leak halves that again before the next charge:

>>> import numpy as np
>>> affine = Affine(multiplier=np.array([1 << 15]), shift=np.array([0]), bias=np.array([0]))
>>> neuron = Neuron(affine, s_max=3, leak_shift=1)
>>> spikes, membrane = integrate(np.array([[5], [2]], dtype=np.int32), neuron, channel_axis=-1)
>>> spikes.ravel().tolist()                   # v = 163840 -> 2;  32768 / 2 + 65536 = 81920 -> 1
[2, 1]
>>> membrane.tolist()                         # 81920 - 65536
[16384]

The integration units of the paper are this neuron at other widths: 1/4 (``s_max=1`` over four steps), 4/1
(``s_max=15`` over one step), 2/2 (``s_max=3`` over two). A multi-bit code may also arrive one bit plane at a time:
:func:`accumulate_planes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .errors import NetworkError
from .hwspec import NUMERICS

FRACTION_BITS = NUMERICS["fraction_bits"]
THRESHOLD = 1 << FRACTION_BITS
INT32_MIN, INT32_MAX = -(1 << (NUMERICS["membrane_bits"] - 1)), (1 << (NUMERICS["membrane_bits"] - 1)) - 1
MULTIPLIER_BITS = NUMERICS["multiplier_bits"]
MAXIMUM_SHIFT = NUMERICS["maximum_shift"]
RESET_MODES = ("subtract", "zero")


def saturate32(x: np.ndarray) -> np.ndarray:
    """Clip to the int32 range; the dtype stays int64."""
    return np.clip(x, INT32_MIN, INT32_MAX)


def round_shift(x: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """``(x + half) >> shift`` in int64: arithmetic shift, halves toward +infinity.

    >>> round_shift(np.array([3, -3, 1]), np.array([1, 1, 0])).tolist()
    [2, -1, 1]
    """
    x, shift = np.asarray(x, np.int64), np.asarray(shift, np.int64)
    return (x + ((np.int64(1) << shift) >> 1)) >> shift


def per_channel(name: str, values, low: int, high: int, length: int | None = None) -> np.ndarray:
    """Check a per-channel constant: integers of shape [C] within low..high. Returns int64. Raises NetworkError."""
    array = np.atleast_1d(np.asarray(values))
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise NetworkError(f"{name} must be integers of shape [C], not {array.dtype} of shape {array.shape}")
    if length is not None and len(array) != length:
        raise NetworkError(f"{name} has {len(array)} channels, the multiplier has {length}")
    if len(array) and (array.min() < low or array.max() > high):
        raise NetworkError(f"{name} spans {array.min()}..{array.max()}, the unit holds {low}..{high}")
    return array.astype(np.int64)


@dataclass(frozen=True)
class Affine:
    """Per-channel scale of the accumulator: batch norm and all quantizer scales in one multiply.

    multiplier: [C], 18-bit signed.  shift: [C], 0..48.  bias: [C], int32, in membrane units (1 << 16 = threshold).
    """

    multiplier: np.ndarray
    shift: np.ndarray
    bias: np.ndarray

    def __post_init__(self):
        limit = 1 << (MULTIPLIER_BITS - 1)
        put = object.__setattr__
        put(self, "multiplier", per_channel("multiplier", self.multiplier, -limit, limit - 1))
        channels = len(self.multiplier)
        put(self, "shift", per_channel("shift", self.shift, 0, MAXIMUM_SHIFT, channels))
        put(self, "bias", per_channel("bias", self.bias, INT32_MIN, INT32_MAX, channels))

    @property
    def channels(self) -> int:
        return len(self.multiplier)


@dataclass(frozen=True)
class Neuron:
    """A layer's neurons. ``s_max`` is the largest code a step can emit (2**spike_bits - 1, or any smaller burst limit).

    leak_shift: None for IF, else v loses v >> leak_shift before each charge (1 is the paper's tau = 2).
    initial_membrane: [C] int32 at t = 0; None means zero.
    """

    affine: Affine
    s_max: int
    leak_shift: int | None = 1
    reset_mode: str = "subtract"
    initial_membrane: np.ndarray | None = field(default=None)

    def __post_init__(self):
        if not 1 <= self.s_max <= 255:
            raise NetworkError(f"s_max is {self.s_max}, the unit emits codes of 1 to 255")
        if self.leak_shift is not None and not 1 <= self.leak_shift <= 31:
            raise NetworkError(f"leak_shift is {self.leak_shift}, must be None or 1..31")
        if self.reset_mode not in RESET_MODES:
            raise NetworkError(f"reset_mode is {self.reset_mode!r}, must be one of {RESET_MODES}")
        start = np.zeros(self.affine.channels, np.int64) if self.initial_membrane is None else self.initial_membrane
        start = per_channel("initial_membrane", start, INT32_MIN, INT32_MAX, self.affine.channels)
        object.__setattr__(self, "initial_membrane", start)


def scale(acc: np.ndarray, affine: Affine, channel_axis: int) -> np.ndarray:
    """Currents u (int64, same shape as ``acc``) from exact sums; the membrane's saturation bounds them later."""
    shape = [1] * np.ndim(acc)
    shape[channel_axis] = -1
    m, sh, b = (x.reshape(shape) for x in (affine.multiplier, affine.shift, affine.bias))
    return saturate32(round_shift(np.asarray(acc, np.int64) * m, sh)) + b


def charge(v: np.ndarray, u: np.ndarray, leak_shift: int | None) -> np.ndarray:
    """Leak, then add the current; one saturation of the int64 sum."""
    v = np.asarray(v, np.int64)
    return saturate32(v + u if leak_shift is None else v - (v >> leak_shift) + u)


def fire(v: np.ndarray, s_max: int) -> np.ndarray:
    """Codes 0..s_max; a membrane that equals k thresholds fires k."""
    return np.clip(v >> FRACTION_BITS, 0, s_max)


def reset(v: np.ndarray, s: np.ndarray, mode: str) -> np.ndarray:
    """Subtract what was emitted, or return to zero where anything was."""
    return v - (s << FRACTION_BITS) if mode == "subtract" else np.where(s > 0, 0, v)


def integrate(
    acc: np.ndarray, neuron: Neuron, channel_axis: int, extra_current: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Run T steps.

    acc: int [T, ...] exact sums.  channel_axis: the axis of ``acc`` that the per-channel values belong to.
    extra_current: int64, broadcastable to ``acc``: a residual in the current domain (see :func:`skip_current`).
    Returns the codes (uint8 [T, ...]) and the membrane after the last step (int32 [...]).
    """
    current = scale(acc, neuron.affine, channel_axis)
    if extra_current is not None:
        current = current + extra_current
    shape = [1] * acc.ndim
    shape[channel_axis] = -1
    v = np.broadcast_to(neuron.initial_membrane.reshape(shape)[0], acc.shape[1:])
    spikes = np.empty(acc.shape, np.uint8)
    for t, u in enumerate(current):
        v = charge(v, u, neuron.leak_shift)
        spikes[t] = s = fire(v, neuron.s_max)
        v = reset(v, s, neuron.reset_mode)
    return spikes, np.asarray(v).astype(np.int32)


def skip_current(codes: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, channel_axis: int) -> np.ndarray:
    """Residual current of the skip codes (int64, shape of ``codes``): round_shift(k * m[c], shift[c])."""
    shape = [1] * np.ndim(codes)
    shape[channel_axis] = -1
    return round_shift(np.asarray(codes, np.int64) * np.reshape(multiplier, shape), np.reshape(shift, shape))


def accumulate_planes(plane_sums: np.ndarray) -> np.ndarray:
    """Horner form of Eq. 3: exact sum of a multi-bit input from the sums of its bit planes.

    plane_sums: int [planes, ...], most significant plane first. ``acc <- 2 * acc + plane`` happens before scale, leak
    and saturation, so the plane-serial unit equals the parallel one to the bit.

    >>> accumulate_planes(np.array([[3], [-1]])).tolist()      # 2 * 3 + (-1)
    [5]
    """
    acc = np.zeros(plane_sums.shape[1:], np.int64)
    for plane in plane_sums:
        acc = 2 * acc + plane
    return acc
