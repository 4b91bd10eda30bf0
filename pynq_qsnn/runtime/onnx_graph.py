"""An integer network as an ONNX graph that computes the same logits to the bit, with standard operators only.

Sums are ``ConvInteger`` and ``MatMulInteger``. Their weights are stored as uint8 with the zero point 128: exact on any
processor, where int8 weights against uint8 codes may saturate 16-bit pair sums on x86 without VNNI, and four to seven
times as fast in ONNX Runtime 1.31. ONNX has no arithmetic shift of signed integers, so scale and neuron are computed in
float64. That is exact, not approximate: every value is an integer, or one divided by a power of two, of less than 53
bits. int32 saturation is left out where the largest possible value does not reach it. Attention has no constant operand
that integer operators could take: its products are float32 ``MatMul`` where no sum leaves 24 bits, else float64.

Every network that :mod:`pynq_qsnn.network` admits can be expressed. The steps are folded into the batch, step by step,
and only the neurons are unrolled, so each weight appears once whatever T is.
"""

from __future__ import annotations

import numpy as np

from ..errors import ToolMissing
from ..network import INPUT, WEIGHTED, Attention, Conv2d, Flatten, Head, Network, Pool, Skip, Steps, sources
from ..neuron import FRACTION_BITS, INT32_MAX, INT32_MIN, THRESHOLD, Affine, Neuron

FRAMES, LOGITS = "frames", "logits"
OPSET, IR_VERSION = 18, 9  # 18: Split by a number of parts. Read by ONNX Runtime from 1.15 on
WEIGHT_ZERO_POINT = 128
STEP_SCALE = 1.0 / THRESHOLD
EXACT_FLOAT32, EXACT_FLOAT64 = 1 << 24, 1 << 53  # every integer up to them is one
LOW_BITS = 22  # of a sum whose product with the multiplier would leave float64: half of what an attention's sum has


