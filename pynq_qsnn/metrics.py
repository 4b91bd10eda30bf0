"""What an integer network costs: operations, parameters, memory traffic, and an estimate of energy.

    cost = count(network)                                     # true counts of one frame, a row a layer
    activity = measure_frames(Simulator().load(network), frames)
    cost = count(network, activity)                           # the same with firing rates: NS-ACE, SOPs
    cost.s_ace, cost.ns_ace, cost.normalised_parameters, cost.layers[0].macs, cost.energy(PLATFORMS[0])

The measures are those of "Are Conventional SNNs Really Efficient?" (arXiv 2311.10802). Its Eq. 8 and 9 are, layer by
layer, with n multiply-accumulates of one step, T steps, weights of b_w bits that meet codes of b_s bits, of which the
share fr is not zero::

    S-ACE = n * T * b_w * b_s        NS-ACE = fr * S-ACE = b_w * SOPs        SOPs = fr * n * T * b_s

What is counted, for one frame:

- n: products of a weight and a code, the zeros of a padded border included. Residuals, pools and the per-channel scales
  have none.
- b_s: the bits of the codes that *enter* a layer. T: how often its sums are computed. A static image enters with 8 bits
  and is convolved once, however many steps its current is replayed over; every pixel counts, so its fr is 1.
- Attention multiplies codes with codes: Q K^T, then the scores with V, each tokens^2 * channels products a step. They
  are rows of their own, out of the sums over layers with weights. Both count as b_in x b_in bits; the scores are wider.
- Memory traffic is that of a machine that computes one layer after the other, step by step: weights are read once a
  frame; each tensor is written once and read once by each of its readers, as packed codes; where T > 1, a 32-bit
  membrane is written and read again between two steps. Nothing is cached, a Flatten moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from .errors import NetworkError
from .hwspec import NUMERICS
from .network import (
    INPUT,
    SPIKING,
    WEIGHTED,
    Attention,
    Conv2d,
    Flatten,
    Head,
    Layer,
    Network,
    Pool,
    TensorType,
    sources,
)

SET_BITS = np.array([bin(code).count("1") for code in range(256)])
NORMAL_BITS = 16  # the paper's column Params is in weights of 16 bits
BATCH_BYTES = 4 << 20  # of spike trains that are held at a time
FEW_CODES = 16  # so many comparisons are faster than a bincount


@dataclass(frozen=True, eq=False)
class Activity:
    """Codes of one tensor over frames. histogram: int64 [T, s_max + 1], how often each code was there in each step."""

    histogram: np.ndarray

    def __add__(self, other: Activity) -> Activity:
        return Activity(self.histogram + other.histogram)

    @property
    def rates(self) -> np.ndarray:
        """Share of non-zero codes in each step, float64 [T]."""
        return 1 - self.histogram[:, 0] / self.histogram.sum(axis=1)

    @property
    def rate(self) -> float:
        """Share of non-zero codes, 0..1: fr of Eq. 9."""
        return 1 - float(self.histogram[:, 0].sum() / self.histogram.sum())

    @property
    def set_bits(self) -> float:
        """Mean number of ones in a code: additions of a synapse in a step where bit planes arrive one by one."""
        return self._mean(SET_BITS[: self.histogram.shape[1]])

    @property
    def mean_code(self) -> float:
        """Mean code: spikes of a synapse in a step where a code k is sent as k spikes."""
        return self._mean(np.arange(self.histogram.shape[1]))

    def _mean(self, values: np.ndarray) -> float:
        return float((self.histogram @ values).sum() / self.histogram.sum())


def measure_rates(
    network: Network, trains: dict[str, np.ndarray], before: dict[str, Activity] | None = None
) -> dict[str, Activity]:
    """Activity of every tensor but the head's result, added to ``before``.

    trains: what ``trace(frames)`` of an executor returns, uint8 [T, N, C, H, W] by name.
    Raises NetworkError where a train is missing, has another shape than the network's, or codes above its s_max.
    """
    found = {}
    for name, tensor in _tensors(network).items():
        train = trains.get(name)
        shape = None if train is None else (*train.shape[:1], *train.shape[2:])
        if shape != (tensor.num_steps, *tensor.shape) or train.dtype != np.uint8 or not train.size:
            what = "no train" if train is None else f"a train {train.dtype} {train.shape}"
            raise NetworkError(
                f"{network.name}: {what} of tensor {name!r}, must be uint8 [T = {tensor.num_steps}, N >= 1, "
                f"{', '.join(map(str, tensor.shape))}]; trace frames with this network"
            )
        histogram = np.array([_histogram(step, tensor.s_max) for step in train])
        if histogram.sum() != train.size:
            raise NetworkError(
                f"{network.name}: tensor {name!r} has codes of up to {train.max()}, its s_max is {tensor.s_max}; "
                "trace frames with this network"
            )
        found[name] = Activity(histogram)
        if before is not None:
            found[name] += before[name]
    return found


def _histogram(codes: np.ndarray, s_max: int) -> np.ndarray:
    if s_max < FEW_CODES:
        return np.array([np.count_nonzero(codes == code) for code in range(s_max + 1)])
    return np.bincount(codes.ravel(), minlength=s_max + 1)[: s_max + 1]


def measure_frames(
    executor, frames: np.ndarray, progress: Callable[[list[slice]], Iterable[slice]] = iter
) -> dict[str, Activity]:
    """:func:`measure_rates` of frames in batches of a few megabytes of trains.

    executor: one that has loaded a network, with ``network`` and ``trace(frames)``.  progress: shows the batches as
    they pass, such as tqdm.  Raises FrameError for frames that the network does not take, NetworkError for none.
    """
    network = executor.network
    size = sum(t.num_steps * int(np.prod(t.shape)) for t in _tensors(network).values())
    count = max(1, BATCH_BYTES // size)
    activity = None
    for batch in progress([slice(i, i + count) for i in range(0, len(frames), count)]):
        activity = measure_rates(network, executor.trace(frames[batch]), activity)
    if activity is None:
        raise NetworkError(f"{network.name}: rates of 0 frames, at least 1 is needed")
    return activity


def firing_rates(network: Network, trains: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Share of non-zero codes, 0..1, of each layer of neurons: name -> float64 [T]. trains as in measure_rates."""
    activity = measure_rates(network, trains)
    return {layer.name: activity[layer.name].rates for layer in network.layers if isinstance(layer, SPIKING)}


