"""What the overlay takes of its device, block by block:  python -m pynq_qsnn.resources [--write]

Three kinds of numbers, never mixed without saying so (``Part.basis``):

counted         follows from the sizes of memories and the number of multipliers, nothing is left to a tool
open synthesis  results/tile_synthesis.json: yosys' count of one row of the multiplier array
estimate        a formula of the operators in the source; read it as +-25 %

No tool of the vendor has confirmed any of them. ``HardwareConfig`` refuses what its URAMs and DSPs rule out.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

from .hwspec import (
    ADDRESS_DSPS,
    CHANNEL_PARAMETERS,
    INSTRUCTION,
    RESOURCE_NAMES,
    URAM_BITS,
    URAM_WORDS,
    HardwareConfig,
    load_config,
    record_bits,
    uram_blocks,
)
from .paths import resource

REPORT = resource("results", "tile_synthesis.json")
DOCUMENT = resource("docs", "resources.md")
# Where the report is not at hand, as in a wheel: its values when this was written.
LAST_REPORT = {"dsp": 128, "lut": 4629, "srl": 1170, "lut_paired": 3013, "ff": 4055}
COLUMNS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram36": "BRAM36", "uram": "URAM"}
# Above this share of a resource, placing and routing is known to get hard.
CROWDED = 0.8
UNFIT = "By this estimate the design does not fit."

PARTS = 4  # kParts of hls/src/types.hpp: partial sums of a slot and lane that one clock can make
ACCUMULATOR = 32
ROW_SUM = 21  # kMacSumBits: a row's sum
INPUT = 36  # charge_t of hls/src/arithmetic.hpp
PRODUCT = 52  # wide_t
PARAMETERS = 112  # bits of a channel's parameters


@dataclass(frozen=True)
class Stream:
    """A FIFO between stages, as run_layer.cpp and top.cpp define it; ``depth`` is a constant of types.hpp."""

    name: str
    bits: int
    constant: str
    depth: int
    kind: str  # lutram, bram, or srl where no BIND_STORAGE says otherwise
    number: int = 1


@dataclass(frozen=True)
class Part:
    """``number`` equal pieces of a block; resources are of all of them together."""

    block: str
    name: str
    number: int
    basis: str
    formula: str
    lut: float = 0
    ff: float = 0
    dsp: float = 0
    bram36: float = 0
    uram: float = 0


# ---- what an operator takes


def adder(bits: int) -> int:
    """One LUT a bit; a first operand gated by a condition, or a third operand, fits the same LUT."""
    return bits


def mux(bits: int, ways: int) -> float:
    """A LUT6 chooses one of 4, or twice one of 2; F7 and F8 join two and four of them."""
    return bits * (0.5 if ways <= 2 else 2 ** max(0, math.ceil(math.log2(ways)) - 2))


def shifter(bits: int, places: int) -> int:
    """Stages of 4:1 multiplexers."""
    return bits * math.ceil(math.log2(places) / 2)


def lut_multiplier(a: int, b: int) -> int:
    """Rows of two partial products each, and the adders that join them."""
    rows = math.ceil(a / 2)
    return rows * (b + 2) + (rows - 1) * (b + 4)


def lutram(bits: int, depth: int) -> int:
    """RAM32M16 (14 bits in 8 LUTs) and RAM32M (6 bits in 4); half as many bits a LUT for 64 words."""
    if depth > 32:
        return math.ceil(depth / 64) * 8 * math.ceil(bits / 7)
    whole, rest = divmod(bits, 14)
    return 8 * whole + (0 if rest == 0 else 4 if rest <= 6 else 8)


def bram36(bits: int, depth: int) -> float:
    """RAMB18E2 in simple dual port, counted in halves of a RAMB36E2."""
    width = next(
        w for w, words in ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 1 << 30)) if depth <= words
    )
    return math.ceil(bits / width) * math.ceil(depth / 16384) / 2


# ---- the design


def tile_report() -> tuple[dict[str, int], str]:
    """One row of the array after open synthesis, and where the numbers come from."""
    try:
        return json.loads(REPORT.read_text())["row"], "results/tile_synthesis.json"
    except (OSError, ValueError, KeyError):
        return LAST_REPORT, "a copy of results/tile_synthesis.json, which is not at hand"


def streams(config: HardwareConfig) -> list[Stream]:
    c = config
    codes, word = c.slots * c.output_lanes * 8, c.bus_bits
    request, command = 5 * 32 + 16 + 4 + 2 + 1, record_bits(INSTRUCTION) + 8 + 2 * 16 + 3 + 32
    tiles = c.weight_ring_beats // c.weight_tile_beats
    return [
        Stream("operands", c.slots * c.input_lanes * 8, "kOperandDepth", 32, "lutram"),
        Stream("held_weights", c.weight_beat_bits, "kHeldWeightDepth", 2 * c.weight_tile_beats, "lutram"),
        Stream(
            "partial_sums", c.slots * c.output_lanes * ACCUMULATOR, "kPartialSumDepth", c.block_groups, "lutram", PARTS
        ),
        Stream("current_residuals", codes, "kResidualDepth", c.block_groups, "lutram"),
        Stream("spike_residuals", codes, "kResidualDepth", c.block_groups, "lutram"),
        Stream("fired", codes, "kFiredDepth", 16, "srl"),
        Stream("logits", c.output_lanes * 32, "kLogitsDepth", 2, "srl"),
        Stream("even_requests", request, "kCommandDepth", 4, "srl"),
        Stream("odd_requests", request, "kCommandDepth", 4, "srl"),
        Stream("unpack_requests", request, "kCommandDepth", 4, "srl"),
        Stream("commands", command, "kCommandDepth", 4, "srl"),
        Stream("even_words", word, "kWeightWordDepth", 512, "bram"),
        Stream("odd_words", word, "kWeightWordDepth", 512, "bram"),
        Stream("parameters", word, "kParameterDepth", 1024, "bram"),
        Stream("occupancy", 1, "kTileTokens", tiles, "bram"),
        Stream("arrivals", 1, "kTileTokens", tiles, "bram"),
        Stream("entries", 129, "kLogDepth", 16, "srl"),
    ]


def _stream_part(stream: Stream) -> Part:
    size = f"{stream.bits} bits x {stream.depth}"
    name, n, bits = f"stream {stream.name}", stream.number, stream.bits
    if stream.kind == "bram":
        blocks = n * bram36(bits, stream.depth)
        return Part("streams", name, n, "counted", size, lut=n * 40, ff=n * 60, bram36=blocks)
    if stream.kind == "lutram":
        luts = n * (lutram(bits, stream.depth) + 20)
        return Part("streams", name, n, "counted", f"{size}, and its output register", lut=luts, ff=n * (bits + 20))
    luts = n * (bits * (0.5 if stream.depth <= 16 else 1) + 15)
    return Part("streams", name, n, "counted", f"{size}, shift registers", lut=luts, ff=n * 10)


def parts(config: HardwareConfig) -> list[Part]:
    """Everything in the bitstream."""
    c = config
    row, source = tile_report()
    share = c.slots * c.input_lanes / 64  # of the row that was synthesized: 4 slots, 16 input lanes, 4 output lanes
    rows = c.output_lanes // 4
    sums = c.slots * c.output_lanes  # of one part
    units = sums // 2  # scale units: two cycles for all slots
    lanes = c.slots * c.input_lanes
    low, high = row["lut_paired"], row["lut"] + row["srl"]
    found: list[Part] = []

    def part(block, name, number, formula, basis="estimate", **each):
        found.append(Part(block, name, number, basis, formula, **{k: number * v for k, v in each.items()}))

    # The array and what is around it
    part(
        "array", "rows of DSP48E2", rows,
        f"{source}: {low} to {high} LUT a row, the mean; DSP counted: slots / 2 x input lanes x output lanes in all",
        basis="open synthesis", lut=share * (low + high) / 2, ff=share * row["ff"], dsp=config.array_dsps / rows,
    )  # fmt: skip
    part("accumulate", "weights of a tile, twice", 2, "register bits of a tile", basis="counted",
         ff=c.output_lanes * c.input_lanes * 8)  # fmt: skip
    part("accumulate", "operands from row to row", rows - 1, "a register of all operands and the mode",
         basis="counted", ff=lanes * 8 + 2)  # fmt: skip
    part("accumulate", "a row's sums wait for the last row", max(0, rows - 2),
         f"{PARTS} parts x slots x 4 rows x {ROW_SUM} bits, two bits a LUT (SRL16)",
         lut=PARTS * c.slots * 4 * ROW_SUM / 2, ff=PARTS * c.slots * 4 * ROW_SUM)  # fmt: skip
    plane = ROW_SUM + 1
    part("accumulate", "bit planes to steps, lanes to tiles", sums,
         f"adders {plane} + {plane} + {plane + 2}; 4:1 of {plane + 3}, 4:1 of {plane + 1}, two gates of {ROW_SUM} bits",
         lut=2 * adder(plane) + adder(plane + 2) + mux(plane + 3, 4) + mux(plane + 1, 4) + mux(2 * ROW_SUM, 2),
         ff=PARTS * ROW_SUM + 3 * plane)  # fmt: skip
    part("accumulate", "accumulator memory", PARTS * sums, f"{ACCUMULATOR} bits x {c.block_groups}, LUTRAM",
         basis="counted", lut=lutram(ACCUMULATOR, c.block_groups), ff=ACCUMULATOR)  # fmt: skip
    part("accumulate", "accumulator adder", PARTS * sums, f"{ACCUMULATOR} bits; zero of the first tap in the same LUT",
         lut=adder(ACCUMULATOR), ff=ACCUMULATOR)  # fmt: skip
    part("accumulate", "counters and control", 1, "", lut=600, ff=800)

    # Integration
    part("integrate", "sums held", PARTS * sums, "a register of all parts", basis="counted", ff=ACCUMULATOR)
    part("integrate", "choice of a sum", units, f"one of {PARTS} parts and of 2 slots", lut=mux(32, 2 * PARTS), ff=32)
    part("integrate", "scale unit", units,
         f"half: adder {PRODUCT}; shift by 0..48 of {PRODUCT}; saturation 6; bias 33; two DSPs each, counted",
         lut=adder(PRODUCT) + shifter(PRODUCT, 49) + 6 + adder(33), ff=PRODUCT * 4 + 33, dsp=2)  # fmt: skip
    part("integrate", "residual unit, in LUTs", units,
         "multiplier 8 x 18; adder 27; shift by 0..25 of 27; zero 14; sum 36; code out of its byte 20",
         lut=lut_multiplier(8, 18) + adder(27) + shifter(27, 26) + 14 + adder(INPUT) + 20, ff=27 * 4 + 8)  # fmt: skip
    part("integrate", "residual bytes held", 2 * sums, "two output tiles, one chosen", lut=mux(8, 2) / 2, ff=8)
    part("integrate", "rounding halves of a lane", c.output_lanes, "decoders of 49 and 26 places", lut=50 + 26, ff=76)
    part("integrate", "charge, fire, reset", sums,
         f"leak: shift by 0..31 of 32; v - leak + u: {INPUT + 1}; saturation 35; fire 20; reset 32; choice of v 32",
         lut=shifter(32, 32) + INPUT + 1 + 35 + 20 + 32 + mux(32, 3), ff=INPUT + 32 + 8)  # fmt: skip
    part("integrate", "membranes", 2 * sums, "registers, two output tiles", basis="counted", ff=32)
    part("integrate", "logits", c.output_lanes, "sum of 32 bits; two tiles", lut=adder(32) + mux(32, 2), ff=3 * 32)
    part("integrate", "channel parameters", c.output_lanes,
         f"{PARAMETERS} bits x {c.maximum_channels // c.output_lanes}, LUTRAM", basis="counted",
         lut=lutram(PARAMETERS, c.maximum_channels // c.output_lanes), ff=PARAMETERS)  # fmt: skip
    part("integrate", "counters and control", 1, "", lut=500, ff=700)

    # Activations in and out
    extract = mux(c.bus_bits, c.activation_banks) + c.input_lanes * (shifter(8, 8) + 4)
    address = mux(16, c.activation_banks) + 3 * 16 + 2 * 32
    part("feed", "gather", c.slots, f"1 of {c.activation_banks} banks; 16 x (shift 16, mask 4); addresses, limits",
         lut=extract + address, ff=2 * c.bus_bits + 3 * 32)  # fmt: skip
    part("feed", "operand and residual", 1, "registers of both tokens", basis="counted", ff=lanes * 8 + sums * 8)
    part("feed", "counters and control", 1, "", lut=900, ff=1200)
    part("store", "residual of a code", sums, "code out of its byte 20; sum 9; limit 8; choice 8", lut=45, ff=2 * 8 + 8)
    part("store", "code into its train", sums, "shift by 0..7 of 8; or 8; tile 4", lut=shifter(8, 8) + 12, ff=2 * 8 + 8)
    maxima = 2 * (c.slots // 2) * (c.output_lanes // c.input_lanes) * c.input_lanes
    part("store", "maximum of two bytes", maxima, "compared at 4 widths: 22; choice 15", lut=37, ff=8)
    part("store", "words of a first row", c.slots * c.output_lanes // c.input_lanes,
         f"{c.bus_bits} bits x {c.maximum_steps}, LUTRAM", basis="counted", lut=lutram(c.bus_bits, c.maximum_steps),
         ff=c.bus_bits)  # fmt: skip
    part("store", "word of a bank", c.activation_banks, "one of 4", lut=mux(c.bus_bits, 4), ff=c.bus_bits)
    part("store", "counters, addresses, logits", 1, "", lut=1300, ff=1600)
    part("pool", "gather", c.slots, "as in feed", lut=extract + address, ff=2 * c.bus_bits + 3 * 32)
    part("pool", "a lane of a slot", lanes,
         "maximum 37; sum 18; choice 27; rounding 19; shift by 0..16 of 19; place 20",
         lut=37 + adder(18) + mux(18, 2) + 18 + adder(19) + shifter(19, 17) + 20, ff=18 + 19 + 3 * 8)  # fmt: skip
    part("pool", "counters and control", 1, "", lut=800, ff=1000)

    # Weights, program, time
    part("weights", "unpack a byte of a beat", c.weight_beat_bits // 8,
         "4 widths of storage: 8:1, 4:1, 2:1 of their bits 13; choice 12", lut=25, ff=8 + 8)  # fmt: skip
    part("weights", "read, unpack, hold: control", 1, "", lut=1300, ff=1800)
    part("control", "fetch, check and two dividers", 1, "", lut=3500, ff=4500)
    part("control", "execute, receive, load, save, log", 1, "", lut=1600, ff=2000)
    part("control", "address products and limits", 1,
         "products of geometry in feed, pool, store, fetch and the loop limits", dsp=ADDRESS_DSPS)  # fmt: skip
    part("control", "s_axilite registers", 1, "", lut=600, ff=1000)
    part("control", "AXI master, weights", 2, "reads: 8 bursts of 256 words", lut=800, ff=1300,
         bram36=bram36(c.bus_bits, 2048))  # fmt: skip
    part("control", "AXI master, spill", 1, "reads and writes: 4 bursts of 256 words each", lut=1400, ff=2200,
         bram36=2 * bram36(c.bus_bits, 1024))  # fmt: skip
    part("control", "AXI master, program and log", 2, "2 bursts of 16 words, LUTRAM", lut=900, ff=1200)
    found.extend(_stream_part(stream) for stream in streams(config))

    # Around the kernel
    banks = uram_blocks(c.activation_bank_words, c.bus_bits)
    part("memories", "activation bank", c.activation_banks, f"{c.activation_bank_words} x {c.bus_bits} bit",
         basis="counted", uram=banks, lut=10, ff=2 * c.bus_bits)  # fmt: skip
    part("memories", "weight ring", 1, f"{c.weight_ring_beats} x {c.weight_beat_bits} bit", basis="counted",
         uram=uram_blocks(c.weight_ring_beats, c.weight_beat_bits), lut=10, ff=2 * c.weight_beat_bits)  # fmt: skip
    part("system", "AXI DMA", 1, "both directions, 128 bits, no scatter-gather", lut=2000, ff=3000, bram36=6)
    part("system", "SmartConnects", 1, "5:1 and two 1:1 of 128 bits, 1:3 of registers", lut=9000, ff=11000)
    part("system", "interrupts, reset, counter", 1, "", lut=400, ff=500)
    return found


@dataclass(frozen=True)
class Row:
    """Sums of a block."""

    block: str
    basis: tuple[str, ...]
    amounts: dict[str, float]


def blocks(config: HardwareConfig) -> list[Row]:
    every = parts(config)
    rows = []
    for name in dict.fromkeys(part.block for part in every):
        own = [part for part in every if part.block == name]
        basis = tuple(dict.fromkeys(part.basis for part in own))
        rows.append(Row(name, basis, {key: sum(getattr(part, key) for part in own) for key in COLUMNS}))
    return rows


def totals(config: HardwareConfig) -> dict[str, float]:
    return {key: sum(row.amounts[key] for row in blocks(config)) for key in COLUMNS}


def notes(config: HardwareConfig) -> list[str]:
    """What is full, or nearly so."""
    found = []
    for key, amount in totals(config).items():
        limit, title = config.resources[key], COLUMNS[key]
        share = amount / limit
        if share > 1:
            found.append(f"{title}: {_number(amount)} of {_number(limit)} ({share:.0%}). {UNFIT}")
        elif share > CROWDED:
            found.append(f"{title}: {_number(amount)} of {_number(limit)} ({share:.0%}), above {CROWDED:.0%}.")
    return found


# ---- text


def _number(value: float) -> str:
    return f"{value:.1f}" if value % 1 == 0.5 and value < 100 else f"{round(value):,}"  # halves of a block RAM


def _cells(amounts: dict[str, float]) -> str:
    return " | ".join(_number(amounts[key]) if amounts[key] else "-" for key in COLUMNS)


def table(config: HardwareConfig) -> str:
    """Markdown table of the blocks, their sum and the device."""
    head = " | ".join(COLUMNS.values())
    lines = [f"| block | {head} | basis |", "|---|" + "---:|" * len(COLUMNS) + "---|"]
    lines += [f"| {row.block} | {_cells(row.amounts)} | {', '.join(row.basis)} |" for row in blocks(config)]
    amounts, limits = totals(config), config.resources
    shares = " | ".join(f"{amounts[key] / limits[key]:.0%}" for key in COLUMNS)
    lines += [
        f"| **sum** | {_cells(amounts)} | |",
        f"| {config.part} | {_cells(limits)} | |",
        f"| share | {shares} | |",
    ]
    return "\n".join(lines)


def document(config: HardwareConfig) -> str:
    """Text of docs/resources.md."""
    c = config
    warnings = "\n".join(f"- {note}" for note in notes(c)) or f"- Nothing is above {CROWDED:.0%}."
    titles, rule = " | ".join(COLUMNS.values()), "---:|" * len(COLUMNS)
    text = f"""\
