"""What the overlay takes of its device, block by block:  python -m pynq_qsnn.resources [--write]

Three kinds of numbers, never mixed without saying so (``Part.basis``):

counted         follows from the sizes of memories and the number of multipliers, nothing is left to a tool
open synthesis  results/tile_synthesis.json: yosys' count of one row of the multiplier array
estimate        a formula of the operators in the source; read it as +-25 %

No tool of the vendor has confirmed any of them. ``HardwareConfig`` refuses what cannot fit: see ``excess``.
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
LAST_REPORT = {"dsp": 128, "lut": 2819, "srl": 1082, "lut_paired": 2016, "ff": 4395}
COLUMNS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram36": "BRAM36", "uram": "URAM"}
ERROR = 0.25  # of an estimate, either way
# Above this share of a resource, placing and routing is known to get hard.
CROWDED = 0.8
UNFIT = "By this estimate the design does not fit."

NARROW_PARTS = 3  # kNarrowParts of hls/src/types.hpp: sums of a slot and lane beside the first
PARTS = 1 + NARROW_PARTS
ACCUMULATOR, NARROW = 32, 22  # bits of part 0, of the others: kNarrowBits
SPIKES = 15  # spikes_t: a count of set bits for each part and slot
ROW_SUM, NARROW_ROW_SUM = 21, 13  # a row's sums: kMacSumBits and kMacNarrowBits of hls/src/qsnn_mac_row.hpp
PASS_TILES = 2  # kPassTiles: output tiles of an array pass
CURRENT = 33  # current_t of hls/src/arithmetic.hpp
INPUT = 36  # charge_t
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
    sums, word = c.slots * c.output_lanes, c.bus_bits
    request, command = 5 * 32 + 16 + 4 + 2 + 1, record_bits(INSTRUCTION) + 8 + 2 * 16 + 3 + 32
    tiles = c.weight_ring_beats // c.weight_tile_beats
    return [
        Stream("operands", c.slots * c.input_lanes * 8, "kOperandDepth", 32, "lutram"),
        Stream("held_weights", c.weight_beat_bits, "kHeldWeightDepth", 2 * c.weight_tile_beats, "lutram"),
        Stream("partial_sums", sums * ACCUMULATOR, "kPartialSumDepth", c.block_groups, "lutram"),
        Stream("narrow_sums", sums * NARROW, "kPartialSumDepth", c.block_groups, "lutram", NARROW_PARTS),
        Stream("spike_counts", PARTS * c.slots * SPIKES, "kPartialSumDepth", c.block_groups, "lutram"),
        Stream("current_residuals", sums * 8, "kResidualDepth", c.block_groups, "lutram"),
        Stream("spike_residuals", sums * 8, "kResidualDepth", c.block_groups, "lutram"),
        Stream("fired", c.output_lanes * 8, "kFiredDepth", 16, "srl"),
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
    units = c.output_lanes  # scale units, and all else that takes a slot a clock
    counts = PARTS * c.slots
    lanes = c.slots * c.input_lanes
    tiles, halves = c.maximum_channels // c.output_lanes, c.output_lanes // c.input_lanes
    low, high = row["lut_paired"], row["lut"] + row["srl"]
    found: list[Part] = []

    def part(block, name, number, formula, basis="estimate", **each):
        found.append(Part(block, name, number, basis, formula, **{k: number * v for k, v in each.items()}))

    # The array and what is around it
    part(
        "array", "rows of DSP48E2", rows,
        f"{source}: {low} to {high} LUT a row, their mean; DSP counted: slots / 2 x input lanes x output lanes in all",
        basis="open synthesis", lut=share * (low + high) / 2, ff=share * row["ff"], dsp=config.array_dsps / rows,
    )  # fmt: skip
    part("accumulate", "weights of a tile, twice", 2, "register bits of a tile", basis="counted",
         ff=c.output_lanes * c.input_lanes * 8)  # fmt: skip
    part("accumulate", "operands from row to row", rows - 1, "a register of all operands and the mode",
         basis="counted", ff=lanes * 8 + 2)  # fmt: skip
    waiting = c.slots * 4 * (ROW_SUM + NARROW_PARTS * NARROW_ROW_SUM)
    part("accumulate", "a row's sums wait for the last row", max(0, rows - 2),
         f"slots x 4 rows x ({ROW_SUM} + {NARROW_PARTS} x {NARROW_ROW_SUM}) bits, two bits a LUT (SRL16)",
         lut=waiting / 2, ff=waiting)  # fmt: skip
    for name, bits, number in (
        ("sums of part 0", ACCUMULATOR, sums),
        ("sums of the narrow parts", NARROW, NARROW_PARTS * sums),
        ("counts of spikes", SPIKES, counts),
    ):
        part("accumulate", f"memory: {name}", number, f"{bits} bits x {c.block_groups}, LUTRAM", basis="counted",
             lut=lutram(bits, c.block_groups), ff=bits)  # fmt: skip
        part("accumulate", f"adder: {name}", number, f"{bits} bits; zero of the first tap in the same LUT",
             lut=adder(bits), ff=bits)  # fmt: skip
    part("accumulate", "set bits of 16 lanes", counts, "three 6:3 counters 9, their sum 8", lut=17, ff=9 + 5)
    part("accumulate", "counters and control", 1, "", lut=600, ff=800)

    # Integration: a slot a clock
    held = ACCUMULATOR + NARROW_PARTS * NARROW
    part("integrate", "sums held", sums, f"registers of all parts: {ACCUMULATOR} + {NARROW_PARTS} x {NARROW} bits",
         basis="counted", ff=held)  # fmt: skip
    part("integrate", "counts held", counts, "registers", basis="counted", ff=SPIKES)
    part("integrate", "sums of the slot", units, f"one of {c.slots}, {held} bits", lut=mux(held, c.slots), ff=held)
    part("integrate", "counts of the slot", PARTS, f"one of {c.slots}, {SPIKES} bits; choice and sum of two",
         lut=mux(SPIKES, c.slots) + mux(SPIKES, 2) + adder(SPIKES) / 2, ff=SPIKES + 10)  # fmt: skip
    part("integrate", "complete sum", units,
         f"first: one of 4 parts and of 2 lanes; second: 2:1 of {NARROW + 1}, gated; first + second - bias 32",
         lut=mux(32, 6) + NARROW + 1 + adder(32), ff=32 + NARROW + 1 + 32)  # fmt: skip
    part("integrate", "scale unit", units,
         f"sum or residual: operand 32, multiplier 18, shift 6; shift by 0..48 of {PRODUCT}; saturation 6; carry 8; "
         f"bias {CURRENT}, the gate in the same LUT; two DSPs each, counted",
         lut=mux(32 + 18 + 6, 2) + shifter(PRODUCT, 49) + 6 + 8 + adder(CURRENT),
         ff=PRODUCT * 4 + CURRENT, dsp=2)  # fmt: skip
    part("integrate", "current of the residual", units, f"register; sum {INPUT}, the gate in the same LUT",
         lut=adder(INPUT), ff=CURRENT + INPUT)  # fmt: skip
    part("integrate", "residual bytes held", PASS_TILES * sums, "registers, two output tiles", basis="counted", ff=8)
    part("integrate", "code of the residual", units, f"one of {PASS_TILES * c.slots} bytes; code out of its byte 20",
         lut=mux(8, PASS_TILES * c.slots) + 20, ff=2 * 8)  # fmt: skip
    part("integrate", "charge, fire, reset", units,
         f"leak: shift by 0..31 of 32; v - leak + u: {INPUT + 1}; saturation 35; fire 20; reset 32; choice of v 16",
         lut=shifter(32, 32) + INPUT + 1 + 35 + 20 + 32 + mux(32, 2), ff=INPUT + 32 + 8)  # fmt: skip
    part("integrate", "membranes", units, f"32 bits x {PASS_TILES * c.slots}, LUTRAM", basis="counted",
         lut=lutram(32, PASS_TILES * c.slots), ff=32)  # fmt: skip
    part("integrate", "logits", c.output_lanes, "sum of 32 bits; two tiles", lut=adder(32) + mux(32, 2), ff=3 * 32)
    part("integrate", "channel parameters", units, f"{PARAMETERS} bits x {tiles}, block RAM", basis="counted",
         bram36=bram36(PARAMETERS, tiles))  # fmt: skip
    part("integrate", "parameters wait for their use", units, "bias, initial membrane, shift: two bits a LUT (SRL16)",
         lut=(32 + 32 + 6) / 2, ff=32 + 32 + 6)  # fmt: skip
    part("integrate", "counters and control", 1, "", lut=500, ff=700)

    # Activations in and out
    extract = mux(c.bus_bits, c.activation_banks) + c.input_lanes * (shifter(8, 8) + 4)
    address = mux(16, c.activation_banks) + 3 * 16 + 2 * 32
    part("feed", "gather", c.slots, f"1 of {c.activation_banks} banks; 16 x (shift 16, mask 4); addresses, limits",
         lut=extract + address, ff=2 * c.bus_bits + 3 * 32)  # fmt: skip
    part("feed", "operand and residual", 1, "registers of both tokens", basis="counted", ff=lanes * 8 + sums * 8)
    part("feed", "counters and control", 1, "", lut=900, ff=1200)
    ways, pairs = PASS_TILES * c.slots, c.slots // 2
    part("store", "residual bytes held", PASS_TILES * sums, "registers, two output tiles", basis="counted", ff=8)
    part("store", "residual of a code", c.output_lanes,
         f"one of {ways} bytes; code out of its byte 20; sum 9; limit 8; choice 8",
         lut=mux(8, ways) + 45, ff=2 * 8 + 8)  # fmt: skip
    part("store", "trains held", PASS_TILES * sums, "registers, two output tiles", basis="counted", ff=8)
    part("store", "code into its train", c.output_lanes, f"shift by 0..7 of 8; one of {ways} trains; or 8",
         lut=shifter(8, 8) + mux(8, ways) + 8, ff=2 * 8)  # fmt: skip
    part("store", "maximum of two bytes", 2 * c.output_lanes, "compared at 4 widths: 22; choice 15", lut=37, ff=8)
    part("store", "bytes of the first column and row", 2 * c.output_lanes, f"one of {PASS_TILES * pairs}",
         lut=mux(8, PASS_TILES * pairs), ff=8)  # fmt: skip
    part("store", "words of a first row", PASS_TILES * halves * pairs,
         f"{c.bus_bits} bits x {c.maximum_steps}, LUTRAM", basis="counted", lut=lutram(c.bus_bits, c.maximum_steps),
         ff=c.bus_bits)  # fmt: skip
    part("store", "word of a half", halves, "train or maximum; register", lut=mux(c.bus_bits, 2), ff=c.bus_bits)
    part("store", "word of a bank", c.activation_banks, "one of 2", lut=mux(c.bus_bits, 2), ff=c.bus_bits)
    part("store", "counters, addresses, logits", 1, "", lut=1300, ff=1600)
    part("pool", "read a pixel", 1, "as a slot of feed", lut=extract + address, ff=2 * c.bus_bits + 3 * 32)
    part("pool", "a lane", c.input_lanes,
         "maximum 37; sum 17; choice 17; shift by 0..16 of 18; rounding 8; choice 8; place 16; "
         f"one of {c.slots} trains; or 8",
         lut=37 + adder(17) + mux(17, 2) + shifter(18, 17) + adder(8) + mux(8, 2) + shifter(8, 8) + mux(8, c.slots) + 8,
         ff=17 + 18 + 3 * 8)  # fmt: skip
    part("pool", "trains held", c.slots, "registers", basis="counted", ff=c.bus_bits)
    part("pool", "word of a bank", 1, "register", basis="counted", ff=c.bus_bits)
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


def least(config: HardwareConfig) -> dict[str, float]:
    """Totals if every estimate of LUTs and flip-flops were too high by ``ERROR``."""

    def share(part: Part, key: str) -> float:
        return 1 - ERROR if part.basis == "estimate" and key in ("lut", "ff") else 1

    every = parts(config)
    return {key: sum(getattr(part, key) * share(part, key) for part in every) for key in COLUMNS}


def excess(config: HardwareConfig) -> list[str]:
    """Why the config is refused: URAM, DSP or BRAM36 exceed the device, or even ``least`` does in LUT or FF."""
    found = []
    amounts, low = totals(config), least(config)
    for key, title in COLUMNS.items():
        limit = config.resources[key]
        if low[key] <= limit:
            continue
        text = f"{_number(amounts[key])} {title}, the device has {_number(limit)}"
        if key in ("lut", "ff"):
            text += f", and {_number(low[key])} are left if every estimate is {ERROR:.0%} too high"
        found.append(text)
    return found


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
    low = least(c)
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

A config.json is refused when its URAMs, DSPs or block RAMs exceed `resources`, or when its LUTs or flip-flops exceed
them even if every estimate is {ERROR:.0%} too high: {1 - ERROR:.2f} x the estimated part + the rest (counted, and \
the array of
open synthesis) is {_number(low["lut"])} LUT and {_number(low["ff"])} FF here.

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
