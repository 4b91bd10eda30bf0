"""An integer network -> a NIR graph whose real-valued neurons emit the same spikes.

The input is the frame's codes as numbers; a spike is 1. Integer weights times their channel's multiplier become float32
weights, exactly: 7 and 17 bits of mantissa. One threshold of the integer neuron is 1.0, and v_threshold is half a unit
in the last place below it, so that tools that fire at > and at >= agree. What differs: the unit rounds currents, and
its leak, to 1 / 65536 of a threshold, where a simulator of the graph has float arithmetic. The score of a class is the
mean of the output over the steps.

NIR has no multi-bit spikes, no reset by subtraction, no maximum pools; what a network has of these is named.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from ..errors import NetworkError
from ..files import atomic_file
from ..network import INPUT, Conv2d, Flatten, Head, Linear, Network, Pool, TensorType
from ..neuron import THRESHOLD, Affine, Neuron
from .nir_file import load_nir
from .nir_import import DT, EXPORTED_THRESHOLD, METADATA


def export_nir(network: Network, path: str | Path) -> None:
    """Write ``network`` as a NIR file, atomically. Raises NetworkError, which names the layer, and ToolMissing."""
    graph = nir_graph(network)
    nir, _ = load_nir()
    buffer = io.BytesIO()
    nir.write(buffer, graph)
    with atomic_file(path) as file:
        file.write(buffer.getvalue())


def nir_graph(network: Network):
    """``nir.NIRGraph`` of a network. Raises as :func:`export_nir`."""
    exporter = _Exporter(network)
    for layer in network.layers:
        exporter.add(layer)
    return exporter.graph()


class _Exporter:
    def __init__(self, network: Network):
        self.nir, _ = load_nir()
        self.network = network
        self.nodes = {"input": self.nir.Input(np.array(network.input.shape))}
        self.edges: list[tuple[str, str]] = []
        self.sources = {INPUT: ["input"]}  # tensor -> nodes whose results add up to it
        self.vectors: set[str] = set()  # tensors without rows and columns in the graph

    def graph(self):
        frame = self.network.input
        stored = {
            "num_steps": self.network.num_steps,
            "events": int(frame.num_steps > 1),
            "input_bits": frame.bits,
            "s_max": frame.s_max,
            "input_scale": 1.0,
        }
        return self.nir.NIRGraph(self.nodes, self.edges, metadata={METADATA: stored})

    def add(self, layer) -> None:
        if isinstance(layer, Pool):
            self._pool(layer)
        elif isinstance(layer, Flatten):
            self._flatten(layer.name, layer.source)
        elif isinstance(layer, Head):
            self._head(layer)
        elif isinstance(layer, (Conv2d, Linear)):
            self._spiking(layer)
        else:
            raise NetworkError(f"{layer.name}: NIR has no {type(layer).__name__}")

    def _type(self, tensor: str) -> TensorType:
        return self.network.tensors[tensor]

    def _node(self, tensor: str, node, *sources: str) -> None:
        """Add a node that reads tensors; its result is ``tensor``."""
        name = re.sub(r"\W", "_", tensor)  # "/" is a folder in HDF5, "." one of PyTorch's modules
        while name in self.nodes or name == "output":
            name += "_"
        self.nodes[name] = node
        self.edges += [(start, name) for source in sources for start in self.sources[source]]
        self.sources[tensor] = [name]

    def _flatten(self, name: str, source: str) -> None:
        shape = np.array(self._type(source).shape)
        self._node(name, self.nir.Flatten(shape, start_dim=0, end_dim=-1), source)
        self.vectors.add(name)

    def _vector(self, source: str) -> str:
        """``source``, or its flattened form: linear layers of NIR read vectors."""
        if source in self.vectors:
            return source
        name = f"{source}.flat"
        if name not in self.sources:
            self._flatten(name, source)
        return name

    def _pool(self, layer: Pool) -> None:
        if layer.kind != "sum":
            what = "no maximum pool" if layer.kind == "maximum" else "no average that rounds to whole codes"
            raise NetworkError(f"{layer.name}: NIR has {what}; use sum pools, or strides")
        size = [np.array([n, n]) for n in (layer.kernel, layer.stride, 0)]
        self._node(layer.name, self.nir.SumPool2d(*size), layer.source)

    def _spiking(self, layer: Conv2d | Linear) -> None:
        neuron, skip = layer.neuron, getattr(layer, "skip", None)
        if neuron.s_max > 1:
            raise NetworkError(
                f"{layer.name}: emits codes up to {neuron.s_max}, NIR's neurons 0 or 1; train with 1 bit"
            )
        steps = self._type(layer.name).num_steps
        if neuron.reset_mode != "zero" and steps > 1:
            raise NetworkError(f"{layer.name}: resets by subtraction, NIR's neurons to a value; train with reset zero")
        if np.any(neuron.initial_membrane):
            raise NetworkError(f"{layer.name}: starts with a charged membrane, NIR's neurons at 0; use a bias")
        weights, shape = f"{layer.name}.weights", self._type(layer.name).shape
        weight, bias = float_weights(layer.weight, neuron.affine, 1 / THRESHOLD)
        if isinstance(layer, Linear):
            self._node(weights, self.nir.Affine(weight, bias), self._vector(layer.source))
            self.vectors.add(layer.name)
            shape = shape[:1]
        elif layer.source in self.vectors:
            raise NetworkError(f"{layer.name}: a convolution of a flattened map; use a linear layer")
        else:
            size = self._type(layer.source).shape[1:]
            stride, padding, dilation = ((n, n) for n in (layer.stride, layer.padding, 1))
            node = self.nir.Conv2d(size, without_groups(weight, layer.groups), stride, padding, dilation, 1, bias)
            self._node(weights, node, layer.source)
        currents = [weights]
        if skip is not None and skip.domain == "current":
            currents.append(self._residual_current(layer))
        self._node(layer.name, self._neuron(neuron, shape), *currents)
        if skip is not None and skip.domain != "current":
            largest = neuron.s_max + self._type(skip.source).s_max
            if skip.domain == "iand" or skip.s_max < largest:
                what = "an IAND residual" if skip.domain == "iand" else f"a residual that saturates at {skip.s_max}"
                raise NetworkError(f"{layer.name}: NIR adds without limit and has no {what}")
            self.sources[layer.name] = [*self.sources[layer.name], *self.sources[skip.source]]

    def _residual_current(self, layer: Conv2d) -> str:
        skip, shape = layer.skip, self._type(layer.skip.source).shape
        if skip.stride > 1 or shape != self._type(layer.name).shape:
            raise NetworkError(
                f"{layer.name}: its residual {shape} is subsampled or padded to {self._type(layer.name).shape}, NIR's "
                "edges keep shapes; use a convolution as the shortcut"
            )
        factor = np.ldexp(skip.multiplier.astype(np.float64), -skip.shift) / THRESHOLD
        scale = np.broadcast_to(factor[:, None, None], shape).astype(np.float32)
        name = f"{layer.name}.residual"
        self._node(name, self.nir.Scale(scale), skip.source)
        return name

    def _neuron(self, neuron: Neuron, shape: tuple[int, ...]):
        threshold, zero = np.full(shape, EXPORTED_THRESHOLD), np.zeros(shape)
        if neuron.leak_shift is None:
            return self.nir.IF(np.full(shape, 1 / DT), threshold, zero)
        steps = 2.0**neuron.leak_shift
        return self.nir.LIF(np.full(shape, steps * DT), np.full(shape, steps), zero, threshold, zero)

    def _head(self, layer: Head) -> None:
        weight, bias = float_weights(layer.weight, layer.affine, layer.logit_scale * self.network.num_steps)
        self._node(layer.name, self.nir.Affine(weight, bias), self._vector(layer.source))
        self.nodes["output"] = self.nir.Output(np.array([len(weight)]))
        self.edges += [(name, "output") for name in self.sources[layer.name]]


def float_weights(weight: np.ndarray, affine: Affine, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """float32 weights [Co, ...] and biases [Co] whose sum is the unit's current times ``unit``."""
    factor = np.ldexp(affine.multiplier.astype(np.float64), -affine.shift) * unit
    shape = (-1, *[1] * (weight.ndim - 1))
    return (weight * factor.reshape(shape)).astype(np.float32), (affine.bias * unit).astype(np.float32)


def without_groups(weight: np.ndarray, groups: int) -> np.ndarray:
    """[Co, Ci, kh, kw] of a grouped convolution's [Co, Ci / groups, kh, kw], with zeros between the groups.

    The nir package takes the second dimension for the number of input channels, and SpikingJelly reads no groups.
    """
    outputs, inputs = len(weight) // groups, weight.shape[1]
    dense = np.zeros((len(weight), inputs * groups, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return dense
