"""Closed-form cycles of one instruction (the compiler's prediction; it shares no code with the simulated kernel).

CONVOLVE: the array needs ``kernel x input tiles x max(groups, minimum_groups)`` clocks for a block and output tile, and
after it two words a group where a residual is read; the integration unit takes one slot a clock and step; the weight
port one word a clock. The slowest of the three binds, plus the time to fill and drain the stages. Each instruction is
taken alone: weights that arrive while the one before still computes are not credited, so weight-bound layers of a whole
network are upper bounds.
"""

from __future__ import annotations

from math import gcd

from .hwspec import OPCODES, POOL_KINDS, HardwareConfig

FILL_CYCLES = 64  # descriptor, first weight tile and pipeline depth of a layer, an estimate until a tool report exists


def predict(fields: dict[str, int], config: HardwareConfig) -> tuple[int, str]:
    """Cycles and what binds them, for the fields of one instruction."""
    opcode = fields["opcode"]
    if opcode == OPCODES["RECEIVE"][0]:
        return fields["receive_words"] + FILL_CYCLES, "stream"
    if opcode == OPCODES["POOL"][0]:
        # The maximum works on whole train words, a sum on one step after the other.
        maximum = fields["pool_kind"] == POOL_KINDS["MAXIMUM"][0]
        window = fields["kernel_height"] * fields["kernel_width"] * _phases(fields["stride"], config)
        passes = fields["input_train_words"] if maximum else fields["input_steps"]
        return fields["quadruples"] * fields["output_channel_tiles"] * window * passes + FILL_CYCLES, "activations"
    return _convolve(fields, config)


def _phases(stride: int, config: HardwareConfig) -> int:
    """Clocks in which the slots read their columns: neighbours ``stride`` apart share banks unless it is odd."""
    return gcd(stride, config.activation_banks)


def _convolve(fields: dict[str, int], config: HardwareConfig) -> tuple[int, str]:
    depth = fields["kernel_height"] * fields["kernel_width"] * fields["input_tiles"]
    steps, tiles = fields["input_steps"], fields["output_tiles"]
    full, rest = divmod(fields["quadruples"], fields["block_quadruples"])
    compute = 0
    for quadruples, count in ((fields["block_quadruples"], full), (rest, 1 if rest else 0)):
        groups = quadruples * steps
        compute += count * tiles * depth * max(groups * _phases(fields["stride"], config), config.minimum_groups)
        if fields["skip_mode"]:
            compute += count * tiles * quadruples * fields["num_steps"] * 2 * _phases(fields["skip_stride"], config)
    passes = 1 if fields["weight_resident"] else fields["blocks"]
    parameters = tiles * config.output_lanes
    costs = {
        "compute": compute,
        "integrate": fields["quadruples"] * config.slots * fields["num_steps"] * tiles,
        "weights": parameters + (fields["weight_words"] - parameters) * passes,
    }
    bound = max(costs, key=costs.get)
    return costs[bound] + FILL_CYCLES, bound
