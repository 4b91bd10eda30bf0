"""Weights and channel parameters of an operation as the pairs that the overlay reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..hwspec import CHANNEL_PARAMETERS, MODES, HardwareConfig, record_words
from ..network import Head
from ..packing import WORD_BYTES, pack_record, pack_weight_tiles
from ..prediction import tiles_of_pass
from .graph import Operation

MULTIPLY4 = MODES["MULTIPLY4"][0]


@dataclass(frozen=True)
class TileRun:
    """Output tiles first..first+count-1, which read the same input tiles: one instruction."""

    first: int
    count: int
    first_input: int
    inputs: int
    storage_bits: int
    channels: int  # of the layer, in these tiles


def tile_runs(operation: Operation, config: HardwareConfig) -> list[TileRun]:
    """One run for a plain layer; a grouped convolution takes one for each change of its input tiles."""
    weight, groups = operation.weight, operation.groups
    # A grouped tile has true zeros, which one bit (-1, +1) cannot hold; elsewhere the unused lanes see zero codes.
    bits = 2 if operation.layer.weight_bits == 1 and groups > 1 else operation.layer.weight_bits
    per_group_out, per_group_in = len(weight) // groups, weight.shape[1]
    runs: list[list[int]] = []
    for tile in range(-(-len(weight) // config.output_lanes)):
        channels = (tile * config.output_lanes, min((tile + 1) * config.output_lanes, len(weight)) - 1)
        low, high = (channel // per_group_out * per_group_in for channel in channels)
        first_input = low // config.input_lanes
        inputs = (high + per_group_in - 1) // config.input_lanes - first_input + 1
        if runs and runs[-1][2:] == [first_input, inputs]:
            runs[-1][1] += 1
        else:
            runs.append([tile, 1, first_input, inputs])
    lanes = config.output_lanes
    return [TileRun(*run, bits, min(run[1] * lanes, len(weight) - run[0] * lanes)) for run in runs]


def stored_beats(run: TileRun, mode: int, config: HardwareConfig) -> int:
    """Beats of each weight tile in memory: a single pass of few channels leaves out the rows behind them."""
    tiles = tiles_of_pass(mode)
    if run.count > tiles:
        return config.weight_tile_beats
    row_bits = config.input_lanes * (4 if mode == MULTIPLY4 else 8)  # on chip
    beats = -(-run.channels * row_bits // config.weight_beat_bits)
    beats_of_pair = max(1, 4 // (tiles * run.storage_bits))
    return -(-beats // beats_of_pair) * beats_of_pair


def weight_pairs(operation: Operation, run: TileRun, mode: int, config: HardwareConfig) -> np.ndarray:
    """uint8 [2, pairs, 16]: even and odd plane of a run's parameters, then of its tiles."""
    words = np.concatenate([_parameters(operation, run, config), _tiles(operation, run, mode, config)])
    return np.ascontiguousarray(words.reshape(-1, 2, WORD_BYTES).swapaxes(0, 1))


def _tiles(operation: Operation, run: TileRun, mode: int, config: HardwareConfig) -> np.ndarray:
    """Words of the tiles, [pass, kernel row, kernel column, input tile, row, lane] of ``storage_bits`` elements."""
    weight, groups = operation.weight, operation.groups
    lanes, tiles = config.input_lanes, tiles_of_pass(mode)
    kh, kw = weight.shape[2:]
    passes = -(-run.count // tiles)
    rows = passes * tiles * config.output_lanes
    dense = np.zeros((rows, run.inputs * lanes, kh, kw), np.int8)
    start_row = run.first * config.output_lanes
    used = min(run.count * config.output_lanes, len(weight) - start_row)
    if groups == 1:
        dense[:used, : weight.shape[1]] = weight[start_row : start_row + used]
    else:
        per_group_out, per_group_in = len(weight) // groups, weight.shape[1]
        for row in range(used):
            start = (start_row + row) // per_group_out * per_group_in - run.first_input * lanes
            dense[row, start : start + per_group_in] = weight[start_row + row]
    shaped = dense.reshape(passes, tiles * config.output_lanes, run.inputs, lanes, kh, kw)
    ordered = shaped.transpose(0, 4, 5, 2, 1, 3)
    rows_of_beat = config.weight_beat_bits // (lanes * (4 if mode == MULTIPLY4 else 8))
    stored = ordered[..., : stored_beats(run, mode, config) * rows_of_beat, :]
    return pack_weight_tiles(np.ascontiguousarray(stored), run.storage_bits)


def _parameters(operation: Operation, run: TileRun, config: HardwareConfig) -> np.ndarray:
    """ChannelParameters words; lanes beyond the last channel are zero and therefore never fire."""
    layer = operation.layer
    affine = layer.affine if isinstance(layer, Head) else layer.neuron.affine
    skip = getattr(layer, "skip", None)
    columns = dict(bias=affine.bias, multiplier=affine.multiplier, shift=affine.shift)
    if not isinstance(layer, Head):
        columns["initial_membrane"] = layer.neuron.initial_membrane
    if skip is not None and skip.domain == "current":
        columns.update(skip_multiplier=skip.multiplier, skip_shift=skip.shift)
    empty = {f.name: 0 for f in CHANNEL_PARAMETERS}
    records = []
    for channel in range(run.first * config.output_lanes, (run.first + run.count) * config.output_lanes):
        used = {k: v[channel] for k, v in columns.items()} if channel < affine.channels else {}
        records.append(pack_record(CHANNEL_PARAMETERS, {**empty, **used}))
    return np.concatenate(records)


assert record_words(CHANNEL_PARAMETERS) == 1, "the kernel reads one parameter word a channel"
