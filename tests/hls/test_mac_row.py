"""The Verilog row of the multiplier array: equal to its C++ model, cycle by cycle; its description and its report."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from pynq_qsnn.paths import resource
from pynq_qsnn.runtime.csim import ap_types

RTL = resource("hls") / "rtl"
DESCRIPTION = json.loads((RTL / "qsnn_mac_row.json").read_text())
REPORT = Path(__file__).resolve().parents[2] / "results" / "tile_synthesis.json"
ROW_DSPS, ARRAY_DSPS = 128, 1024
ITEMS = 60000  # random ones, a short run; `make -C hls/rtl test` takes a million


@pytest.mark.skipif(shutil.which("verilator") is None, reason="no verilator: apt-get install verilator")
def test_verilog_equals_the_model_cycle_by_cycle(tmp_path):
    variables = [f"BUILD={tmp_path}", f"AP_TYPES={ap_types()}", f"ITEMS={ITEMS}", "SEED=20"]
    outer = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")  # of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    command = ["make", "-C", str(RTL), *variables, "test"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    line = re.search(r"^latency .*", done.stdout, re.MULTILINE)[0]
    measured = {name: int(value) for name, value in re.findall(r"(\w+) (\d+)", line)}
    assert measured["items"] >= ITEMS + measured["corners"] and measured["corners"] >= 3 * 3 * 81 * 81
    assert measured["mode_changes"] > ITEMS // 10 and measured["stalls"] > ITEMS // 20
    # The one place where both numbers stand.
    performance = DESCRIPTION["rtl_performance"]
    assert {"latency": str(measured["latency"]), "II": str(measured["interval"])} == performance


def test_description_fits_the_verilog_and_the_function():
    verilog = (RTL / "qsnn_mac_row.v").read_text()
    ports = {name: way for way, name in re.findall(r"(input|output) +wire +(?:\[[ \d:]+\] *)?(\w+)", verilog)}
    named = dict.fromkeys(DESCRIPTION["rtl_common_signal"].values())
    for parameter in DESCRIPTION["c_parameters"]:
        way = {"in": "input", "out": "output"}[parameter["c_port_direction"]]
        for port in parameter["rtl_ports"].values():
            assert ports[port] == way
            named[port] = None
    assert set(named) == set(ports)
    header = (RTL.parent / "src" / "qsnn_mac_row.hpp").read_text()
    declared = re.search(r"void qsnn_mac_row\(([^;]*)\);", header)[1]
    arguments = [argument.split()[-1].lstrip("*") for argument in declared.split(",")]
    assert arguments == [parameter["c_name"] for parameter in DESCRIPTION["c_parameters"]]
    # Widths of the results: 16 fields each, of W in part 0 alone.
    bits = {name: int(width) for name, width in re.findall(r"constexpr int kMac(Sum|Narrow)Bits = (\d+);", header)}
    top = {part: int(msb) + 1 for msb, part in re.findall(r"output +wire +\[ *(\d+):0\] *part(\d)", verilog)}
    assert top == {"0": 16 * bits["Sum"]} | dict.fromkeys("123", 16 * bits["Narrow"])
    for name in DESCRIPTION["rtl_files"] + [DESCRIPTION["c_files"][0]["c_file"]]:
        assert (RTL / name).is_file(), name


def test_synthesis_report_is_of_these_sources():
    """Stale? `make -C hls/rtl synth` writes it anew."""
    if not REPORT.is_file():
        pytest.skip("results/ is part of the repository, not of an installed package")
    report = json.loads(REPORT.read_text())
    synthesis = runpy.run_path(str(RTL / "synth.py"))
    assert report["sources"] == synthesis["source_hashes"]()
    assert set(report["sources"]) == set(DESCRIPTION["rtl_files"])
    row, array = report["row"], report["array"]
    assert (row["dsp"], array["dsp"]) == (ROW_DSPS, ARRAY_DSPS)
    assert array == {name: report["array_rows"] * number for name, number in row.items()}
    usage = {"FF": row["ff"], "LUT": row["lut"] + row["srl"], "BRAM": 0, "URAM": 0, "DSP": row["dsp"]}
    assert DESCRIPTION["rtl_resource_usage"] == {name: str(number) for name, number in usage.items()}
