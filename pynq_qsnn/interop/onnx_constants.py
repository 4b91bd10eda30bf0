"""Constants of a QONNX graph: what exporters leave between an initializer and the layer that reads it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import NetworkError
from .onnx_file import FOLDED, fold, label, tensor_value
from .quantizer import Arguments, constant_levels


@dataclass(frozen=True)
class Quantized:
    """A constant behind its quantizer: value = levels * scale."""

    levels: np.ndarray
    scale: np.ndarray

    @property
    def value(self) -> np.ndarray:
        return self.levels * self.scale


def evaluate(node, attributes: dict, inputs: list):
    """Value, an array or :class:`Quantized`, of a node whose inputs are constants. Raises NetworkError."""
    if node.op_type in FOLDED:
        return fold(node, [plain(value) for value in inputs])
    if node.op_type not in _OPERATORS:
        known = ", ".join(sorted({*_OPERATORS, *FOLDED}))
        raise NetworkError(f"{label(node)} of constants is not evaluated; known are {known}")
    return _OPERATORS[node.op_type](node, attributes, *inputs)


def _constant(node, attributes):
    (value,) = attributes.values()
    return tensor_value(value, label(node)) if hasattr(value, "dims") else np.asarray(value)


def _transpose(node, attributes, value):
    axes = attributes.get("perm")
    if isinstance(value, Quantized):
        scale = np.broadcast_to(value.scale, value.levels.shape)
        return Quantized(np.transpose(value.levels, axes), np.transpose(scale, axes))
    return np.transpose(value, axes)


def _reshape(node, attributes, value, shape):
    return np.reshape(plain(value), [int(n) for n in shape])


def _quantize(node, attributes, value, scale, zero, bits):
    scale = positive(node, scale)
    return Quantized(constant_levels(arguments(node, attributes, scale, zero, bits), plain(value)), scale)


def _bipolar(node, attributes, value, scale):
    if not np.isfinite(value).all():
        raise NetworkError(f"{label(node)}: weights are not finite; the training diverged")
    return Quantized(np.where(value >= 0, 1.0, -1.0), positive(node, scale))


_OPERATORS = {
    "Constant": _constant,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Quant": _quantize,
    "IntQuant": _quantize,
    "BipolarQuant": _bipolar,
}


def plain(value) -> np.ndarray:
    """The array of a constant, behind its quantizer or not. Raises TypeError for anything else."""
    if isinstance(value, Quantized):
        return value.value
    if not isinstance(value, np.ndarray):
        raise TypeError("a constant is missing, or an activation stands in its place")
    return value


def scalar(node, value) -> float:
    """The one number of a constant. Raises NetworkError."""
    array = np.ravel(plain(value))
    if array.size != 1 or not np.isfinite(array).all():
        raise NetworkError(f"{label(node)}: {array.size} values where one finite number is needed")
    return float(array[0])


def positive(node, scale) -> np.ndarray:
    """A scale as float64. Raises NetworkError."""
    scale = np.asarray(plain(scale), np.float64)
    if not (np.isfinite(scale).all() and np.all(scale > 0)):
        raise NetworkError(f"{label(node)}: the scale {np.ravel(scale)[:4]} must be positive and finite")
    return scale


def arguments(node, attributes: dict, step, zero, bits) -> Arguments:
    """Inputs and attributes that Quant and Trunc share. step: float64."""
    signed, narrow = (bool(attributes.get(name, default)) for name, default in (("signed", 1), ("narrow", 0)))
    rounding = str(attributes.get("rounding_mode", "ROUND"))
    return Arguments(label(node), step, scalar(node, zero), scalar(node, bits), signed, narrow, rounding)
