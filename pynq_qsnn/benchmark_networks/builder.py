"""Layer list -> integer network with calibrated random weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..architectures import Architecture, entries
from ..architectures.entries import EDGE_WEIGHT_BITS, LARGEST_CODE
from ..errors import ConfigError
from ..hwspec import CODE_BITS
from ..network import INPUT, Conv2d, Flatten, Head, Layer, Linear, Network, Pool, Skip, TensorType
from ..neuron import THRESHOLD, Affine, skip_current
from ..runtime.simulator import Simulator
from .calibration import Sample, calibrated_neuron, head_affine, random_weights, sampled_sums
from .frames import random_events, random_images

# Mean code of a layer in units of its largest one: in general, before a maximum pool (which raises it), and of a branch
# whose codes are added to others.
RATE, RATE_BEFORE_POOL, RATE_OF_BRANCH = 0.2, 0.1, 0.06
CALIBRATION_MACS = 4e9  # sets the number of frames
CALIBRATION_FRAMES, CALIBRATION_STEPS = 16, 4  # at most


class Builder:
    """Appends calibrated layers; every spike train that the next layer needs comes from the fast simulator."""

    def __init__(
        self, entry: Architecture, weight_bits: int, spike_bits: int, num_steps: int, seed: int, residual: str
    ):
        for name, bits in (("weight_bits", weight_bits), ("spike_bits", spike_bits)):
            if bits not in CODE_BITS:
                raise ConfigError(f"{name} is {bits}, must be one of {CODE_BITS}")
        if not 1 <= num_steps <= 255:
            raise ConfigError(f"num_steps is {num_steps}, must be 1..255")
        self.entry, self.entries, self.residual = entry, entry.entries, residual
        self.weight_bits, self.spike_bits, self.num_steps = weight_bits, spike_bits, num_steps
        self.s_max = 2**spike_bits - 1
        self.rng = np.random.default_rng([seed, *entry.name.encode()])
        # A network of min(T, 4) steps has the same constants: its neurons have found their rhythm by then.
        self.steps = min(num_steps, CALIBRATION_STEPS)
        steps = num_steps if entry.events else 1
        self.input = TensorType(entry.input_shape, spike_bits if entry.events else 8, steps, LARGEST_CODE)
        if entry.events:
            self.input = replace(self.input, s_max=self.s_max)
        self.layers: list[Layer] = []
        self.source = INPUT
        self.types = {INPUT: replace(self.input, num_steps=self.steps if entry.events else 1)}
        self.base, self.trains = INPUT, {INPUT: self._calibration_frames(seed)}
        self.since_base: list[Layer] = []

    def build(self, name: str) -> Network:
        """The network."""
        following = [*self.entries[1:], None]
        for entry, after in zip(self.entries[:-1], following):
            before_pool = isinstance(after, entries.Pool) and after.kind != "global"
            getattr(self, f"_{type(entry).__name__.lower()}")(entry, RATE_BEFORE_POOL if before_pool else RATE)
            self._cut()
        self._flatten()
        source = self.types[self.source]
        weight = random_weights(self.rng, (self.entries[-1].classes, source.shape[0]), EDGE_WEIGHT_BITS)
        affine = head_affine(weight, source.s_max, self.num_steps)
        self.layers.append(Head("head", self.source, weight, EDGE_WEIGHT_BITS, affine, 2.0**-16))
        return Network(name, self.input, self.num_steps, tuple(self.layers))

    def _calibration_frames(self, seed: int) -> np.ndarray:
        """uint8 [T, N, C, H, W]; as many frames as the time allows, because a 1x1 map has one position a frame."""
        macs = self.entry.size(residual=self.residual).macs * self.steps
        count = int(np.clip(CALIBRATION_MACS // macs, 1, CALIBRATION_FRAMES))
        if not self.entry.events:
            return random_images(self.input.shape, count, seed)[None]
        frames = random_events(self.input.shape, self.steps, self.s_max, count, seed)
        return np.ascontiguousarray(frames.transpose(1, 0, 2, 3, 4))

    # ---- entries ----

    def _conv(self, entry: entries.Conv, rate: float) -> None:
        self._add_convolution(self.source, entry, rate)

    def _pool(self, entry: entries.Pool, rate: float) -> None:
        if entry.kind != "global":
            self._add_pool("maximum", entry.kernel, entry.step)
            return
        t = self.types[self.source]
        for pool in entries.global_pools(*t.shape[1:], t.s_max):
            self._add_pool("sum" if pool.kind == "sum" else "average", pool.kernel, pool.step)

    def _residual(self, entry: entries.Residual, rate: float) -> None:
        """The body's convolutions, and the residual into the last one, as arXiv 2102.04159 or (current) 1512.03385."""
        identity, name = self.source, self.source
        side = entries.shortcut(entry, self.types[identity].shape[0], self.residual)
        for part in entry.body[:-1]:
            name = self._add_convolution(name, part, RATE)
        if side is not None:
            identity = self._add_convolution(identity, side, RATE)
        self._add_convolution(name, entry.body[-1], rate, identity, entry.stride if side is None else 1)

    def _linear(self, entry: entries.Linear, rate: float) -> None:
        self._flatten()
        weight = self._weights((entry.features, self.types[self.source].shape[0]))
        layer = Linear(self._name("linear"), self.source, weight, self._weight_bits(), None, self.spike_bits)
        self._append_calibrated(layer, (entry.features, 1, 1), rate, None)

    # ---- layers ----

    def _add_convolution(
        self, source: str, entry: entries.Conv, rate: float, identity: str | None = None, identity_stride: int = 1
    ) -> str:
        channels, rows, cols = self.types[source].shape
        weight = self._weights((entry.channels, channels, entry.kernel, entry.kernel))
        rows, cols = ((n + 2 * entry.border - entry.kernel) // entry.stride + 1 for n in (rows, cols))
        skip = None
        if identity is not None:
            skip = self._skip(identity, identity_stride, entry.channels)
            rate = RATE_OF_BRANCH if self.residual == "spike" else rate
        name, bits = self._name("conv"), self._weight_bits()
        layer = Conv2d(name, source, weight, bits, None, self.spike_bits, entry.stride, entry.border, skip=skip)
        return self._append_calibrated(layer, (entry.channels, rows, cols), rate, skip)

    def _skip(self, identity: str, stride: int, channels: int) -> Skip:
        if self.residual == "spike":
            return Skip(identity, "spike", self.s_max)
        if self.residual == "iand":
            return Skip(identity, "iand")
        # One code of the identity is worth one threshold: both sides have the same step.
        one = np.full(channels, THRESHOLD, np.int64)
        return Skip(identity, "current", None, one, np.zeros(channels, np.int64), stride)

    def _append_calibrated(self, layer: Conv2d | Linear, shape: tuple, rate: float, skip: Skip | None) -> str:
        train = self._train(layer.source)
        sample = Sample.draw(self.rng, train.shape[1], *shape[1:])
        extra = None
        if skip is not None and skip.domain == "current":
            codes = sample.codes(self._train(skip.source), skip.stride)
            codes = np.pad(codes, ((0, 0), (0, 0), (0, shape[0] - codes.shape[2])))
            extra = skip_current(codes, skip.multiplier, skip.shift, 2)
        sums = sampled_sums(layer, train, sample)
        neuron = calibrated_neuron(self.rng, sums, self.s_max, self.steps, rate, extra)
        self._append(replace(layer, neuron=neuron), TensorType(shape, self.spike_bits, self.steps, self.s_max))
        return layer.name

    def _add_pool(self, kind: str, kernel: int, stride: int) -> None:
        t = self.types[self.source]
        shape = (t.shape[0], *((n - kernel) // stride + 1 for n in t.shape[1:]))
        made = replace(t, shape=shape)
        if kind == "sum":
            s_max = t.s_max * kernel**2
            made = replace(made, s_max=s_max, bits=next(bits for bits in CODE_BITS if s_max < 1 << bits))
        self._append(Pool(self._name("pool"), self.source, kind, kernel, stride), made)

    def _flatten(self) -> None:
        t = self.types[self.source]
        if t.shape[1:] != (1, 1):
            self._append(Flatten(self._name("flatten"), self.source), replace(t, shape=(int(np.prod(t.shape)), 1, 1)))

    def _append(self, layer: Layer, made: TensorType) -> None:
        self.layers.append(layer)
        self.since_base.append(layer)
        self.types[layer.name] = made
        self.source = layer.name

    def _name(self, kind: str) -> str:
        return f"{kind}{1 + sum(layer.name.rstrip('0123456789') == kind for layer in self.layers)}"

    def _weight_bits(self) -> int:
        return self.weight_bits if self.layers else EDGE_WEIGHT_BITS

    def _weights(self, shape: tuple[int, ...]) -> np.ndarray:
        return random_weights(self.rng, shape, self._weight_bits())

    # ---- spike trains ----

    def _cut(self) -> None:
        """Nothing before the last tensor is read any more: simulations start from it."""
        self.trains = {self.source: self._train(self.source)}
        self.base, self.since_base = self.source, []

    def _train(self, name: str) -> np.ndarray:
        """uint8 [T, N, C, H, W] of a tensor; simulates the layers since the base when it is not there yet."""
        if name not in self.trains:
            self.trains.update(self._simulate())
        return self.trains[name]

    def _simulate(self) -> dict[str, np.ndarray]:
        base = self.types[self.base]
        last = self.types[self.source]
        tail = (
            # A network ends in a head; this one reads one pixel.
            Pool("pixel", self.source, "maximum", 1, max(last.shape[1:])),
            Head("end", "pixel", np.ones((1, last.shape[0]), np.int8), 8, Affine([0], [0], [0])),
        )
        segment = Network("segment", base, self.steps, (*map(self._from_base, self.since_base), *tail))
        train = self.trains[self.base]
        frames = train[0] if base.num_steps == 1 else np.moveaxis(train, 0, 1)
        found = Simulator().load(segment).trace(np.ascontiguousarray(frames).reshape(-1, *segment.frame_shape))
        return {layer.name: found[layer.name] for layer in self.since_base}

    def _from_base(self, layer: Layer) -> Layer:
        if layer.source == self.base:
            layer = replace(layer, source=INPUT)
        skip = getattr(layer, "skip", None)
        return replace(layer, skip=replace(skip, source=INPUT)) if skip and skip.source == self.base else layer
