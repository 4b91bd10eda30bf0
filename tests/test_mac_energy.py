"""Bit budget against energy: the kept estimate, what follows from it, and a circuit from Verilog to transitions."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pynq_qsnn.errors import ToolMissing

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "mac_energy.py"
PAGE, FIGURE = (ROOT / "docs" / name for name in ("explanation/energy-per-operation.md", "figures/mac_energy.png"))
REDRAW = f"run: python benchmarks/mac_energy.py --kept results/mac_energy.json --figure {FIGURE} --page {PAGE}"

if not SCRIPT.is_file():
    pytest.skip("the tests run outside a checkout", allow_module_level=True)
synthesizes = pytest.mark.skipif(
    not all(map(shutil.which, ("yosys", "iverilog"))), reason="no yosys or iverilog: apt-get install yosys iverilog"
)


@pytest.fixture(scope="module")
def modules():
    """(mac_energy, mac_circuit)"""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        import mac_circuit
        import mac_energy

        yield mac_energy, mac_circuit


@pytest.fixture(scope="module")
def kept():
    return json.loads((ROOT / "results" / "mac_energy.json").read_text())


def test_the_kept_report_is_whole(kept, modules):
    mac_energy, mac_circuit = modules
    assert kept["kind"] == "estimate" and kept["command"].startswith("python benchmarks/mac_energy.py --json")
    assert kept["clocks"] == mac_energy.CLOCKS and kept["cost"] == mac_energy.COST
    assert (kept["fan_in"], kept["firing_rate"]) == (mac_circuit.FAN_IN, mac_circuit.FIRING_RATE)
    assert list(kept["settings"]) == list(mac_energy.SETTINGS)
    widths = [(w, s) for w in (1, 2, 4, 8) for s in (1, 2, 4, 8)]
    for name, setting in mac_energy.SETTINGS.items():
        found = kept["settings"][name]
        assert all(found[field] == getattr(setting, field) for field in ("fitted_sum", "dense", "delays", "seed"))
        assert [(mac["weight_bits"], mac["spike_bits"]) for mac in found["macs"]] == widths
        for mac in found["macs"]:
            assert set(mac["transitions"]) == set(mac_energy.COST) and min(mac["transitions"].values()) > 0
            # A flip-flop's clock pin changes twice a clock: of the sum, the operands and `first`.
            assert mac["cells"]["ff"] == mac["sum_bits"] + mac["weight_bits"] + mac["spike_bits"] + 1
            assert mac["transitions"]["clock"] == pytest.approx(2 * mac["cells"]["ff"], rel=1e-3)
    # A glitch is added to what changes anyway.
    pairs = zip(*(kept["settings"][name]["macs"] for name in ("base", "no delays, no glitches")))
    assert all(a["transitions"][kind] >= b["transitions"][kind] for a, b in pairs for kind in ("routed", "local"))


def test_the_report_is_of_these_sources(kept, modules):
    """Stale? The report's own command writes it anew."""
    _, mac_circuit = modules
    assert kept["sources"] == mac_circuit.synth.source_hashes(SCRIPT.parent, ("mac.v",))
    assert kept["script"] == mac_circuit.script("W", "S", "N") and "-nodsp" in kept["script"]


def test_points_and_lines_follow_from_the_transitions(kept):
    """Computed here from the definitions, not with the script's functions."""
    clock = {}
    for mac in kept["settings"]["base"]["macs"]:
        rates = mac["transitions"]
        clock[mac["weight_bits"], mac["spike_bits"]] = rates["routed"] + 0.1 * rates["local"] + 0.1 * rates["clock"]
    points = kept["points"]
    wanted = {(w, s, t) for w, s in clock for t in (1, 2, 4, 8) if w * s * t <= 256}
    assert {(p["weight_bits"], p["spike_bits"], p["time_steps"]) for p in points} == wanted and len(points) == 63
    for point in points:
        w, s, t = point["weight_bits"], point["spike_bits"], point["time_steps"]
        assert point["bit_budget"] == w * s * t and point["energy"] == pytest.approx(t * clock[w, s], abs=1e-3)
    operation = [(p["bit_budget"], p["energy"]) for p in points]
    for name, pairs in (("operation", operation), ("clock", [(w * s, e) for (w, s), e in clock.items()])):
        x, y = np.array(pairs, dtype=float).T
        (slope, intercept), *_ = np.linalg.lstsq(np.stack([x, np.ones_like(x)], axis=1), y, rcond=None)
        residuals = y - slope * x - intercept
        fit = kept["fits"][name]
        assert (fit["slope"], fit["intercept"]) == pytest.approx((slope, intercept), rel=1e-6)
        assert fit["r2"] == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-6)
        assert fit["residuals"] == pytest.approx(residuals.tolist(), abs=2e-3)
        assert fit["rms"] == pytest.approx(np.sqrt(np.mean(residuals**2)), rel=1e-3)


