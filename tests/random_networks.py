"""Random integer networks and frames for property tests: every executor must agree on all of them, bit for bit.

>>> rng = np.random.default_rng(0)
>>> network = random_network(rng, Limits(max_layers=3))
>>> frames = random_frames(rng, network, 2)

Scales are chosen from the statistics of weights and codes, so that most channels fire neither never nor always; some
channels of every layer are set to an extreme instead (see :func:`_extreme`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pynq_qsnn.hwspec import CODE_BITS
from pynq_qsnn.network import (
    INPUT,
    KERNELS,
    SKIP_DOMAINS,
    Attention,
    Conv2d,
    Flatten,
    Head,
    Linear,
    Network,
    Pool,
    Skip,
    Steps,
    TensorType,
)
from pynq_qsnn.neuron import (
    INT32_MAX,
    INT32_MIN,
    MAXIMUM_SHIFT,
    MULTIPLIER_BITS,
    RESET_MODES,
    THRESHOLD,
    Affine,
    Neuron,
)

AWKWARD_CHANNELS = (1, 2, 3, 5, 8, 16, 17, 31, 32, 33, 64, 65)
LARGEST_POOL = 15  # stride of the overlay: a pool of the whole map has both
MULTIPLIER_LIMIT = (1 << (MULTIPLIER_BITS - 1)) - 1
# Assumed mean and standard deviation of a code, as fractions of its s_max.
CODE_MEAN, CODE_DEVIATION = 0.4, 0.35


@dataclass(frozen=True)
class Limits:
    """What :func:`random_network` may draw.

    *_layers counts convolutions and pools; Flatten, an optional Linear and the Head follow them. *_size bounds rows and
    columns of the input, max_window those of a map that a linear layer reads: larger ones are pooled before.
    ``extremes`` is the probability that a channel's constants are extreme ones; ``pools``, ``fused_pools``,
    ``global_pools``, ``residuals`` and ``linear`` are those of a pool in place of a convolution, of a 2x2 maximum right
    after a convolution, of a pool of the whole map, of a residual where one fits, and of a hidden linear layer.
    ``attentions``, ``steps`` and ``padded_pools`` are those of what no overlay runs (see HOST_ONLY): an attention or a
    change of steps in place of a convolution, and zeros around a maximum pool.
    """

    min_layers: int = 1
    max_layers: int = 5
    min_channels: int = 1
    max_channels: int = 40
    min_size: int = 1
    max_size: int = 11
    max_window: int = 16
    min_steps: int = 1
    max_steps: int = 8
    max_classes: int = 12
    kernels: tuple[int, ...] = KERNELS
    strides: tuple[int, ...] = (1, 2)
    weight_bits: tuple[int, ...] = CODE_BITS
    spike_bits: tuple[int, ...] = CODE_BITS
    pool_kinds: tuple[str, ...] = ("maximum", "sum", "average")
    max_pool_kernel: int = 4
    skip_domains: tuple[str, ...] = SKIP_DOMAINS
    groups: float = 0.35
    static_input: bool = True
    event_input: bool = True
    pools: float = 0.2
    fused_pools: float = 0.15
    global_pools: float = 0.2
    residuals: float = 0.6
    linear: float = 0.4
    extremes: float = 0.12
    attentions: float = 0.0
    steps: float = 0.0
    padded_pools: float = 0.0


# Limits(**HOST_ONLY): also what the host's executors alone run.
HOST_ONLY = {"attentions": 0.25, "steps": 0.2, "padded_pools": 0.5}


def random_network(rng: np.random.Generator, limits: Limits = Limits(), name: str = "random") -> Network:
    """A valid network within ``limits``."""
    num_steps = int(rng.integers(limits.min_steps, limits.max_steps + 1))
    static = limits.static_input and (not limits.event_input or rng.random() < 0.5)
    bits = 8 if static else int(rng.choice(limits.spike_bits))
    channels = _channels(rng, max(min(limits.max_channels, 20), limits.min_channels), limits.min_channels)
    shape = (channels, *map(int, rng.integers(limits.min_size, limits.max_size + 1, 2)))
    frame = TensorType(shape, bits, 1 if static else num_steps, _s_max(rng, bits))
    return _Builder(rng, limits, frame, num_steps).build(name)


def random_frames(rng: np.random.Generator, network: Network, count: int) -> np.ndarray:
    """``count`` frames, uint8 [count, *network.frame_shape]: uniform and sparse codes, all zero, all s_max."""
    s_max = network.input.s_max
    frames = rng.integers(0, s_max + 1, (count, *network.frame_shape), dtype=np.uint8)
    for frame in frames:
        kind = rng.integers(8)
        if kind == 0:
            frame[...] = 0
        elif kind == 1:
            frame[...] = s_max
        elif kind == 2:
            frame *= rng.random(frame.shape) < 0.1
    return frames


class _Builder:
    """Appends layers while it follows the tensors' types."""

    def __init__(self, rng: np.random.Generator, limits: Limits, frame: TensorType, num_steps: int):
        self.rng, self.limits, self.frame, self.num_steps = rng, limits, frame, num_steps
        self.layers: list = []
        self.types: dict[str, TensorType] = {INPUT: frame}
        self.static = {INPUT} if frame.num_steps == 1 else set()  # tensors that a weighted layer replays
        self.source = INPUT

    def build(self, name: str) -> Network:
        rng, limits = self.rng, self.limits
        for _ in range(rng.integers(limits.min_layers, limits.max_layers + 1)):
            if rng.random() < limits.pools and self._add_pool():
                continue
            if limits.attentions and rng.random() < limits.attentions:
                self._add_attention()
                continue
            if limits.steps and rng.random() < limits.steps and self._add_steps():
                continue
            self._add_convolution()
            if rng.random() < limits.fused_pools and min(self._type().shape[1:]) >= 2:
                self._append_pool("maximum", 2, 2)
        rows, cols = self._type().shape[1:]
        if rows == cols > 1 and rng.random() < limits.global_pools:
            self._add_pool(rows, rows)
        while max(self._type().shape[1:]) > limits.max_window and min(self._type().shape[1:]) > 1:
            self._append_pool(str(rng.choice(("maximum", "average"))), 2, 2)
        if self._type().shape[1:] != (1, 1) or rng.random() < 0.2:
            self._add_flatten()
        if rng.random() < limits.linear:
            self._add_linear()
        classes, bits = int(rng.integers(1, limits.max_classes + 1)), self._weight_bits()
        weight = _weights(rng, (classes, self._type().shape[0]), bits)
        # A head does not fire: its currents are scaled as if codes up to 15 were wanted.
        affine = _affine(rng, weight, self._type(), 15, limits.extremes)
        affine = _bounded(affine, weight, self._type(), self._num_steps())
        self.layers.append(Head(self._name("head"), self.source, weight, bits, affine, 1.0))
        network = Network(name, self.frame, self.num_steps, tuple(self.layers))
        assert all(network.tensors[tensor] == expected for tensor, expected in self.types.items())
        return network

    def _type(self) -> TensorType:
        return self.types[self.source]

    def _name(self, kind: str) -> str:
        return f"{kind}{len(self.layers)}"

    def _num_steps(self) -> int:
        """Steps of a weighted layer on the current tensor."""
        return self.num_steps if self.source in self.static else self._type().num_steps

    def _append(self, layer, made: TensorType) -> None:
        self.layers.append(layer)
        self.types[layer.name] = made
        if isinstance(layer, (Pool, Flatten)) and layer.source in self.static:
            self.static.add(layer.name)
        self.source = layer.name

    def _weight_bits(self) -> int:
        return int(self.rng.choice(self.limits.weight_bits))

    def _add_flatten(self) -> None:
        t = self._type()
        self._append(Flatten(self._name("flatten"), self.source), replace(t, shape=(int(np.prod(t.shape)), 1, 1)))

    def _add_pool(self, kernel: int | None = None, stride: int | None = None) -> bool:
        """Append a pool; False when the drawn kind has no window (or not this one) that fits the tensor."""
        rng, t = self.rng, self._type()
        kind = str(rng.choice(self.limits.pool_kinds))
        kernels = [kernel] if kernel else range(1, min(self.limits.max_pool_kernel, *t.shape[1:]) + 1)
        if kind == "sum":
            kernels = [k for k in kernels if t.s_max * k * k <= 255]
        elif kind == "average":
            kernels = [k for k in kernels if k & (k - 1) == 0]
        if not len(kernels) or max(kernels) > LARGEST_POOL:
            return False
        self._append_pool(kind, int(rng.choice(kernels)), stride or int(rng.integers(1, 4)))
        return True

    def _append_pool(self, kind: str, kernel: int, stride: int) -> None:
        rng, limits, t = self.rng, self.limits, self._type()
        padding = 0
        if kind == "maximum" and limits.padded_pools and rng.random() < limits.padded_pools:
            padding = int(rng.integers(0, kernel))
        made = replace(t, shape=(t.shape[0], *_window(t, kernel, stride, padding)))
        if kind == "sum":
            s_max = t.s_max * kernel**2
            made = replace(made, s_max=s_max, bits=next(b for b in CODE_BITS if s_max < 1 << b))
        self._append(Pool(self._name("pool"), self.source, kind, kernel, stride, padding), made)

    def _add_steps(self) -> bool:
        """Append a change of steps; False when the tensor's only one is to its own number."""
        t = self._type()
        most = max(self.limits.max_steps, t.num_steps)
        found = [n for n in range(1, most + 1) if n % t.num_steps == 0]
        found += [n for n in range(1, t.num_steps) if t.num_steps % n == 0 and t.s_max * (t.num_steps // n) <= 255]
        if found == [t.num_steps]:
            return False
        num_steps = int(self.rng.choice(found))
        s_max = t.s_max * max(t.num_steps // num_steps, 1)
        bits = t.bits if s_max == t.s_max else next(b for b in CODE_BITS if s_max < 1 << b)
        made = TensorType(t.shape, bits, num_steps, s_max)
        self._append(Steps(self._name("steps"), self.source, num_steps), made)
        return True

    def _add_attention(self) -> None:
        """Append an attention, on projections of the current tensor or on earlier tensors of their shape and steps."""
        rng, limits = self.rng, self.limits
        if rng.random() < 0.8:
            entry, channels = self.source, _channels(rng, limits.max_channels, limits.min_channels)
            for _ in range(rng.integers(1, 4)):
                self.source = entry
                self._add_projection(channels)
        t = self._type()
        fitting = [n for n, other in self.types.items() if (other.shape, other.num_steps) == (t.shape, t.num_steps)]
        names = [str(n) for n in rng.choice(fitting[-3:], 3, replace=len(fitting) < 3 or rng.random() < 0.2)]
        heads = int(rng.choice([h for h in range(1, t.shape[0] + 1) if t.shape[0] % h == 0]))
        spike_bits = int(rng.choice(limits.spike_bits))
        s_max = _s_max(rng, spike_bits)
        mean = float(t.shape[0] // heads * t.shape[1] * t.shape[2])
        for name in names:
            mean *= self.types[name].s_max * CODE_MEAN
        means = np.full(t.shape[0], mean)
        neuron = self._neuron(_scales(rng, means, means * rng.uniform(0.1, 0.5) + 1.0, s_max, limits.extremes), s_max)
        layer = Attention(self._name("attention"), *names, heads, neuron, spike_bits)
        self._append(layer, replace(t, bits=spike_bits, s_max=s_max))

    def _add_projection(self, channels: int) -> None:
        """Append a 1x1 convolution."""
        rng, t, weight_bits = self.rng, self._type(), self._weight_bits()
        spike_bits = int(rng.choice(self.limits.spike_bits))
        s_max = _s_max(rng, spike_bits)
        weight = _weights(rng, (channels, t.shape[0], 1, 1), weight_bits)
        neuron = self._neuron(_affine(rng, weight, t, s_max, self.limits.extremes), s_max)
        layer = Conv2d(self._name("projection"), self.source, weight, weight_bits, neuron, spike_bits)
        self._append(layer, TensorType((channels, *t.shape[1:]), spike_bits, self._num_steps(), s_max))

    def _add_convolution(self) -> None:
        rng, limits, t = self.rng, self.limits, self._type()
        kernel, padding = _kernel(rng, limits, t)
        stride = int(rng.choice(limits.strides))
        size = _window(t, kernel, stride, padding)
        spike_bits, weight_bits = int(rng.choice(limits.spike_bits)), self._weight_bits()
        s_max = _s_max(rng, spike_bits)
        residual = self._draw_residual(size, spike_bits)
        channels = residual[2] if residual else _channels(rng, limits.max_channels, limits.min_channels)
        groups = 1
        if rng.random() < limits.groups:
            common = np.gcd(t.shape[0], channels)
            if residual is None and rng.random() < 0.5:  # depthwise, with one or two outputs a channel
                channels = t.shape[0] * int(rng.integers(1, 3))
                common = t.shape[0]
            groups = int(rng.choice([g for g in range(1, common + 1) if common % g == 0]))
            if rng.random() < 0.5:
                groups = int(common)
        weight = _weights(rng, (channels, t.shape[0] // groups, kernel, kernel), weight_bits)
        neuron = self._neuron(_affine(rng, weight, t, s_max, limits.extremes), s_max)
        made = TensorType((channels, *size), spike_bits, self._num_steps(), s_max)
        skip = None
        if residual:
            skip, made = self._skip(residual, made)
        name = self._name("conv")
        layer = Conv2d(name, self.source, weight, weight_bits, neuron, spike_bits, stride, padding, groups, skip)
        self._append(layer, made)

    def _draw_residual(self, size: tuple[int, int], bits: int) -> tuple[str, str, int, int] | None:
        """(domain, source, output channels, stride) of a residual that fits a map of ``size`` and ``bits``, or None."""
        rng, found = self.rng, []
        for name, t in self.types.items():
            if t.num_steps != self._num_steps():
                continue
            if "spike" in self.limits.skip_domains and t.shape[1:] == size:
                found.append(("spike", name, t.shape[0], 1))
            if "iand" in self.limits.skip_domains and t.shape[1:] == size and t.bits == bits == 1:
                found += [("iand", name, t.shape[0], 1)] * 2
            for stride in self.limits.strides if "current" in self.limits.skip_domains else ():
                if tuple(-(-n // stride) for n in t.shape[1:]) == size:
                    found.append(("current", name, t.shape[0] + int(rng.choice((0, 0, 1, 7))), stride))
        found = [r for r in found if r[2] <= max(self.limits.max_channels, self.frame.shape[0])]
        return found[rng.integers(len(found))] if found and rng.random() < self.limits.residuals else None

    def _skip(self, residual: tuple[str, str, int, int], made: TensorType) -> tuple[Skip, TensorType]:
        domain, source, channels, stride = residual
        k = self.types[source]
        if domain == "spike":
            s_max = _s_max(self.rng, made.bits)
            return Skip(source, domain, s_max), replace(made, s_max=min(s_max, made.s_max + k.s_max))
        if domain == "iand":
            return Skip(source, domain), made
        # About one output code for the residual's largest code.
        gain = THRESHOLD * made.s_max / k.s_max * self.rng.uniform(0.1, 1.2, channels)
        multiplier, shift = _fixed_point(self.rng, gain)
        for c in np.flatnonzero(self.rng.random(channels) < self.limits.extremes):
            multiplier[c] = self.rng.choice((-MULTIPLIER_LIMIT - 1, MULTIPLIER_LIMIT, 0, -1))
            shift[c] = self.rng.choice((0, 1, MAXIMUM_SHIFT))
        return Skip(source, domain, None, multiplier, shift, stride), made

    def _add_linear(self) -> None:
        rng, bits, spike_bits = self.rng, self._weight_bits(), int(self.rng.choice(self.limits.spike_bits))
        channels = _channels(rng, self.limits.max_channels, self.limits.min_channels)
        weight = _weights(rng, (channels, self._type().shape[0]), bits)
        s_max = _s_max(rng, spike_bits)
        neuron = self._neuron(_affine(rng, weight, self._type(), s_max, self.limits.extremes), s_max)
        layer = Linear(self._name("linear"), self.source, weight, bits, neuron, spike_bits)
        self._append(layer, TensorType((len(weight), 1, 1), spike_bits, self._num_steps(), s_max))

    def _neuron(self, affine: Affine, s_max: int) -> Neuron:
        rng, channels = self.rng, affine.channels
        leak = None if rng.random() < 0.3 else int(rng.choice((1, 1, 2, 3, 4, 8, 31)))
        start = None
        if rng.random() < 0.4:
            start = rng.integers(-THRESHOLD, THRESHOLD + 1, channels)
            extreme = rng.random(channels) < self.limits.extremes
            start[extreme] = rng.choice((INT32_MIN, INT32_MAX, THRESHOLD, THRESHOLD - 1), channels)[extreme]
        return Neuron(affine, s_max, leak, str(rng.choice(RESET_MODES)), start)


def _channels(rng: np.random.Generator, limit: int, least: int = 1) -> int:
    """An awkward count more often than a uniform one."""
    awkward = [c for c in AWKWARD_CHANNELS if least <= c <= limit]
    return int(rng.choice(awkward) if awkward and rng.random() < 0.7 else rng.integers(least, limit + 1))


def _s_max(rng: np.random.Generator, bits: int) -> int:
    largest = 2**bits - 1
    return largest if rng.random() < 0.75 else int(rng.integers(1, largest + 1))


def _window(t: TensorType, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    height, width = ((n + 2 * padding - kernel) // stride + 1 for n in t.shape[1:])
    return height, width


def _kernel(rng: np.random.Generator, limits: Limits, t: TensorType) -> tuple[int, int]:
    """A kernel and padding whose window fits; "same" padding more often than others, so that residuals fit too."""
    while True:
        kernel = int(rng.choice(limits.kernels))
        padding = kernel // 2 if rng.random() < 0.7 else int(rng.integers(0, kernel))
        if min(t.shape[1:]) + 2 * padding >= kernel:
            return kernel, padding


def _weights(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """int8 weights over the whole range of ``bits``; 8-bit ones stay within -127..127, 1-bit ones are -1 and +1."""
    if bits == 1:
        return rng.choice(np.array((-1, 1), np.int8), shape)
    high = (1 << (bits - 1)) - 1
    return rng.integers(max(-high - 1, -127), high + 1, shape, dtype=np.int8)


def _fixed_point(rng: np.random.Generator, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multiplier and shift near a positive gain, with a drawn number of multiplier bits."""
    bits = rng.integers(3, MULTIPLIER_BITS, gain.shape)
    shift = np.clip(bits - 1 - np.floor(np.log2(gain)), 0, MAXIMUM_SHIFT).astype(np.int64)
    return np.clip(np.round(gain * 2.0**shift), 1, MULTIPLIER_LIMIT).astype(np.int64), shift


def _affine(rng: np.random.Generator, weight: np.ndarray, source: TensorType, s_max: int, extremes: float) -> Affine:
    """Scales that put the current of a step around 0.4 * s_max thresholds, with a like deviation."""
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    mean = flat.sum(axis=1) * source.s_max * CODE_MEAN
    deviation = np.sqrt((flat**2).sum(axis=1)) * source.s_max * CODE_DEVIATION + 1.0
    return _scales(rng, mean, deviation, s_max, extremes)


def _scales(rng: np.random.Generator, mean: np.ndarray, deviation: np.ndarray, s_max: int, extremes: float) -> Affine:
    """The same for sums of this mean and deviation, one for each channel."""
    gain = THRESHOLD * s_max * rng.uniform(0.3, 0.8, len(mean)) / deviation
    multiplier, shift = _fixed_point(rng, gain)
    sign = np.where(rng.random(len(mean)) < 0.2, -1, 1)
    target = THRESHOLD * s_max * rng.uniform(0.1, 0.6, len(mean))
    bias = np.clip(np.round(target - sign * multiplier / 2.0**shift * mean), INT32_MIN, INT32_MAX).astype(np.int64)
    multiplier *= sign
    for c in np.flatnonzero(rng.random(len(mean)) < extremes):
        multiplier[c], shift[c], bias[c] = _extreme(rng, int(mean[c]))
    return Affine(multiplier, shift, bias)


def _bounded(affine: Affine, weight: np.ndarray, source: TensorType, num_steps: int) -> Affine:
    """Larger shifts and smaller biases where the logits summed over T could leave int32."""
    half_range = INT32_MAX // num_steps // 2 - 1
    largest = np.abs(weight.astype(np.int64)).sum(axis=1) * source.s_max * np.abs(affine.multiplier)
    shift = affine.shift.copy()
    while (over := (largest >> shift) >= half_range).any():
        shift[over] += 1
    return Affine(affine.multiplier, shift, np.clip(affine.bias, -half_range, half_range))


def _extreme(rng: np.random.Generator, mean: int) -> tuple[int, int, int]:
    """(multiplier, shift, bias) at an edge of the arithmetic.

    Saturating currents of either sign, int32 biases with small and with saturated currents, the largest shift,
    currents that are exact multiples of half a threshold, ties of the rounding, a silent and a constant channel.
    """
    half_threshold = THRESHOLD // 2
    cases = (
        (MULTIPLIER_LIMIT, 0, 0),
        (-MULTIPLIER_LIMIT - 1, 0, 0),
        (MULTIPLIER_LIMIT, 0, INT32_MIN),
        (-MULTIPLIER_LIMIT - 1, 0, INT32_MAX),
        (MULTIPLIER_LIMIT, 0, INT32_MAX),
        (3, 1, INT32_MIN),
        (3, 1, INT32_MAX),
        (MULTIPLIER_LIMIT, MAXIMUM_SHIFT, THRESHOLD),
        (-MULTIPLIER_LIMIT - 1, MAXIMUM_SHIFT, THRESHOLD),
        (half_threshold, 0, int(np.clip(-half_threshold * mean, INT32_MIN, INT32_MAX))),
        (half_threshold, 0, -1),
        (1, 1, THRESHOLD - 1),
        (-1, 1, THRESHOLD),
        (0, 0, 0),
        (0, int(rng.integers(0, MAXIMUM_SHIFT + 1)), int(rng.choice((THRESHOLD, THRESHOLD - 1, -1)))),
        (int(rng.integers(-MULTIPLIER_LIMIT - 1, MULTIPLIER_LIMIT + 1)), int(rng.integers(0, MAXIMUM_SHIFT + 1)), 0),
    )
    return cases[rng.integers(len(cases))]
