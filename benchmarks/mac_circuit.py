"""What switches in a clock of mac.v, synthesized for given widths (yosys) and simulated on random operands (Icarus).

`measure` does all of it. The netlist has to give every sum that Python computes.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from pynq_qsnn.errors import QsnnError, ToolMissing

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "hls" / "rtl"))

import synth  # noqa: E402

SOURCE, TOP = "mac.v", "mac"
FAN_IN = 256  # products in a sum
WIDE_SUM_BITS = 24  # holds FAN_IN products of 8-bit weights and 8-bit codes
WARM_CLOCKS = 4  # until no register is unknown
FIRING_RATE = 0.25
# How a transition travels. Local: the fixed wires of a slice, (cell, pin, driver). All else, a flip-flop's D behind a
# port as well, is reached through the routing.
CONNECTIONS = ("routed", "local", "clock")
LOCAL = {
    ("CARRY4", "S", "LUT"),
    ("CARRY4", "DI", "LUT"),
    ("CARRY4", "CI", "CARRY4"),
    ("FDRE", "D", "LUT"),
    ("FDRE", "D", "CARRY4"),
}


class WrongNetlist(QsnnError):
    """A synthesized circuit does not compute what it should."""


@dataclass(frozen=True)
class Setting:
    """Width of the sum's register (24 bits, or what FAN_IN products need), operands, delays of cells (glitches)."""

    fitted_sum: bool = False
    dense: bool = False
    delays: bool = True
    seed: int = 0


def measure(weight_bits: int, spike_bits: int, setting: Setting, clocks: int) -> dict:
    """Cells of one multiply-accumulate and its transitions a clock, by connection. clocks: a multiple of FAN_IN.

    Raises ToolMissing; WrongNetlist when a sum is not Python's.
    """
    sum_bits = needed_bits(weight_bits, spike_bits) if setting.fitted_sum else WIDE_SUM_BITS
    module, verilog = netlist(weight_bits, spike_bits, sum_bits)
    weights, codes = operands(weight_bits, spike_bits, setting.dense, clocks, setting.seed)
    rates = simulate(module, verilog, weights, codes, setting.delays)
    cells = synth.count(module["cells"])
    return {
        "weight_bits": weight_bits,
        "spike_bits": spike_bits,
        "sum_bits": sum_bits,
        "cells": {name: cells[name] for name in ("lut", "ff", "carry8")},
        "transitions": {name: round(rate, 4) for name, rate in by_connection(module, rates).items()},
    }


def need(tool: str) -> str:
    """Path of a program. Raises ToolMissing."""
    if (found := shutil.which(tool)) is None:
        raise ToolMissing(f"{tool} is not on the PATH; apt-get install yosys iverilog")
    return found


# ---- circuit ---------------------------------------------------------------------------------------------------------
def largest_weight(bits: int) -> int:
    """Weights are symmetric: -1 and 1 of one bit, ternary of two, else up to 2^(bits - 1) - 1."""
    return max(1, 2 ** (bits - 1) - 1)


def needed_bits(weight_bits: int, spike_bits: int) -> int:
    """Of a signed sum of FAN_IN products."""
    return (FAN_IN * largest_weight(weight_bits) * (2**spike_bits - 1)).bit_length() + 1


def script(weight_bits, spike_bits, sum_bits) -> str:
    """For yosys. Nets become single bits with public names, so that its JSON and its Verilog agree on them."""
    widths = f"-set WEIGHT_BITS {weight_bits} -set SPIKE_BITS {spike_bits} -set SUM_BITS {sum_bits}"
    mapped = f"{synth.SYNTHESIZE.format(top=TOP)} -nodsp"
    named = "splitnets -ports -format _; clean -purge; rename -enumerate -pattern n%"
    return f"read_verilog {SOURCE}; chparam {widths} {TOP}; {mapped}; {named}"


@lru_cache
def netlist(weight_bits: int, spike_bits: int, sum_bits: int) -> tuple[dict, str]:
    """The synthesized circuit: as yosys' JSON, and as Verilog with the same names."""
    need("yosys")
    with tempfile.TemporaryDirectory() as folder:
        verilog = Path(folder) / "netlist.v"
        steps = f"{script(weight_bits, spike_bits, sum_bits)}; write_verilog -noattr {verilog}"
        return synth.synthesize(steps, TOP, folder=HERE), verilog.read_text()