@dataclass(frozen=True)
class LayerCost:
    """Counts of one layer, or of one product of an attention, for one frame; see the module for what is counted.

    layer: its name in the network.  name: the same, with QK or V behind it for a product of an attention.
    macs: products of one step.  num_steps: T of its sums.  weight_bits: None for a layer that multiplies nothing.
    constants: per-channel numbers.  image: reads the static image.  activity: of the codes that enter, where measured.
    """

    layer: str
    name: str
    kind: str
    macs: int
    num_steps: int
    weight_bits: int | None
    input_bits: int
    weights: int
    constants: int
    image: bool
    read_bytes: int
    written_bytes: int
    membrane_bytes: int
    activity: Activity | None = None

    @property
    def has_weights(self) -> bool:
        """False for pools and for the products of an attention."""
        return self.weights > 0

    @property
    def weight_bytes(self) -> int:
        """Packed weights, read once a frame."""
        return _bytes(self.weights * (self.weight_bits or 0))

    @property
    def normalised_parameters(self) -> float:
        """Weights in units of 16 bits."""
        return self.weights * (self.weight_bits or 0) / NORMAL_BITS

    @property
    def rate(self) -> float | None:
        """fr of Eq. 9; None where not measured."""
        return self._of_input("rate")

    @property
    def s_ace(self) -> int:
        """Eq. 8: bit operations of all steps."""
        return self.macs * self.num_steps * (self.weight_bits or 0) * self.input_bits

    @property
    def ns_ace(self) -> float | None:
        """Eq. 9: bit operations whose code is not zero; None where not measured."""
        return None if self.rate is None else self.s_ace * self.rate

    @property
    def sops(self) -> float | None:
        """fr * n * T * b_s; None where not measured."""
        return None if self.rate is None else self.macs * self.num_steps * self.input_bits * self.rate

    @property
    def serial_additions(self) -> float | None:
        """Additions where bit planes arrive one by one and zeros cost nothing: n * T * set bits of a mean code."""
        return self._times(None if self.activity is None else self.activity.set_bits)

    @property
    def unary_additions(self) -> float | None:
        """Additions where a code k is sent as k spikes: n * T * mean code. Every pixel of a static image counts one."""
        return self._times(self._of_input("mean_code"))

    def _of_input(self, name: str) -> float | None:
        if self.activity is None:
            return None
        return 1.0 if self.image else getattr(self.activity, name)

    def _times(self, mean: float | None) -> float | None:
        return None if mean is None else self.macs * self.num_steps * mean

    def row(self) -> dict:
        """Counts and measures as plain values, for a table or a JSON file."""
        fields = {key: value for key, value in vars(self).items() if key != "activity"}
        names = ("weight_bytes", "normalised_parameters", "rate", "s_ace", "ns_ace", "sops")
        measured = {name: getattr(self.activity, name, None) for name in ("set_bits", "mean_code")}
        return {**fields, **{name: getattr(self, name) for name in names}, **measured}


