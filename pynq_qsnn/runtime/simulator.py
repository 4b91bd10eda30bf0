"""The fast host simulator: an integer network in C++, bit-exact with :mod:`pynq_qsnn.reference`.

The C++ in ``native/`` is compiled at first use and cached (see :mod:`native_build`). Spike trains are uint8 codes in
channels-last order; sums, currents and membranes of a block of pixels live in the first-level cache only.

    logits = Simulator().load(network).run(frames)        # int32 [N, classes]
"""

from __future__ import annotations

import ctypes
import os
import weakref
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import ConfigError, QsnnError, ToolMissing
from ..network import (
    INPUT,
    POOL_KINDS,
    SPIKING,
    Attention,
    Conv2d,
    Flatten,
    Head,
    Linear,
    Network,
    Pool,
    Steps,
    sources,
)
from ..packing import check_frames
from .native_build import build

SOURCE = Path(__file__).parent / "native" / "simulator.cc"
# A fused multiply-add is safe in the one float loop: it is proved on the machine code that runs (see integrate.cc).
FLAGS = ("-O3", "-march=native", "-fopenmp", "-ffp-contract=fast", "-Wno-psabi")
# enum class SkipDomain of integrate.h; 0: no residual
SKIP_DOMAIN = {"spike": 1, "current": 2, "iand": 3}
HEAD_OUTPUT = -1
NO_LEAK = -1

_Int64Array = ctypes.POINTER(ctypes.c_int64)


def _integers(*names: str) -> list[tuple[str, type]]:
    return [(name, ctypes.c_int64) for name in names]


class _NeuronSpec(ctypes.Structure):
    """Mirror of NeuronSpec in layers.h."""

    _fields_ = [
        *_integers("num_steps", "s_max", "leak_shift", "reset_to_zero"),
        *((name, _Int64Array) for name in ("multiplier", "shift", "bias", "start")),
    ]


class _ConvolutionSpec(ctypes.Structure):
    """Mirror of ConvolutionSpec in layers.h."""

    _fields_ = [
        *_integers("source", "output", "channels", "kernel_height", "kernel_width", "stride", "padding", "groups"),
        *_integers("skip_domain", "skip_source", "skip_s_max", "skip_stride"),
        ("weight", ctypes.POINTER(ctypes.c_int8)),
        *((name, _Int64Array) for name in ("skip_multiplier", "skip_shift")),
        ("neuron", _NeuronSpec),
    ]


class _AttentionSpec(ctypes.Structure):
    """Mirror of AttentionSpec in layers.h."""

    _fields_ = [*_integers("query", "key", "value", "output", "heads"), ("neuron", _NeuronSpec)]


class _PoolSpec(ctypes.Structure):
    """Mirror of PoolSpec in layers.h."""

    _fields_ = _integers("source", "output", "kind", "kernel", "stride", "padding")


class Simulator:
    """Executor of a network, or of a program's network, on the host's processor."""

    def __init__(self, threads: int | None = None):
        """threads: of OpenMP; None takes every core that this process may use. Raises ConfigError below 1."""
        self.threads = _available_cores() if threads is None else threads
        if self.threads < 1:
            raise ConfigError(f"threads is {threads}, must be at least 1")
        self._engine: _Engine | None = None

    def load(self, model) -> Simulator:
        """model: a Network, or anything with a ``network`` attribute (a Program).

        Compiles the C++ when the cache has no library for this machine. Raises ToolMissing without a compiler; then
        the simulator still has the network it had before.
        """
        network: Network = getattr(model, "network", model)
        self._engine = _Engine(network)
        self.network = network
        return self

    def run(self, frames: np.ndarray, batch_size: int = 256) -> np.ndarray:
        """Logits int32 [N, classes] of frames uint8 [N, C, H, W] (static) or [N, T, C, H, W].

        batch_size: frames of one native call; an interrupt is noticed between two calls. Raises FrameError.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, must be at least 1")
        frames = self._checked(frames)
        logits = self._empty_logits(len(frames))
        for i in range(0, len(frames), batch_size):
            self._engine.run(frames[i : i + batch_size], self.threads, logits[i : i + batch_size])
        return logits

    def predict(self, frames: np.ndarray, batch_size: int = 256) -> np.ndarray:
        """Class index int64 [N] of each frame; the first of equal logits wins. Raises FrameError."""
        return self.run(frames, batch_size).argmax(axis=1)

    def trace(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Every tensor by name: uint8 [T, N, C, H, W], and the head's int32 logits [N, classes]. Raises FrameError."""
        frames = self._checked(frames)
        logits = self._empty_logits(len(frames))
        recorded = {
            layer.name: np.empty((t.num_steps, len(frames), *t.shape), np.uint8)
            for layer in self.network.layers
            if not isinstance(layer, (Flatten, Head))
            for t in [self.network.tensors[layer.name]]
        }
        self._engine.run(frames, self.threads, logits, recorded)
        trains = {INPUT: frames[None] if frames.ndim == 4 else np.moveaxis(frames, 1, 0)}
        for layer in self.network.layers:
            if isinstance(layer, Flatten):
                source = trains[layer.source]
                trains[layer.name] = source.reshape(*source.shape[:2], -1, 1, 1)
            else:
                trains[layer.name] = recorded.get(layer.name, logits)
        return trains

    def _checked(self, frames: np.ndarray) -> np.ndarray:
        if self._engine is None:
            raise QsnnError("no network is loaded; call load(network) first")
        return np.ascontiguousarray(check_frames(frames, self.network))

    def _empty_logits(self, count: int) -> np.ndarray:
        return np.empty((count, len(self.network.head.weight)), np.int32)


