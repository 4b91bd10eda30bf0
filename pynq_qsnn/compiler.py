"""Integer network -> layer program for a configured overlay: lowering, activation memory, capacity, cycles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import CapacityError
from .hwspec import (
    CHANNEL_PARAMETERS,
    INSTRUCTION,
    OPCODES,
    POOL_KINDS,
    PROGRAM_HEADER,
    PROGRAM_MAGIC,
    RESET_MODES,
    SKIP_MODES,
    SPEC_VERSION,
    HardwareConfig,
    load_config,
    record_words,
)
from .network import INPUT, WEIGHTED, Conv2d, Flatten, Head, Network, Pool, TensorType
from .packing import bank_words, channel_tiles, pack_record, pack_weight_tiles, result_beats, train_words
from .prediction import predict
from .program import Program, Step


def compile_network(network: Network, config: HardwareConfig | None = None) -> Program:
    """Compile for ``config`` (default: the KV260 overlay). Raises CapacityError with the numbers that do not fit."""
    config = config or load_config()
    lowering = _Lowering(network, config)
    instructions = lowering.run()
    code = [_header(config)] + [pack_record(INSTRUCTION, fields) for fields in instructions]
    steps = []
    for fields, (layer, macs) in zip(instructions[:-1], lowering.origin):
        cycles, bound = predict(fields, config)
        opcode = next(name for name, (number, _) in OPCODES.items() if number == fields["opcode"])
        steps.append(Step(layer, opcode, macs, cycles, bound))
    return Program(
        network=network,
        fingerprint=config.fingerprint,
        code=np.concatenate(code),
        weights=np.concatenate(lowering.weights),
        steps=tuple(steps),
        frame_beats=bank_words(network.input, config) * config.activation_banks,
        result_beats=result_beats(len(network.head.weight)),
    )


def _header(config: HardwareConfig) -> np.ndarray:
    values = {"magic": PROGRAM_MAGIC, "version": SPEC_VERSION, "fingerprint": config.fingerprint64}
    return pack_record(PROGRAM_HEADER, values)


@dataclass
class _Placed:
    """A tensor in the activation memory, from the instruction that writes it to the last that reads it."""

    tensor: TensorType
    base: int
    last_use: int


class _Lowering:
    """One pass over the layers; ``weights`` and ``origin`` grow with the instructions."""

    def __init__(self, network: Network, config: HardwareConfig):
        self.network, self.config = network, config
        self.weights: list[np.ndarray] = []
        self.weight_words = 0
        self.origin: list[tuple[str, int]] = []
        self.placed: dict[str, _Placed] = {}
        # A Flatten moves nothing: its consumers read the source with a window of the whole map.
        self.physical = {INPUT: INPUT}
        for layer in network.layers:
            flat = isinstance(layer, Flatten)
            self.physical[layer.name] = self.physical[layer.source] if flat else layer.name

    def run(self) -> list[dict[str, int]]:
        """Instruction fields in order, END last."""
        network, config = self.network, self.config
        if network.num_steps > config.maximum_steps:
            raise CapacityError(
                f"T = {network.num_steps}, overlay {config.name} runs at most {config.maximum_steps} steps"
            )
        frame = self._place(INPUT, network.input, 0)
        words = bank_words(network.input, config) * config.activation_banks
        fields = [_fields(opcode="RECEIVE", output_base=frame.base, receive_words=words)]
        self.origin.append((INPUT, 0))
        for index, layer in enumerate(network.layers, start=1):
            if isinstance(layer, WEIGHTED):
                fields += self._convolve(layer, index)
            elif isinstance(layer, Pool):
                fields.append(self._pool(layer, index))
        return [*fields, _fields(opcode="END")]

    def _place(self, name: str, tensor: TensorType, index: int) -> _Placed:
        """First-fit space for a tensor that layer ``index`` writes. Raises CapacityError."""
        config = self.config
        uses = [
            i
            for i, layer in enumerate(self.network.layers, start=1)
            if name in (self.physical[layer.source], self._skip_source(layer))
        ]
        need = bank_words(tensor, config)
        live = sorted((p for p in self.placed.values() if p.last_use >= index), key=lambda p: p.base)
        base = 0
        for other in live:
            if base + need <= other.base:
                break
            base = max(base, other.base + bank_words(other.tensor, config))
        if base + need > config.activation_bank_words:
            used = sum(bank_words(p.tensor, config) for p in live)
            raise CapacityError(
                f"{name}: {need} activation words a bank for shape {tensor.shape}, T = {tensor.num_steps}, "
                f"{tensor.bits} bits; {used} of {config.activation_bank_words} are in use. "
                "Use fewer steps, spike bits or channels, or pool earlier"
            )
        self.placed[name] = _Placed(tensor, base, max(uses, default=index))
        return self.placed[name]

    def _skip_source(self, layer) -> str | None:
        skip = getattr(layer, "skip", None)
        return None if skip is None else self.physical[skip.source]

    def _input(self, layer) -> dict[str, int]:
        source = self.placed[self.physical[layer.source]]
        channels, height, width = source.tensor.shape
        return dict(
            input_base=source.base,
            input_height=height,
            input_width=width,
            input_column_groups=-(-width // self.config.activation_banks),
            input_channel_tiles=channel_tiles(channels, self.config),
            input_bits=source.tensor.bits,
            input_train_words=train_words(source.tensor),
            input_steps=source.tensor.num_steps,
            num_steps=source.tensor.num_steps,
        )

    def _output(self, layer, tensor: TensorType, index: int) -> dict[str, int]:
        placed = self._place(layer.name, tensor, index)
        channels, height, width = tensor.shape
        columns = -(-width // self.config.slots)
        return dict(
            output_base=placed.base,
            output_height=height,
            output_width=width,
            output_column_groups=columns,
            output_channel_tiles=channel_tiles(channels, self.config),
            output_bits=tensor.bits,
            output_train_words=train_words(tensor),
            quadruples=height * columns,
        )

    def _pool(self, layer: Pool, index: int) -> dict[str, int]:
        if layer.kernel > self.config.maximum_kernel or layer.stride >= 16:
            raise CapacityError(
                f"{layer.name}: window {layer.kernel}, stride {layer.stride}; "
                f"the overlay pools windows up to {self.config.maximum_kernel} with strides below 16"
            )
        size = layer.kernel**2
        self.origin.append((layer.name, 0))
        if self.physical[layer.source] != layer.source and self.network.tensors[layer.source].shape != (
            self.placed[self.physical[layer.source]].tensor.shape
        ):
            raise CapacityError(f"{layer.name}: the overlay cannot pool a flattened map")
        return _fields(
            opcode="POOL",
            **self._input(layer),
            **self._output(layer, self.network.tensors[layer.name], index),
            kernel_height=layer.kernel,
            kernel_width=layer.kernel,
            stride=layer.stride,
            pool_kind=POOL_KINDS["MAXIMUM" if layer.kind == "maximum" else "SUM"][0],
            pool_shift=size.bit_length() - 1 if layer.kind == "average" else 0,
        )

    def _weight(self, layer) -> np.ndarray:
        """Weight as a convolution over the physical source map: int8 [Co, Ci / groups, kh, kw]."""
        shape = self.placed[self.physical[layer.source]].tensor.shape
        if isinstance(layer, Conv2d):
            if shape == self.network.tensors[layer.source].shape:
                return layer.weight
            if layer.weight.shape[2:] != (1, 1) or layer.padding or layer.groups != 1:
                raise CapacityError(
                    f"{layer.name}: the overlay reads a flattened map only through a 1x1 window without padding and "
                    f"groups; this one is {layer.weight.shape[2:]}, padding {layer.padding}, groups {layer.groups}"
                )
        return layer.weight.reshape(len(layer.weight), *shape)

    def _convolve(self, layer, index: int) -> list[dict[str, int]]:
        """One instruction; a grouped convolution takes one for each run of output tiles that read the same inputs."""
        config, source = self.config, self.placed[self.physical[layer.source]].tensor
        weight, groups = self._weight(layer), getattr(layer, "groups", 1)
        kernel = weight.shape[2:]
        if max(kernel) > config.maximum_kernel:
            raise CapacityError(
                f"{layer.name}: a {kernel[0]}x{kernel[1]} window; the overlay's largest is {config.maximum_kernel}. "
                "Pool before flattening"
            )
        padded = -(-len(weight) // config.output_lanes) * config.output_lanes
        if padded > config.maximum_channels:
            raise CapacityError(
                f"{layer.name}: {len(weight)} channels take {padded} lanes, the overlay holds {config.maximum_channels}"
            )
        head = isinstance(layer, Head)
        if head:
            output = dict(
                output_height=1, output_width=1, output_column_groups=1, quadruples=1, num_classes=len(weight)
            )
        else:
            output = self._output(layer, self.network.tensors[layer.name], index)
        steps = source.num_steps
        block_quadruples = config.block_groups // steps
        common = dict(
            **self._input(layer),
            **output,
            **self._dynamics(layer),
            kernel_height=kernel[0],
            kernel_width=kernel[1],
            stride=getattr(layer, "stride", 1),
            padding=getattr(layer, "padding", 0),
            head=int(head),
            block_quadruples=block_quadruples,
            blocks=-(-output["quadruples"] // block_quadruples),
        )
        common["num_steps"] = self.network.num_steps
        macs_per_channel = int(np.prod(weight.shape[1:])) * output["output_height"] * output["output_width"] * steps
        instructions = []
        for first, count, first_input, inputs in _tile_runs(weight, groups, config):
            words, storage_bits = self._tiles(layer, weight, groups, first, count, first_input, inputs)
            beats = count * kernel[0] * kernel[1] * inputs * config.weight_tile_beats
            lanes = range(first * config.output_lanes, min((first + count) * config.output_lanes, len(weight)))
            instructions.append(
                _fields(
                    opcode="CONVOLVE",
                    **common,
                    output_first_tile=first,
                    output_tiles=count,
                    input_first_tile=first_input,
                    input_tiles=inputs,
                    storage_bits=storage_bits,
                    weight_resident=int(beats <= config.weight_buffer_words),
                    weight_offset=self.weight_words,
                    weight_words=len(words),
                )
            )
            self.weights.append(words)
            self.weight_words += len(words)
            self.origin.append((layer.name, macs_per_channel * len(lanes)))
        return instructions

    def _dynamics(self, layer) -> dict[str, int]:
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
        placed = self.placed[self.physical[skip.source]]
        channels, height, width = placed.tensor.shape
        if placed.tensor.shape != self.network.tensors[skip.source].shape:
            raise CapacityError(f"{layer.name}: the overlay cannot add a flattened residual")
        return dict(
            **fields,
            skip_mode=SKIP_MODES[skip.domain.upper()][0],
            skip_s_max=skip.s_max or 0,
            skip_base=placed.base,
            skip_height=height,
            skip_width=width,
            skip_column_groups=-(-width // self.config.activation_banks),
            skip_channel_tiles=channel_tiles(channels, self.config),
            skip_stride=skip.stride,
            skip_bits=placed.tensor.bits,
            skip_train_words=train_words(placed.tensor),
        )

    def _tiles(self, layer, weight, groups, first, count, first_input, inputs) -> tuple[np.ndarray, int]:
        """Parameter records and weight tiles of output tiles first..first+count, as words, and the storage width."""
        config = self.config
        lanes, rows = config.input_lanes, config.output_lanes
        kh, kw = weight.shape[2:]
        dense = np.zeros((count * rows, inputs * lanes, kh, kw), np.int8)
        per_group_out, per_group_in = len(weight) // groups, weight.shape[1]
        for row in range(min(count * rows, len(weight) - first * rows)):
            channel = first * rows + row
            start = channel // per_group_out * per_group_in - first_input * lanes
            dense[row, start : start + per_group_in] = weight[channel]
        tiles = dense.reshape(count, rows, inputs, lanes, kh, kw).transpose(0, 4, 5, 2, 1, 3)
        # A grouped tile has true zeros, which one bit (-1, +1) cannot hold; elsewhere the unused lanes see zero codes.
        storage_bits = 2 if layer.weight_bits == 1 and groups > 1 else layer.weight_bits
        words = pack_weight_tiles(np.ascontiguousarray(tiles), storage_bits)
        return np.concatenate([self._parameters(layer, first, count), words]), storage_bits

    def _parameters(self, layer, first: int, count: int) -> np.ndarray:
        """ChannelParameters words; lanes beyond the last channel are zero and therefore never fire."""
        rows = self.config.output_lanes
        affine = layer.affine if isinstance(layer, Head) else layer.neuron.affine
        skip = getattr(layer, "skip", None)
        columns = dict(bias=affine.bias, multiplier=affine.multiplier, shift=affine.shift)
        if not isinstance(layer, Head):
            columns["initial_membrane"] = layer.neuron.initial_membrane
        if skip is not None and skip.domain == "current":
            columns.update(skip_multiplier=skip.multiplier, skip_shift=skip.shift)
        empty = {f.name: 0 for f in CHANNEL_PARAMETERS}
        records = []
        for channel in range(first * rows, (first + count) * rows):
            used = {k: v[channel] for k, v in columns.items()} if channel < affine.channels else {}
            records.append(pack_record(CHANNEL_PARAMETERS, {**empty, **used}))
        return np.concatenate(records)


def _fields(opcode: str, **values: int) -> dict[str, int]:
    return {**{f.name: 0 for f in INSTRUCTION}, "opcode": OPCODES[opcode][0], **values}


def _tile_runs(weight: np.ndarray, groups: int, config: HardwareConfig) -> list[tuple[int, int, int, int]]:
    """Runs of output tiles that read the same input tiles: (first, count, first_input, inputs) each."""
    per_group_out, per_group_in = len(weight) // groups, weight.shape[1]
    runs: list[tuple[int, int, int, int]] = []
    for tile in range(-(-len(weight) // config.output_lanes)):
        channels = (tile * config.output_lanes, min((tile + 1) * config.output_lanes, len(weight)) - 1)
        low, high = (channel // per_group_out * per_group_in for channel in channels)
        first_input = low // config.input_lanes
        inputs = (high + per_group_in - 1) // config.input_lanes - first_input + 1
        if runs and runs[-1][2:] == (first_input, inputs):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1, first_input, inputs)
        else:
            runs.append((tile, 1, first_input, inputs))
    return runs


assert record_words(CHANNEL_PARAMETERS) == 1, "the kernel reads one parameter word a channel"