# Picojoules, 45 nm, 0.9 V. M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, Fig.
# 1.1.9; memories are accesses of 64 bits.
HOROWITZ_PJ = {"int8 multiply": 0.2, "int32 add": 0.1, "float32 multiply": 3.7, "float32 add": 0.9}
HOROWITZ_ACCESS_PJ = {"SRAM of 1 MB": 100.0, "DRAM": 1300.0}
ACCESS_BITS = 64
HOROWITZ = "Horowitz, ISSCC 2014, Fig. 1.1.9 (45 nm, 0.9 V)"


@dataclass(frozen=True)
class Platform:
    """Constants of an energy model, all in pJ, and what it spends them on. Every result is an estimate.

    operations: which products cost energy: "all", "nonzero" (those whose code is not zero) or "unary" (k for a code k).
    One costs ``multiply_pj_per_bits`` * b_w * b_s + ``add_pj``; one of a static image's ``image_pj``, if it is set.
    """

    name: str
    source: str
    operations: str
    add_pj: float
    multiply_pj_per_bits: float = 0.0
    image_pj: float | None = None
    weight_pj_per_bit: float = 0.0
    activation_pj_per_bit: float = 0.0

    def compute_pj(self, layer: LayerCost) -> float | None:
        """Energy of a layer's sums; None where it needs rates that were not measured."""
        dense = layer.macs * layer.num_steps
        if layer.image and self.image_pj is not None:
            return dense * self.image_pj
        nonzero = None if layer.rate is None else dense * layer.rate
        operations = {"all": dense, "nonzero": nonzero, "unary": layer.unary_additions}[self.operations]
        each = self.multiply_pj_per_bits * (layer.weight_bits or 0) * layer.input_bits + self.add_pj
        return None if operations is None else operations * each

    def memory_pj(self, layer: LayerCost) -> float:
        """Energy of a layer's memory traffic."""
        activations = layer.read_bytes + layer.written_bytes + layer.membrane_bytes
        return 8 * (self.weight_pj_per_bit * layer.weight_bytes + self.activation_pj_per_bit * activations)


