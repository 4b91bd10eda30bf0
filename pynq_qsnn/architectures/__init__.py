"""Architectures as data: named networks, their layer lists, and their sizes. No weights and no framework.

:mod:`pynq_qsnn.training.models` makes trainable networks of them, :mod:`pynq_qsnn.benchmark_networks` integer ones with
random weights.

>>> architecture("SNN7").layers
'16 64 P 128 128 P 256 256 P 512 FC10'
>>> architecture("Spikformer-4-384").layers
'48 96 192 P3p1/2 384 P3p1/2 R384n1 4xX384h12 G FC'
>>> architecture("8 P 16 FC").name                      # a layer list is its own name
'8 P 16 FC'
>>> round(architecture("H1").size().macs / 1e9, 3)
0.757
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from . import sizes
from .entries import Conv, Entry, Head, Linear, Pool, Residual, SelfAttention, Steps
from .language import parse, with_bits, words_with_neurons
from .sizes import LayerSize, Size

__all__ = [
    "NAMES",
    "Architecture",
    "Conv",
    "Entry",
    "Head",
    "LayerSize",
    "Linear",
    "Pool",
    "Residual",
    "SelfAttention",
    "Size",
    "Steps",
    "architecture",
    "parse",
    "with_bits",
    "words_with_neurons",
]

SPIKFORMER = re.compile(r"Spikformer-(\d+)-(\d+)")
TOKEN_ROWS = 8  # patch splitting pools a map down to this many rows or more, four times at most


@dataclass(frozen=True)
class Architecture:
    """A named layer list.

    input_shape: (C, H, W) of the data it was published for; None for a list of yours.  events: frames [T, C, H, W] of
    event counts, else static images of 8-bit pixels.  layers: words of :mod:`.language`.  residual: domain of the
    residual blocks (spike, current, iand) unless a run chooses another.
    gmac, million_weights: as published, multiply-accumulates of one step in units of 1e9; None where not published.
    """

    name: str
    layers: str
    title: str = ""
    dataset: str = ""
    input_shape: tuple[int, int, int] | None = None
    events: bool = False
    residual: str = "spike"
    gmac: float | None = None
    million_weights: float | None = None
    source: str = ""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The layer list, parsed."""
        return parse(self.layers)

    def size(self, input_shape=None, residual: str | None = None, classes: int = 0) -> Size:
        """Multiply-accumulates of one step and weights, on its own input or another one."""
        return sizes.size(self.entries, input_shape or self.input_shape, residual or self.residual, classes)

    def layer_sizes(self, input_shape=None, residual: str | None = None, classes: int = 0) -> tuple[LayerSize, ...]:
        """The same for each weighted layer, in order."""
        rows = sizes.layer_sizes(self.entries, input_shape or self.input_shape, residual or self.residual, classes)
        return tuple(rows)


def _load() -> dict[str, Architecture]:
    items = json.loads((Path(__file__).parent / "tables.json").read_text(encoding="utf-8"))
    return {name: Architecture(name, input_shape=tuple(item.pop("input")), **item) for name, item in items.items()}


_TABLE = _load()
NAMES = (*_TABLE, "Spikformer-L-D")


def architecture(name: str, input_shape: tuple[int, int, int] = (3, 32, 32)) -> Architecture:
    """The architecture of a name, or of a layer list given as text ("32 P 64 FC").

    Spikformer-L-D: L transformer blocks of width D, any numbers; the number of its pools follows from ``input_shape``.
    Raises ConfigError for an unknown name or word.
    """
    if name in _TABLE:
        return _TABLE[name]
    if match := SPIKFORMER.fullmatch(name):
        return _spikformer(*map(int, match.groups()), input_shape)
    if " " in name.strip():
        parse(name)
        return Architecture(name, name.strip(), title="custom")
    raise ConfigError(f"unknown architecture {name!r}; known: {', '.join(NAMES)}, or a layer list such as '32 P 64 FC'")


def _spikformer(depth: int, width: int, input_shape: tuple[int, int, int]) -> Architecture:
    """Spiking patch splitting (four convolutions, the last ones pooled, and a residual one), then the blocks.

    arXiv 2209.15425, with heads of 32 channels on small images and of 64 from 128 pixels on; the sum of a residual
    saturates at the largest code (theirs grows), and an attention's current is normalised (theirs is times 1/8).
    """
    pools = max(0, min(4, (input_shape[1] // TOKEN_ROWS).bit_length() - 1))
    head = 64 if input_shape[1] >= 128 else 32
    if depth < 1 or width % 8 or width % head:
        raise ConfigError(f"Spikformer-{depth}-{width}: depth must be 1 or more, the width a multiple of {head}")
    words = []
    for index, channels in enumerate((width // 8, width // 4, width // 2, width)):
        words += [str(channels), *["P3p1/2"] * (index >= 4 - pools)]
    words += [f"R{width}n1", f"{depth}xX{width}h{width // head}", "G", "FC"]
    name = f"Spikformer-{depth}-{width}"
    return Architecture(name, " ".join(words), name, input_shape=tuple(input_shape), source="arXiv 2209.15425")
