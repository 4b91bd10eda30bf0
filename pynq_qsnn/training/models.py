"""Trainable networks of the architectures in :mod:`pynq_qsnn.architectures`.

First and last layer keep 8-bit weights whatever weight_bits says: the image enters with 8 bits and the logits decide,
and together they hold few of the weights (QSNN does not state its rule; FireFly-v2 keeps both at 8 bits). An entry of
the layer list that names its own bits keeps those. With weight_bits 16 no weight is quantized.
"""

from dataclasses import asdict, dataclass

from torch import nn

from ..architectures import Conv, SelfAttention, architecture
from ..architectures.entries import (
    EDGE_WEIGHT_BITS,
    FLOAT_BITS,
    LARGEST_CODE,
    MAX_STEPS,
    RESIDUAL_DOMAINS,
    global_pools,
    shortcut,
)
from ..architectures.sizes import convolved, pooled
from ..errors import ConfigError
from . import layers
from .lif import MultiBitLIF


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that rebuilds a network, as plain values.

    model: a name of :data:`pynq_qsnn.architectures.NAMES` or a layer list.  input_shape: (C, H, W).
    weight_bits 1|2|4|8, 16 for float weights; spike_bits 1..8; num_steps T >= 1.  leak_shift None = no leak.
    residual: domain of the residual blocks, None for the architecture's own.
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
    residual: str | None = None

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


def build_model(spec: NetworkSpec, entries=None) -> SpikingNetwork:
    """The network of `spec`; `entries` replace the named architecture's. Raises ConfigError on an impossible one."""
    found = None if entries else architecture(spec.model, spec.input_shape)
    domain = spec.residual or (found.residual if found else "spike")
    return _Builder(spec, domain).build(entries or found.entries)


