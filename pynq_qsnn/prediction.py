"""Closed-form cycles of a layer program (the compiler's prediction; it shares no code with the event simulation).

CONVOLVE, for each block and array pass: the array takes ``taps x max(groups, minimum_groups)`` clocks, and after them
one clock for each residual word that is read; the integration unit takes a clock a slot, step and output tile. The
slower binds. Weights arrive at ``PORT_EFFICIENCY`` pairs a clock from the moment the ring has room for them: the
sequence of instructions is walked once, with the fill of the ring as its only state. RECEIVE, LOAD, SAVE and POOL move
words.

A layer is a pipeline of two over its (block, pass) pairs: where the array binds, the last pair still drains through the
integration unit, whose first quadruple comes with the first group of the last tap; where the unit binds, it waits for
the first pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from .hwspec import MODES, OPCODES, POOL_KINDS, SKIP_MODES, HardwareConfig

PORT_EFFICIENCY = 0.75  # words a clock of an AXI port in long bursts; an assumption, see docs/performance.md
FILL_CYCLES = 44  # command, first weight tile, pipelines of the stages one after the other
START_CYCLES = 130  # of a call, until the program is read and the first weights arrive
RESIDUAL_LEAD = 28  # of them that a residual, which passes neither the array nor the partial sums, does not take
NEARLY = 0.9
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


def array_cycles(fields: dict[str, int], frames: int, config: HardwareConfig) -> tuple[int, int, int]:
    """Clocks of the array (residuals included), of the integration unit, and of both as the pipeline that they are."""
    full, rest = divmod(fields["quadruples"] * frames, fields["block_quadruples"])
    phases, count = _phases(fields["column_stride"], config), passes(fields)
    halves = config.output_lanes // config.input_lanes
    words = halves * fields["skip_train_words"] if fields["skip_mode"] else 0
    # A slot a clock; a residual in the current domain takes another.
    interval = config.slots * (2 if fields["skip_mode"] == CURRENT else 1)
    array = integrate = end = 0  # end: of the unit
    for quadruples, blocks in ((fields["block_quadruples"], full), (rest, min(rest, 1))):
        runs = blocks * count
        if not runs:
            continue
        groups = quadruples * fields["chunks"] * phases
        taps = _taps(fields) * max(groups, config.minimum_groups)
        a_pass = taps + quadruples * words * _phases(fields["skip_stride"], config) * fields["output_tiles"] / count
        unit = quadruples * interval * fields["num_steps"] * fields["output_tiles"] / count
        # The unit starts with the first group of a pass's last tap, once it is done with the pass before.
        first = array + taps - groups
        end = (
            max(end, first) + runs * unit
            if unit > a_pass
            else max(end + runs * unit, first + (runs - 1) * a_pass + unit)
        )
        array += round(runs * a_pass)
        integrate += round(runs * unit)
    floor = -RESIDUAL_LEAD if words else config.slots
    return array, integrate, max(array + floor, round(end))


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
    """Fill of the weight ring, in beats; negative while the first ones are awaited."""

    def __init__(self, config: HardwareConfig):
        self.capacity, self.fill = config.weight_ring_beats, -START_CYCLES * PORT_EFFICIENCY / 2
        self.pair_words = 2 * config.bus_bits

    def refill(self, cycles: float, held: int = 0) -> None:
        """Prefetch for ``cycles``, while ``held`` beats stay in place. The rate is that of 8-bit weights."""
        self.fill = min(self.capacity - held, self.fill + cycles * PORT_EFFICIENCY / 2)


def _convolve(fields: dict[str, int], frames: int, config: HardwareConfig, ring: _Ring | None) -> tuple[int, str]:
    compute, integrate, cycles = array_cycles(fields, frames, config)
    bound = "compute" if compute >= integrate else "integrate"
    if ring is not None:
        blocks = -(-fields["quadruples"] * frames // fields["block_quadruples"])
        beats = tile_beats(fields, config)
        reads = 1 if fields["weight_resident"] else blocks
        # A resident layer needs all its tiles in the first block, the others have their whole time.
        first = compute / blocks if fields["weight_resident"] else compute
        needed = beats * reads + _parameter_beats(fields, config)
        missing = max(0.0, needed - ring.fill)
        arrival = missing * _pairs_of_beat(fields, config) / PORT_EFFICIENCY
        ring.fill = max(0.0, ring.fill - needed)
        if arrival > first:
            cycles, bound = int(arrival + cycles - first), "weights"
        else:
            ring.refill(cycles - arrival, beats if reads == 1 and blocks > 1 else 0)
            if arrival > NEARLY * first:
                bound = "weights"  # they come hardly faster than they are used: any pause of theirs shows
    return cycles + FILL_CYCLES, bound


def _parameter_beats(fields: dict[str, int], config: HardwareConfig) -> float:
    """Beats of 8-bit weights that the ports could bring while they bring the channel parameters, two a pair."""
    return fields["output_tiles"] * config.output_lanes / 2 / 2


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
        slots = 1 if fields["output_width"] == 1 else config.slots
        window = fields["kernel_height"] * fields["kernel_width"] * slots
        words = fields["input_train_words"] if maximum else fields["input_steps"]
        windows = fields["quadruples"] * fields["output_channel_tiles"] * frames
        return windows * window * words, "activations"  # its stages run on through the loop
    cycles = int(fields["transfer_words"] / PORT_EFFICIENCY)
    # Frames wait at the door; the spill memory answers a command.
    return (cycles, "stream") if opcode == OPCODES["RECEIVE"][0] else (cycles + FILL_CYCLES, "spill")


def _taps(fields: dict[str, int]) -> int:
    return fields["kernel_height"] * fields["kernel_width"] * fields["input_tiles"]


def _phases(stride: int, config: HardwareConfig) -> int:
    """Clocks in which the slots read their columns: neighbours ``stride`` apart share banks unless it is odd."""
    return gcd(stride, config.activation_banks) if stride else 1