def onnx_model(network: Network):
    """``onnx.ModelProto`` with input "frames", uint8 [N, C, H, W] ([N, T, C, H, W] for event frames), N free, and
    output "logits", int32 [N, classes]. Raises ToolMissing without the package onnx.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ToolMissing(f"{error.name} is not installed; type: pip install onnx onnxruntime") from error
    return _Graph(onnx, network).model()


class _Graph:
    """Appends nodes layer by layer. Tensors of codes are uint8 [steps * N, C, H, W]."""

    def __init__(self, onnx, network: Network):
        self._onnx, self._network = onnx, network
        self._nodes: list = []
        self._constants: dict[tuple, object] = {}  # (dtype, shape, bytes) -> TensorProto
        self._names: dict[str, str] = {}  # network's tensor -> name in the graph
        self._add_input()
        for layer in network.layers:
            self._add(layer)

    def model(self):
        """The checked ModelProto."""
        onnx, network = self._onnx, self._network
        frames = onnx.helper.make_tensor_value_info(FRAMES, onnx.TensorProto.UINT8, ["batch", *network.frame_shape])
        classes = len(network.head.weight)
        logits = onnx.helper.make_tensor_value_info(LOGITS, onnx.TensorProto.INT32, ["batch", classes])
        graph = onnx.helper.make_graph(self._nodes, network.name, [frames], [logits], list(self._constants.values()))
        opset = onnx.helper.make_opsetid("", OPSET)
        model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="pynq_qsnn")
        onnx.checker.check_model(model)
        return model

    # nodes

    def _node(self, operator: str, *inputs: str, **attributes) -> str:
        """Append a node with one result; returns its name."""
        return self._split(operator, *inputs, parts=1, **attributes)[0]

    def _split(self, operator: str, *inputs: str, parts: int, **attributes) -> list[str]:
        number = len(self._nodes)
        results = [f"{operator}_{number}_{part}" for part in range(parts)]
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, results, **attributes))
        return results

    def _constant(self, values, dtype) -> str:
        """Name of an initializer; equal ones are stored once."""
        array = np.ascontiguousarray(np.asarray(values, dtype)).reshape(np.shape(values))  # a scalar stays one
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self._onnx.numpy_helper.from_array(array, f"constant_{len(self._constants)}")
        return self._constants[key].name

    def _real(self, values) -> str:
        return self._constant(values, np.float64)

    def _channels(self, values) -> str:
        """Constant [C] against maps [., C, H, W]."""
        return self._constant(np.reshape(values, (-1, 1, 1)), np.float64)

    def _cast(self, name: str, kind: str) -> str:
        return self._node("Cast", name, to=getattr(self._onnx.TensorProto, kind))

    def _reshape(self, name: str, *shape: int) -> str:
        return self._node("Reshape", name, self._constant(shape, np.int64))

    def _saturate(self, name: str) -> str:
        return self._node("Clip", name, self._real(INT32_MIN), self._real(INT32_MAX))

    # layers

    def _add_input(self) -> None:
        name = FRAMES
        if self._network.input.num_steps > 1:
            name = self._reshape(self._node("Transpose", name, perm=[1, 0, 2, 3, 4]), -1, *self._network.input.shape)
        self._names[INPUT] = name

    def _add(self, layer) -> None:
        source = self._names[layer.source]
        if isinstance(layer, Head):
            self._add_head(layer, source)
            return
        if isinstance(layer, Flatten):
            result = self._reshape(source, -1, self._network.tensors[layer.name].shape[0], 1, 1)
        elif isinstance(layer, Pool):
            result = self._pool(layer, source)
        elif isinstance(layer, Steps):
            result = self._change_steps(layer, source)
        elif isinstance(layer, Attention):
            result = self._fire(layer, self._attend(layer))
        else:
            result = self._fire(layer, self._sums(layer, source))
        self._names[layer.name] = result

    def _sums(self, layer, source: str) -> str:
        """float64 [steps * N, Co, Ho, Wo] of exact sums."""
        weight = layer.weight.astype(np.int16) + WEIGHT_ZERO_POINT
        zero_points = (self._constant(0, np.uint8), self._constant(WEIGHT_ZERO_POINT, np.uint8))
        if isinstance(layer, Conv2d):
            geometry = {"strides": [layer.stride] * 2, "pads": [layer.padding] * 4, "group": layer.groups}
            sums = self._node("ConvInteger", source, self._constant(weight, np.uint8), *zero_points, **geometry)
            return self._cast(sums, "DOUBLE")
        rows = self._reshape(source, -1, layer.weight.shape[1])
        sums = self._node("MatMulInteger", rows, self._constant(weight.T, np.uint8), *zero_points)
        return self._cast(self._reshape(sums, -1, len(layer.weight), 1, 1), "DOUBLE")

    def _attend(self, layer: Attention) -> str:
        """float64 [steps * N, C, H, W] of exact sums, head by head: V (K^T Q) or (V K^T) Q, whichever is less work."""
        channels, *size = self._network.tensors[layer.source].shape
        split = (-1, layer.heads, channels // layer.heads, size[0] * size[1])  # [., heads, channels of a head, tokens]
        kind = "FLOAT" if self._largest_sums(layer).max() <= EXACT_FLOAT32 else "DOUBLE"
        query, key, value = (self._cast(self._reshape(self._names[name], *split), kind) for name in sources(layer))
        turned_key = self._node("Transpose", key, perm=[0, 1, 3, 2])
        if split[3] <= split[2]:
            sums = self._node("MatMul", value, self._node("MatMul", turned_key, query))
        else:
            sums = self._node("MatMul", self._node("MatMul", value, turned_key), query)
        return self._cast(self._reshape(sums, -1, channels, *size), "DOUBLE")

    def _largest_sums(self, layer) -> np.ndarray:
        """int64 [C]: magnitudes that a layer's sums do not exceed."""
        tensors = self._network.tensors
        if isinstance(layer, WEIGHTED):
            weight = np.abs(layer.weight.astype(np.int64)).reshape(len(layer.weight), -1)
            return weight.sum(axis=1) * tensors[layer.source].s_max
        channels, height, width = tensors[layer.source].shape
        codes = [tensors[name].s_max for name in sources(layer)]
        return np.full(channels, channels // layer.heads * height * width * np.prod(codes, dtype=np.int64))

    def _current(self, layer, sums: str, affine: Affine) -> tuple[str, float]:
        """Current of ``sums`` and the largest magnitude that it can have."""
        products = self._largest_sums(layer) * np.abs(affine.multiplier)
        largest = products * 0.5**affine.shift + 1
        round_shift = self._round_shift if products.max() <= EXACT_FLOAT64 // 2 else self._round_shift_of_long
        current = round_shift(sums, affine.multiplier, affine.shift)
        if largest.max() > INT32_MAX:
            current, largest = self._saturate(current), np.minimum(largest, -INT32_MIN)
        if np.any(affine.bias):
            current = self._node("Add", current, self._channels(affine.bias))
        return current, float((largest + np.abs(affine.bias)).max())

    def _round_shift(self, values: str, multiplier: np.ndarray, shift: np.ndarray) -> str:
        """floor(values * multiplier / 2**shift + 1/2), without the half where the shift is 0."""
        scaled = self._node("Mul", values, self._channels(multiplier * 0.5**shift))
        return self._node("Floor", self._node("Add", scaled, self._channels(np.where(shift > 0, 0.5, 0.0))))

    def _round_shift_of_long(self, values: str, multiplier: np.ndarray, shift: np.ndarray) -> str:
        """The same where the product takes up to 62 bits: of the high and the low part of ``values`` in turn.

        With k = min(shift, LOW_BITS) it is floor((high * multiplier * 2**(LOW_BITS - k) + floor((low * multiplier +
        half) / 2**k)) / 2**(shift - k)). Only the sum of both parts may round, far beyond int32, where currents end.
        """
        high = self._node("Floor", self._node("Mul", values, self._real(0.5**LOW_BITS)))
        low = self._node("Sub", values, self._node("Mul", high, self._real(1 << LOW_BITS)))
        first = np.minimum(shift, LOW_BITS)
        half = np.where(shift > 0, 2.0 ** (shift - 1), 0.0)
        low = self._node("Add", self._node("Mul", low, self._channels(multiplier)), self._channels(half))
        low = self._node("Floor", self._node("Mul", low, self._channels(0.5**first)))
        high = self._node("Mul", high, self._channels(multiplier * 2.0 ** (LOW_BITS - first)))
        total = self._node("Mul", self._node("Add", high, low), self._channels(0.5 ** (shift - first)))
        return self._node("Floor", total)

    def _fire(self, layer, sums: str) -> str:
        """Codes uint8 [T * N, C, H, W]."""
        neuron = layer.neuron
        skip: Skip | None = getattr(layer, "skip", None)
        current, largest = self._current(layer, sums, neuron.affine)
        currents = self._in_steps(current, layer.source, layer.name)
        if skip is not None and skip.domain == "current":
            extra, largest_extra = self._skip_current(skip, len(layer.weight))
            extras = self._in_steps(extra, skip.source, layer.name)
            currents = [self._node("Add", *pair) for pair in zip(currents, extras)]
            largest += largest_extra
        spikes = self._join(self._integrate(currents, neuron, largest))
        if skip is None or skip.domain == "current":
            return self._cast(spikes, "UINT8")
        residual = self._cast(self._names[skip.source], "DOUBLE")
        if skip.domain == "spike":
            joined = self._node("Min", self._node("Add", spikes, residual), self._real(skip.s_max))
        else:
            joined = self._node("Mul", self._node("Sub", self._real(1), spikes), residual)
        return self._cast(joined, "UINT8")

    def _in_steps(self, values: str, source: str, output: str) -> list[str]:
        """``values`` of the network's tensor ``source``, a name for each step of ``output``: a step may be repeated."""
        before, after = (self._network.tensors[name].num_steps for name in (source, output))
        parts = [values] if before == 1 else self._split("Split", values, parts=before, num_outputs=before, axis=0)
        return [part for part in parts for _ in range(after // before)]

    def _join(self, names: list[str]) -> str:
        return names[0] if len(names) == 1 else self._node("Concat", *names, axis=0)

    def _integrate(self, currents: list[str], neuron: Neuron, largest: float) -> list[str]:
        """Codes of each step as float64. largest: magnitude of a current; a membrane grows by no more a step."""
        start = neuron.initial_membrane
        bound = float(np.abs(start).max())
        membrane = self._channels(start) if bound else None
        spikes = []
        for step, current in enumerate(currents):
            if membrane is None:
                membrane = current
            else:
                if neuron.leak_shift is not None:
                    leak = self._node("Floor", self._node("Mul", membrane, self._real(0.5**neuron.leak_shift)))
                    membrane = self._node("Sub", membrane, leak)
                membrane = self._node("Add", membrane, current)
            bound += largest
            if bound > INT32_MAX:
                membrane, bound = self._saturate(membrane), float(-INT32_MIN)
            fired = self._node("Floor", self._node("Mul", membrane, self._real(STEP_SCALE)))
            fired = self._node("Clip", fired, self._real(0), self._real(neuron.s_max))
            spikes.append(fired)
            if step < len(currents) - 1:
                membrane = self._reset(membrane, fired, neuron.reset_mode)
        return spikes

    def _reset(self, membrane: str, fired: str, mode: str) -> str:
        if mode == "subtract":
            return self._node("Sub", membrane, self._node("Mul", fired, self._real(1 << FRACTION_BITS)))
        return self._node("Where", self._node("Greater", fired, self._real(0)), self._real(0), membrane)

    def _skip_current(self, skip: Skip, channels: int) -> tuple[str, float]:
        """Residual current, subsampled and zero-padded to ``channels``, and its largest magnitude."""
        codes = self._names[skip.source]
        tensor = self._network.tensors[skip.source]
        if skip.stride > 1:
            places = [self._constant(v, np.int64) for v in ([0, 0], [2**31 - 1] * 2, [2, 3], [skip.stride] * 2)]
            codes = self._node("Slice", codes, *places)
        missing = channels - tensor.shape[0]
        if missing:
            codes = self._node("Pad", codes, self._constant([0, 0, 0, 0, 0, missing, 0, 0], np.int64))
        largest = tensor.s_max * np.abs(skip.multiplier) * 0.5**skip.shift + 1
        return self._round_shift(self._cast(codes, "DOUBLE"), skip.multiplier, skip.shift), float(largest.max())

    def _pool(self, layer: Pool, source: str) -> str:
        geometry = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2}
        if layer.kind == "maximum":
            return self._node("MaxPool", source, pads=[layer.padding] * 4, **geometry)
        channels = self._network.tensors[layer.source].shape[0]
        ones = self._constant(np.ones((channels, 1, layer.kernel, layer.kernel)), np.uint8)
        sums = self._cast(self._node("ConvInteger", source, ones, group=channels, **geometry), "DOUBLE")
        if layer.kind == "average":
            count = layer.kernel**2
            sums = self._node("Add", sums, self._real(count // 2))
            sums = self._node("Floor", self._node("Mul", sums, self._real(1 / count)))
        return self._cast(sums, "UINT8")

    def _change_steps(self, layer: Steps, source: str) -> str:
        before, after = self._network.tensors[layer.source].num_steps, layer.num_steps
        if after >= before:
            return self._join(self._in_steps(source, layer.source, layer.name))
        shape = self._network.tensors[layer.source].shape
        neighbours = self._cast(self._reshape(source, after, before // after, -1, *shape), "INT32")
        sums = self._node("ReduceSum", neighbours, self._constant([1], np.int64), keepdims=0)
        return self._cast(self._reshape(sums, -1, *shape), "UINT8")

    def _add_head(self, layer: Head, source: str) -> None:
        current, _ = self._current(layer, self._sums(layer, source), layer.affine)
        before, after = (self._network.tensors[name].num_steps for name in (layer.source, layer.name))
        if before == 1:
            logits = self._node("Mul", current, self._real(after))
        else:
            logits = self._node("Sum", *self._in_steps(current, layer.source, layer.name))
        rows = self._cast(self._reshape(logits, -1, len(layer.weight)), "INT32")
        self._nodes.append(self._onnx.helper.make_node("Identity", [rows], [LOGITS]))
