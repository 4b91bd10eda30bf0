"""Weight quantizers by bit width: symmetric, one scale an output channel, zero point 0.

bits  integer values      scale of a channel
8     -127..127           max|w| / 127
4     -7..7               max|w| / 7
2     -1, 0, 1 (ternary)  max|w|
1     -1, 1               mean|w|
16    not quantized: float weights, which cannot be exported; the start of low-bit runs
"""

from brevitas.core.function_wrapper import TensorClampSte
from brevitas.inject.enum import QuantType, ScalingImplType, StatsOp
from brevitas.quant import Int8WeightPerChannelFloat, SignedBinaryWeightPerTensorConst

from ..architectures.entries import FLOAT_BITS
from ..errors import ConfigError

WEIGHT_BITS = (1, 2, 4, 8, FLOAT_BITS)


class SignedBinaryWeightPerChannelMean(SignedBinaryWeightPerTensorConst):
    """sign(w) * mean|w| of the output channel.

    Brevitas' integer quantizer divides by zero at one bit, and its constant binary quantizer clamps the float weights
    in place; TensorClampSte clamps a copy.
    """

    quant_type = QuantType.BINARY
    scaling_impl_type = ScalingImplType.STATS
    scaling_stats_op = StatsOp.AVE
    scaling_per_output_channel = True
    tensor_clamp_impl = TensorClampSte


def weight_quantizer(weight_bits: int) -> dict:
    """Keyword arguments for QuantConv2d / QuantLinear that select the quantizer; ConfigError outside WEIGHT_BITS."""
    if weight_bits not in WEIGHT_BITS:
        raise ConfigError(f"weight_bits must be one of {WEIGHT_BITS}, not {weight_bits}")
    if weight_bits == FLOAT_BITS:
        return {"weight_quant": None}
    if weight_bits == 1:
        return {"weight_quant": SignedBinaryWeightPerChannelMean}
    return {"weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": weight_bits}
