"""Trained model -> integer network.

A spiking layer computes, in floating point and for output channel c,

    current = gamma (w_scale in_scale acc - mean) / sqrt(var + eps) + beta        acc = sum of integer weights x codes

and fires floor(membrane / threshold). Divided by the threshold and times 1 << 16 this is the integer neuron's
``acc * factor + offset``: batch norm, weight scale, input scale and threshold become one multiplier, shift and bias a
channel. The weights stay the integers that Brevitas trained; folding batch norm into low-bit weights would requantize
them. Batch norm is read in its evaluation form (running statistics), whatever mode the model is in.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..architectures.entries import FLOAT_BITS
from ..data import load_dataset
from ..errors import ConfigError, NetworkError, ToolMissing
from ..fixed_point import code_bits, logit_affine, to_bias, to_multiplier
from ..network import INPUT, Attention, Conv2d, Flatten, Linear, Network, Pool, Skip, Steps, TensorType
from ..network import Head as IntegerHead
from ..neuron import THRESHOLD, Affine, Neuron
from ..reference import Reference
from . import layers
from .card import model_card
from .evaluate import evaluate
from .loop import find_checkpoint, load_model

PIXEL_SCALE = 1 / 255  # training divides the 8-bit pixels by 255
CHECKED_FRAMES = 100  # an export ends with this many frames through the independent int64 forward
POOL_KINDS = {layers.MaxPool: "maximum", layers.SumPool: "sum", layers.AvgPool: "average"}


@dataclass(frozen=True)
class _Wire:
    """The tensor between two layers: its name, the float value of one code, its largest code, its row count."""

    name: str
    scale: float
    s_max: int
    rows: int


def export_checkpoint(checkpoint, output, onnx: str | None = None) -> Network:
    """Export a training run to the .qsnn file ``output``, with its card, and return the network.

    checkpoint: a .safetensors file, or the output folder of a run.  onnx: "qcdq" or "qonnx" also writes the float
    model beside ``output`` as NAME.qcdq.onnx or NAME.qonnx.onnx.

    The card's accuracies are measured here on the whole test split. Nothing is written when a code of the first 100
    frames differs from the independent int64 forward (NetworkError). Raises ModelFileError, DataError, ConfigError.
    """
    model, state = load_checkpoint(checkpoint)
    dataset = load_dataset(state["config"]["dataset"], "test", model.spec.input_shape[-1])
    network = export_network(model, static=dataset.num_steps is None)
    measured = evaluate(model, network, dataset, {"executor": _executor(network)}, CHECKED_FRAMES, progress=False)
    if different := measured["compared"]["int64"]["different"]:
        raise NetworkError(f"{different} codes differ from the independent forward; this is a defect of the exporter")
    network = replace(network, card=model_card(state, dataset.card, measured))
    if onnx is not None:
        from .onnx_export import export_onnx

        export_onnx(model, Path(output).with_suffix(f".{onnx}.onnx"), onnx)
    network.save(output)
    return network


def load_checkpoint(path):
    """(model in evaluation mode, state) of a checkpoint file or of a run's output folder. Raises ModelFileError."""
    return load_model(find_checkpoint(path))


def _executor(network: Network):
    """The fast simulator, or the reference where no C++ compiler is installed; both compute the same."""
    from ..runtime.simulator import Simulator

    try:
        return Simulator().load(network)
    except ToolMissing:
        return Reference().load(network)


@torch.no_grad()
def export_network(model, name: str | None = None, static: bool = True, card: dict | None = None) -> Network:
    """Integer network of a :class:`~pynq_qsnn.training.models.SpikingNetwork`.

    static: frames are images [C, H, W] that every step repeats; False: event frames [T, C, H, W].
    The float score of a class is ``network.head.logit_scale`` times its integer logit.
    Raises NetworkError when a constant does not fit the unit, ConfigError for a layer that has no integer form.
    """
    spec = model.spec
    steps = 1 if static else spec.num_steps
    source = TensorType(tuple(spec.input_shape), bits=8, num_steps=steps, s_max=255)
    exporter = _Exporter()
    wire = _Wire(INPUT, PIXEL_SCALE, source.s_max, spec.input_shape[1])
    for module in model.layers:
        wire = exporter.add(module, wire)
    return Network(name or spec.model, source, spec.num_steps, tuple(exporter.layers), card or {})


