"""Fields of the instructions of a scheduled item, and the arithmetic mode of every operation."""

from __future__ import annotations

from ..hwspec import INSTRUCTION, MODES, NARROW_TAPS, OPCODES, POOL_KINDS, RESET_MODES, SKIP_MODES, HardwareConfig
from ..network import Head, Pool
from ..packing import channel_tiles, row_words, train_words
from ..prediction import array_cycles, tile_beats
from .graph import Operation
from .schedule import Area, Job, Transfer
from .weights import TileRun, stored_beats, tile_runs

Fields = dict[str, int]


class Emitter:
    """Items -> instruction fields. Weight offsets are filled in where the weights are packed."""

    def __init__(self, num_steps: int, config: HardwareConfig):
        self.num_steps, self.config = num_steps, config
        self._modes: dict[str, int] = {}
        self._runs: dict[str, list[TileRun]] = {}

    def runs(self, operation: Operation) -> list[TileRun]:
        """Instructions that a weighted operation takes, in order."""
        if operation.name not in self._runs:
            self._runs[operation.name] = tile_runs(operation, self.config)
        return self._runs[operation.name]

    def mode(self, operation: Operation) -> int:
        """The array mode with the fewest clocks for the whole map; the plainest of equals.

        MUX_ADD takes the four planes of a nibble at once, MULTIPLY4 64 output lanes, MULTIPLY8 any operand.
        """
        if operation.name not in self._modes:
            job = Job(operation, (0, operation.tensor.shape[1]), 0, Area(0), Area(0), Area(0))
            bits, weight_bits = operation.source_tensor.bits, self.runs(operation)[0].storage_bits
            taps = operation.kernel[0] * operation.kernel[1] * max(run.inputs for run in self.runs(operation))
            possible = [MODES["MULTIPLY8"][0]]
            if weight_bits <= 4 and bits <= 4 and taps <= NARROW_TAPS:
                possible.append(MODES["MULTIPLY4"][0])
            if bits <= 2 and taps <= NARROW_TAPS:
                possible.append(MODES["MUX_ADD"][0])
            self._modes[operation.name] = min(possible, key=lambda mode: self._clocks(job, mode))
        return self._modes[operation.name]

    def _clocks(self, job: Job, mode: int) -> int:
        return sum(max(array_cycles(f, 1, self.config)[:2]) for f in self._convolve(job, mode, batched=False))

    def fields(self, item: Job | Transfer, batched: bool = False) -> list[Fields]:
        """Instructions of an item. batched: it runs once a group."""
        if isinstance(item, Transfer):
            return [self._transfer(item)]
        if isinstance(item.operation.layer, Pool):
            return [self._pool(item, batched)]
        return self._convolve(item, self.mode(item.operation), batched)

    def _transfer(self, item: Transfer) -> Fields:
        words = row_words(item.tensor, self.config)
        first, last = item.rows
        base = item.area.base + (first - item.area.first_row) * words
        banks = self.config.activation_banks
        return _fields(
            opcode=item.opcode,
            transfer_words=(last - first) * words * banks,
            spilled=int(item.opcode == "RECEIVE" and item.spill is not None),
            spill_offset=0 if item.spill is None else item.spill + first * words * banks,
            output_frame_words=item.area.frame_words if item.opcode == "RECEIVE" else 0,
            **{"input_base" if item.opcode == "SAVE" else "output_base": base},
        )

    def _input(self, job: Job) -> Fields:
        operation, tensor, config = job.operation, job.operation.source_tensor, self.config
        channels, height, width = tensor.shape
        low, high = operation.input_rows(*job.rows)
        first, last = max(low, 0), min(high, height)
        return dict(
            input_base=job.source.base + (first - job.source.first_row) * row_words(tensor, config),
            input_height=last - first,
            input_width=width,
            input_column_groups=-(-width // config.activation_banks),
            input_channel_tiles=channel_tiles(channels, config),
            input_bits=tensor.bits,
            input_train_words=train_words(tensor),
            input_steps=tensor.num_steps,
            input_frame_words=job.source.frame_words,
            kernel_height=operation.kernel[0],
            kernel_width=operation.kernel[1],
            row_stride=operation.row_stride,
            column_stride=operation.column_stride,
            padding_top=first - low,
            padding_left=operation.padding_left,
        )

    def _output(self, job: Job, batched: bool) -> Fields:
        operation, config = job.operation, self.config
        rows = (job.rows[1] - job.rows[0]) * (2 if operation.pooled else 1)
        width = operation.computed[1]
        columns = -(-width // config.slots)
        fields = dict(output_height=rows, output_width=width, output_column_groups=columns, quadruples=rows * columns)
        if operation.is_head:
            return {**fields, "num_classes": len(operation.weight)}
        tensor, area = operation.tensor, job.output
        channels, _, stored = tensor.shape
        return dict(
            **fields,
            output_base=area.base + (job.rows[0] - area.first_row) * row_words(tensor, config),
            output_frame_words=0 if batched else area.frame_words,
            pooled=int(operation.pooled),
            stored_width=stored,
            stored_column_groups=-(-stored // config.activation_banks),
            output_channel_tiles=channel_tiles(channels, config),
            output_bits=tensor.bits,
            output_train_words=train_words(tensor),
        )

    def _pool(self, job: Job, batched: bool) -> Fields:
        layer = job.operation.layer
        return _fields(
            opcode="POOL",
            **self._input(job),
            **self._output(job, batched),
            num_steps=job.operation.tensor.num_steps,
            pool_kind=POOL_KINDS["MAXIMUM" if layer.kind == "maximum" else "SUM"][0],
            pool_shift=(layer.kernel**2).bit_length() - 1 if layer.kind == "average" else 0,
        )

    def _convolve(self, job: Job, mode: int, batched: bool) -> list[Fields]:
        config, operation = self.config, job.operation
        source, output = operation.source_tensor, self._output(job, batched)
        chunks = -(-source.num_steps * source.bits // 4) if mode == MODES["MUX_ADD"][0] else source.num_steps
        block = config.block_groups // chunks
        if operation.pooled:
            block -= block % 2  # both rows of a pair in one block
        instructions = []
        for run in self.runs(operation):
            if operation.is_head and run.count > 1:
                block = 1  # block by block is frame by frame
            fields = _fields(
                opcode="CONVOLVE",
                **self._input(job),
                **output,
                **self._dynamics(job),
                mode=mode,
                chunks=chunks,
                head=int(operation.is_head),
                num_steps=self.num_steps,
                block_quadruples=block,
                output_first_tile=run.first,
                output_tiles=run.count,
                input_first_tile=run.first_input,
                input_tiles=run.inputs,
                storage_bits=run.storage_bits,
                stored_beats=stored_beats(run, mode, config),
            )
            fields["weight_resident"] = int(tile_beats(fields, config) <= config.weight_ring_beats)
            instructions.append(fields)
        return instructions

    def _dynamics(self, job: Job) -> Fields:
        layer = job.operation.layer
        if isinstance(layer, Head):
            return {}
        neuron, skip = layer.neuron, getattr(layer, "skip", None)
        fields = dict(
            s_max=neuron.s_max,
            leak_enable=int(neuron.leak_shift is not None),
            leak_shift=neuron.leak_shift or 0,
            reset_mode=RESET_MODES[neuron.reset_mode.upper()][0],
        )
        if skip is None:
            return fields
        tensor, config = job.operation.skip_tensor, self.config
        channels, height, width = tensor.shape
        first, last = job.operation.skip_rows(*job.rows)
        last = min(last, height)
        return dict(
            **fields,
            skip_mode=SKIP_MODES[skip.domain.upper()][0],
            skip_s_max=skip.s_max or 0,
            skip_base=job.skip.base + (first - job.skip.first_row) * row_words(tensor, config),
            skip_height=last - first,
            skip_width=width,
            skip_column_groups=-(-width // config.activation_banks),
            skip_channel_tiles=channel_tiles(channels, config),
            skip_stride=skip.stride,
            skip_bits=tensor.bits,
            skip_train_words=train_words(tensor),
            skip_frame_words=job.skip.frame_words,
        )


def _fields(opcode: str, **values: int) -> Fields:
    return {**{f.name: 0 for f in INSTRUCTION}, "opcode": OPCODES[opcode][0], **values}
