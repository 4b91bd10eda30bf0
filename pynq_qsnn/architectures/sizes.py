"""Sizes of an architecture without building it: multiply-accumulates and weights of every layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import ConfigError
from .entries import Conv, Entry, Head, Linear, Pool, Residual, SelfAttention, Steps, shortcut


@dataclass(frozen=True)
class LayerSize:
    """One weighted layer, or the two products of an attention.

    kind: "conv", "attention", "linear" or "head".  shape: (C, H, W) of its output.  macs: multiply-accumulates of one
    time step.  weights: their number; 0 for an attention, whose products have spikes on both sides.
    """

    kind: str
    shape: tuple[int, int, int]
    macs: int
    weights: int


@dataclass(frozen=True)
class Size:
    """Multiply-accumulates of one time step with weights, every layer counted once; those of attentions, spikes with
    spikes; and the number of weights."""

    macs: int
    attention_macs: int
    weights: int


def size(entries: tuple[Entry, ...], input_shape: tuple[int, int, int], residual: str | None, classes: int = 0) -> Size:
    """Totals of :func:`layer_sizes`."""
    rows = list(layer_sizes(entries, input_shape, residual, classes))
    attention = sum(row.macs for row in rows if row.kind == "attention")
    return Size(sum(row.macs for row in rows) - attention, attention, sum(row.weights for row in rows))


def layer_sizes(
    entries: tuple[Entry, ...], input_shape: tuple[int, int, int], residual: str | None, classes: int = 0
) -> Iterator[LayerSize]:
    """Every weighted layer in order. residual: domain of the blocks, which decides on their shortcuts.

    As usual in such tables, the first layer counts once a step, although a static image is convolved once a frame.
    classes: of a head that leaves them to the data. Raises ConfigError where a window does not fit.
    """
    shape = tuple(input_shape)
    for entry in entries:
        if isinstance(entry, Residual):
            side = shortcut(entry, shape[0], entry.domain or residual)
            if side is not None:
                yield _convolution(side, shape)
            for part in entry.body:
                row = None
                for row in _rows(part, shape):
                    yield row
                shape = row.shape
        elif isinstance(entry, (Linear, Head)):
            inputs = shape[0] * shape[1] * shape[2]
            outputs = entry.features if isinstance(entry, Linear) else entry.classes or classes
            shape = (outputs, 1, 1)
            yield LayerSize(type(entry).__name__.lower(), shape, inputs * outputs, inputs * outputs)
        elif isinstance(entry, Pool):
            shape = pooled(entry, shape)
        elif not isinstance(entry, Steps):
            for row in _rows(entry, shape):
                yield row
            shape = row.shape


def _rows(entry: Conv | SelfAttention, shape: tuple[int, int, int]) -> list[LayerSize]:
    if isinstance(entry, Conv):
        return [_convolution(entry, shape)]
    channels, height, width = shape
    products = 2 * (height * width) ** 2 * channels
    return [*[_convolution(Conv(channels, 1), shape)] * 3, LayerSize("attention", shape, products, 0)]


def _convolution(entry: Conv, shape: tuple[int, int, int]) -> LayerSize:
    out = convolved(entry, shape)
    weights = entry.channels * (shape[0] // entry.groups) * entry.kernel**2
    return LayerSize("conv", out, weights * out[1] * out[2], weights)


def convolved(entry: Conv, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(C, H, W) behind a convolution. Raises ConfigError when nothing is left of the map or groups do not divide."""
    if shape[0] % entry.groups or entry.channels % entry.groups:
        raise ConfigError(f"groups={entry.groups} must divide {shape[0]} input and {entry.channels} output channels")
    if not 0 <= entry.border < entry.kernel:
        raise ConfigError(f"padding {entry.border} of a window of {entry.kernel} rows, must be below {entry.kernel}")
    return entry.channels, *_windows(entry, shape, entry.kernel, entry.stride, entry.border)


def pooled(entry: Pool, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(C, H, W) behind a pool. Raises ConfigError when no window fits."""
    if entry.kind == "global":
        return shape[0], 1, 1
    if not 0 <= 2 * entry.padding <= entry.kernel:
        raise ConfigError(f"padding {entry.padding} of a pool, must be at most half of its window, {entry.kernel}")
    return shape[0], *_windows(entry, shape, entry.kernel, entry.step, entry.padding)


def _windows(entry: Entry, shape, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    rows, cols = ((n + 2 * padding - kernel) // stride + 1 for n in shape[1:])
    if min(rows, cols) < 1:
        raise ConfigError(f"{entry} leaves no pixels of a {shape[1]}x{shape[2]} map")
    return rows, cols
