"""Integer network -> operations of the overlay: flattened maps, folded images and fused pools have gone.

An operation is what one CONVOLVE or POOL instruction computes when everything fits on chip. Tensors are named as in the
network; the ones that no operation writes (a flattened map, the map behind a fused pool) never exist in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import CapacityError
from ..hwspec import INSTRUCTION, HardwareConfig
from ..network import (
    INPUT,
    WEIGHTED,
    Attention,
    Conv2d,
    Flatten,
    Head,
    Linear,
    Network,
    Pool,
    Steps,
    TensorType,
    sources,
)
from ..packing import FrameFold, frame_fold, frame_tensor

LARGEST_MAP = (
    2 ** min(f.bits for f in INSTRUCTION if f.name.endswith(("_height", "_width")) and "kernel" not in f.name) - 1
)
LARGEST_STRIDE = 2 ** next(f.bits for f in INSTRUCTION if f.name == "column_stride") - 1


@dataclass(frozen=True)
class Operation:
    """One weighted layer, with the maximum pool that is fused into it, or one pool.

    weight: int8 [Co, Ci / groups, kh, kw] as a convolution over the source's map; None for a pool.
    computed: rows and columns before a fused pool.  tensor: what is stored.  source, skip_source: stored tensors.
    """

    name: str
    layer: Conv2d | Linear | Head | Pool
    source: str
    source_tensor: TensorType
    tensor: TensorType
    computed: tuple[int, int]
    kernel: tuple[int, int]
    row_stride: int = 1
    column_stride: int = 1
    padding_top: int = 0
    padding_left: int = 0
    weight: np.ndarray | None = None
    groups: int = 1
    pooled: bool = False
    skip_source: str | None = None
    skip_tensor: TensorType | None = None

    @property
    def is_head(self) -> bool:
        """True for the operation that ends the network."""
        return isinstance(self.layer, Head)

    def input_rows(self, first: int, last: int) -> tuple[int, int]:
        """Rows of the source, before clipping to its map, that the stored rows first..last-1 read."""
        scale = 2 if self.pooled else 1
        low = first * scale * self.row_stride - self.padding_top
        return low, (last * scale - 1) * self.row_stride - self.padding_top + self.kernel[0]

    def skip_rows(self, first: int, last: int) -> tuple[int, int]:
        """Rows of the residual tensor that the stored rows first..last-1 read."""
        scale, stride = 2 if self.pooled else 1, self.layer.skip.stride
        return first * scale * stride, (last * scale - 1) * stride + 1


def operations(network: Network, config: HardwareConfig) -> list[Operation]:
    """Operations in execution order. Raises CapacityError for a layer that no instruction can express."""
    _check_kinds(network, config)
    return _Graph(network, config).build()


def _check_kinds(network: Network, config: HardwareConfig) -> None:
    """Raise CapacityError that names every layer for which there is no instruction at all."""
    refused = [f"{layer.name} ({what})" for layer in network.layers if (what := _missing_kind(layer))]
    if refused:
        raise CapacityError(
            f"{', '.join(refused)}: overlay {config.name} runs no attention, no change of steps and no padded pool. "
            "Run the network on the host simulator (pynq-qsnn simulate), or build it without these layers"
        )


def _missing_kind(layer) -> str | None:
    if isinstance(layer, Attention):
        return "spiking self-attention"
    if isinstance(layer, Steps):
        return f"T = {layer.num_steps} from here on"
    if isinstance(layer, Pool) and layer.padding:
        return f"a pool with padding {layer.padding}"
    return None


class _Graph:
    def __init__(self, network: Network, config: HardwareConfig):
        self.network, self.config = network, config
        self.stored = {**network.tensors, INPUT: frame_tensor(network)}
        self.fold = frame_fold(network)
        # A Flatten moves nothing: its consumers read the source with a window of the whole map.
        self.physical = {INPUT: INPUT}
        for layer in network.layers:
            flat = isinstance(layer, Flatten)
            self.physical[layer.name] = self.physical[layer.source] if flat else layer.name

    def build(self) -> list[Operation]:
        for name, tensor in self.stored.items():
            if max(tensor.shape[1:]) > LARGEST_MAP:
                height, width = tensor.shape[1:]
                raise CapacityError(f"{name}: a {height} x {width} map; the overlay's fields hold {LARGEST_MAP}")
        built: list[Operation] = []
        fused: set[str] = set()
        for layer in self.network.layers:
            if isinstance(layer, Flatten) or layer.name in fused:
                continue
            operation = self._weighted(layer) if isinstance(layer, WEIGHTED) else self._pool(layer)
            pool = self._fusible_pool(operation)
            if pool is not None:
                fused.add(pool.name)
                rows = 2 * self.network.tensors[pool.name].shape[1]
                operation = replace(
                    operation,
                    name=pool.name,
                    tensor=self.network.tensors[pool.name],
                    computed=(rows, operation.computed[1]),
                    pooled=True,
                )
            built.append(operation)
        return built

    def _is_flattened(self, source: str) -> bool:
        return self.stored[self.physical[source]].shape != self.network.tensors[source].shape and source != INPUT

    def _common(self, layer) -> dict:
        source = self.physical[layer.source]
        return dict(name=layer.name, layer=layer, source=source, source_tensor=self.stored[source])

    def _pool(self, layer: Pool) -> Operation:
        if self._is_flattened(layer.source):
            raise CapacityError(f"{layer.name}: the overlay cannot pool a flattened map")
        tensor = self.network.tensors[layer.name]
        stride = layer.stride if max(tensor.shape[1:]) > 1 else 1  # one window does not move
        if layer.kernel > self.config.maximum_kernel or stride > LARGEST_STRIDE:
            raise CapacityError(
                f"{layer.name}: window {layer.kernel}, stride {layer.stride}; "
                f"the overlay pools windows up to {self.config.maximum_kernel} with strides up to {LARGEST_STRIDE}"
            )
        return Operation(
            **self._common(layer),
            tensor=tensor,
            computed=tensor.shape[1:],
            kernel=(layer.kernel, layer.kernel),
            row_stride=stride,
            column_stride=stride,
        )

    def _weighted(self, layer) -> Operation:
        config, tensor = self.config, self.network.tensors[layer.name]
        padded = -(-len(layer.weight) // config.output_lanes) * config.output_lanes
        if padded > config.maximum_channels:
            raise CapacityError(
                f"{layer.name}: {len(layer.weight)} channels take {padded} lanes, "
                f"the overlay holds {config.maximum_channels}"
            )
        window = self._window(layer)
        kernel = window["weight"].shape[2:]
        if max(kernel) > config.maximum_kernel:
            raise CapacityError(
                f"{layer.name}: a {kernel[0]}x{kernel[1]} window; the overlay's largest is {config.maximum_kernel}. "
                "Pool before flattening"
            )
        skip = getattr(layer, "skip", None)
        if skip is not None:
            if self._is_flattened(skip.source):
                raise CapacityError(f"{layer.name}: the overlay cannot add a flattened residual")
            held = self.physical[skip.source]
            window.update(skip_source=held, skip_tensor=self.stored[held])
        return Operation(**self._common(layer), tensor=tensor, computed=tensor.shape[1:], kernel=kernel, **window)

    def _window(self, layer) -> dict:
        """Weight as a convolution over the stored source, strides and padding."""
        shape = self.stored[self.physical[layer.source]].shape
        if not isinstance(layer, Conv2d):
            return dict(weight=layer.weight.reshape(len(layer.weight), *shape))
        if layer.source == INPUT and self.fold is not None:
            return _folded(layer, self.fold)
        geometry = dict(
            row_stride=layer.stride,
            column_stride=layer.stride,
            padding_top=layer.padding,
            padding_left=layer.padding,
            groups=layer.groups,
        )
        if not self._is_flattened(layer.source):
            return dict(weight=layer.weight, **geometry)
        if layer.weight.shape[2:] != (1, 1) or layer.padding or layer.groups != 1:
            raise CapacityError(
                f"{layer.name}: the overlay reads a flattened map only through a 1x1 window without padding and "
                f"groups; this one is {layer.weight.shape[2:]}, padding {layer.padding}, groups {layer.groups}"
            )
        return dict(weight=layer.weight.reshape(len(layer.weight), *shape))

    def _fusible_pool(self, operation: Operation) -> Pool | None:
        """The 2x2 maximum that alone reads the operation's tensor, if the store stage can take it."""
        if not isinstance(operation.layer, Conv2d):
            return None
        name = operation.layer.name
        readers = [layer for layer in self.network.layers if name in sources(layer)]
        pairs_fit = self.config.block_groups // operation.source_tensor.num_steps >= 2  # both rows of a pair in a block
        if len(readers) != 1 or not isinstance(readers[0], Pool) or not pairs_fit:
            return None
        pool = readers[0]
        return pool if (pool.kind, pool.kernel, pool.stride) == ("maximum", 2, 2) else None


def _folded(layer: Conv2d, fold: FrameFold) -> dict:
    """The first layer on frames that carry their row window in the channels: lane = kernel column * Ci + channel."""
    weight = layer.weight.transpose(0, 3, 1, 2).reshape(len(layer.weight), -1, layer.weight.shape[2], 1)
    return dict(weight=np.ascontiguousarray(weight), row_stride=layer.stride, column_stride=1, padding_top=fold.padding)
