"""Runs a layer program in NumPy from its words alone, as :mod:`pynq_qsnn.hwspec` defines them: no compiler, no kernel.

Memories start with noise: what a program reads without having written it shows in the result.
"""

from __future__ import annotations

import numpy as np

from pynq_qsnn import neuron
from pynq_qsnn.hwspec import CHANNEL_PARAMETERS, MODES, OPCODES, PROGRAM_HEADER, HardwareConfig, record_words
from pynq_qsnn.packing import WORD_BYTES, pack_frames, unpack_record
from pynq_qsnn.program import Program

CODES = {name: number for name, (number, _) in OPCODES.items()}
WIDE_PASS = MODES["MULTIPLY4"][0]
SPIKE, CURRENT, IAND = 1, 2, 3


class Interpreter:
    """``run`` like every executor; ``executed`` lists (instruction, first frame, frames) of the last call."""

    def __init__(self, program: Program, config: HardwareConfig, seed: int = 0):
        self.program, self.config = program, config
        rng = np.random.default_rng(seed)
        shape = (config.activation_bank_words, config.activation_banks, WORD_BYTES)
        self.activations = rng.integers(0, 256, shape, dtype=np.uint8)
        self.spill = rng.integers(0, 256, (program.spill_words, WORD_BYTES), dtype=np.uint8)
        self.header = unpack_record(PROGRAM_HEADER, program.code[: record_words(PROGRAM_HEADER)])
        self.instructions = [program.instruction(i) for i in range(program.num_instructions)]
        self.weights = {
            i: self._weights(f) for i, f in enumerate(self.instructions) if f["opcode"] == CODES["CONVOLVE"]
        }

    def run(self, frames: np.ndarray) -> np.ndarray:
        """Logits int64 [N, classes]."""
        beats = pack_frames(frames, self.program.network, self.config)
        logits: list[np.ndarray] = []
        split, group = self.header["split"], self.header["group_frames"]
        self.executed = []
        for first in range(0, len(frames), group):
            count = min(group, len(frames) - first)
            for i in range(count):
                for index in range(split):
                    self._execute(index, first + i, 1, i, beats, logits)
            for index in range(split, len(self.instructions)):
                self._execute(index, first, count, 0, beats, logits)
        return np.array(logits)

    def _execute(self, index, first, count, place, beats, logits) -> None:
        f = dict(self.instructions[index])
        f["output_base"] += place * f["output_frame_words"]
        self.executed.append((index, first, count))
        if f["opcode"] in (CODES["RECEIVE"], CODES["LOAD"], CODES["SAVE"]):
            self._move(f, beats[first])
        elif f["opcode"] == CODES["POOL"]:
            outputs = [self._pool(f, self._input(f, i)) for i in range(count)]
            self._write(f, np.stack(outputs))
        else:
            parameters, weight = self.weights[index]
            outputs = [self._convolve(f, i, parameters, weight) for i in range(count)]
            if f["head"]:
                logits += outputs
            else:
                self._write(f, np.stack(outputs))

    def _move(self, f, beats) -> None:
        words, banks = f["transfer_words"], self.config.activation_banks
        spill = self.spill[f["spill_offset"] : f["spill_offset"] + words]
        if f["opcode"] == CODES["SAVE"]:
            flat = self.activations[f["input_base"] :].reshape(-1, WORD_BYTES)
            spill[:] = flat[:words]
            assert len(spill) == words
        else:
            source = spill if f["opcode"] == CODES["LOAD"] else beats
            assert len(source) == words and words % banks == 0
            target = spill if f["spilled"] else self.activations[f["output_base"] :].reshape(-1, WORD_BYTES)[:words]
            target[:] = source

    def _read(self, base, height, width, groups, tiles, train_words, bits, steps) -> np.ndarray:
        """uint8 [T, C, H, W]."""
        banks, lanes = self.config.activation_banks, self.config.input_lanes
        words = self.activations[base : base + height * groups * tiles * train_words]
        trains = words.reshape(height, groups, tiles, train_words, banks, lanes).transpose(3, 2, 5, 0, 1, 4)
        trains = trains.reshape(train_words, tiles * lanes, height, groups * banks)[..., :width]
        codes = [trains[t * bits // 8] >> (t * bits % 8) & (1 << bits) - 1 for t in range(steps)]
        return np.stack(codes)

    def _input(self, f, frame) -> np.ndarray:
        base = f["input_base"] + frame * f["input_frame_words"]
        size = (f["input_height"], f["input_width"], f["input_column_groups"], f["input_channel_tiles"])
        return self._read(base, *size, f["input_train_words"], f["input_bits"], f["input_steps"])

    def _write(self, f, codes: np.ndarray) -> None:
        """codes: uint8 [frames, T, channels of the instruction, H, W]; frames follow each other in memory."""
        config, bits = self.config, f["output_bits"]
        frames, steps, channels, height, width = codes.shape
        width = f["stored_width"]
        groups, tiles, words = f["stored_column_groups"], f["output_channel_tiles"], f["output_train_words"]
        first = f["output_first_tile"] * (config.output_lanes // config.input_lanes)
        count = min(channels // config.input_lanes, tiles - first)
        size = frames * height * groups * tiles * words
        memory = self.activations[f["output_base"] : f["output_base"] + size]
        assert len(memory) == size
        view = memory.reshape(frames, height, groups, tiles, words, config.activation_banks, config.input_lanes)
        trains = np.zeros((words, frames, count * config.input_lanes, height, width), np.uint8)
        for t in range(steps):
            trains[t * bits // 8] |= codes[:, t, : count * config.input_lanes, :, :width] << (t * bits % 8)
        for column in range(width):
            part = trains[..., column].reshape(words, frames, count, config.input_lanes, height)
            group, bank = divmod(column, config.activation_banks)
            view[:, :, group, first : first + count, :, bank] = part.transpose(1, 4, 2, 0, 3)

    def _pool(self, f, codes) -> np.ndarray:
        k, s = f["kernel_height"], f["row_stride"]
        rows, columns = f["output_height"], f["output_width"]
        window = [
            codes[:, :, y : y + s * (rows - 1) + 1 : s, x : x + s * (columns - 1) + 1 : s].astype(np.int64)
            for y in range(k)
            for x in range(k)
        ]
        if f["pool_kind"] == 0:
            return np.max(window, axis=0).astype(np.uint8)
        return (np.sum(window, axis=0) + ((1 << f["pool_shift"]) >> 1) >> f["pool_shift"]).astype(np.uint8)

    def _weights(self, f):
        """Parameter columns and int64 [channels, lanes, kh, kw] of an instruction."""
        config = self.config
        pairs = self.program.weights[:, f["weight_offset"] : f["weight_offset"] + f["weight_pairs"]]
        words = pairs.swapaxes(0, 1).reshape(-1, WORD_BYTES)
        channels = f["output_tiles"] * config.output_lanes
        records = [unpack_record(CHANNEL_PARAMETERS, words[c : c + 1]) for c in range(channels)]
        columns = {}
        for field in CHANNEL_PARAMETERS:
            values = np.array([r[field.name] for r in records])
            signed = field.name not in ("shift", "skip_shift")
            wrap = values >= 1 << (field.bits - 1) if signed else False
            columns[field.name] = values - wrap * (1 << field.bits)
        bits, kh, kw = f["storage_bits"], f["kernel_height"], f["kernel_width"]
        tiles = 2 if f["mode"] == WIDE_PASS else 1
        passes, rows = -(-f["output_tiles"] // tiles), tiles * config.output_lanes
        stream = np.unpackbits(words[channels:].reshape(-1), bitorder="little").reshape(-1, bits)
        codes = stream.astype(np.int64) @ (1 << np.arange(bits))
        values = codes * 2 - 1 if bits == 1 else np.where(codes >> (bits - 1), codes - (1 << bits), codes)
        stored = f["stored_beats"] * rows // config.weight_tile_beats
        values = values.reshape(passes, kh, kw, f["input_tiles"], stored, config.input_lanes)
        rest = np.full((*values.shape[:4], rows - stored, config.input_lanes), 7)  # without a channel: any value
        values = np.concatenate([values, rest], axis=4)
        return columns, values.transpose(0, 4, 3, 5, 1, 2).reshape(passes * rows, -1, kh, kw)[:channels]

    def _convolve(self, f, frame, parameters, weight) -> np.ndarray:
        lanes = self.config.input_lanes
        codes = self._input(f, frame).astype(np.int64)
        first = f["input_first_tile"] * lanes
        codes = codes[:, first : first + f["input_tiles"] * lanes]
        top, left, ys, xs = f["padding_top"], f["padding_left"], f["row_stride"], f["column_stride"]
        rows, columns = f["output_height"], f["output_width"]
        canvas = np.zeros((*codes.shape[:2], rows * ys + 16 + top, columns * xs + 16 + left), np.int64)
        height, width = (min(n, m - p) for n, m, p in zip(codes.shape[2:], canvas.shape[2:], (top, left)))
        canvas[:, :, top : top + height, left : left + width] = codes[:, :, :height, :width]
        acc = np.zeros((len(codes), len(weight), rows, columns), np.int64)
        for y in range(f["kernel_height"]):
            for x in range(f["kernel_width"]):
                window = canvas[:, :, y : y + ys * (rows - 1) + 1 : ys, x : x + xs * (columns - 1) + 1 : xs]
                acc += np.einsum("oi,tihw->tohw", weight[:, :, y, x], window)
        acc = np.repeat(acc, f["num_steps"] // len(codes), axis=0)
        scale = neuron.Affine(parameters["multiplier"], parameters["shift"], parameters["bias"])
        if f["head"]:
            return neuron.scale(acc, scale, 1).sum(axis=0)[: f["num_classes"], 0, 0]
        leak = f["leak_shift"] if f["leak_enable"] else None
        mode = "zero" if f["reset_mode"] else "subtract"
        unit = neuron.Neuron(scale, f["s_max"], leak, mode, parameters["initial_membrane"])
        residual = self._residual(f, frame, len(weight), rows, columns) if f["skip_mode"] else None
        extra = None
        if f["skip_mode"] == CURRENT:
            extra = neuron.skip_current(residual, parameters["skip_multiplier"], parameters["skip_shift"], 1)
        spikes, _ = neuron.integrate(acc, unit, 1, extra)
        if f["skip_mode"] == SPIKE:
            spikes = np.minimum(spikes.astype(np.int64) + residual, f["skip_s_max"]).astype(np.uint8)
        elif f["skip_mode"] == IAND:
            spikes = ((1 - spikes) * residual).astype(np.uint8)
        if f["pooled"]:
            spikes = spikes[..., : columns // 2 * 2].reshape(*spikes.shape[:2], rows // 2, 2, -1, 2).max(axis=(3, 5))
        return spikes

    def _residual(self, f, frame, channels, rows, columns) -> np.ndarray:
        base = f["skip_base"] + frame * f["skip_frame_words"]
        size = (f["skip_height"], f["skip_width"], f["skip_column_groups"], f["skip_channel_tiles"])
        codes = self._read(base, *size, f["skip_train_words"], f["skip_bits"], f["num_steps"]).astype(np.int64)
        first, s = f["output_first_tile"] * self.config.output_lanes, f["skip_stride"]
        codes = codes[:, first : first + channels, : s * (rows - 1) + 1 : s, : s * (columns - 1) + 1 : s]
        full = np.zeros((len(codes), channels, rows, columns), np.int64)
        full[:, : codes.shape[1]] = codes
        return full
