"""Closed-form cycles of a layer program (the compiler's prediction; it shares no code with the event simulation).

CONVOLVE, for each block and array pass: the array takes ``taps x max(groups, minimum_groups)`` clocks, and after them
one clock for each residual word that is read; the integration unit takes a clock a slot, step and output tile.
The slower binds. Weights arrive at ``PORT_EFFICIENCY`` pairs a
clock from the moment the ring has room for them: the sequence of instructions is walked once, with the fill of the ring
as its only state. RECEIVE, LOAD, SAVE and POOL move words.

A layer is a pipeline of two over its (block, pass) pairs: where the array binds, the last pair still drains through the
integration unit, whose first quadruple comes with the first group of the last tap; where the unit binds, it waits for
the first pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from .hwspec import MODES, OPCODES, POOL_KINDS, SKIP_MODES, HardwareConfig

PORT_EFFICIENCY = 0.75  # words a clock of an AXI port in long bursts; an assumption, see docs/performance.md
FILL_CYCLES = 38  # command, first weight tile, pipelines of the stages one after the other: eight cycles each
Q, CURRENT = MODES["MULTIPLY4"][0], SKIP_MODES["CURRENT"][0]


@dataclass(frozen=True)
class Prediction:
    """Clocks of one execution of an instruction, and what binds it."""

    cycles: int
    bound: str


def tiles_of_pass(mode: int) -> int:
    """Output tiles that the array computes at once."""
    return 2 if mode == Q else 1


def passes(fields: dict[str, int]) -> int:
    """Array passes of a CONVOLVE over each block."""
    return -(-fields["output_tiles"] // tiles_of_pass(fields["mode"]))


def tile_beats(fields: dict[str, int], config: HardwareConfig) -> int:
    """Beats of a CONVOLVE's weight tiles in the ring."""
    return passes(fields) * _taps(fields) * config.weight_tile_beats


def array_cycles(fields: dict[str, int], frames: int, config: HardwareConfig) -> tuple[int, int, int, int]:
    """Clocks of the array and of the integration unit; of the array's first pass and of the unit's drain behind it."""
    full, rest = divmod(fields["quadruples"] * frames, fields["block_quadruples"])
    phases = _phases(fields["column_stride"], config)
    halves = config.output_lanes // config.input_lanes
    # A slot a clock; a residual in the current domain takes another.
    interval = config.slots * fields["num_steps"] * (2 if fields["skip_mode"] == CURRENT else 1)
    compute = integrate = lead = drain = 0
    for quadruples, count in ((fields["block_quadruples"], full), (rest, 1 if rest else 0)):
        if not count:
            continue
        a_pass = _taps(fields) * max(quadruples * fields["chunks"] * phases, config.minimum_groups)
        residual = quadruples * fields["skip_train_words"] * halves * _phases(fields["skip_stride"], config)
        compute += count * passes(fields) * a_pass
        if fields["skip_mode"]:
            compute += count * fields["output_tiles"] * residual
        integrate += count * fields["output_tiles"] * quadruples * interval
        lead = lead or a_pass
        last_pass = quadruples * interval * tiles_of_pass(fields["mode"])
        drain = max(config.slots, last_pass - quadruples * fields["chunks"] * phases)
    return compute, integrate, lead, drain


def predict(executions: list[tuple[dict[str, int], int]], stay: bool, config: HardwareConfig) -> list[Prediction]:
    """Cycles of (instruction fields, frames) executed one after the other.

    stay: the tiles lie in the ring already and are not read.
    """
    ring = _Ring(config)
    predictions = []
    for fields, frames in executions:
        if fields["opcode"] != OPCODES["CONVOLVE"][0]:
            cycles, bound = _move(fields, frames, config)
            ring.refill(cycles)
        else:
            cycles, bound = _convolve(fields, frames, config, None if stay else ring)
        predictions.append(Prediction(cycles, bound))
    return predictions


class _Ring:
    """Fill of the weight ring, in beats."""

    def __init__(self, config: HardwareConfig):
        self.capacity, self.fill = config.weight_ring_beats, 0.0
        self.pair_words = 2 * config.bus_bits

    def refill(self, cycles: float, held: int = 0) -> None:
        """Prefetch for ``cycles``, while ``held`` beats stay in place. The rate is that of 8-bit weights."""
        self.fill = min(self.capacity - held, self.fill + cycles * PORT_EFFICIENCY / 2)


def _convolve(fields: dict[str, int], frames: int, config: HardwareConfig, ring: _Ring | None) -> tuple[int, str]:
    compute, integrate, lead, drain = array_cycles(fields, frames, config)
    cycles = max(compute + drain, lead + integrate)
    bound = "compute" if compute >= integrate else "integrate"
    if ring is not None:
        blocks = -(-fields["quadruples"] * frames // fields["block_quadruples"])
        beats = tile_beats(fields, config)
        reads = 1 if fields["weight_resident"] else blocks
        # A resident layer needs all its tiles in the first block, the others have their whole time.
        first = cycles / blocks if fields["weight_resident"] else cycles
        missing = max(0.0, beats * reads - ring.fill)
        arrival = missing * _pairs_of_beat(fields, config) / PORT_EFFICIENCY
        ring.fill = max(0.0, ring.fill - beats * reads)
        if arrival > first:
            cycles, bound = int(arrival + cycles - first), "weights"
        else:
            ring.refill(cycles - arrival, beats if reads == 1 and blocks > 1 else 0)
    return cycles + FILL_CYCLES, bound


def _pairs_of_beat(fields: dict[str, int], config: HardwareConfig) -> float:
    """Pairs read, or clocks of unpacking, for each beat of the ring."""
    stored = fields["stored_beats"] / config.weight_tile_beats
    bits = config.weight_beat_bits * fields["storage_bits"] / (4 if fields["mode"] == Q else 8)
    return stored * max(1.0, bits / (2 * config.bus_bits))


def _move(fields: dict[str, int], frames: int, config: HardwareConfig) -> tuple[int, str]:
    opcode = fields["opcode"]
    if opcode == OPCODES["POOL"][0]:
        # A pixel a clock. The maximum works on whole train words, a sum on one step after the other.
        maximum = fields["pool_kind"] == POOL_KINDS["MAXIMUM"][0]
        window = fields["kernel_height"] * fields["kernel_width"]
        words = fields["input_train_words"] if maximum else fields["input_steps"]
        slots = 1 if fields["output_width"] == 1 else config.slots
        windows = fields["quadruples"] * slots * fields["output_channel_tiles"] * frames
        return windows * window * words + FILL_CYCLES, "activations"
    bound = "stream" if opcode == OPCODES["RECEIVE"][0] else "spill"
    return int(fields["transfer_words"] / PORT_EFFICIENCY) + FILL_CYCLES, bound


def _taps(fields: dict[str, int]) -> int:
    return fields["kernel_height"] * fields["kernel_width"] * fields["input_tiles"]


def _phases(stride: int, config: HardwareConfig) -> int:
    """Clocks in which the slots read their columns: neighbours ``stride`` apart share banks unless it is odd."""
    return gcd(stride, config.activation_banks) if stride else 1
