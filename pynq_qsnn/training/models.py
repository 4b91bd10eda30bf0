"""Architectures as tables, and the builder that turns a table into a network.

First and last layer keep 8-bit weights whatever weight_bits says: the image enters with 8 bits and the logits decide,
and together they hold few of the weights (QSNN does not state its rule; FireFly-v2 keeps both at 8 bits).
"""

from dataclasses import asdict, dataclass

import torch
from torch import nn

from ..errors import ConfigError
from . import layers
from .lif import MultiBitLIF

EDGE_WEIGHT_BITS = 8
MAX_CODE_BITS = 8
RESIDUAL_DOMAINS = ("spike", "current", "iand")


@dataclass(frozen=True)
class Conv:
    """Convolution + batch norm + neurons. padding None keeps the size at stride 1. Bits None = the network's."""

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int | None = None
    groups: int = 1
    weight_bits: int | None = None
    spike_bits: int | None = None


@dataclass(frozen=True)
class Linear:
    features: int
    weight_bits: int | None = None
    spike_bits: int | None = None


@dataclass(frozen=True)
class Pool:
    """kind: max | avg | sum, on codes; the stride equals the kernel."""

    kind: str
    kernel: int = 2


@dataclass(frozen=True)
class Residual:
    """body: Conv entries. domain: spike | current | iand. shortcut None = identity."""

    body: tuple
    domain: str = "spike"
    shortcut: Conv | None = None


@dataclass(frozen=True)
class Flatten:
    pass


@dataclass(frozen=True)
class Head:
    """Linear to the classes, no neurons: the logits are summed over the steps."""


Entry = Conv | Linear | Pool | Residual | Flatten | Head

