"""Integer network -> layer program for a configured overlay.

graph: layers -> operations.  schedule: where tensors live, bands, groups of frames.  emit: instruction fields, array
modes.  weights: tiles and parameters.  The cycles come from :mod:`pynq_qsnn.prediction`.
"""

from __future__ import annotations

import numpy as np

from ..errors import CapacityError
from ..hwspec import (
    INSTRUCTION,
    MODES,
    OPCODES,
    PROGRAM_HEADER,
    PROGRAM_MAGIC,
    SPEC_VERSION,
    HardwareConfig,
    load_config,
)
from ..network import Network, Pool
from ..packing import bank_words, frame_tensor, pack_instruction, pack_record, result_beats
from ..prediction import predict, tile_beats
from ..program import Program, Step, executions
from .emit import Emitter, Fields
from .graph import operations
from .schedule import Job, Schedule, candidates
from .weights import weight_pairs

MODE_NAMES = {number: name for name, (number, _) in MODES.items()}
OPCODE_NAMES = {number: name for name, (number, _) in OPCODES.items()}
CONVOLVE = OPCODES["CONVOLVE"][0]


def compile_network(network: Network, config: HardwareConfig | None = None) -> Program:
    """Compile for ``config`` (default: the KV260 overlay). Raises CapacityError with the numbers that do not fit."""
    config = config or load_config()
    if network.num_steps > config.maximum_steps:
        raise CapacityError(f"T = {network.num_steps}, overlay {config.name} runs at most {config.maximum_steps} steps")
    emitter = Emitter(network.num_steps, config)
    frame = frame_tensor(network)

    def clocks(items) -> int:
        instructions = [(fields, 1) for item in items for fields in emitter.fields(item)]
        return sum(p.cycles for p in predict(instructions, True, config))

    best = None
    for schedule in candidates(operations(network, config), frame, config, clocks):
        lowered = _Lowered(schedule, emitter, config)
        if best is None or lowered.frame_cycles < best.frame_cycles:
            best = lowered
    weights = best.pack_weights()
    best.check_fields()
    return Program(
        network=network,
        fingerprint=config.fingerprint,
        code=best.code(),
        weights=weights,
        steps=best.steps(),
        frame_beats=bank_words(frame, config) * config.activation_banks,
        result_beats=result_beats(len(network.head.weight)),
        split=best.split,
        group_frames=best.schedule.group_frames,
        spill_words=best.schedule.spill_words,
    )


