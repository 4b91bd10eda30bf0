"""Open synthesis of one row of the multiplier array: yosys counts its cells, results/tile_synthesis.json keeps them.

    python synth.py [--yosys yosys] [--output FILE]

The report has the hash of every Verilog file it was made from; a test compares them with the files in the tree.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parents[1] / "results" / "tile_synthesis.json"
TOP = "qsnn_mac_row"
SOURCES = ("qsnn_mac_row.v", "mac_row.v", "mac_chain.v", "mac_delay.v")
ARRAY_ROWS = 8
SYNTHESIZE = "synth_xilinx -family xcup -top {top} -flatten -noiopad -noclkbuf -nowidelut"
NOTE = (
    "open synthesis, not place and route. lut: LUT1 to LUT6 and inverters, one each, which is an upper bound: two "
    "functions that share five inputs fit one LUT6. lut_paired: the lower bound, all LUTs of up to five inputs sharing "
    "a LUT6 and two SRL16 a LUT, shift registers included. carry8: chains of CARRY4 as CARRY8."
)


def source_hashes(folder: Path = HERE, names: tuple[str, ...] = SOURCES) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def synthesize(script: str, top: str, folder: Path = HERE, yosys: str = "yosys") -> dict:
    """Cells, ports and nets of `top` after a yosys script that runs in `folder` and ends with one flat module."""
    with tempfile.TemporaryDirectory() as temporary:
        netlist = Path(temporary) / "netlist.json"
        subprocess.run([yosys, "-q", "-p", f"{script}; write_json {netlist}"], cwd=folder, check=True)
        return json.loads(netlist.read_text())["modules"][top]


def version(yosys: str = "yosys") -> str:
    return subprocess.run([yosys, "-V"], capture_output=True, text=True, check=True).stdout.strip()


def carry8_count(cells: dict) -> int:
    """A chain of n CARRY4 takes ceil(n / 2) CARRY8."""
    carries = [cell["connections"] for cell in cells.values() if cell["type"] == "CARRY4"]
    following = {carry["CI"][0]: carry for carry in carries if isinstance(carry["CI"][0], int)}
    total = 0
    for carry in carries:
        if isinstance(carry["CI"][0], int):
            continue  # not the first of its chain
        length = 1
        while (carry := following.get(carry["CO"][3])) is not None:
            length += 1
        total += (length + 1) // 2
    return total


def count(cells: dict) -> dict[str, int]:
    types: dict[str, int] = {}
    for cell in cells.values():
        types[cell["type"]] = types.get(cell["type"], 0) + 1
    known = {f"LUT{n}" for n in range(1, 7)} | {"INV", "FDRE", "FDSE", "SRL16E", "SRLC32E", "DSP48E2", "CARRY4"}
    if set(types) - known:
        raise SystemExit(f"cells that this report does not count: {sorted(set(types) - known)}")
    lut = sum(types.get(f"LUT{n}", 0) for n in range(1, 7)) + types.get("INV", 0)
    lut6 = types.get("LUT6", 0)
    return {
        "dsp": types.get("DSP48E2", 0),
        "lut": lut,
        "srl": types.get("SRL16E", 0) + types.get("SRLC32E", 0),
        "lut_paired": lut6 + (lut - lut6 + 1) // 2 + (types.get("SRL16E", 0) + 1) // 2 + types.get("SRLC32E", 0),
        "ff": types.get("FDRE", 0) + types.get("FDSE", 0),
        "carry8": carry8_count(cells),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--yosys", default="yosys")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    script = f"read_verilog {' '.join(SOURCES)}; {SYNTHESIZE.format(top=TOP)}"
    row = count(synthesize(script, TOP, yosys=arguments.yosys)["cells"])
    report = {
        "module": TOP,
        "row": row,
        "array_rows": ARRAY_ROWS,
        "array": {name: ARRAY_ROWS * number for name, number in row.items()},
        "note": NOTE,
        "tool": version(arguments.yosys),
        "command": f"{Path(arguments.yosys).name} -p '{script}'",
        "date": datetime.date.today().isoformat(),
        "sources": source_hashes(),
    }
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(row))


if __name__ == "__main__":
    main()