# ---- operands and what they should give ------------------------------------------------------------------------------
def operands(weight_bits: int, spike_bits: int, dense: bool, clocks: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(weights, codes), int64 [clocks]. Weights: uniform over their levels. Codes: uniform over theirs where dense;
    else zero but for FIRING_RATE of them, and those uniform over 1 to 2^spike_bits - 1.
    """
    generator = np.random.default_rng((seed, weight_bits, spike_bits))
    most = largest_weight(weight_bits)
    weights = generator.choice([-1, 1], clocks) if weight_bits == 1 else generator.integers(-most, most + 1, clocks)
    if dense:
        return weights, generator.integers(0, 2**spike_bits, clocks)
    return weights, generator.integers(1, 2**spike_bits, clocks) * (generator.random(clocks) < FIRING_RATE)


def running_sums(weights: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """int64 [clocks]: the sum after each product, begun anew every FAN_IN clocks."""
    return np.cumsum((weights * codes).reshape(-1, FAN_IN), axis=1).reshape(-1)


# ---- simulation ------------------------------------------------------------------------------------------------------
BENCH = """\
`timescale 1ps / 1ps
module bench;
  reg clk = 0;
  reg [{item_bits}-1:0] item = 0;
  reg [{item_bits}-1:0] items[0:{clocks}-1];
  wire signed [{sum_bits}-1:0] sum;
  integer i, sums;
  mac mac ({connections});
  always #10000 clk = !clk;
  initial begin
    $readmemb("items.txt", items);
    $dumpfile("mac.vcd");
    sums = $fopen("sums.txt");
    for (i = 0; i < {clocks}; i = i + 1) begin
      @(negedge clk) $fdisplay(sums, "%0d", sum);
      if (i == {warm}) begin
        $dumpvars(1, mac);
        #1;  // so that the first values of the dump are those before the next item
      end
      item = items[i];
    end
    @(negedge clk) $fdisplay(sums, "%0d", sum);
    $finish;
  end
endmodule
"""


def simulate(module: dict, verilog: str, weights: np.ndarray, codes: np.ndarray, delays: bool) -> dict[int, float]:
    """Transitions a clock of every net, by yosys' number of its bit; the first WARM_CLOCKS do not count.

    weights, codes: int64 [clocks]. Raises ToolMissing; WrongNetlist unless every sum is that of `running_sums`.
    """
    weight_bits, spike_bits, sum_bits = (len(bits_of(module, port)) for port in ("weight", "spike", "sum"))
    inputs = [*bits_of(module, "spike"), *bits_of(module, "weight"), "first"]  # an item, lowest bit first
    wires = [".clk(clk)", *(f".{name}(item[{i}])" for i, name in enumerate(inputs))]
    wires += [f".{name}(sum[{i}])" for i, name in enumerate(bits_of(module, "sum"))]
    first = np.arange(len(weights)) % FAN_IN == 0
    patterns = (weights > 0) if weight_bits == 1 else weights % 2**weight_bits
    items = (first << (weight_bits + spike_bits)) | (patterns << spike_bits) | codes
    bench = BENCH.format(
        item_bits=len(inputs), sum_bits=sum_bits, clocks=len(items), warm=WARM_CLOCKS, connections=", ".join(wires)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "items.txt").write_text("".join(f"{item:b}\n" for item in items.tolist()))
        for file, text in (("bench.v", bench), ("netlist.v", verilog), ("cells.v", cell_models())):
            (folder / file).write_text(text)
        timing = "-gspecify" if delays else "-gno-specify"
        command = [need("iverilog"), "-g2012", timing, "-o", "mac.vvp", "-s", "bench"]
        command += ["bench.v", "netlist.v", "cells.v"]
        subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL)  # warnings of cells without use
        subprocess.run([need("vvp"), "-n", "mac.vvp"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        sums = (folder / "sums.txt").read_text().split()[2:]  # an item takes two clocks to the sum
        expected = [str(value) for value in running_sums(weights, codes).tolist()[: len(sums)]]
        if sums != expected:
            at = next(i for i, (found, right) in enumerate(zip(sums, expected)) if found != right)
            values = f"after {at} products the sum is {sums[at]}, must be {expected[at]}"
            raise WrongNetlist(f"{weight_bits}/{spike_bits} bits: {values}; mac.v or its synthesis is wrong")
        counts = transitions((folder / "mac.vcd").read_text())
    nets = {net["bits"][0]: name for name, net in module["netnames"].items()}
    return {bit: counts[name] / (len(items) - WARM_CLOCKS) for bit, name in nets.items()}


def bits_of(module: dict, port: str) -> list[str]:
    """Names that `splitnets` gave the bits of a port, lowest first; a port of one bit keeps its name."""
    found = [name for name in module["ports"] if re.fullmatch(rf"{port}(_\d+)?", name)]
    return sorted(found, key=lambda name: int(name[len(port) + 1 :] or 0))


@lru_cache
def cell_models() -> str:
    """yosys' own, with the delays of Artix-7 that it has; of CARRY4 none, as Icarus knows no delays of single bits."""
    path = Path(need("yosys")).resolve().parents[1] / "share" / "yosys" / "xilinx" / "cells_sim.v"
    if not path.is_file():
        raise ToolMissing(f"{path}, which comes with yosys, is not there; apt-get install yosys")
    return re.sub(r"(module CARRY4\b.*?)specify.*?endspecify", r"\1", path.read_text(), count=1, flags=re.DOTALL)


def transitions(vcd: str) -> dict[str, int]:
    """Of each variable of a value change dump of single bits, after the values with which it begins.

    A value that is written again is none: it changed and changed back within one moment.
    """
    head, _, body = vcd.partition("$dumpvars")
    found, value = Counter(), {}
    for change in body.split():
        level, identifier = change[0], change[1:]
        if level in "#$":
            continue
        if level not in "01":
            raise WrongNetlist(f"{change!r} in the simulation: a net is neither 0 nor 1 after {WARM_CLOCKS} clocks")
        if value.setdefault(identifier, level) != level:
            value[identifier] = level
            found[identifier] += 1
    variables = re.findall(r"\$var wire 1 (\S+) (\S+) \$end", head)
    return {name: found[identifier] for identifier, name in variables}


def by_connection(module: dict, rates: dict[int, float]) -> dict[str, float]:
    """Transitions a clock at the inputs of cells, by the way that they come (CONNECTIONS)."""
    pins = [
        ("LUT" if cell["type"].startswith(("LUT", "INV")) else cell["type"], pin, bit, cell["port_directions"][pin])
        for cell in module["cells"].values()
        for pin, bits in cell["connections"].items()
        for bit in bits
        if isinstance(bit, int)  # not a constant
    ]
    drivers = {bit: cell for cell, _, bit, direction in pins if direction == "output"}
    total = dict.fromkeys(CONNECTIONS, 0.0)
    for cell, pin, bit, direction in pins:
        if direction == "input":
            local = (cell, pin, drivers.get(bit)) in LOCAL
            total["clock" if pin == "C" else "local" if local else "routed"] += rates[bit]
    return total