# A multiplier's energy goes with the product of its widths: 3.1 pJ for 32 x 32 bits by the same source, 16 * 0.2 = 3.2.
_INTEGER = {
    "add_pj": HOROWITZ_PJ["int32 add"],
    "multiply_pj_per_bits": HOROWITZ_PJ["int8 multiply"] / (8 * 8),
    "weight_pj_per_bit": HOROWITZ_ACCESS_PJ["DRAM"] / ACCESS_BITS,
    "activation_pj_per_bit": HOROWITZ_ACCESS_PJ["SRAM of 1 MB"] / ACCESS_BITS,
}
_SCALED = "; the int8 product scaled by b_w * b_s / 64, 32-bit sums, weights from DRAM (1.3 nJ), codes in SRAM"
PLATFORMS = (
    Platform("45 nm integer, dense array", HOROWITZ + _SCALED, "all", **_INTEGER),
    Platform("45 nm integer, zeros skipped", HOROWITZ + _SCALED, "nonzero", **_INTEGER),
    Platform(
        "45 nm float32, as the SNN literature counts",
        HOROWITZ + ": 4.6 pJ a multiply-accumulate on the image, 0.9 pJ an addition a spike; a code k is k spikes. "
        "No memory, no membrane",
        "unary",
        add_pj=HOROWITZ_PJ["float32 add"],
        image_pj=HOROWITZ_PJ["float32 multiply"] + HOROWITZ_PJ["float32 add"],
    ),
)


@dataclass(frozen=True)
class NetworkCost:
    """Rows of :func:`count`, and their sums. What needs rates is None where they were not measured."""

    name: str
    layers: tuple[LayerCost, ...]

    @property
    def weighted(self) -> tuple[LayerCost, ...]:
        """Layers with weights: what S-ACE, NS-ACE, SOPs and MACs are summed over."""
        return tuple(layer for layer in self.layers if layer.has_weights)

    @property
    def attention(self) -> tuple[LayerCost, ...]:
        """Products of codes with codes."""
        return tuple(layer for layer in self.layers if layer.macs and not layer.has_weights)

    @property
    def macs(self) -> int:
        """Multiply-accumulates with a weight, of one step."""
        return _total(self.weighted, "macs")

    @property
    def s_ace(self) -> int:
        """Eq. 8 over the layers with weights."""
        return _total(self.weighted, "s_ace")

    @property
    def ns_ace(self) -> float | None:
        """Eq. 9 over the layers with weights."""
        return _total(self.weighted, "ns_ace")

    @property
    def sops(self) -> float | None:
        """Synaptic operations over the layers with weights."""
        return _total(self.weighted, "sops")

    @property
    def weights(self) -> int:
        return _total(self.layers, "weights")

    @property
    def normalised_parameters(self) -> float:
        """The paper's column Params, of the weights: sum of P * b_w / 16."""
        return _total(self.layers, "normalised_parameters")

    def totals(self) -> dict:
        """Sums over the layers; those of the attention are of its products alone."""
        over_all = ("weights", "constants", "normalised_parameters", "weight_bytes")
        traffic = ("read_bytes", "written_bytes", "membrane_bytes")
        over_weights = ("macs", "s_ace", "sops", "ns_ace", "serial_additions", "unary_additions")
        return {
            **{name: _total(self.weighted, name) for name in over_weights},
            **{f"attention_{name}": _total(self.attention, name) for name in ("macs", "s_ace", "sops", "ns_ace")},
            **{name: _total(self.layers, name) for name in (*over_all, *traffic)},
        }

    def energy(self, platform: Platform) -> dict:
        """Estimate of one frame's energy in microjoules: ``compute_uj``, ``memory_uj``, ``total_uj``, its source."""
        compute = [platform.compute_pj(layer) for layer in self.layers]
        compute_uj = None if None in compute else sum(compute) / 1e6
        memory_uj = sum(platform.memory_pj(layer) for layer in self.layers) / 1e6
        return {
            "platform": platform.name,
            "method": "estimate",
            "compute_uj": compute_uj,
            "memory_uj": memory_uj,
            "total_uj": None if compute_uj is None else compute_uj + memory_uj,
            "source": platform.source,
        }