class _Exporter:
    """Walks the modules in order and appends integer layers; every method returns the wire that it defines."""

    def __init__(self):
        self.layers: list = []
        self.counts: dict[str, int] = {}

    def add(self, module, wire: _Wire) -> _Wire:
        if isinstance(module, layers.SpikingConv):
            return self._conv(module, wire)
        if isinstance(module, layers.SpikingLinear):
            return self._linear(module, wire)
        if isinstance(module, layers.SelfAttention):
            return self._attention(module, wire)
        if isinstance(module, layers.Residual):
            return self._residual(module, wire)
        if isinstance(module, layers.Steps):
            return self._steps(module, wire)
        if isinstance(module, torch.nn.Flatten):
            return self._append(Flatten(self._name("flatten"), wire.name), replace(wire, rows=1))
        if isinstance(module, layers.Head):
            return self._head(module, wire)
        if type(module) in POOL_KINDS:
            return self._pool(module, wire)
        raise ConfigError(f"{type(module).__name__} has no integer form; use the layers of pynq_qsnn.training.layers")

    def _name(self, kind: str) -> str:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}{self.counts[kind]}"

    def _append(self, layer, wire: _Wire) -> _Wire:
        self.layers.append(layer)
        return replace(wire, name=layer.name)

    def _conv(self, module, wire: _Wire, kind: str = "conv") -> _Wire:
        name, conv = self._name(kind), module.conv
        weight, weight_scale = integer_weight(conv)
        neuron = spiking_neuron(module, weight_scale * wire.scale, name)
        kernel, stride, padding = conv.kernel_size[0], conv.stride[0], conv.padding[0]
        layer = Conv2d(
            name, wire.name, weight, module.weight_bits, neuron, code_bits(neuron.s_max), stride, padding, conv.groups
        )
        rows = (wire.rows + 2 * padding - kernel) // stride + 1
        return self._append(layer, _Wire(name, module.neuron.threshold, neuron.s_max, rows))

    def _linear(self, module, wire: _Wire) -> _Wire:
        name = self._name("linear")
        weight, weight_scale = integer_weight(module.linear)
        neuron = spiking_neuron(module, weight_scale * wire.scale, name)
        layer = Linear(name, wire.name, weight, module.weight_bits, neuron, code_bits(neuron.s_max))
        return self._append(layer, _Wire(name, module.neuron.threshold, neuron.s_max, 1))

    def _attention(self, module, wire: _Wire) -> _Wire:
        query, key, value = (
            self._conv(part, wire, kind)
            for part, kind in ((module.query, "query"), (module.key, "key"), (module.value, "value"))
        )
        name = self._name("attention")
        scale = np.full(module.norm.num_features, query.scale * key.scale * value.scale)
        neuron = spiking_neuron(module, scale, name)
        layer = Attention(name, query.name, key.name, value.name, module.heads, neuron, code_bits(neuron.s_max))
        return self._append(layer, replace(query, scale=module.neuron.threshold, s_max=neuron.s_max))

    def _steps(self, module, wire: _Wire) -> _Wire:
        s_max = wire.s_max * max(1, module.before // module.after)
        return self._append(Steps(self._name("steps"), wire.name, module.after), replace(wire, s_max=s_max))

    def _residual(self, module, wire: _Wire) -> _Wire:
        shortcut = wire if module.shortcut is None else self._conv(module.shortcut, wire, "shortcut")
        for part in module.body:
            wire = self.add(part, wire)
        layer = self.layers.pop()
        if module.domain == "spike":
            if shortcut.scale != wire.scale:
                raise ConfigError(f"{layer.name}: the residual's step {shortcut.scale:g} is not {wire.scale:g}")
            limit = round(module.ceiling / wire.scale)
            skip = Skip(shortcut.name, "spike", s_max=limit)
            wire = replace(wire, s_max=min(limit, wire.s_max + shortcut.s_max))
        elif module.domain == "iand":
            if shortcut.scale != wire.scale:
                raise ConfigError(f"{layer.name}: the residual's step {shortcut.scale:g} is not {wire.scale:g}")
            skip = Skip(shortcut.name, "iand")
        else:
            channels = len(layer.weight)
            factor = np.full(channels, shortcut.scale / wire.scale * THRESHOLD)
            multiplier, shift = to_multiplier(factor, f"{layer.name}: residual")
            stride = -(-shortcut.rows // wire.rows)
            skip = Skip(shortcut.name, "current", multiplier=multiplier, shift=shift, stride=stride)
        return self._append(replace(layer, skip=skip), wire)

    def _pool(self, module, wire: _Wire) -> _Wire:
        is_maximum = isinstance(module, layers.MaxPool)
        kernel, padding = (module.kernel_size, module.padding) if is_maximum else (module.kernel, 0)
        kind = POOL_KINDS[type(module)]
        s_max = wire.s_max * kernel**2 if kind == "sum" else wire.s_max
        layer = Pool(self._name("pool"), wire.name, kind, kernel, module.stride, padding)
        rows = (wire.rows + 2 * padding - kernel) // module.stride + 1
        return self._append(layer, replace(wire, s_max=s_max, rows=rows))

    def _head(self, module, wire: _Wire) -> _Wire:
        weight, weight_scale = integer_weight(module.linear)
        scale, bias = weight_scale * wire.scale, _float64(module.bias)
        affine, logit_scale = logit_affine(weight, scale, bias, wire.s_max, module.num_steps)
        return self._append(IntegerHead("head", wire.name, weight, module.weight_bits, affine, logit_scale), wire)


def integer_weight(layer) -> tuple[np.ndarray, np.ndarray]:
    """Integers int8 (the weight's shape) and scale float64 [Co] of a Brevitas layer: weight = integer * scale.

    Raises ConfigError for float weights.
    """
    if not layer.weight_quant.is_quant_enabled:
        raise ConfigError(
            f"the weights are float ({FLOAT_BITS} bits) and the integer network holds 8 bits or fewer; "
            "train with --weight-bits 8, 4, 2 or 1, starting from this run by --init-from"
        )
    quantized = layer.quant_weight()
    return quantized.int().cpu().numpy().astype(np.int8), _float64(quantized.scale).ravel()


def spiking_neuron(module, sum_scale: np.ndarray, name: str) -> Neuron:
    """Integer neuron of a SpikingConv or SpikingLinear. sum_scale: float64 [Co], float value of one unit of acc."""
    norm, lif = module.norm, module.neuron
    gain = _float64(norm.weight) / np.sqrt(_float64(norm.running_var) + norm.eps)
    offset = _float64(norm.bias) - gain * _float64(norm.running_mean)
    unit = THRESHOLD / lif.threshold  # membrane units of a current of 1.0
    affine = Affine(*to_multiplier(gain * sum_scale * unit, name), to_bias(offset * unit, name))
    return Neuron(affine, lif.s_max, lif.leak_shift, lif.reset_mode)


def _float64(tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float64)
