"""A quantized CNN in QONNX, as Brevitas exports it and FINN reads it -> a network of one step.

With T = 1 and s_max = 2**b - 1 a spiking layer is a quantized activation, and its b-bit code the sum of its bit planes
("Are Conventional SNNs Really Efficient?", Eq. 3): the same hardware runs both. Weights keep the file's integers;
scales, biases and batch norm become the constants of the integration unit (:mod:`.staircase`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import ConfigError, NetworkError, QsnnError
from ..fixed_point import to_bias, to_multiplier
from ..network import Conv2d, Network, TensorType
from ..neuron import THRESHOLD, Affine, Neuron, integrate, skip_current
from . import staircase
from .onnx_constants import Quantized, arguments, evaluate, plain, positive, scalar
from .onnx_file import attributes, label, parse, tensor_value
from .quantizer import Quantizer, bipolar, truncating, uniform, weight_of
from .source_file import origin, read_file
from .weights import IntegerWeight
from .wires import LARGEST_CODE, Builder, Codes, Sums, channel_values, need_identity

SIGN_RANGE = 1 << 13  # thresholds; the membrane holds 1 << 15 on both sides
PASSED = ("Identity", "Dropout")  # nothing happens to a value


@dataclass(frozen=True)
class _Mean:
    """Mean over the map of ``codes``, whose sums 8-bit codes cannot hold: the next layer takes them in."""

    codes: Codes


def import_qonnx(
    path: str | Path, input_scale: float = 1 / 255, input_shape: tuple[int, int, int] | None = None
) -> Network:
    """Network with T = 1 of a QONNX file. Frames are images uint8 [N, C, H, W].

    input_scale: value that the graph is to see for the pixel 1; 1/255 for a graph that takes images of 0..1.
    input_shape: (C, H, W) of the frames, where the graph takes vectors or leaves dimensions free.
    The card has the file's SHA-256 and, for each layer, how many steps of its activation could not be placed exactly;
    behind a residual, of the activation's steps at each of the residual's codes.
    Raises ModelFileError for a damaged file, NetworkError, which names the node, for what has no integer form,
    ToolMissing without the package onnx.
    """
    content = read_file(path)
    graph, versions = parse(path, content)
    importer = Importer(str(path), graph, versions, input_scale, input_shape)
    builder = importer.run()
    card = {
        **origin(path, content, "QONNX"),
        "input": f"pixel 1 = {input_scale:g}",
        "weights": "the file's integers",
        "activation_steps_off_by_a_sum": {
            name: f"{off} of {total}" for name, (off, total) in importer.steps.items() if off
        },
    }
    return builder.network(Path(path).stem, card)


class Importer:
    """Visits the nodes in their order. values: tensor of the graph -> the constant, or the wire, that it became."""

    def __init__(self, path: str, graph, versions: dict, input_scale: float, input_shape):
        if not 0 < input_scale < float("inf"):
            raise ConfigError(f"the input scale is {input_scale}, must be positive")
        self.graph, self.versions = graph, versions
        self.values = {tensor.name: tensor_value(tensor, path) for tensor in graph.initializer}
        self.uses = Counter(name for node in graph.node for name in node.input)
        self.uses.update(port.name for port in graph.output)
        inputs = [port for port in graph.input if port.name not in self.values]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise NetworkError(
                f"{path}: {len(inputs)} inputs and {len(graph.output)} outputs; a classifier has one each"
            )
        flat, shape = _frame_shape(path, inputs[0], input_shape)
        self.builder = Builder(TensorType(shape, 8, 1, LARGEST_CODE), 1, input_scale, flat and shape[1:] == (1, 1))
        codes = self.builder.input
        self._define(inputs[0].name, self.builder.flatten(inputs[0].name, codes) if flat else codes)
        self.steps: dict[str, tuple[int, int]] = {}  # layer -> (activation steps at a wrong sum, all)

    def run(self) -> Builder:
        for node in self.graph.node:
            if len(node.output) < 1:
                raise NetworkError(f"{label(node)} has no result")
            self._define(node.output[0], self._evaluate(node))
        name = self.graph.output[0].name
        result = self._value(name, f"output {name!r}")
        result = self._mean_sums(name, result) if isinstance(result, _Mean) else result
        if not isinstance(result, (Codes, Sums)):
            raise NetworkError(f"output {name!r} does not depend on the input")
        self.builder.head(f"output {name!r}", result)
        return self.builder

    def _define(self, name: str, value) -> None:
        self.values[name] = replace(value, shared=self.uses[name] > 1) if isinstance(value, Codes) else value

    def _value(self, name: str, reader: str):
        if name not in self.values:
            raise NetworkError(f"{reader} reads {name!r}, which nothing before it defines; the graph is not in order")
        return self.values[name]

    def _evaluate(self, node):
        inputs = [self._value(name, label(node)) if name else None for name in node.input]
        constant = not any(isinstance(value, (Codes, Sums, _Mean)) for value in inputs)
        if node.op_type in PASSED and inputs:
            return inputs[0]
        try:
            if constant:
                return evaluate(node, attributes(node), inputs)
            if node.op_type not in self._LAYERS:
                known = ", ".join(sorted({*self._LAYERS, *PASSED}))
                raise NetworkError(f"{label(node)} has no integer form; known are {known}")
            return self._LAYERS[node.op_type](self, node, attributes(node), *inputs)
        except QsnnError:
            raise
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError) as error:
            raise NetworkError(f"{label(node)}: its inputs or attributes are not what it needs: {error}") from error

    # weighted layers

    def _conv(self, node, attributes, codes, weight, bias=None):
        kernel = np.shape(_quantized(node, weight).levels)[2:]
        strides, dilations = (attributes.get(name, [1, 1]) for name in ("strides", "dilations"))
        pads, automatic = attributes.get("pads", [0] * 4), attributes.get("auto_pad", "NOTSET")
        if len(kernel) != 2 or len(set(pads)) != 1 or len(set(strides)) != 1 or set(dilations) != {1}:
            raise NetworkError(
                f"{label(node)}: kernel {kernel}, strides {strides}, pads {pads}, dilations {dilations}; needs two "
                "dimensions, one stride, equal pads on all sides, no dilation"
            )
        if automatic not in ("NOTSET", "VALID"):
            raise NetworkError(f"{label(node)}: auto_pad {automatic}; export it with explicit pads")
        groups = int(attributes.get("group", 1))
        return self._weigh(node, codes, weight, 0, bias, stride=strides[0], padding=pads[0], groups=groups)

    def _gemm(self, node, attributes, codes, weight, bias=None):
        factors = (attributes.get("alpha", 1.0), attributes.get("beta", 1.0), attributes.get("transA", 0))
        if factors != (1.0, 1.0, 0):
            raise NetworkError(f"{label(node)}: alpha, beta, transA are {factors}, must be 1, 1, 0")
        return self._weigh(node, codes, weight, 0 if attributes.get("transB", 0) else 1, bias)

    def _matmul(self, node, attributes, codes, weight):
        return self._weigh(node, codes, weight, 1, None)

    def _weigh(self, node, codes, weight, axis, bias, **geometry):
        name = label(node)
        weight = _quantized(node, weight)
        weight = weight_of(name, weight.levels, weight.scale, axis)
        if isinstance(codes, _Mean):
            codes, weight = self._spread(name, codes, weight)
        if not isinstance(codes, Codes):
            raise NetworkError(f"{name}: its input is not quantized; put an activation quantizer before it")
        bias = np.zeros(1) if bias is None else np.ravel(plain(bias)).astype(np.float64)
        return self.builder.weigh(name, codes, weight, bias, **geometry)

    def _spread(self, name: str, mean: _Mean, weight: IntegerWeight) -> tuple[Codes, IntegerWeight]:
        """A linear layer on a mean = the layer with each weight at every pixel, divided by their number."""
        codes = mean.codes
        pixels = codes.shape[1] * codes.shape[2]
        if weight.integers.ndim != 2 or weight.integers.shape[1] != codes.channels:
            raise NetworkError(f"{name}: weights {weight.integers.shape} do not fit {codes.channels} channel means")
        need_identity(name, len(weight.integers), codes.channels * pixels)
        wide = replace(weight, integers=np.repeat(weight.integers, pixels, axis=1), scale=weight.scale / pixels)
        return self.builder.flatten(name, codes), wide

    def _mean_sums(self, name: str, mean: _Mean) -> Sums:
        channels = need_identity(name, mean.codes.channels)
        eye = IntegerWeight(np.eye(channels, dtype=np.int8), 2, np.ones(channels))
        codes, weight = self._spread(name, mean, eye)
        # Scales of single channels move behind the sums, which have one each.
        size = codes.channels // channels
        scale, offset = (x[::size] if len(x) > 1 else x for x in (codes.scale, codes.offset))
        bare = replace(codes, scale=np.ones(1), offset=np.zeros(1))
        return self.builder.affine(name, self.builder.weigh(name, bare, weight), scale, offset)

    # elementwise

    def _mul(self, node, attributes, a, b):
        wire, constant = _wire_and_constant(node, a, b)
        return self._affine(node, wire, constant, 0.0)

    def _div(self, node, attributes, a, b):
        if isinstance(a, np.ndarray):
            raise NetworkError(f"{label(node)}: divides by an activation")
        return self._affine(node, a, 1 / np.asarray(plain(b), np.float64), 0.0)

    def _add(self, node, attributes, a, b):
        if all(isinstance(value, (Codes, Sums)) for value in (a, b)):
            return self.builder.add(label(node), a, b)
        wire, constant = _wire_and_constant(node, a, b)
        return self._affine(node, wire, 1.0, constant)

    def _sub(self, node, attributes, a, b):
        if all(isinstance(value, (Codes, Sums, _Mean)) for value in (a, b)):
            raise NetworkError(f"{label(node)}: a difference of two activations; the hardware adds residuals")
        if isinstance(a, (Codes, Sums, _Mean)):
            return self._affine(node, a, 1.0, -plain(b))
        return self._affine(node, b, -1.0, plain(a))

    def _batch_norm(self, node, attributes, wire, gamma, beta, mean, variance):
        gamma, beta, mean, variance = (np.ravel(plain(x)).astype(np.float64) for x in (gamma, beta, mean, variance))
        with np.errstate(all="ignore"):  # a negative variance gives NaN, which is refused below
            factor = gamma / np.sqrt(variance + attributes.get("epsilon", 1e-5))
        shape = (-1,) if getattr(wire, "flat", False) else (-1, 1, 1)
        return self._affine(node, wire, factor.reshape(shape), (beta - factor * mean).reshape(shape))

    def _affine(self, node, wire, factor, addend):
        if isinstance(wire, _Mean):
            return _Mean(self._affine(node, wire.codes, factor, addend))
        factor, addend = (channel_values(label(node), x, wire, "a constant") for x in (factor, addend))
        return self.builder.affine(label(node), wire, factor, addend)

    def _relu(self, node, attributes, wire):
        codes = wire.codes if isinstance(wire, _Mean) else wire
        if isinstance(codes, Codes):
            if np.any(codes.offset < 0) or np.any(codes.scale < 0):
                raise NetworkError(f"{label(node)}: a ReLU behind a signed activation; put it before the quantizer")
            return wire
        return replace(wire, rectified=True)

    # activations

    def _quant(self, node, attributes, wire, scale, zero, bits):
        step = self._step(node, scale, wire)
        rectified = isinstance(wire, Sums) and wire.rectified
        return self._activate(node, wire, uniform(arguments(node, attributes, step, zero, bits), rectified))

    def _bipolar_quant(self, node, attributes, wire, scale):
        return self._activate(node, wire, bipolar(self._step(node, scale, wire)))

    def _trunc(self, node, attributes, wire, scale, zero, input_bits, *rest):
        step = self._step(node, scale, wire)
        if self.versions.get(node.domain, 1) >= 2:
            step_out, bits = self._step(node, rest[0], wire), rest[1]
            ratio = 2.0 ** np.rint(np.log2(step_out / step))
        else:
            # Version 1 gives back a sum's step to an integer that it divided.
            step_out, bits = step, rest[0]
            ratio = np.full(1, 2.0 ** (scalar(node, input_bits) - scalar(node, bits)))
        attributes = {"rounding_mode": "FLOOR", **attributes}
        return self._activate(node, wire, truncating(arguments(node, attributes, step, zero, bits), ratio, step_out))

    def _step(self, node, scale, wire) -> np.ndarray:
        codes = wire.codes if isinstance(wire, _Mean) else wire
        return channel_values(label(node), positive(node, scale), codes, "the scale")

    def _activate(self, node, wire, quantizer: Quantizer) -> Codes:
        name = label(node)
        if isinstance(wire, _Mean):
            wire = self._mean_sums(name, wire)
        if isinstance(wire, Codes):
            codes = np.arange(wire.s_max + 1)
            if np.all(quantizer.function(wire.scale[:, None] * codes + wire.offset[:, None]) == codes):
                return replace(wire, scale=quantizer.scale, offset=quantizer.offset)
            wire = self.builder.identity(name, wire)
        if wire.rectified and quantizer.step is None:
            raise NetworkError(
                f"{name}: a bipolar quantizer behind a ReLU is always 1; so Brevitas writes an unsigned activation of "
                "1 bit: use 2 bits, or a bipolar one without ReLU"
            )
        step = quantizer.step
        if step is None:
            step = _sign_step(wire)
        if wire.skip is None:
            return self._fire_exactly(wire, quantizer, step)
        if quantizer.lead is None:
            raise NetworkError(f"{name}: a residual goes through ROUND, HALF_UP or FLOOR, not this rounding mode")
        zero = 0.0 if quantizer.step is None else quantizer.offset
        unit = THRESHOLD / step
        sums = wire
        wire, taken = self.builder.strengthened(sums, sums.gain * unit)
        bias = (wire.offset - zero) * unit + quantizer.lead * THRESHOLD
        affine = Affine(*to_multiplier(wire.gain * unit, name), to_bias(bias, name))
        neuron = Neuron(affine, quantizer.s_max, leak_shift=None)
        fired = self.builder.fire(wire, neuron, quantizer.scale, quantizer.offset, wire.skip_gain * unit)
        layer, residuals = self.builder.layers[-1], range(wire.skip.s_max + 1)
        off = sum(_misplaced(sums, quantizer, layer, taken, residual) for residual in residuals)
        self.steps[layer.name] = (off, quantizer.s_max * sums.channels * len(residuals))
        return fired

    def _fire_exactly(self, sums: Sums, quantizer: Quantizer, step: np.ndarray) -> Codes:
        def codes(acc):
            return quantizer.function(sums.gain[:, None] * acc + sums.offset[:, None])

        slope, occurring = sums.gain / step, _sum_range(sums)
        stronger, taken = self.builder.strengthened(sums, slope * THRESHOLD)
        affine, off = staircase.fit(codes, quantizer.s_max, slope, occurring, taken, sums.node)
        neuron = Neuron(affine, quantizer.s_max, leak_shift=None)
        fired = self.builder.fire(stronger, neuron, quantizer.scale, quantizer.offset)
        layer = self.builder.layers[-1 if sums.pool is None else -2]
        self.steps[layer.name] = (off, quantizer.s_max * sums.channels)
        return fired

    # pools and shapes

    def _max_pool(self, node, attributes, wire):
        kernel, stride, padding = _window(node, attributes)
        if isinstance(wire, Sums):  # the maximum and a rising activation change places
            if wire.pool or wire.skip is not None:
                raise NetworkError(
                    f"{label(node)}: a maximum of a residual sum or of a maximum; put it behind the quantizer"
                )
            return replace(wire, pool=(kernel, stride, padding))
        if not isinstance(wire, Codes):
            raise NetworkError(f"{label(node)}: a maximum of means; quantize them first")
        return self.builder.pool(label(node), wire, "maximum", kernel, stride, padding)

    def _average_pool(self, node, attributes, wire):
        kernel, stride, padding = _window(node, attributes)
        if padding:
            raise NetworkError(f"{label(node)}: pads {padding}; averages take no padding")
        return self._average(node, wire, kernel, stride)

    def _global_average_pool(self, node, attributes, wire):
        if not isinstance(wire, Codes) or wire.shape[1] != wire.shape[2]:
            raise NetworkError(f"{label(node)}: needs a quantized, square map")
        return self._average(node, wire, wire.shape[1], wire.shape[1])

    def _reduce_mean(self, node, attributes, wire, axes=None):
        axes = attributes.get("axes") if axes is None else np.ravel(axes).tolist()
        if sorted(axis % 4 for axis in axes or ()) != [2, 3]:
            raise NetworkError(f"{label(node)}: a mean over axes {axes}; over rows and columns (2, 3) is known")
        mean = self._global_average_pool(node, attributes, wire)
        return mean if attributes.get("keepdims", 1) else self._flat(node, mean)

    def _average(self, node, wire, kernel: int, stride: int):
        """A sum of codes, exact; the division moves into the scale."""
        if not isinstance(wire, Codes):
            raise NetworkError(f"{label(node)}: averages what is not quantized; put the pool behind the quantizer")
        if wire.s_max * kernel**2 > LARGEST_CODE and wire.shape[1:] == (kernel, kernel):
            return _Mean(wire)
        sums = self.builder.pool(label(node), wire, "sum", kernel, stride)
        return self.builder.affine(label(node), sums, np.full(1, 1 / kernel**2), np.zeros(1))

    def _flatten(self, node, attributes, wire):
        if attributes.get("axis", 1) != 1:
            raise NetworkError(f"{label(node)}: axis {attributes['axis']}, must be 1")
        return self._flat(node, wire)

    def _reshape(self, node, attributes, wire, shape):
        codes = wire.codes if isinstance(wire, _Mean) else wire
        size = codes.channels if isinstance(wire, _Mean) else int(np.prod(codes.shape))
        target = [int(n) for n in np.ravel(plain(shape))]
        if len(target) != 2 or target[1] not in (-1, size):
            raise NetworkError(f"{label(node)}: a tensor {codes.shape} to {target}; only [N, {size}] is known")
        return self._flat(node, wire)

    def _flat(self, node, wire):
        if isinstance(wire, _Mean):
            return wire
        if not isinstance(wire, Codes):
            if wire.shape[1:] == (1, 1):
                return replace(wire, flat=True)
            raise NetworkError(f"{label(node)}: flattens a map that is not quantized; quantize it first")
        return self.builder.flatten(label(node), wire)

    _LAYERS = {
        "Add": _add,
        "AveragePool": _average_pool,
        "BatchNormalization": _batch_norm,
        "BipolarQuant": _bipolar_quant,
        "Conv": _conv,
        "Div": _div,
        "Flatten": _flatten,
        "Gemm": _gemm,
        "GlobalAveragePool": _global_average_pool,
        "IntQuant": _quant,
        "MatMul": _matmul,
        "MaxPool": _max_pool,
        "Mul": _mul,
        "Quant": _quant,
        "ReduceMean": _reduce_mean,
        "Relu": _relu,
        "Reshape": _reshape,
        "Sub": _sub,
        "Trunc": _trunc,
    }


def _quantized(node, weight) -> Quantized:
    if not isinstance(weight, Quantized):
        raise NetworkError(f"{label(node)}: its weights are not quantized; use brevitas.nn and its export_qonnx")
    return weight


def _misplaced(sums: Sums, quantizer: Quantizer, layer: Conv2d, taken: np.ndarray, residual: int) -> int:
    """Steps of the layer's activation that lie at a wrong sum where the residual's code is ``residual``.

    taken: int64 [Co], the layer sees sum << taken.
    """
    offset = sums.offset + sums.skip_gain * residual
    current = skip_current(np.full((1, sums.channels, 1), residual), layer.skip.multiplier, layer.skip.shift, 1)

    def codes(acc):
        return quantizer.function(sums.gain[:, None] * acc + offset[:, None])

    def unit(acc):
        return integrate((acc << taken[:, None])[None], layer.neuron, 1, current)[0][0]

    return staircase.misplaced(codes, unit, quantizer.s_max, sums.gain, _sum_range(sums))


def _sum_range(sums: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest integer sum of each channel, int64 [Co]."""
    rows = sums.weight.integers.reshape(sums.channels, -1).astype(np.int64)
    low, high = (np.where(sign * rows > 0, rows, 0).sum(axis=1) * sums.source.s_max for sign in (-1, 1))
    return low, high


