"""Real per-channel constants -> the integers of the integration unit: multiplier, shift and bias."""

import numpy as np

from .errors import NetworkError
from .hwspec import CODE_BITS
from .neuron import INT32_MAX, MAXIMUM_SHIFT, MULTIPLIER_BITS, Affine

MANTISSA_BITS = MULTIPLIER_BITS - 1  # magnitude bits: |multiplier| < 1 << MANTISSA_BITS
LOGIT_FRACTION_BITS = 16  # resolution of the logits; fewer where they would leave int32


def round_half_up(x):
    """Nearest integer, halves toward +infinity, as the hardware rounds. float64 -> float64, exact."""
    low = np.floor(x)
    return low + (x - low >= 0.5)


def to_multiplier(factor, name: str):
    """(multiplier, shift), int64 [C], with multiplier * 2**-shift nearest to ``factor`` (float64 [C]).

    The shift is the largest of 0..48 that leaves |multiplier| < 2**17: the mantissa is normalised, so the relative
    error is at most 2**-17 for factors above 2**-32. One common power of two for a layer would fail, because the
    factors of its channels differ by orders of magnitude. Raises NetworkError for a factor of 2**17 or more.
    """
    factor = np.asarray(factor, np.float64)
    _need_finite(factor, f"{name}: channel scale")
    _, exponent = np.frexp(factor)  # |factor| = mantissa * 2**exponent, mantissa in [0.5, 1)
    shift = np.where(factor == 0, MAXIMUM_SHIFT, np.minimum(MANTISSA_BITS - exponent, MAXIMUM_SHIFT))
    # A mantissa just below 1 rounds up to 2**17 and needs one shift less.
    shift = shift - (np.abs(round_half_up(np.ldexp(factor, shift))) >= 1 << MANTISSA_BITS)
    if shift.min() < 0:
        channel = int(shift.argmin())
        raise NetworkError(
            f"{name}: one unit of the sum is worth {factor[channel] / (1 << 16):.3g} thresholds in channel {channel}, "
            "the multiplier holds less than 2. Its inputs hardly fire, or its spikes are too wide for sums of so few "
            "bits: train longer, or use fewer spike bits here, or more weight bits, or wider spikes before it"
        )
    return round_half_up(np.ldexp(factor, shift)).astype(np.int64), shift.astype(np.int64)


def to_bias(offset, name: str):
    """int64 [C] nearest to ``offset`` (float64 [C], membrane units). Raises NetworkError beyond int32."""
    offset = np.asarray(offset, np.float64)
    _need_finite(offset, f"{name}: channel offset")
    bias = round_half_up(offset)
    if np.abs(bias).max() > INT32_MAX:
        channel = int(np.abs(bias).argmax())
        raise NetworkError(
            f"{name}: the offset of channel {channel} is {offset[channel] / (1 << 16):.3g} thresholds, int32 holds "
            f"32768; its batch norm diverged, train again with a lower learning rate"
        )
    return bias.astype(np.int64)


def logit_affine(weight, scale, bias, s_max: int, num_steps: int) -> tuple[Affine, float]:
    """A head's affine and its ``logit_scale``: float score = mean over t of (acc * scale + bias) [classes].

    weight: int8 [classes, Ci].  scale, bias: float64 [classes].  s_max: largest input code.
    """
    largest_sum = np.abs(weight.astype(np.int64)).sum(axis=1) * s_max
    bits = logit_fraction_bits(largest_sum * np.abs(scale) + np.abs(bias), num_steps)
    affine = Affine(*to_multiplier(np.ldexp(scale, bits), "head"), to_bias(np.ldexp(bias, bits), "head"))
    return affine, 2.0**-bits / num_steps


def logit_fraction_bits(largest_logit: np.ndarray, num_steps: int) -> int:
    """Fraction bits, 16 or fewer, with which the sum over T of logits up to ``largest_logit`` [classes] fits int32."""
    # The margin covers the rounding of multiplier and bias.
    limit = INT32_MAX / (float(np.max(largest_logit)) * num_steps * 1.001 + 1e-9)
    return min(LOGIT_FRACTION_BITS, int(np.floor(np.log2(limit))))


def code_bits(s_max: int) -> int:
    """Width of stored codes up to ``s_max``, 255 or less: 1, 2, 4 or 8 bits."""
    return next(bits for bits in CODE_BITS if s_max < 1 << bits)


def _need_finite(values, what: str):
    if not np.isfinite(values).all():
        raise NetworkError(f"{what} {int(np.argmin(np.isfinite(values)))} is not finite: the training diverged")