def count(network: Network, activity: dict[str, Activity] | None = None) -> NetworkCost:
    """Costs of every layer in order, an attention's two products as two rows. activity: of :func:`measure_rates`.

    Raises NetworkError for an activity of another network.
    """
    types = network.tensors
    if activity is not None:
        for name, tensor in _tensors(network).items():
            if name not in activity or len(activity[name].histogram) != tensor.num_steps:
                raise NetworkError(f"{network.name}: no activity of tensor {name!r} over {tensor.num_steps} steps")
    static = {INPUT} if network.input.num_steps == 1 else set()
    rows = []
    for layer in network.layers:
        if isinstance(layer, (Pool, Flatten)) and layer.source in static:
            static.add(layer.name)
        for source, counts in _attention(layer, types) if isinstance(layer, Attention) else [_layer(layer, types)]:
            rows.append(
                LayerCost(
                    layer=layer.name,
                    num_steps=types[source].num_steps,
                    input_bits=types[source].bits,
                    image=source in static,
                    activity=None if activity is None else activity[source],
                    **counts,
                )
            )
    return NetworkCost(network.name, tuple(rows))


def _layer(layer: Layer, types: dict[str, TensorType]) -> tuple[str, dict]:
    """Tensor that enters, and the counts of a layer that is no attention."""
    source, target = types[layer.source], types[layer.name]
    counts = dict(name=layer.name, kind=type(layer).__name__, macs=0, weight_bits=None, weights=0, constants=0)
    counts.update(read_bytes=_train_bytes(source), written_bytes=_train_bytes(target), membrane_bytes=0)
    if isinstance(layer, Flatten):
        counts.update(read_bytes=0, written_bytes=0)
    if isinstance(layer, WEIGHTED):
        positions = target.shape[1] * target.shape[2]
        counts.update(weights=layer.weight.size, weight_bits=layer.weight_bits, macs=layer.weight.size * positions)
    if isinstance(layer, Head):
        counts.update(constants=3 * layer.affine.channels, written_bytes=4 * len(layer.weight))  # int32 logits
    if isinstance(layer, SPIKING):
        counts.update(constants=_constants(layer), membrane_bytes=_membrane_bytes(target))
    if isinstance(layer, Conv2d) and layer.skip is not None:
        skipped, stride = types[layer.skip.source], layer.skip.stride
        channels, height, width = skipped.shape
        read = replace(skipped, shape=(channels, -(-height // stride), -(-width // stride)))
        counts["read_bytes"] += _train_bytes(read)
    return layer.source, counts


def _attention(layer: Attention, types: dict[str, TensorType]) -> list[tuple[str, dict]]:
    """The same for the two products: the scores, Q K^T, stay inside; then they meet V."""
    query, key, value, target = (types[name] for name in (*sources(layer), layer.name))
    channels, height, width = query.shape
    both = dict(kind="Attention", macs=(height * width) ** 2 * channels, weights=0)
    scores = dict(
        name=f"{layer.name} QK",
        weight_bits=key.bits,
        constants=0,
        read_bytes=_train_bytes(query) + _train_bytes(key),
        written_bytes=0,
        membrane_bytes=0,
    )
    result = dict(
        name=f"{layer.name} V",
        weight_bits=query.bits,
        constants=_constants(layer),
        read_bytes=_train_bytes(value),
        written_bytes=_train_bytes(target),
        membrane_bytes=_membrane_bytes(target),
    )
    return [(layer.source, {**both, **scores}), (layer.value, {**both, **result})]


def _constants(layer) -> int:
    """Multiplier, shift and bias a channel; the initial membrane and the residual's scale where there is one."""
    channels, skip = layer.neuron.affine.channels, getattr(layer, "skip", None)
    numbers = 3 + int(np.any(layer.neuron.initial_membrane)) + 2 * (skip is not None and skip.domain == "current")
    return channels * numbers


def _membrane_bytes(tensor: TensorType) -> int:
    return 2 * (tensor.num_steps - 1) * _bytes(int(np.prod(tensor.shape)) * NUMERICS["membrane_bits"])


def _train_bytes(tensor: TensorType) -> int:
    return _bytes(int(np.prod(tensor.shape)) * tensor.num_steps * tensor.bits)


def _bytes(bits: int) -> int:
    return -(-bits // 8)


def _total(rows, name: str):
    values = [getattr(row, name) for row in rows]
    return None if None in values else sum(values)


def _tensors(network: Network) -> dict[str, TensorType]:
    """What holds codes: every tensor but the head's result."""
    return {name: tensor for name, tensor in network.tensors.items() if name != network.head.name}
