"""The networks that published accelerators report, as integer networks with calibrated random weights.

Speed does not depend on what a network has learned, but a network that never fires, or always, would not be an honest
test of it either: every layer's scales are set from its own spike trains, see :mod:`.calibration`. Layer lists are
those of :mod:`pynq_qsnn.architectures`; bit budgets and published records are data (``tables.json``).

Conventions. 3x3 layers and kernels as in the layer list; leak 1/2 and reset by subtraction, the QSNN paper's neuron.
The first layer and the head have 8-bit weights whatever ``weight_bits`` says. A static image of 8-bit pixels is
convolved once and replayed. The head reads sums over the whole map where they fit 8-bit codes (H2: up to 4-bit spikes;
DVS-Net: up to 2), else averages. DVS-Net's published configuration does not state its head; global pooling and one
layer of ten classes agree with its count of weights. Its input are event counts of ``spike_bits`` bits in every step.
SEW-ResNet-34's 7x7 layer has padding 4 in place of 3 (a 113x113 map), so that the 3x3 pool needs no padding and the
stages keep their usual 56, 28, 14 and 7 rows.

Spikformer is not here: spiking self-attention multiplies activations by activations, for which the overlay has no
instruction.

>>> sorted(set(row.bit_budget for row in budgets("H1")))
[32, 64]
"""

from __future__ import annotations

from ..architectures import Architecture
from ..errors import ConfigError
from ..network import SKIP_DOMAINS, Network
from .builder import Builder
from .frames import random_events, random_frames, random_images
from .tables import BUDGETS, NAMES, RECORDS, Budget, Record, benchmark, budgets, records

__all__ = [
    "BUDGETS",
    "NAMES",
    "RECORDS",
    "Budget",
    "Record",
    "benchmark",
    "budgets",
    "build",
    "random_events",
    "random_frames",
    "random_images",
    "records",
]


def build(
    name: str, weight_bits: int, spike_bits: int, num_steps: int, seed: int = 0, residual: str | None = None
) -> Network:
    """Network ``name`` of :data:`NAMES` in an allocation: weight_bits and spike_bits 1, 2, 4 or 8, num_steps 1..255.

    residual: domain of its residual blocks ("spike", "current", "iand"; None: the table's), where it has any.
    The same arguments give the same network on every machine. Takes the fast simulator's time for a frame or a few.
    Raises ConfigError for an unknown name or a value that is not supported, ToolMissing without a C++ compiler.
    """
    entry = benchmark(name)
    domain = _domain(entry, residual)
    if domain == "iand" and spike_bits != 1:
        raise ConfigError(f"iand residuals join 1-bit codes, spike_bits is {spike_bits}; use the domain spike")
    title = f"{entry.title} {weight_bits}/{spike_bits}/{num_steps}"
    return Builder(entry, weight_bits, spike_bits, num_steps, seed, domain).build(title)


def _domain(entry: Architecture, residual: str | None) -> str:
    if residual is None:
        return entry.residual
    if residual not in SKIP_DOMAINS:
        raise ConfigError(f"residual is {residual!r}, must be one of {SKIP_DOMAINS}")
    return residual