class _Engine:
    """The native network; freed with this object. Its calls are serialized in C++, so threads may share it."""

    def __init__(self, network: Network):
        self._native = _library()
        self._network = network
        # The head's result is no tensor of the engine.
        self._index = {name: i for i, name in enumerate(network.tensors) if name != network.head.name}
        handle = ctypes.c_void_p()
        shapes = self._tensor_shapes()
        _check(self._native.qsnn_create(shapes.ctypes.data, len(shapes), ctypes.byref(handle)))
        self._handle = handle.value
        weakref.finalize(self, self._native.qsnn_destroy, self._handle)
        flattened = _read_flattened(network)
        for layer in network.layers:
            if isinstance(layer, Pool):
                self._add_pool(layer)
            elif isinstance(layer, Attention):
                self._add_attention(layer)
            elif isinstance(layer, Steps):
                self._add_copy(self._native.qsnn_add_steps, layer)
            elif not isinstance(layer, Flatten):
                self._add_convolution(layer)
            elif layer.name in flattened:
                self._add_copy(self._native.qsnn_add_flatten, layer)

    def run(self, frames: np.ndarray, threads: int, logits: np.ndarray, trains: dict[str, np.ndarray] | None = None):
        """Fill ``logits`` [N, classes] and ``trains`` (by tensor's name, [T, N, C, H, W]); all C-contiguous."""
        places = None
        if trains is not None:
            addresses = (trains[name].ctypes.data if name in trains else None for name in self._index)
            places = (ctypes.c_void_p * len(self._index))(*addresses)
        status = self._native.qsnn_run(
            self._handle, frames.ctypes.data, len(frames), threads, logits.ctypes.data, places
        )
        _check(status)

    def _tensor_shapes(self) -> np.ndarray:
        """int64 [tensors, 6]: struct Tensor of layers.h. The halo serves the widest padding of any reader."""
        halo = dict.fromkeys(self._index, 0)
        for layer in self._network.layers:
            if isinstance(layer, (Conv2d, Pool)):
                halo[layer.source] = max(halo[layer.source], layer.padding)
        types = self._network.tensors
        rows = [(*types[n].shape, types[n].num_steps, halo[n], types[n].s_max) for n in self._index]
        return np.array(rows, np.int64)

    def _add_pool(self, layer: Pool) -> None:
        source, output = self._index[layer.source], self._index[layer.name]
        spec = _PoolSpec(source, output, POOL_KINDS.index(layer.kind), layer.kernel, layer.stride, layer.padding)
        _check(self._native.qsnn_add_pool(self._handle, ctypes.byref(spec)))

    def _add_copy(self, add, layer: Steps | Flatten) -> None:
        _check(add(self._handle, self._index[layer.source], self._index[layer.name]))

    def _add_attention(self, layer: Attention) -> None:
        places = (self._index[name] for name in (*sources(layer), layer.name))
        neuron, _keep = self._neuron(layer)
        _check(self._native.qsnn_add_attention(self._handle, _AttentionSpec(*places, layer.heads, neuron)))

    def _neuron(self, layer: Conv2d | Linear | Attention | Head) -> tuple[_NeuronSpec, list[np.ndarray]]:
        """The description of a layer's neurons, and the arrays that must outlive its use."""
        spec = _NeuronSpec(num_steps=self._network.tensors[layer.name].num_steps)
        if isinstance(layer, SPIKING):
            neuron = layer.neuron
            affine, start = neuron.affine, neuron.initial_membrane
            spec.s_max, spec.reset_to_zero = neuron.s_max, neuron.reset_mode == "zero"
            spec.leak_shift = NO_LEAK if neuron.leak_shift is None else neuron.leak_shift
        else:
            affine, start = layer.affine, np.zeros_like(layer.affine.bias)
        arrays = {"multiplier": affine.multiplier, "shift": affine.shift, "bias": affine.bias, "start": start}
        return spec, _point(spec, arrays)

    def _add_convolution(self, layer: Conv2d | Linear | Head) -> None:
        source, weight = _convolution_source(layer, self._network)
        neuron, _keep_neuron = self._neuron(layer)
        spec = _ConvolutionSpec(
            source=self._index[source],
            output=HEAD_OUTPUT if isinstance(layer, Head) else self._index[layer.name],
            channels=len(weight),
            kernel_height=weight.shape[2],
            kernel_width=weight.shape[3],
            stride=getattr(layer, "stride", 1),
            padding=getattr(layer, "padding", 0),
            groups=getattr(layer, "groups", 1),
            neuron=neuron,
        )
        skip = getattr(layer, "skip", None)
        if skip is not None:
            spec.skip_source, spec.skip_stride = self._index[skip.source], skip.stride
            spec.skip_domain = SKIP_DOMAIN[skip.domain]
            if skip.domain == "spike":
                spec.skip_s_max = skip.s_max
            elif skip.domain == "current":
                _keep_skip = _point(spec, {"skip_multiplier": skip.multiplier, "skip_shift": skip.shift})
        weight = np.ascontiguousarray(weight.transpose(0, 2, 3, 1))
        spec.weight = weight.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
        _check(self._native.qsnn_add_convolution(self._handle, ctypes.byref(spec)))