class _Builder:
    """Walks the entries and tracks what flows between the layers: shape (C, H, W), largest code, threshold, steps."""

    def __init__(self, spec: NetworkSpec, domain: str):
        self.spec, self.domain = spec, domain
        self.shape = tuple(spec.input_shape)
        self.s_max, self.threshold, self.num_steps = LARGEST_CODE, None, spec.num_steps
        self.is_first = True
        self.modules: list[nn.Module] = []

    def build(self, entries) -> SpikingNetwork:
        if type(entries[-1]).__name__ != "Head":
            raise ConfigError("the last entry of an architecture must be Head")
        for entry in entries:
            name = type(entry).__name__
            if self.is_first and name not in ("Conv", "Linear"):
                raise ConfigError(f"the first layer must be Conv or Linear, not {name}: it encodes the image")
            self.modules += getattr(self, f"_{name.lower()}")(entry)
        return SpikingNetwork(self.spec, self.modules)

    def _weight_bits(self, entry) -> int:
        default = self._edge_bits() if self.is_first else self.spec.weight_bits
        self.is_first = False
        return default if entry.weight_bits is None else entry.weight_bits

    def _edge_bits(self) -> int:
        return FLOAT_BITS if self.spec.weight_bits == FLOAT_BITS else EDGE_WEIGHT_BITS

    def _neuron(self, entry) -> MultiBitLIF:
        spec = self.spec
        bits = spec.spike_bits if entry.spike_bits is None else entry.spike_bits
        neuron = MultiBitLIF(bits, self.num_steps, spec.leak_shift, spec.reset_mode, spec.surrogate)
        self.s_max, self.threshold = neuron.s_max, neuron.threshold
        return neuron

    def _conv(self, entry: Conv) -> list:
        self._need_map(entry)
        channels = self.shape[0]
        self.shape = convolved(entry, self.shape)
        weight_bits = self._weight_bits(entry)
        return [
            layers.SpikingConv(
                channels, entry.channels, entry.kernel, entry.stride, entry.border, entry.groups, weight_bits,
                self._neuron(entry),
            )
        ]  # fmt: skip

    def _selfattention(self, entry: SelfAttention) -> list:
        self._need_map(entry)
        channels = self.shape[0]
        if channels % entry.heads:
            raise ConfigError(f"{entry.heads} heads must divide {channels} channels")
        token = Conv(channels, 1, weight_bits=entry.weight_bits, spike_bits=entry.spike_bits)
        before = self.s_max, self.threshold
        projections = []
        for _ in range(3):
            self.s_max, self.threshold = before
            projections += self._conv(token)
        return [layers.SelfAttention(*projections, entry.heads, self._neuron(entry))]

    def _linear(self, entry) -> list:
        modules, features = self._flatten()
        weight_bits = self._weight_bits(entry)
        self.shape = (entry.features,)
        return [*modules, layers.SpikingLinear(features, entry.features, weight_bits, self._neuron(entry))]

    def _pool(self, entry) -> list:
        self._need_map(entry)
        if entry.kind == "global":
            pools = global_pools(*self.shape[1:], self.s_max)
            return [module for pool in pools for module in self._pool(pool)]
        if entry.padding and entry.kind != "max":
            raise ConfigError(f"{entry}: only a maximum pool has a border")
        shape = self.shape
        self.shape = pooled(entry, shape)
        if entry.kind == "max":
            return [layers.MaxPool(entry.kernel, entry.step, entry.padding)]
        window = entry.kernel**2
        if entry.kind not in ("avg", "sum"):
            raise ConfigError(f"pool kind must be max, avg, sum or global, not {entry.kind!r}")
        if entry.kind == "avg":
            if window & (window - 1):
                raise ConfigError(f"an average needs a power-of-two window, not {window}")
            return [layers.AvgPool(entry.kernel, entry.step, self.threshold)]
        self._widen(window, entry)
        return [layers.SumPool(entry.kernel, entry.step)]

    def _steps(self, entry) -> list:
        before, after = self.num_steps, entry.num_steps
        if not 1 <= after <= MAX_STEPS or max(before, after) % min(before, after):
            raise ConfigError(
                f"{before} steps cannot become {after}: a multiple or a divisor is needed, 1..{MAX_STEPS}"
            )
        if after < before:
            self._widen(before // after, entry)
        self.num_steps = after
        return [layers.Steps(before, after)]

    def _widen(self, count: int, entry) -> None:
        self.s_max *= count
        if self.s_max > LARGEST_CODE:
            raise ConfigError(f"{entry} makes codes up to {self.s_max}, the limit is {LARGEST_CODE}")

    def _residual(self, entry) -> list:
        domain = entry.domain or self.domain
        if domain not in RESIDUAL_DOMAINS:
            raise ConfigError(f"residual domain must be one of {RESIDUAL_DOMAINS}, not {domain!r}")
        body_types = (Conv, SelfAttention)
        if not entry.body or not all(isinstance(e, body_types) for e in entry.body) or type(entry.body[-1]) is not Conv:
            raise ConfigError("a residual body is Conv and SelfAttention entries, a Conv at its end")
        before = self.shape, self.s_max, self.threshold
        self._need_map(entry)
        beside = shortcut(entry, self.shape[0], domain)
        side = None if beside is None else self._conv(beside)[0]
        skip = self.shape, self.s_max, self.threshold
        self.shape, self.s_max, self.threshold = before
        body = [module for part in entry.body for module in getattr(self, f"_{type(part).__name__.lower()}")(part)]
        self._check_residual(domain, *skip)
        return [layers.Residual(body, side, domain, self.s_max * self.threshold)]

    def _check_residual(self, domain: str, shape, s_max: int, threshold: float) -> None:
        if domain == "iand" and (s_max, self.s_max) != (1, 1):
            raise ConfigError(
                f"an iand residual joins 1-bit spikes; the shortcut's codes reach {s_max}, the body's {self.s_max}: "
                'use spike_bits 1 or the domain "spike"'
            )
        if domain == "current":
            if not _can_match(shape, self.shape):
                raise ConfigError(f"the shortcut {shape} cannot be subsampled and zero-padded to {self.shape}")
        elif shape != self.shape or threshold != self.threshold:
            raise ConfigError(
                f"a {domain}-domain residual needs equal shape and threshold on both paths: shortcut {shape} at "
                f"{threshold:g}, body {self.shape} at {self.threshold:g}; give it a shortcut Conv"
            )

    def _head(self, entry) -> list:
        modules, features = self._flatten()
        return [*modules, layers.Head(features, self.spec.num_classes, self._edge_bits(), self.num_steps)]

    def _flatten(self) -> tuple[list, int]:
        features = 1
        for n in self.shape:
            features *= n
        return ([nn.Flatten()] if len(self.shape) == 3 else []), features

    def _need_map(self, entry) -> None:
        if len(self.shape) != 3:
            raise ConfigError(f"{type(entry).__name__} needs a map [C, H, W], but a Linear came before it")


def _can_match(skip, shape):
    """Whether (C, H, W) `skip` becomes `shape` by a subsampling of 1 or 2 and by appended zero channels."""
    return skip[0] <= shape[0] and any(
        all(-(-n // stride) == m for n, m in zip(skip[1:], shape[1:])) for stride in (1, 2)
    )
