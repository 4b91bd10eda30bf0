"""What both importers build with: tensors of codes, weighted sums of codes, and the layers that they become.

The value of a tensor in the source's graph is real. Here it is a tensor of integer codes of the network and the affine
map between the two, so that scales, batch norm and offsets move into the constants of the next layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..errors import NetworkError
from ..fixed_point import MANTISSA_BITS, code_bits, logit_affine, to_multiplier
from ..hwspec import NUMERICS
from ..network import INPUT, Conv2d, Flatten, Head, Linear, Network, Pool, Skip, TensorType
from ..neuron import THRESHOLD, Affine, Neuron
from .weights import IntegerWeight, stored_bits

LARGEST_CODE = 255
LARGEST_WEIGHT = NUMERICS["maximum_weight"]
LARGEST_FRAME = 1 << 26  # codes; a file can claim any shape
LARGEST_IDENTITY = 1 << 24  # weights of a matrix that only sums or counts
STEP_TOLERANCE = 1e-6  # two float32 constants that name one step


@dataclass(frozen=True)
class Codes:
    """Tensor ``name`` of the network, (C, H, W); real value = scale * code + offset, each float64 [1] or [C].

    flat: the source's graph sees a vector, not a map.  shared: more than one node of the source's graph reads it.
    """

    name: str
    shape: tuple[int, int, int]
    s_max: int
    scale: np.ndarray
    offset: np.ndarray
    flat: bool = False
    shared: bool = False

    @property
    def channels(self) -> int:
        return self.shape[0]


@dataclass(frozen=True)
class Sums:
    """Sums that no neuron has read yet: gain * acc + offset (+ skip_gain * code of the skip), float64 [Co] each.

    node: the source's node, for messages.  pool: (kernel, stride, padding) of a maximum that follows the neuron.
    rectified: a ReLU was the last operation.
    """

    node: str
    source: Codes
    weight: IntegerWeight
    shape: tuple[int, int, int]
    gain: np.ndarray
    offset: np.ndarray
    stride: int = 1
    padding: int = 0
    groups: int = 1
    skip: Codes | None = None
    skip_gain: np.ndarray | None = None
    pool: tuple[int, int, int] | None = None
    rectified: bool = False
    flat: bool = False

    @property
    def channels(self) -> int:
        return self.shape[0]


Wire = Codes | Sums


class Builder:
    """Appends layers in the order in which the source's nodes are visited."""

    def __init__(self, frame: TensorType, num_steps: int, scale: float, flat: bool):
        if (size := math.prod(frame.shape)) > LARGEST_FRAME:
            raise NetworkError(f"frames {frame.shape} have {size} codes, limit {LARGEST_FRAME}")
        self.frame, self.num_steps = frame, num_steps
        self.layers: list = []
        self.nodes: dict[str, str] = {}  # layer -> node of the source that it came from
        self.input = Codes(INPUT, frame.shape, frame.s_max, np.array([scale]), np.zeros(1), flat)
        self._counts: dict[str, int] = {}

    def network(self, name: str, card: dict) -> Network:
        return Network(name, self.frame, self.num_steps, tuple(self.layers), card)

    def _append(self, kind: str, node: str, make) -> str:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        name = f"{kind}{self._counts[kind]}"
        self.layers.append(make(name))
        self.nodes[name] = node
        return name

    # codes -> codes

    def flatten(self, node: str, codes: Codes) -> Codes:
        size = int(np.prod(codes.shape[1:]))
        if size == 1:
            return replace(codes, flat=True)
        name = self._append("flatten", node, lambda name: Flatten(name, codes.name))
        scale, offset = (np.repeat(x, size) if len(x) > 1 else x for x in (codes.scale, codes.offset))
        return Codes(name, (codes.channels * size, 1, 1), codes.s_max, scale, offset, flat=True)

    def pool(self, node: str, codes: Codes, kind: str, kernel: int, stride: int, padding: int = 0) -> Codes:
        """A maximum, or a sum, whose codes are wider and exact. Raises NetworkError where they do not fit 8 bits."""
        s_max = codes.s_max
        if kind == "sum":
            s_max *= kernel**2
            if s_max > LARGEST_CODE:
                raise NetworkError(
                    f"{node}: sums of {kernel}x{kernel} codes reach {s_max}, codes hold {LARGEST_CODE}; pool a smaller "
                    "window, or use fewer activation bits before it"
                )
        elif np.any(codes.scale < 0):
            raise NetworkError(f"{node}: a maximum of codes with a negative scale; move the scale behind the pool")
        name = self._append("pool", node, lambda name: Pool(name, codes.name, kind, kernel, stride, padding))
        shape = (codes.channels, *window_output(node, codes.shape, kernel, stride, padding))
        offset = codes.offset * (kernel**2 if kind == "sum" else 1)
        return replace(codes, name=name, shape=shape, s_max=s_max, offset=offset, shared=False)

    # codes -> sums

    def weigh(self, node: str, codes: Codes, weight: IntegerWeight, bias=0.0, stride=1, padding=0, groups=1) -> Sums:
        """Sums of a convolution (weight [Co, Ci / groups, kh, kw]) or of a linear layer ([Co, Ci])."""
        w = weight.integers
        outputs, inputs = len(w), w.shape[1] * groups
        if inputs != codes.channels or outputs % groups or (w.ndim == 2 and codes.shape[1:] != (1, 1)):
            raise NetworkError(f"{node}: weights {w.shape} in {groups} groups do not fit a tensor {codes.shape}")
        if np.ptp(codes.scale) > STEP_TOLERANCE * np.abs(codes.scale).max():
            raise NetworkError(
                f"{node}: its input has a scale of its own in each channel; the integer sums need one: fold the scales "
                "into the weights before they are quantized"
            )
        if padding and np.any(codes.offset):
            raise NetworkError(
                f"{node}: pads with {padding} zeros, but its input codes mean {codes.offset.flat[0]:g} at code 0 (a "
                "signed, bipolar or shifted activation); use an unsigned one, or no padding"
            )
        taps = w.astype(np.float64).reshape(groups, outputs // groups, w.shape[1], -1).sum(axis=3)
        offsets = np.broadcast_to(codes.offset, codes.channels).reshape(groups, w.shape[1])
        constant = np.einsum("goi,gi->go", taps, offsets).ravel()
        shape = (outputs, 1, 1)
        if w.ndim == 4:
            shape = (outputs, *window_output(node, codes.shape, w.shape[2], stride, padding))
        gain, offset = weight.scale * codes.scale.flat[0], weight.scale * constant + np.broadcast_to(bias, outputs)
        if not (np.isfinite(gain).all() and np.isfinite(offset).all()):
            raise NetworkError(f"{node}: a scale or bias is not finite; the training diverged")
        return Sums(node, codes, weight, shape, gain, offset, stride, padding, groups, flat=codes.flat)

    def identity(self, node: str, codes: Codes) -> Sums:
        """Sums that equal the codes: a depthwise 1x1 convolution."""
        channels = codes.channels
        weight = IntegerWeight(np.ones((channels, 1, 1, 1), np.int8), 1, np.ones(channels))
        gain, offset = (np.broadcast_to(x, channels).astype(np.float64) for x in (codes.scale, codes.offset))
        return Sums(node, codes, weight, codes.shape, gain, offset, groups=channels, flat=codes.flat)

    # wires -> wires

    def affine(self, node: str, wire: Wire, factor, addend) -> Wire:
        """factor * wire + addend; each float64 [1] or [C]."""
        if not (np.isfinite(factor).all() and np.isfinite(addend).all()):
            raise NetworkError(f"{node}: a constant is not finite; the training diverged")
        if isinstance(wire, Codes):
            return replace(wire, scale=wire.scale * factor, offset=wire.offset * factor + addend)
        if wire.pool and np.any(factor < 0):
            raise NetworkError(f"{node}: a negative factor behind a maximum pool; move it before the pool")
        if wire.rectified and (np.any(factor <= 0) or np.any(addend)):
            raise NetworkError(f"{node}: an affine map behind a ReLU that no quantizer follows; quantize first")
        changed = replace(wire, gain=wire.gain * factor, offset=wire.offset * factor + addend)
        return changed if wire.skip is None else replace(changed, skip_gain=wire.skip_gain * factor)

    def add(self, node: str, a: Wire, b: Wire) -> Wire:
        """A residual: codes and codes, or sums and codes (a current before the neuron)."""
        if isinstance(a, Codes) and isinstance(b, Codes):
            joined = self._join(node, a, b)
            if joined is not None:
                return joined
            a = self.identity(node, a)
        sums, codes = (a, b) if isinstance(a, Sums) else (b, a)
        if isinstance(codes, Sums) or sums.skip is not None or sums.pool or sums.rectified:
            raise NetworkError(
                f"{node}: adds two results that no neuron has read; a residual joins a layer's sums and spikes of an "
                "earlier layer: put a neuron (or quantizer) behind the shortcut"
            )
        if codes.shape != sums.shape:
            raise NetworkError(f"{node}: adds tensors of shape {sums.shape} and {codes.shape}; they must be equal")
        gain = np.broadcast_to(codes.scale, sums.channels)
        return replace(sums, skip=codes, skip_gain=gain, offset=sums.offset + codes.offset)

    def _join(self, node: str, a: Codes, b: Codes) -> Codes | None:
        """Codes of equal step added exactly, as SEW's ADD; None where steps differ or the sum leaves 8 bits."""
        same = a.shape == b.shape and np.allclose(a.scale, b.scale, rtol=STEP_TOLERANCE, atol=0)
        if not same or a.s_max + b.s_max > LARGEST_CODE:
            return None
        places = {INPUT: -1, **{layer.name: place for place, layer in enumerate(self.layers)}}
        if places[a.name] < places[b.name]:
            a, b = b, a
        total = a.s_max + b.s_max
        place = places[a.name]
        last = self.layers[place]
        if a.shared or a.name == b.name or not isinstance(last, Conv2d) or last.skip is not None:
            affine = Affine(np.full(a.channels, THRESHOLD), np.zeros(a.channels, int), np.zeros(a.channels, int))
            a = self.fire(self.identity(node, a), Neuron(affine, a.s_max, None), a.scale, a.offset)
            place = len(self.layers) - 1
        skip = Skip(b.name, "spike", s_max=total)
        self.layers[place] = replace(self.layers[place], spike_bits=code_bits(total), skip=skip)
        return replace(a, s_max=total, offset=a.offset + b.offset, shared=False)

    # sums -> codes

    def strengthened(self, sums: Sums, factor: np.ndarray) -> tuple[Sums, np.ndarray]:
        """(sums, powers of two [Co] that their integers took over): ``factor``, membrane units a unit, lost them.

        A few strong weights can make a unit worth two thresholds or more, which the multiplier does not hold; integers
        have room for some.
        """
        _, exponent = np.frexp(factor * (1 + 2.0**-MANTISSA_BITS))  # what rounds up to a power of two, too
        taken = np.maximum(exponent - MANTISSA_BITS, 0)
        weight = sums.weight
        integers = weight.integers.astype(np.int64) << taken.reshape(-1, *[1] * (weight.integers.ndim - 1))
        if not taken.any() or np.abs(integers).max() > LARGEST_WEIGHT:
            return sums, np.zeros_like(taken)
        integers = integers.astype(np.int8)
        stronger = IntegerWeight(integers, stored_bits(integers), np.ldexp(weight.scale, -taken))
        return replace(sums, weight=stronger, gain=np.ldexp(sums.gain, -taken)), taken

    def fire(self, sums: Sums, neuron: Neuron, scale, offset, skip_factor: np.ndarray | None = None) -> Codes:
        """The layer of ``sums``; its code k means scale * k + offset. skip_factor: membrane units of a skip's code."""
        weight, codes = sums.weight.integers, sums.source
        shared = (sums.weight.bits, neuron, code_bits(neuron.s_max))
        skip = None
        if sums.skip is not None:
            multiplier, shift = to_multiplier(skip_factor, f"{sums.node}: residual")
            skip = Skip(sums.skip.name, "current", multiplier=multiplier, shift=shift)
            weight = weight if weight.ndim == 4 else weight[:, :, None, None]
        if weight.ndim == 2:
            name = self._append("linear", sums.node, lambda name: Linear(name, codes.name, weight, *shared))
        else:
            geometry = (sums.stride, sums.padding, sums.groups, skip)
            name = self._append("conv", sums.node, lambda name: Conv2d(name, codes.name, weight, *shared, *geometry))
        fired = Codes(name, sums.shape, neuron.s_max, np.asarray(scale), np.asarray(offset), sums.flat)
        return fired if sums.pool is None else self.pool(sums.node, fired, "maximum", *sums.pool)

    def head(self, node: str, wire: Wire) -> None:
        """The last layer: float score of a class = mean over the steps of the wire's value.

        Codes, of a network that ends in spikes, are counted by an identity matrix.
        """
        if isinstance(wire, Codes):
            if wire.shape[1:] != (1, 1):
                raise NetworkError(f"{node}: the result is a map {wire.shape}, a classifier has one value a class")
            channels = need_identity(node, wire.channels)
            eye = IntegerWeight(np.eye(channels, dtype=np.int8), 2, np.ones(channels))
            gain, offset = (np.broadcast_to(x, channels).astype(np.float64) for x in (wire.scale, wire.offset))
            wire = Sums(node, wire, eye, wire.shape, gain, offset)
        weight, codes = wire.weight.integers, wire.source
        if wire.skip is not None or wire.pool or wire.rectified or wire.shape[1:] != (1, 1) or wire.groups > 1:
            raise NetworkError(
                f"{node}: the graph must end in a fully connected layer or in its spikes; here a residual, pool, ReLU, "
                "group or map follows"
            )
        if weight.ndim == 4:
            if weight.shape[2:] != codes.shape[1:]:
                raise NetworkError(f"{node}: the last convolution must cover its map {codes.shape} without padding")
            codes = self.flatten(node, codes)
            weight = weight.reshape(len(weight), -1)
        # In units of the largest gain: where all classes have one gain, equal scores stay equal integers.
        unit = float(np.abs(wire.gain).max()) or 1.0
        affine, logit_scale = logit_affine(weight, wire.gain / unit, wire.offset / unit, codes.s_max, self.num_steps)
        self.layers.append(Head("head", codes.name, weight, wire.weight.bits, affine, logit_scale * unit))
        self.nodes["head"] = wire.node


def window_output(node: str, shape, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """Rows and columns of a square window's result. Raises NetworkError where it does not fit."""
    if kernel < 1 or stride < 1 or not 0 <= padding < kernel:
        raise NetworkError(
            f"{node}: window {kernel}, stride {stride}, padding {padding}; padding must be smaller than the window"
        )
    rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in shape[1:])
    if rows < 1 or columns < 1:
        raise NetworkError(f"{node}: a {kernel}x{kernel} window does not fit the {shape[1]}x{shape[2]} map")
    return rows, columns


def channel_values(node: str, values, wire: Wire, what: str) -> np.ndarray:
    """float64 [1] or [C] of a constant that acts on ``wire`` elementwise.

    Raises NetworkError where it does not fit, or the pixels of a channel differ.
    """
    values = np.asarray(values, np.float64)
    if np.isnan(values).any():
        raise NetworkError(f"{node}: {what} is not a number; the training diverged")
    target = (wire.channels,) if wire.flat else wire.shape
    while values.ndim > len(target) and values.shape[0] == 1:
        values = values[0]
    missing = len(target) - values.ndim
    if missing < 0 or any(n not in (1, m) for n, m in zip(values.shape, target[missing:])):
        raise NetworkError(f"{node}: {what} of shape {values.shape} on a tensor {target}")
    rows = values.reshape(1, -1) if missing else values.reshape(len(values), -1)
    if np.any(rows != rows[:, :1]):
        raise NetworkError(f"{node}: {what} differs between the pixels of a channel; the hardware has one a channel")
    return rows[:, 0].copy()


def need_identity(node: str, size: int, columns: int | None = None) -> int:
    """``size``, or NetworkError where a matrix [size, columns] that only sums would be too large."""
    if size * (columns or size) > LARGEST_IDENTITY:
        raise NetworkError(
            f"{node}: summing {size} channels would take a matrix of {size * (columns or size)} weights, limit "
            f"{LARGEST_IDENTITY}; end in a fully connected layer"
        )
    return size
