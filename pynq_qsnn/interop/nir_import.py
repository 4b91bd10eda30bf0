"""A NIR graph of binary LIF or IF neurons -> an integer network.

NIR's neurons are differential equations. Exporters write a step of dt seconds by Euler's rule, so that

    LIF   tau v' = (v_leak - v) + r i        v += dt / tau * (v_leak - v + r i)
    IF        v' = r i                       v += dt * r * i

and a neuron that was trained as v = v - v / k + i (SpikingJelly without decay_input, snnTorch's beta = 1 - 1 / k) has
tau = k dt and r = k. The integer leak is v - (v >> n), so dt / tau must be 2**-n.

**Firing.** NIR and snnTorch fire at v > Vth, SpikingJelly and this hardware at v >= Vth. Each step rounds, to units in
the last place (1 / 65536 of the threshold); so that this does not decide what happens at v == Vth, the bias takes as
much from every step, or adds as much: the membrane stays below its exact value for the first two, and not below it for
the last (:func:`_kept_beside`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import ConfigError, ModelFileError, NetworkError, QsnnError
from ..fixed_point import to_bias, to_multiplier
from ..hwspec import CODE_BITS
from ..network import Network, TensorType
from ..neuron import RESET_MODES, THRESHOLD, Affine, Neuron
from .nir_file import parse, visiting_order
from .source_file import origin, read_file
from .weights import quantize_weight, relative_error
from .wires import Builder, Codes, Sums, channel_values

FIRING = ("above", "reached")
DT = 1e-4  # seconds a step, the exporters' default
# Half a unit in the last place below 1.0: both > and >= fire from 65536 / 65536 on. What nir_export writes.
EXPORTED_THRESHOLD = 1 - 0.5 / THRESHOLD
LEAK_TOLERANCE = 1e-5  # of dt / tau, which went through float32
METADATA = "pynq_qsnn"  # key of what nir_export adds to a graph
LARGEST_LEAK_SHIFT = 31


@dataclass(frozen=True)
class NirOptions:
    """What a NIR file does not say. None: as the file's own export by this package said, else the text in brackets.

    num_steps: T [required].  events: frames are event frames [T, C, H, W], not a static image [static].
    input_bits: width of the frames' codes [8].  s_max: their largest [2**input_bits - 1].
    input_scale: value of the code 1 [1/255 for an image, 1 for events].
    input_shape: (C, H, W), where the graph takes vectors.  weight_bits: at most so many.  dt: seconds a step.
    reset: "zero", as NIR defines, or "subtract" for a network that was trained so (exporters do not tell).
    firing: "above", as NIR defines, or "reached", as SpikingJelly fires.
    """

    num_steps: int | None = None
    events: bool | None = None
    input_bits: int | None = None
    s_max: int | None = None
    input_scale: float | None = None
    input_shape: tuple[int, int, int] | None = None
    weight_bits: int = 8
    dt: float = DT
    reset: str = "zero"
    firing: str = "above"

    def __post_init__(self):
        if self.reset not in RESET_MODES:
            raise ConfigError(f"reset is {self.reset!r}, must be one of {RESET_MODES}")
        if self.firing not in FIRING:
            raise ConfigError(f"firing is {self.firing!r}, must be one of {FIRING}")
        for name, value in (("dt", self.dt), ("input scale", self.input_scale)):
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} is {value}, must be positive and finite")
        if self.input_bits not in (None, *CODE_BITS):
            raise ConfigError(f"input bits are {self.input_bits}, must be one of {CODE_BITS}")

    def completed(self, path, metadata: dict) -> NirOptions:
        """Without None, but for input_shape. metadata: of the graph. Raises ConfigError where T is not known."""
        stored = metadata.get(METADATA, {})

        def value(name, otherwise):
            given = getattr(self, name)
            if given is None and isinstance(stored, dict) and name in stored:
                read = _number if name == "input_scale" else _whole
                given = read(f"{path}: {name}", stored[name])
            return otherwise if given is None else given

        num_steps = value("num_steps", None)
        if num_steps is None:
            raise ConfigError(f"{path}: NIR does not say how many steps the network runs; give them (--num-steps)")
        events, bits = bool(value("events", False)), value("input_bits", 8)
        scale = value("input_scale", 1.0 if events else 1 / 255)
        s_max = value("s_max", 2**bits - 1) if self.input_bits is None else 2**bits - 1
        return replace(self, num_steps=num_steps, events=events, input_bits=bits, s_max=s_max, input_scale=scale)


def import_nir(path: str | Path, options: NirOptions = NirOptions()) -> Network:
    """Integer network of a NIR file. The score of a class is the mean over the steps of the graph's output; of a graph
    that ends in spikes, the share of steps in which the class fired.

    The card has the file's SHA-256 and, for each layer, the relative error of its rounded weights. For a file that you
    do not trust see :func:`.nir_file.try_in_a_child`.
    Raises ModelFileError for a damaged file, NetworkError, which names the node, for what has no integer form,
    ConfigError for an option, ToolMissing without the package nir.
    """
    content = read_file(path)
    graph = parse(path, content)
    options = options.completed(path, graph.metadata)
    importer = _Importer(str(path), graph, options)
    builder = importer.run()
    card = {
        **origin(path, content, "NIR"),
        "input": f"code 1 = {options.input_scale:g}",
        "neurons": f"fire at v {'>' if options.firing == 'above' else '>='} Vth, reset: {options.reset}",
        "weight_error": {name: float(f"{error:.3g}") for name, error in importer.weight_errors().items()},
    }
    return builder.network(Path(path).stem, card)


class _Importer:
    def __init__(self, path: str, graph, options: NirOptions):
        self.path, self.graph, self.options = path, graph, options
        self.order, reads = visiting_order(path, graph)
        self.reads = {name: frozenset(sources) for name, sources in reads.items()}
        self.wires: dict[frozenset, Codes | Sums] = {}  # nodes -> the sum of their results
        self.errors: dict[str, float] = {}  # weights' node -> relative error of rounding
        self.input, node = self._only("Input")
        shape = [_whole(f"{path}: the input's shape", n) for n in np.ravel(node.input_type["input"])]
        frame = options.input_shape or (tuple(shape) if len(shape) == 3 else (*shape, 1, 1))
        if len(shape) not in (1, 3) or np.prod(shape) != np.prod(frame) or min(shape) < 1 or min(frame) < 1:
            raise NetworkError(
                f"{path}: the input has shape {shape}, frames {tuple(frame)}; [C, H, W] or a vector is known, without "
                "a batch dimension (snnTorch: export_to_nir(..., ignore_dims=[0])), and a given shape must fit it"
            )
        frame_type = TensorType(frame, options.input_bits, options.num_steps if options.events else 1, options.s_max)
        flat = len(shape) == 1
        self.builder = Builder(frame_type, options.num_steps, options.input_scale, flat and frame[1:] == (1, 1))
        codes = self.builder.input
        self.wires[frozenset([self.input])] = self.builder.flatten(self.input, codes) if flat else codes

    def run(self) -> Builder:
        output, _ = self._only("Output")
        for name in self.order:
            node, where = self.graph.nodes[name], f"node {name!r}"
            kind = type(node).__name__
            if name in (self.input, output):
                continue
            if kind not in self._KINDS:
                known = ", ".join(sorted(self._KINDS))
                raise NetworkError(f"{self.path}: {where} is a {kind}, which has no integer form; known are {known}")
            wire = self._read(name, where)
            try:
                self.wires[frozenset([name])] = self._KINDS[kind](self, where, node, wire)
            except QsnnError:
                raise
            except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
                raise NetworkError(f"{where}: its parameters are not what a {kind} needs: {error}") from error
        self.builder.head(f"node {output!r}", self._read(output, f"node {output!r}"))
        return self.builder

    def weight_errors(self) -> dict[str, float]:
        """Layer -> relative error of its rounded weights."""
        return {layer: self.errors[node] for layer, node in self.builder.nodes.items() if node in self.errors}

    def _only(self, kind: str):
        found = [(name, node) for name, node in self.graph.nodes.items() if type(node).__name__ == kind]
        if len(found) != 1:
            raise NetworkError(f"{self.path}: {len(found)} {kind} nodes; a classifier has one")
        return found[0]

    def _read(self, name: str, where: str) -> Codes | Sums:
        """What a node reads: NIR adds the results of all nodes whose edges end in it."""
        key = self.reads[name]
        if not key:
            raise NetworkError(f"{where}: nothing leads to it")
        if key not in self.wires:
            done = max((part for part in self.wires if part < key), key=len)
            total = self._part(done, key)
            for source in sorted(key - done, key=self.order.index):
                total = self.builder.add(where, total, self._part(frozenset([source]), key))
            self.wires[key] = total
        return self.wires[key]

    def _part(self, part: frozenset, key: frozenset) -> Codes | Sums:
        """The wire of ``part``, which the sum of ``key`` may change if nothing reads it without the others."""
        wire = self.wires[part]
        shared = any(part <= other and not key <= other for other in self.reads.values())
        return replace(wire, shared=shared) if isinstance(wire, Codes) else wire

    # nodes

    def _conv(self, name, node, wire):
        kernel = np.shape(node.weight)[2:]
        stride, dilation = _pair(name, node.stride), _pair(name, node.dilation)
        padding = _pair(name, {"valid": 0, "same": kernel[0] // 2}.get(str(node.padding), node.padding))
        square = len(kernel) == 2 and all(len({*sizes}) == 1 for sizes in (kernel, stride, padding))
        if not square or {*dilation} != {1}:
            raise NetworkError(
                f"{name}: kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}; must be square, "
                "with dilation 1"
            )
        geometry = {"stride": stride[0], "padding": padding[0], "groups": int(node.groups)}
        return self._weigh(name, wire, node.weight, node.bias, **geometry)

    def _linear(self, name, node, wire):
        return self._weigh(name, wire, node.weight, getattr(node, "bias", np.zeros(1)))

    def _weigh(self, name, wire, weight, bias, **geometry):
        weight, bias = _array(name, weight, "weight"), _array(name, bias, "bias")
        if weight.ndim != (4 if geometry else 2) or 0 in weight.shape:
            raise NetworkError(f"{name}: weights of shape {weight.shape}")
        if bias.size not in (1, len(weight)):
            raise NetworkError(f"{name}: {bias.size} biases for {len(weight)} output channels")
        quantized = quantize_weight(weight, self.options.weight_bits, name)
        self.errors[name] = relative_error(weight, quantized)
        return self.builder.weigh(name, _codes(name, wire), quantized, bias.ravel(), **geometry)

    def _flatten(self, name, node, wire):
        start, end = int(node.start_dim), int(node.end_dim)
        if start != 0 or end not in (-1, 2):
            raise NetworkError(f"{name}: flattens dimensions {start} to {end}; must be all, 0 to -1")
        return self.builder.flatten(name, _codes(name, wire))

    def _pool(self, name, node, wire):
        kernel, stride, padding = (_pair(name, x) for x in (node.kernel_size, node.stride, node.padding))
        if len({*kernel}) != 1 or len({*stride}) != 1 or padding != (0, 0):
            raise NetworkError(f"{name}: kernel {kernel}, stride {stride}, padding {padding}; must be square, unpadded")
        sums = self.builder.pool(name, _codes(name, wire), "sum", kernel[0], stride[0])
        if type(node).__name__ == "SumPool2d":
            return sums
        return self.builder.affine(name, sums, np.full(1, 1 / kernel[0] ** 2), np.zeros(1))

    def _scale(self, name, node, wire):
        return self.builder.affine(name, wire, channel_values(name, node.scale, wire, "the scale"), np.zeros(1))

    def _neuron(self, name, node, wire):
        sums = self.builder.identity(name, wire) if isinstance(wire, Codes) else wire

        def values(what):
            array = _array(name, getattr(node, what), what)
            if np.isinf(array).any() and what not in ("tau", "r"):
                raise NetworkError(f"{name}: {what} is infinite")
            return channel_values(name, array, sums, what)

        v_reset, r, threshold = values("v_reset"), values("r"), values("v_threshold")
        if self.options.reset == "subtract" and np.any(v_reset):
            raise NetworkError(f"{name}: v_reset is {v_reset[0]:g}; a reset by subtraction has none, it must be 0")
        height = threshold - v_reset  # the membrane is counted from v_reset, where it starts and returns to
        if np.any(height <= 0):
            raise NetworkError(f"{name}: threshold {threshold.min():g} is not above v_reset {v_reset.max():g}")
        exported = np.all(threshold == EXPORTED_THRESHOLD) and not np.any(v_reset)
        unit = float(THRESHOLD) if exported else THRESHOLD / height
        if type(node).__name__ == "IF":
            leak_shift, gain, constant = None, r * self.options.dt, np.zeros(1)
        else:
            leak_shift, gain, leak = self._leak(name, values("tau"), r)
            constant = (values("v_leak") - v_reset) * leak
        bias = (sums.offset * gain + constant) * unit
        skip_factor = None if sums.skip is None else sums.skip_gain * gain * unit
        sums, _ = self.builder.strengthened(sums, sums.gain * gain * unit)
        factor = sums.gain * gain * unit
        if not exported:
            bias = _kept_beside(self.options.firing, bias, leak_shift is not None, factor, skip_factor)
        affine = Affine(*to_multiplier(factor, name), to_bias(np.broadcast_to(bias, sums.channels), name))
        neuron = Neuron(affine, 1, leak_shift, self.options.reset)
        return self.builder.fire(sums, neuron, np.ones(1), np.zeros(1), skip_factor)

    def _leak(self, name, tau, r):
        """(leak_shift, membrane per unit of current, dt / tau) of an LIF neuron."""
        if np.all(np.isposinf(tau)) and np.all(np.isposinf(r)):
            return None, np.ones(1), np.zeros(1)  # r = tau / dt of a neuron that does not leak: snnTorch's beta = 1
        if not (np.all(tau > 0) and np.isfinite(tau).all() and np.isfinite(r).all()):
            raise NetworkError(f"{name}: tau {tau[0]:g} s, r {r[0]:g}; must be positive and finite")
        leak = self.options.dt / tau
        shift = int(np.rint(-np.log2(leak[0])))
        if not 1 <= shift <= LARGEST_LEAK_SHIFT or np.any(np.abs(leak * 2.0**shift - 1) > LEAK_TOLERANCE):
            lower = max(int(np.floor(-np.log2(leak.min()))), 1)
            near = " or ".join(f"{1 - 2.0**-n:g} (tau {2**n} steps)" for n in (lower, lower + 1))
            raise NetworkError(
                f"{name}: the membrane keeps {1 - leak.min():.6g} of its value a step (tau {1 / leak.min():.4g} steps "
                f"of {self.options.dt:g} s); the hardware keeps 1 - 2**-n, the same in a layer: train with {near}, or "
                "give the file's own seconds a step (--dt)"
            )
        return shift, r * 2.0**-shift, np.full(1, 2.0**-shift)

    _KINDS = {
        "Affine": _linear,
        "AvgPool2d": _pool,
        "Conv2d": _conv,
        "Flatten": _flatten,
        "IF": _neuron,
        "LIF": _neuron,
        "Linear": _linear,
        "Scale": _scale,
        "SumPool2d": _pool,
    }


def _kept_beside(firing: str, bias: np.ndarray, leaks: bool, *factors: np.ndarray | None) -> np.ndarray:
    """The bias [C], in membrane units, that keeps the membrane below its exact value ("above"), or not below it.

    factors: membrane units a unit of the sums, and of a residual, float64 [C]. Where one is whole nothing is rounded;
    else a current up to a threshold is at most a unit off: half by its rounding, half by its multiplier's. A leak
    leaves up to a unit too much.
    """
    rounded = sum(factor != np.rint(factor) for factor in factors if factor is not None)
    if firing == "reached":
        return np.ceil(bias) + rounded
    return np.floor(bias) - np.maximum(rounded + leaks, 1)


def _codes(name: str, wire: Codes | Sums) -> Codes:
    if isinstance(wire, Sums):
        raise NetworkError(
            f"{name}: no neuron stands between it and {wire.node}; the hardware has one behind each layer"
        )
    return wire


def _array(name: str, values, what: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise NetworkError(f"{name}: {what} is {array.dtype}, must be numbers")
    if np.isnan(array).any():
        raise NetworkError(f"{name}: {what} is not a number; the training diverged")
    return array.astype(np.float64)


def _number(what: str, value):
    """Python's number of what a file holds."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise ModelFileError(f"{what} is {value!r}, must be a number")
    return array.item()


def _whole(what: str, value) -> int:
    number = _number(what, value)
    if isinstance(number, bool) or number != int(number):
        raise ModelFileError(f"{what} is {value!r}, must be a whole number")
    return int(number)


def _pair(name: str, values) -> tuple[int, int]:
    array = np.ravel(np.asarray(values))
    if array.size not in (1, 2) or array.dtype.kind not in "iu":
        raise NetworkError(f"{name}: {values!r} where one or two whole numbers are needed")
    return int(array[0]), int(array[-1])