def _point(spec: ctypes.Structure, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Let the fields of these names point to int64 copies, which are returned and must outlive their use."""
    copies = [np.ascontiguousarray(values, np.int64) for values in arrays.values()]
    for name, values in zip(arrays, copies):
        setattr(spec, name, values.ctypes.data_as(_Int64Array))
    return copies


def _convolution_source(layer: Conv2d | Linear | Head, network: Network) -> tuple[str, np.ndarray]:
    """The tensor that a weighted layer reads, and its weight as int8 [Co, Ci / groups, kh, kw].

    A fully connected layer on a flattened [C, H, W] map is a convolution of the map with an H x W kernel.
    """
    if isinstance(layer, Conv2d):
        return layer.source, layer.weight
    source = next((x for x in network.layers if x.name == layer.source), None)
    name = source.source if isinstance(source, Flatten) else layer.source
    return name, layer.weight.reshape(len(layer.weight), *network.tensors[name].shape)


def _read_flattened(network: Network) -> set[str]:
    """Names of the Flatten layers whose own tensor some layer reads."""
    read: set[str] = set()
    for layer in reversed(network.layers):
        if isinstance(layer, (Linear, Head)):
            read.add(_convolution_source(layer, network)[0])
        elif not isinstance(layer, Flatten) or layer.name in read:
            read.update(sources(layer))
    return read & {layer.name for layer in network.layers if isinstance(layer, Flatten)}


def _available_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """The compiled C++. ctypes releases the GIL during its calls. Raises ToolMissing."""
    try:
        library = ctypes.CDLL(str(build("simulator", [SOURCE], FLAGS)))
    except ToolMissing as error:
        raise ToolMissing(f"{error}. Without it pynq_qsnn.reference.Reference computes the same, slowly") from error
    pointer, int64 = ctypes.c_void_p, ctypes.c_int64
    library.qsnn_create.argtypes = [pointer, int64, pointer]
    library.qsnn_destroy.argtypes = [pointer]
    library.qsnn_add_convolution.argtypes = [pointer, ctypes.POINTER(_ConvolutionSpec)]
    library.qsnn_add_pool.argtypes = [pointer, ctypes.POINTER(_PoolSpec)]
    library.qsnn_add_attention.argtypes = [pointer, ctypes.POINTER(_AttentionSpec)]
    library.qsnn_add_steps.argtypes = [pointer, int64, int64]
    library.qsnn_add_flatten.argtypes = [pointer, int64, int64]
    library.qsnn_run.argtypes = [pointer, pointer, int64, int64, pointer, pointer]
    return library


def _check(status: int) -> None:
    if status:
        raise MemoryError("the simulator ran out of memory; use a smaller batch_size")