class _Lowered:
    """A schedule as instructions, with its predicted clocks."""

    def __init__(self, schedule: Schedule, emitter: Emitter, config: HardwareConfig):
        self.schedule, self.emitter, self.config = schedule, emitter, config
        self.instructions: list[Fields] = []
        self.items = []
        for index, item in enumerate(schedule.items):
            if index == schedule.split:
                self.split = len(self.instructions)
            emitted = emitter.fields(item, index >= schedule.split)
            self.instructions += emitted
            self.items += [item] * len(emitted)
        if schedule.split == len(schedule.items):
            self.split = len(self.instructions)
        beats = sum(tile_beats(f, config) for f in self.instructions if f["opcode"] == CONVOLVE)
        self.stay = beats <= config.weight_ring_beats
        self.group, self.group_bounds = self._predict_group()
        self.frame_cycles = sum(self.group)

    def _predict_group(self) -> tuple[list[float], list[str]]:
        """Clocks of each instruction for a frame of a full group, in the steady state of a long batch; their bounds."""
        frames = self.schedule.group_frames
        order = executions(len(self.instructions), self.split, frames, frames)
        sequence = [(self.instructions[i], n) for i, _, n in order]
        predicted = predict(sequence * 2, self.stay, self.config)[len(sequence) :]
        clocks, bounds = [0.0] * len(self.instructions), [""] * len(self.instructions)
        for (index, _, _), prediction in zip(order, predicted):
            clocks[index] += prediction.cycles / frames
            bounds[index] = prediction.bound
        return clocks, bounds

    def pack_weights(self) -> np.ndarray:
        """uint8 [2, pairs, 16]; fills in where each instruction finds its own. The bands of a layer share theirs."""
        parts, offsets, pairs = [], {}, 0
        for fields, item in zip(self.instructions, self.items):
            if fields["opcode"] != CONVOLVE:
                continue
            key = (item.operation.name, fields["output_first_tile"])
            if key not in offsets:
                run = next(r for r in self.emitter.runs(item.operation) if r.first == key[1])
                parts.append(weight_pairs(item.operation, run, fields["mode"], self.config))
                offsets[key] = (pairs, parts[-1].shape[1])
                pairs += parts[-1].shape[1]
            fields["weight_offset"], fields["weight_pairs"] = offsets[key]
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def check_fields(self) -> None:
        """Raise CapacityError for a number that an instruction has no room for."""
        for fields, item in zip(self.instructions, self.items):
            for field in INSTRUCTION:
                if not 0 <= fields[field.name] < 1 << field.bits:
                    name = item.operation.layer.name if isinstance(item, Job) else item.name
                    raise CapacityError(
                        f"{name}: {field.name} is {fields[field.name]} ({field.meaning}); the overlay's instructions "
                        f"hold {(1 << field.bits) - 1}. Use fewer channels or a smaller map"
                    )

    def code(self) -> np.ndarray:
        """Header, instructions and END, uint8 [words, 16]."""
        header = {
            "magic": PROGRAM_MAGIC,
            "version": SPEC_VERSION,
            "fingerprint": self.config.fingerprint64,
            "split": self.split,
            "group_frames": self.schedule.group_frames,
            "weights_stay": int(self.stay),
        }
        end = pack_instruction({"opcode": OPCODES["END"][0]})
        return np.concatenate(
            [pack_record(PROGRAM_HEADER, header), *(pack_instruction(f) for f in self.instructions), end]
        )

    def steps(self) -> tuple[Step, ...]:
        """What each instruction is, with its predicted clocks for a single frame and for a frame of a long batch."""
        single = predict([(f, 1) for f in self.instructions], False, self.config)
        return tuple(
            Step(
                layer=item.operation.layer.name if isinstance(item, Job) else item.name,
                tensor=_stored_name(item, fields),
                opcode=OPCODE_NAMES[fields["opcode"]],
                mode=MODE_NAMES[fields["mode"]] if fields["opcode"] == CONVOLVE else "",
                macs=_macs(item, fields, self.config),
                predicted_cycles=prediction.cycles,
                batch_cycles=round(cycles),
                bound=prediction.bound,
                batch_bound=bound,
            )
            for item, fields, prediction, cycles, bound in zip(
                self.items, self.instructions, single, self.group, self.group_bounds
            )
        )


def _stored_name(item, fields: Fields) -> str:
    """The tensor that the instruction completes in the activation memory, or "" for a part of it or another place."""
    if isinstance(item, Job):
        complete = item.rows == (0, item.operation.tensor.shape[1]) and not item.operation.is_head
        return item.operation.name if complete else ""
    return item.name if item.opcode == "RECEIVE" and not fields["spilled"] else ""


def _macs(item, fields: Fields, config: HardwareConfig) -> int:
    """Multiply-accumulates of the network that the instruction does for the first time."""
    if not isinstance(item, Job) or isinstance(item.operation.layer, Pool):
        return 0
    operation = item.operation
    first = fields["output_first_tile"] * config.output_lanes
    channels = min(len(operation.weight) - first, fields["output_tiles"] * config.output_lanes)
    rows = item.fresh * (2 if operation.pooled else 1)
    per_channel = int(np.prod(operation.weight.shape[1:])) * rows * operation.computed[1]
    return per_channel * operation.source_tensor.num_steps * channels
