"""The contract between software and hardware: opcodes, fields, word order, overlay numbers.

Nothing here is typed a second time. The tables below and ``overlays/kv260/config.json`` generate
``hls/include/hw_spec.hpp`` (``python -m pynq_qsnn.hwspec --write``) and are hashed into the fingerprint that the
kernel and every program file carry. A model file carries the hash of ``NUMERICS`` alone, see
:func:`numerics_fingerprint`.

Word order: little endian throughout. Field 0 of a table starts at bit 0; a record fills its words from word 0 upward.

Activation memory. A spike train of one pixel and ``input_lanes`` (16) channels is ``train_words`` words of 128 bits;
byte lane c of word w holds the codes of channel c for steps ``w * 8/bits ...`` with step 0 in the low bits, so a code
never straddles a byte. Pixel (row, col) lives in bank ``col % activation_banks`` at word::

    base + ((row * ceil(width / banks) + col // banks) * channel_tiles + channel_tile) * train_words + w

Lanes beyond the last channel are zero. Slots of one operand are ``slots`` neighbouring columns of an output row, a
quadruple. A group is one clock of the array: the ``slots`` pixels of a quadruple and one chunk of their trains. A chunk
is a code of one step in the multiplier modes, and four bit planes (a nibble: 4 or 2 steps) in the mux-add mode. A
block is at most ``block_groups`` groups, whose partial sums stay in the array. Order of work: block, array pass (one
output tile of 32 channels; two in mode MULTIPLY4), kernel row, kernel column, input tile, quadruple, chunk. Quadruples
follow in raster order of the computed map, frame after frame; where a 2x2 maximum is fused (``pooled``), the two rows
of a pair alternate: row pair, column group, row of the pair.

The first layer reads its image with ``kernel width x channels`` folded into the lanes, see :func:`packing.pack_frames`.

Weight memory. It has two planes of 128-bit words, read by two ports in step: the 256-bit pair ``i`` is word ``i`` of
both planes, the even plane its low half. Offsets and counts are of pairs. An instruction's pairs hold ``output_tiles *
output_lanes`` ChannelParameters records, two a pair, then for each array pass and each (kernel row, kernel column,
input tile) one weight tile in the order [output lane][input lane], packed from bit 0 with ``storage_bits`` bits an
element. A tile has ``output_lanes`` rows, twice as many in mode MULTIPLY4. 1-bit elements mean 0 -> -1, 1 -> +1; wider
ones are two's complement. Of a layer of few channels only the first ``stored_beats`` beats of each tile are stored: the
rows behind them keep what the ring held, and lanes without a channel have parameters of zero. On chip an element takes
8 bits (4 in mode MULTIPLY4), a beat is 512 bits, and every tile is ``weight_tile_beats`` beats: they lie in the weight
ring, a memory that is filled ahead of use.

Spill memory: tensors too large for the activation memory, in the word order of the frame stream.

A program is a header, instructions and END. Frames come in groups of at most ``group_frames``: the instructions before
``split`` run once a frame, those from ``split`` on once a group, with the group's frames one behind the other in
activation memory, ``*_frame_words`` bank words apart. With ``weights_stay`` every tile of the program has its own place
in the weight ring and is read from memory once a call.

A layer's kernel rows and columns also serve fully connected layers: a linear layer on a flattened [C, H, W] map is a
convolution with an H x W kernel.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

from .errors import ConfigError
from .paths import resource

SPEC_VERSION = 2
PROGRAM_MAGIC = 0x4E4E5351  # "QSNN" in memory order
DEFAULT_CONFIG = resource("overlays", "kv260", "config.json")


@dataclass(frozen=True)
class Field:
    """One bit field of a record."""

    name: str
    bits: int
    meaning: str


# What the numbers mean, whatever the overlay: a model file carries the hash of this table, see docs/architecture.md.
NUMERICS = {
    "membrane_bits": 32,
    "fraction_bits": 16,  # threshold = 1 << fraction_bits
    "multiplier_bits": 18,
    "maximum_shift": 48,
    "accumulator_bits": 32,
    "maximum_weight": 127,  # the packed multiplier is exact for -127..127
    "arithmetic": "u=sat32((acc*m+half)>>sh)+bias; v=sat32(v-(v>>leak)+u); s=clip(v>>16,0,s_max); v-=s<<16 | v=0",
}

OPCODES = {
    "END": (0, "last instruction of a program"),
    "RECEIVE": (1, "frame stream -> activation or spill memory, word by word in address order"),
    "CONVOLVE": (2, "for block, pass: acc = sum of weights x codes; integrate over T; store the trains"),
    "POOL": (3, "for pixel, channel tile, step: maximum, or rounded shifted sum, of a window of codes"),
    "LOAD": (4, "spill memory -> activation memory, word by word in address order"),
    "SAVE": (5, "activation memory -> spill memory, word by word in address order"),
}

MODES = {
    "MULTIPLY8": (0, "W: int8 x u8, two products a DSP; a chunk is one code"),
    "MULTIPLY4": (1, "Q: int4 x u4, four products a DSP, 64 output lanes; a chunk is one code of at most 4 bits"),
    "MUX_ADD": (2, "M: int8 x 1 bit, eight gated sums a DSP; a chunk is a nibble: four planes of codes of 1 or 2 bits"),
}

# Taps (kernel positions x input tiles) of a layer in MULTIPLY4 and MUX_ADD: their sums are narrower than 32 bits.
NARROW_TAPS = 512

# Iterations between an access to the weight ring and the token that tells of it, see hls/src/ring.hpp.
RING_SETTLE = 8

STATUS = {
    "OK": (0, "all frames done"),
    "BAD_MAGIC": (1, "the program header does not start with PROGRAM_MAGIC"),
    "BAD_FINGERPRINT": (2, "the program was built for another hardware contract"),
    "BAD_OPCODE": (3, "an instruction has an unknown opcode"),
    "BAD_FIELD": (4, "an instruction addresses more activation, weight or channel words than there are"),
    "RUNNING": (255, "written at the start of a call and replaced at its end"),
}

POOL_KINDS = {"MAXIMUM": (0, "largest code"), "SUM": (1, "(sum + half) >> pool_shift; 0 keeps the plain sum")}
SKIP_MODES = {
    "NONE": (0, "no residual"),
    "SPIKE": (1, "after firing: s = min(s + k, skip_s_max)"),
    "CURRENT": (2, "before firing: u += round_shift(k * skip_multiplier[c], skip_shift[c])"),
    "IAND": (3, "after firing, 1-bit codes: s = (not s) and k"),
}
RESET_MODES = {"SUBTRACT": (0, "v -= s << 16"), "ZERO": (1, "v = 0 where s > 0")}

PROGRAM_HEADER = (
    Field("magic", 32, "PROGRAM_MAGIC"),
    Field("version", 32, "SPEC_VERSION"),
    Field("fingerprint", 64, "first 8 bytes of the contract's SHA-256, little endian"),
    Field("split", 32, "index of the first instruction that runs once a group"),
    Field("group_frames", 8, "frames of a full group"),
    Field("weights_stay", 1, "1: the tiles of the whole program stay in the weight ring for the call"),
)

INSTRUCTION = (
    Field("opcode", 8, "OPCODES"),
    Field("mode", 2, "MODES"),
    Field("head", 1, "1: emit int32 sums over T to the result stream in place of firing; TLAST ends the last frame"),
    Field("reset_mode", 1, "RESET_MODES"),
    Field("leak_enable", 1, "0: IF neuron"),
    Field("leak_shift", 5, "v loses v >> leak_shift"),
    Field("pool_kind", 1, "POOL_KINDS"),
    Field("pool_shift", 8, "right shift of a pooled sum, rounded"),
    Field("skip_mode", 2, "SKIP_MODES"),
    Field("s_max", 8, "largest code fired"),
    Field("skip_s_max", 8, "saturation of the spike-domain residual"),
    Field("num_steps", 8, "T of the output"),
    Field("input_steps", 8, "T of the input: equal to num_steps, or 1 with the current replayed"),
    Field("chunks", 8, "groups of a quadruple: input_steps, in mode MUX_ADD ceil(input_steps * input_bits / 4)"),
    Field("kernel_height", 5, "rows of the window"),
    Field("kernel_width", 5, "columns of the window"),
    Field("row_stride", 4, "step of the window in rows"),
    Field("column_stride", 4, "step of the window in columns"),
    Field("padding_top", 4, "zero rows above the map; below it rows beyond input_height are zero"),
    Field("padding_left", 4, "zero columns left of the map; right of it columns beyond input_width are zero"),
    Field("storage_bits", 4, "bits of a stored weight: 1, 2, 4, 8"),
    Field("stored_beats", 4, "beats of a weight tile in memory; lanes of the others have no channel"),
    Field("input_base", 16, "first bank word of the input tensor"),
    Field("input_height", 12, "rows"),
    Field("input_width", 12, "columns"),
    Field("input_column_groups", 12, "ceil(input_width / activation_banks)"),
    Field("input_channel_tiles", 12, "channel tiles of 16 of the whole input tensor"),
    Field("input_first_tile", 12, "first channel tile that this instruction reads (grouped convolutions)"),
    Field("input_tiles", 12, "channel tiles that this instruction reads"),
    Field("input_bits", 4, "bits of an input code: 1, 2, 4, 8"),
    Field("input_train_words", 8, "words of an input train"),
    Field("input_frame_words", 16, "bank words from a frame of the group to the next"),
    Field("output_base", 16, "first bank word of the output tensor"),
    Field("output_height", 12, "rows computed"),
    Field("output_width", 12, "columns computed"),
    Field("output_column_groups", 12, "ceil(output_width / slots)"),
    Field("pooled", 1, "1: store the maximum of each 2x2 window of the computed map; output_height is even"),
    Field("stored_width", 12, "columns stored: output_width, or output_width div 2 where pooled"),
    Field("stored_column_groups", 12, "ceil(stored_width / activation_banks)"),
    Field("output_channel_tiles", 12, "channel tiles of 16 of the whole output tensor"),
    Field("output_first_tile", 12, "first output tile of 32 that this instruction computes"),
    Field("output_tiles", 12, "output tiles of 32 that this instruction computes"),
    Field("output_bits", 4, "bits of an output code: 1, 2, 4, 8"),
    Field("output_train_words", 8, "words of an output train"),
    Field("output_frame_words", 16, "bank words that frame i of a group is moved by, i times (before split only)"),
    Field("num_classes", 16, "head: results a frame"),
    Field("quadruples", 24, "output_height * output_column_groups"),
    Field("block_quadruples", 8, "quadruples of a full block, at most block_groups div chunks; even where pooled"),
    Field("weight_resident", 1, "1: the tiles stay in the weight ring from the first block to the last"),
    Field("weight_offset", 32, "first pair of this instruction in the weight memory"),
    Field("weight_pairs", 32, "parameter and tile pairs of this instruction"),
    Field("skip_base", 16, "first bank word of the residual tensor"),
    Field("skip_height", 12, "rows"),
    Field("skip_width", 12, "columns"),
    Field("skip_column_groups", 12, "ceil(skip_width / activation_banks)"),
    Field("skip_channel_tiles", 12, "channel tiles of 16; tiles beyond are zero"),
    Field("skip_stride", 2, "1, or 2: every second row and column"),
    Field("skip_bits", 4, "bits of a residual code"),
    Field("skip_train_words", 8, "words of a residual train"),
    Field("skip_frame_words", 16, "bank words from a frame of the group to the next"),
    Field("transfer_words", 24, "RECEIVE, LOAD, SAVE: 128-bit words"),
    Field("spilled", 1, "RECEIVE: write to the spill memory"),
    Field("spill_offset", 32, "RECEIVE, LOAD, SAVE: first word in the spill memory"),
)

CHANNEL_PARAMETERS = (
    Field("bias", 32, "signed, membrane units"),
    Field("initial_membrane", 32, "signed, membrane units"),
    Field("multiplier", 18, "signed"),
    Field("skip_multiplier", 18, "signed"),
    Field("shift", 6, "0..48"),
    Field("skip_shift", 6, "0..48"),
)

LOG_ENTRY = (
    Field("start", 64, "`now` when the instruction began"),
    Field("end", 64, "`now` when its last word was stored"),
)

# Arguments of the kernel's s_axilite register file, in the order of the C++ function.
KERNEL_ARGUMENTS = (
    Field("program", 64, "in: address of the program header, 16-byte aligned"),
    Field("weights_even", 64, "in: address of the even plane of the weight memory, 16-byte aligned"),
    Field("weights_odd", 64, "in: address of the odd plane"),
    Field("spill", 64, "in: address of the spill memory, 16-byte aligned"),
    Field("log", 64, "in: address of the time log, one LOG_ENTRY an executed instruction"),
    Field("num_instructions", 32, "in: instructions of the program, END not counted"),
    Field("num_frames", 32, "in: frames of this call"),
    Field("weight_pairs", 32, "in: words of a plane of the weight memory; larger addresses are refused"),
    Field("spill_words", 32, "in: words of the spill memory; larger addresses are refused"),
    Field("log_entries", 32, "in: capacity of the log; later entries are dropped"),
    Field("fingerprint", 64, "out: fingerprint of the contract that the kernel was built from"),
    Field("status", 32, "out: STATUS in bits 0..7, index of the refused instruction in bits 8..31"),
    Field("log_count", 32, "out: entries written"),
)

RECORDS = {
    "program_header": PROGRAM_HEADER,
    "instruction": INSTRUCTION,
    "channel_parameters": CHANNEL_PARAMETERS,
    "log_entry": LOG_ENTRY,
}
ENUMERATIONS = {
    "opcode": OPCODES,
    "mode": MODES,
    "status": STATUS,
    "pool": POOL_KINDS,
    "skip": SKIP_MODES,
    "reset": RESET_MODES,
}
WORD_BITS = 128
CODE_BITS = (1, 2, 4, 8)
URAM_WORDS, URAM_BITS = 4096, 72
# Multipliers of addresses and loop limits in feed, pool, store and fetch: an estimate, see pynq_qsnn/resources.py.
ADDRESS_DSPS = 88
RESOURCE_NAMES = ("lut", "ff", "dsp", "bram36", "uram")


def record_bits(record: tuple[Field, ...]) -> int:
    """Used bits of a record."""
    return sum(f.bits for f in record)


def record_words(record: tuple[Field, ...]) -> int:
    """128-bit words that a record occupies."""
    return -(-record_bits(record) // WORD_BITS)


def uram_blocks(words: int, bits: int) -> int:
    """URAM288 that a memory takes."""
    return -(-words // URAM_WORDS) * -(-bits // URAM_BITS)


def numerics_fingerprint() -> str:
    """SHA-256 of NUMERICS: two releases with the same value compute the same spikes from the same model file."""
    return hashlib.sha256(json.dumps(NUMERICS, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class HardwareConfig:
    """Numbers of one overlay, read from its config.json. Units are in the names; see docs/architecture.md."""

    name: str
    part: str
    board_part: str
    clock_mhz: int
    bus_bits: int
    slots: int
    input_lanes: int
    output_lanes: int
    cascade_length: int
    block_groups: int
    minimum_groups: int
    activation_banks: int
    activation_bank_words: int
    weight_ring_beats: int
    group_frames: int
    maximum_channels: int
    maximum_steps: int
    maximum_kernel: int
    dma_length_bits: int
    address_bits: int
    resources: dict

    def __post_init__(self):
        def need(condition: bool, message: str):
            if not condition:
                raise ConfigError(f"overlay config {self.name!r}: {message}")

        for f in fields(self):  # JSON can hold anything
            value = getattr(self, f.name)
            need(type(value).__name__ == f.type, f"{f.name} is {value!r}, must be of type {f.type}")
            need(f.type != "int" or value > 0, f"{f.name} is {value}, must be positive")
        need(self.bus_bits == WORD_BITS, f"bus_bits is {self.bus_bits}, the records are laid out for {WORD_BITS}")
        need(self.input_lanes * 8 == WORD_BITS, f"input_lanes is {self.input_lanes}, a word holds {WORD_BITS // 8}")
        need(self.slots == self.activation_banks, "slots must equal activation_banks: one bank feeds one slot")
        need(
            self.slots >= 2 and self.slots & (self.slots - 1) == 0,
            f"slots is {self.slots}, must be 2, 4, 8, ...: one DSP multiplies two, a column's bank is its low bits",
        )
        need(
            self.output_lanes in (self.input_lanes, 2 * self.input_lanes),
            f"output_lanes is {self.output_lanes}, must be input_lanes ({self.input_lanes}) or twice that",
        )
        # Packing two products 18 bits apart is exact while a cascade's low sum stays inside 18 signed bits: 4 at most.
        need(self.cascade_length == 4, f"cascade_length is {self.cascade_length}, the kernel adds 4 products a cascade")
        need(self.block_groups >= self.maximum_steps, "block_groups must hold all steps of a pixel")
        need(self.weight_tile_beats <= self.minimum_groups, "a weight tile must load within minimum_groups cycles")
        need(
            self.block_groups <= 255 and self.maximum_kernel <= 31, "block_groups or maximum_kernel exceed their fields"
        )
        need(self.weight_ring_beats % self.weight_tile_beats == 0, "weight_ring_beats must hold whole weight tiles")
        need(
            self.weight_ring_beats // self.weight_tile_beats >= self.minimum_ring_tiles,
            f"weight_ring_beats is {self.weight_ring_beats}, the ring needs {self.minimum_ring_tiles} weight tiles of "
            f"{self.weight_tile_beats} beats: those on their way into and out of it would stop it",
        )
        need(self.group_frames <= 255, f"group_frames is {self.group_frames}, the header field holds 255")
        need(8 <= self.dma_length_bits <= 26, f"dma_length_bits is {self.dma_length_bits}, the AXI DMA counts 8 to 26")
        need(32 <= self.address_bits <= 64, f"address_bits is {self.address_bits}, the AXI DMA addresses 32 to 64")
        need(self.activation_bank_words <= 1 << 16, "activation_bank_words exceeds the 16-bit base field")
        need(
            sorted(self.resources) == sorted(RESOURCE_NAMES),
            f"resources names {sorted(self.resources)}, must name {sorted(RESOURCE_NAMES)}",
        )
        for name, limit in self.resources.items():
            need(type(limit) is int and limit > 0, f"resources: {name} is {limit!r}, must be a positive integer")
        banks, ring = self.activation_urams, self.ring_urams
        need(
            banks + ring <= self.resources["uram"],
            f"{banks} URAM of activation banks and {ring} of the weight ring are {banks + ring}, the device has "
            f"{self.resources['uram']}; lower activation_bank_words or weight_ring_beats",
        )
        array, scale = self.array_dsps, self.scale_dsps
        need(
            array + scale + ADDRESS_DSPS <= self.resources["dsp"],
            f"{array} DSP of the array, {scale} of the scale units and about {ADDRESS_DSPS} of addresses are "
            f"{array + scale + ADDRESS_DSPS}, the device has {self.resources['dsp']}; lower slots or output_lanes",
        )
        from .resources import excess  # which needs the tables above

        found = excess(self)
        need(not found, "; ".join(found) + "; lower slots, output_lanes, block_groups or maximum_channels")

    @property
    def weight_beat_bits(self) -> int:
        """Width of the on-chip weight path: one wide word carries this many bits."""
        return 4 * self.bus_bits

    @property
    def weight_tile_beats(self) -> int:
        """Wide words of a full-width (8-bit) weight tile."""
        return self.output_lanes * self.input_lanes * 8 // self.weight_beat_bits

    @property
    def activation_urams(self) -> int:
        """URAM288 of the activation banks."""
        return self.activation_banks * uram_blocks(self.activation_bank_words, self.bus_bits)

    @property
    def ring_urams(self) -> int:
        """URAM288 of the weight ring."""
        return uram_blocks(self.weight_ring_beats, self.weight_beat_bits)

    @property
    def array_dsps(self) -> int:
        """One DSP48E2 for two slots, an input lane and an output lane."""
        return self.slots // 2 * self.input_lanes * self.output_lanes

    @property
    def scale_dsps(self) -> int:
        """Scale units of two DSP48E2 each, one for each output lane: they take a slot a clock."""
        return 2 * self.output_lanes

    @property
    def minimum_ring_tiles(self) -> int:
        """Tiles written and not announced, used and not given back, and the one that has room taken."""
        return RING_SETTLE + -(-RING_SETTLE // self.weight_tile_beats) + 2

    @property
    def macs_per_cycle(self) -> int:
        """Peak multiply-accumulates a clock."""
        return self.slots * self.input_lanes * self.output_lanes

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tables and these numbers, hexadecimal."""
        tables = {
            "version": SPEC_VERSION,
            "records": {k: [(f.name, f.bits, f.meaning) for f in v] for k, v in RECORDS.items()},
            "enumerations": ENUMERATIONS,
            "arguments": [(f.name, f.bits, f.meaning) for f in KERNEL_ARGUMENTS],
            "numerics": NUMERICS,
            "narrow_taps": NARROW_TAPS,
            "config": asdict(self),
        }
        return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()

    @property
    def fingerprint64(self) -> int:
        """What the kernel's 64-bit register holds: the first 8 bytes, little endian."""
        return int.from_bytes(bytes.fromhex(self.fingerprint)[:8], "little")