ARCHITECTURES = {
    "digits_small": (
        Conv(16),
        Pool("max"),
        Conv(32),
        Residual((Conv(32), Conv(32)), "spike"),
        Pool("max"),
        Flatten(),
        Head(),
    ),
    "cifar_small": (
        Conv(32),
        Pool("max"),
        Conv(64),
        Conv(64),
        Pool("max"),
        Conv(128),
        Conv(128),
        Pool("max"),
        Conv(192),
        Flatten(),
        Head(),
    ),
    "cifar_resnet_small": (
        Conv(32),
        Pool("max"),
        Residual((Conv(32), Conv(32)), "current"),
        Residual((Conv(64, stride=2), Conv(64)), "current"),
        Residual((Conv(128, stride=2), Conv(128)), "current"),
        Flatten(),
        Head(),
    ),
}


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that rebuilds a network, as plain values.

    input_shape: (C, H, W).   weight_bits 1|2|4|8, spike_bits 1..8, num_steps T >= 1.   leak_shift None = no leak.
    """

    model: str
    input_shape: tuple
    num_classes: int
    weight_bits: int
    spike_bits: int
    num_steps: int
    leak_shift: int | None = 1
    reset_mode: str = "subtract"
    surrogate: str = "triangle"

    def to_dict(self):
        return asdict(self)


class SpikingNetwork(nn.Module):
    """forward: static images [B, C, H, W] (or frames [T, B, C, H, W]), float 0..1 -> mean logits [B, classes].

    With per_step=True the head returns the logits of each step, [T, B, classes].

    A static image enters as it is (direct encoding): the first layer's current is computed once and replayed T times.
    """

    def __init__(self, spec: NetworkSpec, modules):
        super().__init__()
        self.spec = spec
        self.layers = nn.ModuleList(modules)

    def forward(self, images, per_step=False):
        static = images.ndim == len(self.spec.input_shape) + 1
        x = images if static else images.flatten(0, 1)
        for layer in self.layers:
            if static and isinstance(layer, (layers.SpikingConv, layers.SpikingLinear)):
                x = layer(x, replay=True)
                static = False
            elif isinstance(layer, layers.Head):
                x = layer(x, per_step)
            else:
                x = layer(x)
        return x


def build_model(spec: NetworkSpec, table=None) -> SpikingNetwork:
    """Build the network of `spec`; `table` replaces the named architecture. Raises ConfigError on an impossible one."""
    if table is None:
        if spec.model not in ARCHITECTURES:
            raise ConfigError(f"unknown model {spec.model!r}; known: {', '.join(ARCHITECTURES)}")
        table = ARCHITECTURES[spec.model]
    return _Builder(spec).build(table)


class _Builder:
    """Walks a table and tracks what flows between the layers: shape (C, H, W) or (F,), code bits, threshold."""

    def __init__(self, spec):
        self.spec = spec
        self.shape = tuple(spec.input_shape)
        self.bits = 8
        self.threshold = None
        self.is_first = True

    def build(self, table):
        if not isinstance(table[-1], Head):
            raise ConfigError("the last entry of an architecture must be Head")
        return SpikingNetwork(self.spec, [self.entry(entry) for entry in table])

    def entry(self, entry):
        if self.is_first and isinstance(entry, (Residual, Pool)):
            raise ConfigError(
                f"the first layer must be Conv or Linear, not {type(entry).__name__}: it encodes the image"
            )
        method = getattr(self, f"_{type(entry).__name__.lower()}", None)
        if method is None:
            raise ConfigError(f"unknown architecture entry {entry!r}")
        return method(entry)

    def _weight_bits(self, entry):
        default = EDGE_WEIGHT_BITS if self.is_first else self.spec.weight_bits
        self.is_first = False
        return default if entry.weight_bits is None else entry.weight_bits

    def _neuron(self, entry):
        spec = self.spec
        bits = spec.spike_bits if entry.spike_bits is None else entry.spike_bits
        neuron = MultiBitLIF(bits, spec.num_steps, spec.leak_shift, spec.reset_mode, spec.surrogate)
        self.bits, self.threshold = bits, neuron.threshold
        return neuron

    def _conv(self, entry):
        self._need_image(entry)
        channels, height, width = self.shape
        if channels % entry.groups or entry.channels % entry.groups:
            raise ConfigError(
                f"groups={entry.groups} must divide {channels} input and {entry.channels} output channels"
            )
        padding = entry.kernel // 2 if entry.padding is None else entry.padding
        size = [(n + 2 * padding - entry.kernel) // entry.stride + 1 for n in (height, width)]
        if min(size) < 1:
            raise ConfigError(f"{entry} leaves no pixels of a {height}x{width} input")
        weight_bits = self._weight_bits(entry)
        self.shape = (entry.channels, *size)
        return layers.SpikingConv(
            channels, entry.channels, entry.kernel, entry.stride, padding, entry.groups, weight_bits,
            self._neuron(entry),
        )  # fmt: skip

    def _linear(self, entry):
        features = self._need_features(entry)
        weight_bits = self._weight_bits(entry)
        self.shape = (entry.features,)
        return layers.SpikingLinear(features, entry.features, weight_bits, self._neuron(entry))

    def _pool(self, entry):
        self._need_image(entry)
        channels, height, width = self.shape
        if height % entry.kernel or width % entry.kernel:
            raise ConfigError(f"pool kernel {entry.kernel} must divide the {height}x{width} input")
        self.shape = (channels, height // entry.kernel, width // entry.kernel)
        if entry.kind == "max":
            return layers.MaxPool(entry.kernel)
        window = entry.kernel**2
        if entry.kind in ("avg", "sum") and window & (window - 1):
            raise ConfigError(f"{entry.kind} pool needs a power-of-two window, not {window}")
        if entry.kind == "avg":
            return layers.AvgPool(entry.kernel, self.threshold)
        if entry.kind == "sum":
            self.bits += window.bit_length() - 1
            if self.bits > MAX_CODE_BITS:
                raise ConfigError(f"sum pool widens the codes to {self.bits} bits, the limit is {MAX_CODE_BITS}")
            return layers.SumPool(entry.kernel)
        raise ConfigError(f"pool kind must be max, avg or sum, not {entry.kind!r}")

    def _residual(self, entry):
        if entry.domain not in RESIDUAL_DOMAINS:
            raise ConfigError(f"residual domain must be one of {RESIDUAL_DOMAINS}, not {entry.domain!r}")
        if not entry.body or not all(isinstance(part, Conv) for part in entry.body):
            raise ConfigError("a residual body is one or more Conv entries")
        shape, bits, threshold = self.shape, self.bits, self.threshold
        shortcut = None if entry.shortcut is None else self._conv(entry.shortcut)
        skip = self.shape, self.bits, self.threshold
        self.shape, self.bits, self.threshold = shape, bits, threshold
        body = [self._conv(part) for part in entry.body]
        if entry.domain == "iand" and (skip[1], self.bits) != (1, 1):
            raise ConfigError(
                f"an iand residual joins 1-bit spikes; the shortcut has {skip[1]} bits, the body {self.bits}: "
                'use spike_bits 1 or the domain "spike"'
            )
        if entry.domain != "current":
            if skip[0] != self.shape or skip[2] != self.threshold:
                raise ConfigError(
                    f"a {entry.domain}-domain residual needs equal shape and threshold on both paths: "
                    f"shortcut {skip[0]} at {skip[2]:g}, body {self.shape} at {self.threshold:g}; "
                    f"give it a shortcut Conv"
                )
        elif not _can_match(skip[0], self.shape):
            raise ConfigError(f"the shortcut {skip[0]} cannot be subsampled and zero-padded to {self.shape}")
        return layers.Residual(body, shortcut, entry.domain, body[-1].neuron.s_max * self.threshold)

    def _flatten(self, entry):
        self.shape = (int(torch.tensor(self.shape).prod()),)
        return nn.Flatten()

    def _head(self, entry):
        features = self._need_features(entry)
        return layers.Head(features, self.spec.num_classes, EDGE_WEIGHT_BITS, self.spec.num_steps)

    def _need_image(self, entry):
        if len(self.shape) != 3:
            raise ConfigError(f"{type(entry).__name__} needs [C, H, W], but the table is flattened here")

    def _need_features(self, entry):
        if len(self.shape) != 1:
            raise ConfigError(f"{type(entry).__name__} needs a Flatten before it")
        return self.shape[0]


def _can_match(skip, shape):
    """Whether (C, H, W) `skip` becomes `shape` by a subsampling of 1 or 2 and by appended zero channels."""
    return skip[0] <= shape[0] and any(
        all(-(-n // stride) == m for n, m in zip(skip[1:], shape[1:])) for stride in (1, 2)
    )
