"""The integer network: layers, weights, per-channel scales. A directed acyclic graph in topological order.

Every layer names the tensor it reads (``source``) and defines the tensor of its own name. Tensors are spike trains
``[T, N, C, H, W]`` of codes 0..s_max held in ``bits`` (1, 2, 4 or 8) bits. The image is the tensor ``input``; a static
image has one step, and the first convolution replays its current over the network's T steps; a :class:`Steps` layer
changes T from there on. The last layer is the head: it does not fire, its currents summed over T are the logits.

Saved as one ``.qsnn`` file (see :mod:`pynq_qsnn.container`), loaded with every check of :meth:`Network.validate`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from . import container
from .errors import ModelFileError, NetworkError, SpecMismatch
from .hwspec import CODE_BITS, NUMERICS, numerics_fingerprint
from .neuron import (
    INT32_MAX,
    MAXIMUM_SHIFT,
    MULTIPLIER_BITS,
    Affine,
    Neuron,
    per_channel,
    round_shift,
    saturate32,
)

KERNELS = (1, 3, 5, 7)
STRIDES = (1, 2)
SKIP_DOMAINS = ("spike", "current", "iand")
POOL_KINDS = ("maximum", "sum", "average")
INPUT = "input"
# Sums of an attention are int64: their product with the multiplier must fit too.
LARGEST_ATTENTION = 1 << (62 - MULTIPLIER_BITS)


@dataclass(frozen=True)
class TensorType:
    """Shape (C, H, W), code width, steps and largest code of a spike train."""

    shape: tuple[int, int, int]
    bits: int
    num_steps: int
    s_max: int


@dataclass(frozen=True)
class Skip:
    """Residual connection into a convolution.

    domain "spike" (SEW ADD): after firing, s = min(s + k, s_max); needs equal shapes and equal step scales.
    domain "iand" (SEW IAND, arXiv 2102.04159): after firing, s = (1 - s) * k; needs equal shapes and 1-bit codes.
    domain "current" (ResNet): before firing, u += round_shift(k * multiplier[c], shift[c]). The identity may subsample
    (``stride`` 2 takes every second row and column) and zero-pad channels at the end.
    """

    source: str
    domain: str
    s_max: int | None = None
    multiplier: np.ndarray | None = None
    shift: np.ndarray | None = None
    stride: int = 1


@dataclass(frozen=True)
class Conv2d:
    """2-D convolution. weight: int8 [Co, Ci / groups, kh, kw]. spike_bits: width of the stored output codes."""

    name: str
    source: str
    weight: np.ndarray
    weight_bits: int
    neuron: Neuron
    spike_bits: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    skip: Skip | None = None


@dataclass(frozen=True)
class Linear:
    """Fully connected layer on a flattened or 1x1 tensor. weight: int8 [Co, Ci]."""

    name: str
    source: str
    weight: np.ndarray
    weight_bits: int
    neuron: Neuron
    spike_bits: int


@dataclass(frozen=True)
class Pool:
    """Pooling of codes, each step on its own.

    "maximum"; "sum", which widens the codes; "average": (sum + (n >> 1)) div n for a power-of-two n.
    padding: rows and columns of zeros around the map of a maximum, which they never exceed.
    """

    name: str
    source: str
    kind: str
    kernel: int
    stride: int
    padding: int = 0


@dataclass(frozen=True)
class Attention:
    """Spiking self-attention (Spikformer, arXiv 2209.15425): neurons on acc = (Q K^T) V, without a softmax.

    ``source`` (Q), ``key`` and ``value`` are spike trains of one shape [C, H, W]: H * W tokens of C channels, cut into
    ``heads`` runs of C / heads channels. The products are exact in int64; ``neuron`` scales and fires them as any sums.
    """

    name: str
    source: str
    key: str
    value: str
    heads: int
    neuron: Neuron
    spike_bits: int


@dataclass(frozen=True)
class Steps:
    """Another number of time steps from here on, so that T is free for each layer.

    From 1 to T, or T to a multiple: each step is repeated. To a divisor: the codes of neighbouring steps are summed,
    which widens them as a sum pool does and loses no spike.
    """

    name: str
    source: str
    num_steps: int


@dataclass(frozen=True)
class Flatten:
    """[C, H, W] -> [C * H * W, 1, 1] in C, H, W order (PyTorch's)."""

    name: str
    source: str


@dataclass(frozen=True)
class Head:
    """Classifier. weight: int8 [classes, Ci]; logit = sum over t of u, times ``logit_scale`` for a float score."""

    name: str
    source: str
    weight: np.ndarray
    weight_bits: int
    affine: Affine
    logit_scale: float = 1.0


Layer = Conv2d | Linear | Pool | Attention | Steps | Flatten | Head
WEIGHTED = (Conv2d, Linear, Head)
SPIKING = (Conv2d, Linear, Attention)  # what has neurons


def sources(layer: Layer) -> tuple[str, ...]:
    """Tensors that a layer reads: its source, an attention's key and value, its residual."""
    names = [layer.source]
    if isinstance(layer, Attention):
        names += [layer.key, layer.value]
    if getattr(layer, "skip", None) is not None:
        names.append(layer.skip.source)
    return tuple(names)


@dataclass(frozen=True)
class Network:
    """Input type, layers in execution order, and the model card.

    input: TensorType of the frames (8-bit pixels with one step for static images).  num_steps: T of every layer, up to
    the first :class:`Steps`.
    card: plain JSON values: data, licence, command, seed, accuracies; see training.export.
    """

    name: str
    input: TensorType
    num_steps: int
    layers: tuple[Layer, ...]
    card: dict = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        self.validate()

    @property
    def head(self) -> Head:
        """The last layer."""
        return self.layers[-1]

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of one frame: (C, H, W) when static, (T, C, H, W) for event frames."""
        return self.input.shape if self.input.num_steps == 1 else (self.input.num_steps, *self.input.shape)

    @cached_property
    def tensors(self) -> dict[str, TensorType]:
        """Type of every named tensor, the input and the head's result included."""
        return self.validate()

    def validate(self) -> dict[str, TensorType]:
        """Infer every tensor; raise NetworkError with the layer's name where something does not fit."""
        if type(self.num_steps) is not int or not 1 <= self.num_steps <= 255:
            raise NetworkError(f"num_steps is {self.num_steps!r}, must be a whole number 1..255")
        if self.input.num_steps not in (1, self.num_steps):
            raise NetworkError(f"the input has {self.input.num_steps} steps, must be 1 or {self.num_steps}")
        _check_code(INPUT, self.input.bits, self.input.s_max)
        if not self.layers or not isinstance(self.layers[-1], Head):
            raise NetworkError("the last layer must be the Head")
        if len(self.input.shape) != 3 or not all(isinstance(n, int) and n > 0 for n in self.input.shape):
            raise NetworkError(f"{INPUT}: shape {self.input.shape}, must be three positive integers (C, H, W)")
        types = {INPUT: self.input}
        # The static image, pooled or flattened at most: the layer that reads it replays it.
        static = {INPUT} if self.input.num_steps == 1 else set()
        for layer in self.layers:
            if layer.name in types:
                raise NetworkError(f"two tensors are named {layer.name!r}")
            for source in sources(layer):
                if source not in types:
                    raise NetworkError(f"{layer.name}: no tensor {source!r} before it; known: {sorted(types)}")
            if isinstance(layer, Head) and layer is not self.layers[-1]:
                raise NetworkError(f"{layer.name}: a Head can only be the last layer")
            num_steps = self.num_steps if layer.source in static else types[layer.source].num_steps
            types[layer.name] = self._infer(layer, types, num_steps)
            if isinstance(layer, (Pool, Flatten)) and layer.source in static:
                static.add(layer.name)
        return types

    def _infer(self, layer: Layer, types: dict[str, TensorType], num_steps: int) -> TensorType:
        """Type of a layer's tensor. num_steps: T of what a layer with weights makes of its source."""
        source = types[layer.source]
        if isinstance(layer, Steps):
            return _steps_type(layer, source)
        if isinstance(layer, Attention):
            return _attention_type(layer, types)
        if isinstance(layer, WEIGHTED):
            _check_weight(layer, source)
            channels = len(layer.weight)
            affine = layer.affine if isinstance(layer, Head) else layer.neuron.affine
            if affine.channels != channels:
                raise NetworkError(f"{layer.name}: {affine.channels} channel scales for {channels} output channels")
            if isinstance(layer, Head):
                _check_logits(layer, source, num_steps)
                return TensorType((channels, 1, 1), 8, num_steps, 255)
            _check_code(layer.name, layer.spike_bits, layer.neuron.s_max)
            height, width = 1, 1
            if isinstance(layer, Conv2d):
                height, width = _window_output(layer.name, source.shape, layer.weight.shape[2:], layer)
            out = TensorType((channels, height, width), layer.spike_bits, num_steps, layer.neuron.s_max)
            skip = getattr(layer, "skip", None)
            return out if skip is None else _check_skip(layer, skip, out, types)
        if isinstance(layer, Flatten):
            return replace(source, shape=(int(np.prod(source.shape)), 1, 1))
        return _pool_type(layer, source)

    def to_parts(self) -> tuple[dict, dict[str, np.ndarray]]:
        """JSON-ready description and the arrays that it names; the inverse of :meth:`from_parts`."""
        arrays: dict[str, np.ndarray] = {}
        meta = {
            "name": self.name,
            "numerics": numerics_fingerprint(),
            "num_steps": self.num_steps,
            "input": _encode(self.input, arrays),
            "layers": [_encode(layer, arrays) for layer in self.layers],
            "card": self.card,
        }
        return meta, arrays

    def save(self, path: str | Path) -> None:
        """Write the .qsnn file atomically: the old file stays until the new one is complete."""
        container.save(path, "network", *self.to_parts())

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Read and fully validate a .qsnn file. Raises ModelFileError, or NetworkError for inconsistent content."""
        return cls.from_parts(*container.load(path, "network"), path)

    @classmethod
    def from_parts(cls, meta: dict, arrays: dict[str, np.ndarray], path: str | Path) -> Network:
        """Rebuild from a container's metadata and arrays; ``path`` only names the file in errors."""
        try:
            found = str(meta["numerics"])
            if found != numerics_fingerprint():
                remedy = "Its numbers mean something else than this release's: export the model again."
                raise SpecMismatch(f"{path}", numerics_fingerprint(), found, remedy)
            values = {key: meta[key] for key in ("name", "num_steps", "card")}
            _check_types(cls, values)
            layers = tuple(_decode(d, arrays) for d in meta["layers"])
            return cls(input=_decode(meta["input"], arrays), layers=layers, **values)
        except NetworkError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ModelFileError(f"{path}: {type(error).__name__} in the network's description: {error}") from error


def _check_code(name: str, bits: int, s_max: int) -> None:
    if bits not in CODE_BITS:
        raise NetworkError(f"{name}: codes of {bits} bits, must be one of {CODE_BITS}")
    if not 1 <= s_max <= 2**bits - 1:
        raise NetworkError(f"{name}: s_max {s_max} does not fit {bits} bits (1..{2**bits - 1})")


def _check_weight(layer: Conv2d | Linear | Head, source: TensorType) -> None:
    w = layer.weight
    name, channels = layer.name, source.shape[0]
    if w.dtype != np.int8 or w.ndim != (4 if isinstance(layer, Conv2d) else 2) or 0 in w.shape:
        raise NetworkError(f"{name}: weight is {w.dtype} of shape {w.shape}, must be non-empty int8")
    if layer.weight_bits not in CODE_BITS:
        raise NetworkError(f"{name}: weight_bits is {layer.weight_bits}, must be one of {CODE_BITS}")
    if layer.weight_bits == 1:
        if not np.all(np.abs(w) == 1):
            raise NetworkError(f"{name}: 1-bit weights must be -1 or +1")
    else:
        # The packed multiplier is exact for -127..127: -128 would carry into the neighbouring product.
        low = -min(1 << (layer.weight_bits - 1), NUMERICS["maximum_weight"])
        high = (1 << (layer.weight_bits - 1)) - 1
        if w.min() < low or w.max() > high:
            raise NetworkError(
                f"{name}: weights span {w.min()}..{w.max()}, {layer.weight_bits} bits hold {low}..{high}"
            )
    if isinstance(layer, Conv2d):
        if len(set(w.shape[2:])) != 1 or w.shape[2] not in KERNELS:
            raise NetworkError(f"{name}: kernel {w.shape[2:]}, must be square and one of {KERNELS}")
        if layer.stride not in STRIDES or not 0 <= layer.padding < w.shape[2]:
            raise NetworkError(f"{name}: stride {layer.stride} or padding {layer.padding} is not supported")
        if layer.groups < 1 or channels % layer.groups or len(w) % layer.groups:
            raise NetworkError(f"{name}: {layer.groups} groups do not divide {channels} -> {len(w)} channels")
        if w.shape[1] * layer.groups != channels:
            raise NetworkError(f"{name}: weight {w.shape} with {layer.groups} groups reads {channels} channels")
    elif source.shape[1:] != (1, 1) or w.shape[1] != channels:
        raise NetworkError(f"{name}: weight {w.shape} on a tensor {source.shape}; flatten it first")
    largest = int(np.abs(w.astype(np.int64)).reshape(len(w), -1).sum(axis=1).max()) * source.s_max
    if largest > INT32_MAX:
        raise NetworkError(f"{name}: sums can reach {largest}, the accumulator holds {INT32_MAX}; use fewer bits")


def _check_logits(head: Head, source: TensorType, num_steps: int) -> None:
    """Prove that the sum of currents over T fits the int32 of the result stream."""
    if not 0 < head.logit_scale < float("inf"):
        raise NetworkError(f"{head.name}: logit_scale is {head.logit_scale}, must be positive and finite")
    acc = np.abs(head.weight.astype(np.int64)).sum(axis=1) * source.s_max
    affine = head.affine
    current = saturate32(round_shift(acc * np.abs(affine.multiplier), affine.shift) + 1) + np.abs(affine.bias)
    if (largest := int(current.max()) * num_steps) > INT32_MAX:
        raise NetworkError(f"{head.name}: logits can reach {largest}, int32 ends at {INT32_MAX}; use a larger shift")


def _window_output(name: str, shape, kernel, layer) -> tuple[int, int]:
    padding = getattr(layer, "padding", 0)
    height, width = ((n + 2 * padding - k) // layer.stride + 1 for n, k in zip(shape[1:], kernel))
    if height < 1 or width < 1:
        raise NetworkError(f"{name}: a {kernel[0]}x{kernel[1]} window does not fit the {shape[1]}x{shape[2]} map")
    return height, width


def _check_skip(layer: Conv2d, skip: Skip, out: TensorType, types: dict[str, TensorType]) -> TensorType:
    name = layer.name
    k = types[skip.source]
    if skip.domain not in SKIP_DOMAINS:
        raise NetworkError(f"{name}: residual domain {skip.domain!r}, must be one of {SKIP_DOMAINS}")
    if k.num_steps != out.num_steps:
        raise NetworkError(f"{name}: the residual has {k.num_steps} steps, the layer {out.num_steps}")
    if skip.domain != "current":
        if k.shape != out.shape or skip.stride != 1:
            raise NetworkError(
                f"{name}: the {skip.domain}-domain residual of shape {k.shape} with stride {skip.stride} needs the "
                f"output's shape {out.shape} and stride 1; give it a convolution of that shape"
            )
    if skip.domain == "iand":
        if (k.bits, out.bits) != (1, 1):
            raise NetworkError(
                f"{name}: the iand residual joins 1-bit codes; its source has {k.bits} bits, the layer {out.bits}. "
                'Use the domain "spike" for wider codes'
            )
        if skip.s_max not in (None, 1):
            raise NetworkError(f"{name}: the iand residual declares s_max {skip.s_max}, must be 1 or none")
        return out
    if skip.domain == "spike":
        if skip.s_max is None:
            raise NetworkError(f"{name}: a spike-domain residual must declare the s_max it saturates at")
        _check_code(name, out.bits, skip.s_max)
        return replace(out, s_max=min(skip.s_max, out.s_max + k.s_max))
    if skip.stride not in STRIDES:
        raise NetworkError(f"{name}: residual stride {skip.stride}, must be one of {STRIDES}")
    if tuple(-(-n // skip.stride) for n in k.shape[1:]) != out.shape[1:] or k.shape[0] > out.shape[0]:
        raise NetworkError(f"{name}: a residual {k.shape} with stride {skip.stride} cannot become {out.shape}")
    limit = 1 << (MULTIPLIER_BITS - 1)
    per_channel(f"{name}: skip multiplier", skip.multiplier, -limit, limit - 1, out.shape[0])
    per_channel(f"{name}: skip shift", skip.shift, 0, MAXIMUM_SHIFT, out.shape[0])
    return out


def _pool_type(layer: Pool, source: TensorType) -> TensorType:
    if layer.kind not in POOL_KINDS:
        raise NetworkError(f"{layer.name}: pool kind {layer.kind!r}, must be one of {POOL_KINDS}")
    if layer.kernel < 1 or layer.stride < 1:
        raise NetworkError(f"{layer.name}: kernel {layer.kernel} and stride {layer.stride} must be positive")
    if not 0 <= layer.padding < layer.kernel or (layer.padding and layer.kind != "maximum"):
        raise NetworkError(
            f"{layer.name}: padding {layer.padding} of pool kind {layer.kind!r}; must be 0, or, for a maximum, "
            f"below kernel {layer.kernel}"
        )
    size = layer.kernel**2
    height, width = _window_output(layer.name, source.shape, (layer.kernel, layer.kernel), layer)
    shape = (source.shape[0], height, width)
    if layer.kind == "average" and size & (size - 1):
        raise NetworkError(f"{layer.name}: an average of {size} codes; use a power of two, or a sum pool")
    if layer.kind != "sum":
        return replace(source, shape=shape)
    s_max = source.s_max * size
    bits = _bits_of_sums(layer.name, s_max, "pool a smaller window or average")
    return TensorType(shape, bits, source.num_steps, s_max)


def _bits_of_sums(name: str, s_max: int, remedy: str) -> int:
    bits = next((b for b in CODE_BITS if s_max < 1 << b), None)
    if bits is None:
        raise NetworkError(f"{name}: sums reach {s_max}, codes hold 255; {remedy}")
    return bits


def _steps_type(layer: Steps, source: TensorType) -> TensorType:
    before, after = source.num_steps, layer.num_steps
    if not 1 <= after <= 255 or max(before, after) % min(before, after):
        raise NetworkError(f"{layer.name}: {before} steps cannot become {after}: a multiple or divisor, 1..255")
    if after >= before:
        return replace(source, num_steps=after)
    s_max = source.s_max * (before // after)
    bits = _bits_of_sums(layer.name, s_max, "sum fewer steps, or use fewer spike bits")
    return TensorType(source.shape, bits, after, s_max)


def _attention_type(layer: Attention, types: dict[str, TensorType]) -> TensorType:
    query, key, value = (types[name] for name in sources(layer))
    if query.shape != key.shape or query.shape != value.shape:
        raise NetworkError(f"{layer.name}: query {query.shape}, key {key.shape}, value {value.shape} must be equal")
    if not query.num_steps == key.num_steps == value.num_steps:
        steps = (query.num_steps, key.num_steps, value.num_steps)
        raise NetworkError(f"{layer.name}: query, key and value have {steps} steps, must be equal")
    channels = query.shape[0]
    if layer.heads < 1 or channels % layer.heads:
        raise NetworkError(f"{layer.name}: {layer.heads} heads do not divide {channels} channels")
    if layer.neuron.affine.channels != channels:
        raise NetworkError(f"{layer.name}: {layer.neuron.affine.channels} channel scales for {channels} channels")
    _check_code(layer.name, layer.spike_bits, layer.neuron.s_max)
    tokens = query.shape[1] * query.shape[2]
    largest = channels // layer.heads * tokens * query.s_max * key.s_max * value.s_max
    if largest > LARGEST_ATTENTION:
        raise NetworkError(
            f"{layer.name}: products can reach {largest}, int64 scales sums up to {LARGEST_ATTENTION}; "
            "use fewer spike bits"
        )
    return TensorType(query.shape, layer.spike_bits, query.num_steps, layer.neuron.s_max)


_CLASSES = {
    c.__name__: c for c in (TensorType, Skip, Conv2d, Linear, Pool, Attention, Steps, Flatten, Head, Affine, Neuron)
}


def _encode(item, arrays: dict[str, np.ndarray]) -> dict:
    """Dataclass -> JSON-ready dict; arrays move to ``arrays`` and leave their key behind."""
    out: dict = {"class": type(item).__name__}
    for name, value in vars(item).items():
        if isinstance(value, np.ndarray):
            key = f"a{len(arrays):04d}"
            arrays[key] = value
            value = {"array": key}
        elif type(value).__name__ in _CLASSES:
            value = _encode(value, arrays)
        out[name] = value
    return out


def _decode(item: dict, arrays: dict[str, np.ndarray]):
    cls = _CLASSES[item["class"]]
    values = {}
    for name, value in item.items():
        if name == "class":
            continue
        if isinstance(value, dict):
            value = arrays[value["array"]] if "array" in value else _decode(value, arrays)
        elif isinstance(value, list):
            value = tuple(value)
        values[name] = value
    _check_types(cls, values)
    return cls(**values)


def _check_types(cls, values: dict) -> None:
    """A file can hold any JSON value; refuse what a field's annotation does not name."""
    for name, value in values.items():
        found, annotation = type(value).__name__, cls.__annotations__[name]
        allowed = annotation.replace("np.", "").replace("None", "NoneType").replace("float", "float | int").split(" | ")
        if found not in (kind.partition("[")[0] for kind in allowed):
            raise TypeError(f"{cls.__name__}.{name} is {found}, must be {annotation}")