def _sign_step(sums: Sums) -> np.ndarray:
    """Real width of a code where only the sign counts: whole sums, so many that the membrane holds all of them."""
    low, high = _sum_range(sums)
    step = np.abs(sums.gain) * np.maximum(np.ceil((high - low) / SIGN_RANGE), 1)
    if sums.skip is not None:
        step = np.maximum(step, np.abs(sums.skip_gain))
    return np.where(step > 0, step, 1)


def _wire_and_constant(node, a, b):
    wire, constant = (b, a) if isinstance(a, (np.ndarray, Quantized)) else (a, b)
    if isinstance(constant, (Codes, Sums, _Mean)):
        raise NetworkError(f"{label(node)}: joins two activations; the hardware adds residuals, and nothing else")
    return wire, plain(constant)


def _window(node, attributes: dict) -> tuple[int, int, int]:
    kernel = attributes["kernel_shape"]
    strides, pads = attributes.get("strides", [1, 1]), attributes.get("pads", [0] * 4)
    square = len(kernel) == 2 and len(set(kernel)) == len(set(strides)) == len(set(pads)) == 1
    plain = not attributes.get("ceil_mode", 0) and set(attributes.get("dilations", [1])) == {1}
    if not square or not plain or attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise NetworkError(
            f"{label(node)}: window {kernel}, strides {strides}, pads {pads}; must be square, without ceil_mode"
        )
    return kernel[0], strides[0], pads[0]


def _frame_shape(path: str, port, input_shape) -> tuple[bool, tuple[int, int, int]]:
    """(whether the graph takes vectors, (C, H, W) of a frame)."""
    dims = [int(dim.dim_value) for dim in port.type.tensor_type.shape.dim][1:]
    if len(dims) not in (1, 3):
        raise NetworkError(f"{path}: the input {port.name!r} has shape [N, {dims}]; [N, C, H, W] or [N, F] are known")
    if input_shape is None:
        input_shape = tuple(dims) if len(dims) == 3 else (dims[0], 1, 1)
    matches = np.prod(input_shape) == dims[0] if len(dims) == 1 else tuple(input_shape) == tuple(dims)
    if 0 in dims:  # free
        matches = len(dims) == 1 or all(n in (0, m) for n, m in zip(dims, input_shape))
    if not matches or min(input_shape) < 1:
        raise NetworkError(
            f"{path}: the input {port.name!r} has shape {dims}, frames {tuple(input_shape)} do not fit it"
        )
    return len(dims) == 1, tuple(int(n) for n in input_shape)