# Resources of the overlay

<!-- GENERATED by `python -m pynq_qsnn.resources --write`; a test compares this file. -->

> **No tool of the vendor has run.** Counted numbers follow from sizes; a row of the array was counted by an open
> synthesis (yosys); the rest are estimates of the operators in the source, to be read as +-25 %, until a report of
> Vivado replaces them. Placing and routing are unproven.

`{c.name}`: {c.slots} slots, {c.input_lanes} input lanes, {c.output_lanes} output lanes; {c.macs_per_cycle:,} \
multiply-accumulates a clock in mode MULTIPLY8.

{table(c)}

What is full, or nearly so:

{warnings}

A config.json is refused when its URAMs (counted) or its DSPs (counted, and the address products estimated) exceed
`resources`. LUTs, flip-flops and block RAMs are reported here and refuse nothing.

## How each number comes about

An adder takes a LUT a bit; a multiplexer half a LUT a bit for 2 ways, one for 4, two for 8; a shifter a LUT a bit for
each two bits of its distance; a memory of 32 words 8 LUTs for 14 bits, of 64 words 8 LUTs for 7 bits; a URAM holds
{URAM_WORDS} x {URAM_BITS} bit. Numbers are of all pieces of a line together, formulas of one piece.

| block | part | pieces | {titles} | basis | formula |
|---|---|---:|{rule}---|---|
"""
    lines = []
    for part in parts(config):
        amounts = {key: getattr(part, key) for key in COLUMNS}
        cells = f"{part.block} | {part.name} | {part.number} | {_cells(amounts)} | {part.basis} | {part.formula}"
        lines.append(f"| {cells} |")
    return text + "\n".join([*lines, ""])


def main() -> None:
    """Print the table, or write docs/resources.md."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--config", help="overlay config.json (default: the KV260's)")
    parser.add_argument("--write", action="store_true", help="write docs/resources.md instead of printing")
    args = parser.parse_args()
    config = load_config(args.config)
    if args.write:
        Path(DOCUMENT).write_text(document(config))
        return
    print(table(config))
    for note in notes(config):
        print(note)


assert set(COLUMNS) == set(RESOURCE_NAMES) and record_bits(CHANNEL_PARAMETERS) == PARAMETERS

if __name__ == "__main__":
    main()
