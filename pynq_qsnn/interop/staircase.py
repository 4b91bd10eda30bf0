"""Multiplier, shift and bias whose codes equal a quantizer's for every sum that can occur, where such integers exist.

With one step and no residual a layer maps an integer sum to a code, and the map is a staircase: code >= k exactly where
sum >= t[k]. The unit's staircase is ((sum * m + half) >> shift) + bias cut at multiples of 1 << 16. Rounding a real
scale to the nearest m moves some of its steps by one sum; the free choice of m and bias moves them back. Round half to
even is a staircase too, though not always one that a line can cut: what stays is counted. With a residual the map is a
staircase for each of its codes, and one bias for all of them: there steps are only counted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..fixed_point import MANTISSA_BITS, to_bias, to_multiplier
from ..neuron import FRACTION_BITS, THRESHOLD, Affine, round_shift, saturate32

UNBOUNDED = 1 << 40  # a bias far beyond int32


StepFunction = Callable[[np.ndarray], np.ndarray]


def fit(
    codes: StepFunction,
    s_max: int,
    slope: np.ndarray,
    sums: tuple[np.ndarray, np.ndarray],
    taken: np.ndarray,
    name: str,
) -> tuple[Affine, int]:
    """(affine, steps of the staircase that lie one sum or more off).

    codes: sums int64 [Co, n] -> codes 0..s_max [Co, n], monotone in the sum.  slope: float64 [Co], codes a sum.
    sums: smallest and largest that can occur, int64 [Co] each.  taken: int64 [Co], the unit sees sum << taken.
    Raises NetworkError as to_multiplier does.
    """
    sign = np.where(slope < 0, -1, 1)
    low, high = np.sort(np.array(sums) * sign, axis=0)
    steps = _steps(lambda sums: codes(sums * sign[:, None]), s_max, low, high)
    nominal, shift = to_multiplier(np.ldexp(np.abs(slope) * THRESHOLD, -taken), name)
    best = [(-1, 0, 0)] * len(slope)  # (steps that fit, multiplier, bias)
    for change in (0, 1, -1):
        multiplier = np.clip(nominal + change, 0, (1 << MANTISSA_BITS) - 1)
        lowest, highest = _bias_intervals(steps, multiplier << taken, shift, low, high)
        for channel in range(len(slope)):
            count, bias = _stab(lowest[channel], highest[channel])
            if count > best[channel][0]:
                best[channel] = (count, int(multiplier[channel]), bias)
    count, multiplier, bias = (np.array(column) for column in zip(*best))
    return Affine(multiplier * sign, shift, to_bias(bias, name)), int(np.sum(s_max - count))


def misplaced(
    codes: StepFunction, unit: StepFunction, s_max: int, slope: np.ndarray, sums: tuple[np.ndarray, np.ndarray]
) -> int:
    """Steps of ``unit``, codes of the same sums, that lie at another sum than those of ``codes``. See :func:`fit`."""
    sign = np.where(slope < 0, -1, 1)
    low, high = np.sort(np.array(sums) * sign, axis=0)[..., None]
    steps, wanted = _steps(lambda sums: codes(sums * sign[:, None]), s_max, low[:, 0], high[:, 0]), np.arange(s_max) + 1
    late = (steps <= high) & (unit(np.minimum(steps, high) * sign[:, None]) < wanted)
    early = (steps > low) & (unit(np.maximum(steps - 1, low) * sign[:, None]) >= wanted)
    return int(np.sum(late | early))


def _steps(codes: StepFunction, s_max: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """int64 [Co, s_max]: the smallest sum with a code of at least k = 1..s_max, high + 1 where there is none."""
    wanted = np.arange(1, s_max + 1)
    first, last = (np.repeat(x[:, None], s_max, axis=1) for x in (low, high + 1))
    while np.any(first < last):
        middle = (first + last) >> 1
        reached = codes(np.minimum(middle, high[:, None])) >= wanted
        last, first = np.where(reached, middle, last), np.where(reached, first, np.minimum(middle + 1, last))
    return first


def _bias_intervals(steps, multiplier, shift, low, high) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest bias [Co, s_max] with which step k of the unit lies where it should."""
    edges = np.arange(1, steps.shape[1] + 1, dtype=np.int64) << FRACTION_BITS

    def current(sums):
        return saturate32(round_shift(sums * multiplier[:, None], shift[:, None]))

    lowest = np.where(steps > high[:, None], -UNBOUNDED, edges - current(np.minimum(steps, high[:, None])))
    highest = np.where(steps <= low[:, None], UNBOUNDED, edges - 1 - current(np.maximum(steps - 1, low[:, None])))
    return lowest, highest


def _stab(lowest: np.ndarray, highest: np.ndarray) -> tuple[int, int]:
    """(number of intervals that the bias lies in, bias).

    Where no bias lies in all, one between the smallest end and the largest start: there no step is off by more than
    these two are apart, which is about a sum.
    """
    start, end = int(lowest.max()), int(highest.min())
    if start <= end:
        if start == -UNBOUNDED:
            return len(lowest), min(end, 0)
        return len(lowest), start if end == UNBOUNDED else (start + end) // 2
    choices = np.concatenate((lowest, highest))
    choices = choices[(choices >= end) & (choices <= start)]
    inside = np.sum((lowest <= choices[:, None]) & (choices[:, None] <= highest), axis=1)
    best = int(np.argmax(inside))
    return int(inside[best]), int(choices[best])