def test_what_the_page_says_of_the_figures(kept):
    """The sentences of the page, as far as a number can contradict them."""
    points, residuals = kept["points"], kept["fits"]["operation"]["residuals"]
    by_steps = [np.mean([r for p, r in zip(points, residuals) if p["time_steps"] == t]) for t in (1, 2, 4, 8)]
    assert by_steps == sorted(by_steps) and by_steps[0] < 0 < by_steps[-1]
    energies = {(p["weight_bits"], p["spike_bits"]): p["energy"] for p in points if p["time_steps"] == 1}
    assert energies[8, 1] < energies[1, 8]
    assert all(energies[1, s] > 0.95 * energies[2, s] for s in (1, 2, 4, 8))
    budgets = [[p["energy"] for p in points if p["bit_budget"] == bits] for bits in (16, 32, 64, 128, 256)]
    spread = [max(some) / min(some) for some in budgets]
    assert spread == sorted(spread, reverse=True) and spread[0] > 2
    assert 0.5 < kept["fits"]["operation"]["r2"] < 1 and kept["fits"]["operation"]["intercept"] > 0


def test_page_and_figure_are_of_the_kept_report(kept, modules, tmp_path):
    mac_energy, _ = modules
    text = PAGE.read_text()
    assert text == mac_energy.with_tables(text, kept), REDRAW
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    with image.open(FIGURE) as figure:
        assert figure.text["Description"] == mac_energy.digest(kept), REDRAW
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    mac_energy.draw(kept, tmp_path / "drawn.png")
    with image.open(tmp_path / "drawn.png") as drawn, image.open(FIGURE) as figure:
        assert drawn.size == figure.size and drawn.text["Description"] == figure.text["Description"]


@pytest.mark.parametrize("bits, levels", [(1, {-1, 1}), (2, {-1, 0, 1}), (4, set(range(-7, 8)))])
def test_operands(modules, bits, levels):
    _, mac_circuit = modules
    weights, codes = mac_circuit.operands(bits, 2, False, 8192, 0)
    assert set(weights.tolist()) == levels and set(codes.tolist()) == {0, 1, 2, 3}
    assert np.mean(codes > 0) == pytest.approx(mac_circuit.FIRING_RATE, abs=0.02)
    assert np.mean(mac_circuit.operands(bits, 2, True, 8192, 0)[1] > 0) == pytest.approx(0.75, abs=0.02)
    worst = 256 * max(levels) * 3
    assert 2 ** (mac_circuit.needed_bits(bits, 2) - 2) <= worst < 2 ** (mac_circuit.needed_bits(bits, 2) - 1)
    assert mac_circuit.needed_bits(8, 8) == mac_circuit.WIDE_SUM_BITS
    sums = mac_circuit.running_sums(weights, codes)
    assert sums[300] == sum(w * c for w, c in zip(weights[256:301], codes[256:301]))


def test_transitions_are_changes(modules):
    """First values and values that come back within a moment are none; an unknown value is an error."""
    _, mac_circuit = modules
    head = "$var wire 1 ! a $end\n$var wire 1 $ b $end\n$enddefinitions $end\n#0\n$dumpvars\n0!\n1$\n$end\n"
    assert mac_circuit.transitions(f"{head}#1\n1!\n#2\n1!\n0$\n#3\n0!\n") == {"a": 2, "b": 1}
    with pytest.raises(mac_circuit.WrongNetlist, match="'x!'.* neither 0 nor 1"):
        mac_circuit.transitions(f"{head}#1\nx!\n")


def test_a_missing_tool_is_named(modules, tmp_path, monkeypatch):
    _, mac_circuit = modules
    command, environment = [sys.executable, str(SCRIPT), "--quick"], {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.endswith("yosys is not on the PATH; apt-get install yosys iverilog\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="iverilog is not on the PATH"):
        mac_circuit.need("iverilog")


@synthesizes
def test_one_circuit_from_verilog_to_transitions(kept, modules):
    """The kept figures of the smallest circuit again; and one wrong table of a LUT does not get past the sums."""
    mac_energy, mac_circuit = modules
    again = mac_circuit.measure(1, 1, mac_energy.SETTINGS["base"], kept["clocks"])
    if kept["tools"] == [mac_circuit.synth.version(), mac_energy.icarus_version()]:
        assert again == kept["settings"]["base"]["macs"][0]
    assert again["cells"]["ff"] == 24 + 1 + 1 + 1
    module, verilog = mac_circuit.netlist(1, 1, mac_circuit.WIDE_SUM_BITS)
    weights, codes = mac_circuit.operands(1, 1, True, 256, 0)
    mac_circuit.simulate(module, verilog, weights, codes, delays=True)
    wrong = re.sub(r"\.INIT\(8'h(\w\w)\)", lambda m: f".INIT(8'h{int(m[1], 16) ^ 0xFF:02x})", verilog, count=1)
    assert wrong != verilog
    with pytest.raises(mac_circuit.WrongNetlist, match="1/1 bits: after .* the sum is .*, must be"):
        mac_circuit.simulate(module, wrong, weights, codes, delays=True)