def load_config(path: str | Path | None = None) -> HardwareConfig:
    """Read an overlay's config.json (default: the KV260's). Raises ConfigError for unknown, missing or bad entries."""
    path = Path(path or DEFAULT_CONFIG)
    try:
        values = json.loads(path.read_text())
        return HardwareConfig(**values)
    except FileNotFoundError:
        raise ConfigError(f"no overlay config at {path}; give the path of a config.json") from None
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"overlay config {path}: {error}") from None


def _constants(values: dict[str, object]) -> list[str]:
    return [f"constexpr {'unsigned long long' if k == 'kFingerprint' else 'int'} {k} = {v};" for k, v in values.items()]


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def cpp_header(config: HardwareConfig) -> str:
    """Text of hls/include/hw_spec.hpp: lsb/width constants for ``.range()``, never C bit-fields."""
    lines = [
        "// GENERATED by `python -m pynq_qsnn.hwspec --write` from pynq_qsnn/hwspec.py and overlays/kv260/config.json.",
        "// Do not edit: a test compares this file byte for byte.",
        "#pragma once",
        "",
        "namespace hw {",
        "",
        *_constants(
            {
                "kSpecVersion": SPEC_VERSION,
                "kProgramMagic": f"0x{PROGRAM_MAGIC:08X}",
                "kFingerprint": f"0x{config.fingerprint64:016X}ULL",
                "kWordBits": WORD_BITS,
                "kNarrowTaps": NARROW_TAPS,
                "kRingSettle": RING_SETTLE,
            }
        ),
        "",
        "// numbers",
        *_constants({f"k{_camel(k)}": v for k, v in NUMERICS.items() if isinstance(v, int)}),
        "",
        f"// overlay {config.name}",
    ]
    numbers = {k: v for k, v in asdict(config).items() if isinstance(v, int)}
    lines += _constants({f"k{_camel(k)}": v for k, v in numbers.items()})
    lines += _constants({"kWeightBeatBits": config.weight_beat_bits, "kWeightTileBeats": config.weight_tile_beats})
    for name, table in ENUMERATIONS.items():
        lines += ["", f"namespace {name} {{"]
        lines += [f"constexpr int k{_camel(k.lower())} = {v};  // {meaning}" for k, (v, meaning) in table.items()]
        lines += [f"}}  // namespace {name}"]
    for name, record in RECORDS.items():
        lines += ["", f"namespace {name} {{", f"constexpr int kWords = {record_words(record)};"]
        lsb = 0
        for f in record:
            lines += [
                f"// {f.meaning}",
                f"constexpr int k{_camel(f.name)}Lsb = {lsb};",
                f"constexpr int k{_camel(f.name)}Bits = {f.bits};",
            ]
            lsb += f.bits
        lines += [f"}}  // namespace {name}"]
    return "\n".join([*lines, "", "}  // namespace hw", ""])


def main() -> None:
    """Print the C++ header, or write it where the HLS sources include it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--config", help="overlay config.json (default: the KV260's)")
    parser.add_argument("--write", action="store_true", help="write hls/include/hw_spec.hpp instead of printing")
    args = parser.parse_args()
    text = cpp_header(load_config(args.config))
    if args.write:
        resource("hls", "include", "hw_spec.hpp").write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
