"""Resources: what a config takes of its device, what is refused; document and table of streams are current."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import subprocess
import sys

import pytest

from pynq_qsnn import resources
from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import ConfigError
from pynq_qsnn.hwspec import RESOURCE_NAMES, load_config, uram_blocks
from pynq_qsnn.paths import resource

CONFIG = load_config()


def refused(**changes) -> str:
    with pytest.raises(ConfigError) as error:
        dataclasses.replace(CONFIG, **changes)
    return str(error.value)


def test_the_kv260_takes_what_was_counted_by_hand():
    amounts = resources.totals(CONFIG)
    assert amounts["uram"] == 4 * 3 * 2 + 5 * 8 == 64  # 12288 x 128 four times, 20480 x 512
    assert CONFIG.array_dsps == 4 * 16 * 32 // 2 and CONFIG.scale_dsps == 32 * 2
    assert amounts["dsp"] == 1024 + 64 + 88 <= CONFIG.resources["dsp"]
    # 32 lanes x 112 bits of parameters, AXI masters, 128-bit and token streams, DMA
    assert amounts["bram36"] == 32 * 2 + 2 * 7.5 + 2 * 4 + 2 + 2 + 4 + 2 * 0.5 + 6 <= CONFIG.resources["bram36"]


@pytest.mark.parametrize("words, bits, blocks", [(4096, 72, 1), (4097, 72, 2), (4096, 73, 2), (20480, 512, 40)])
def test_uram_is_rounded_in_depth_and_width(words, bits, blocks):
    assert uram_blocks(words, bits) == blocks


@pytest.mark.parametrize(
    "bits, depth, blocks", [(36, 512, 0.5), (72, 512, 1), (128, 512, 2), (128, 1024, 4), (1, 2560, 0.5), (9, 32768, 9)]
)
def test_block_ram_is_counted_in_halves(bits, depth, blocks):
    assert resources.bram36(bits, depth) == blocks


@pytest.mark.parametrize("bits, depth, luts", [(14, 32, 8), (32, 32, 20), (16, 32, 12), (7, 64, 8), (14, 256, 64)])
def test_lut_memory(bits, depth, luts):
    assert resources.lutram(bits, depth) == luts


def test_operators():
    assert [resources.mux(32, ways) for ways in (2, 3, 4, 8, 16)] == [16, 32, 32, 64, 128]
    assert [resources.shifter(32, places) for places in (2, 4, 32, 49)] == [32, 32, 96, 96]


@pytest.mark.parametrize(
    "changes, numbers",
    [
        ({"slots": 8, "activation_banks": 8}, "48 URAM of activation banks and 40 of the weight ring are 88"),
        ({"weight_ring_beats": 2 * 20480}, "24 URAM of activation banks and 80 of the weight ring are 104, .* has 64"),
        ({"activation_bank_words": 12289}, "32 URAM .* are 72, the device has 64; lower activation_bank_words"),
        (
            {"slots": 8, "activation_banks": 8, "activation_bank_words": 4096},
            "2048 DSP of the array, 64 of the scale units and about 88 .* are 2200, the device has 1248; lower slots",
        ),
        ({"resources": {**CONFIG.resources, "uram": 48}}, "are 64, the device has 48"),
        ({"resources": {**CONFIG.resources, "dsp": 1175}}, "are 1176, the device has 1175"),
        ({"resources": {**CONFIG.resources, "bram36": 101}}, ": 102 BRAM36, the device has 101; lower slots"),
        ({"maximum_channels": 1024 * 64}, "BRAM36, the device has 144"),
        ({"block_groups": 128}, "LUT, the device has 117,120, and .* are left if every estimate is 25% too high"),
    ],
)
def test_what_cannot_fit_is_refused_with_numbers(changes, numbers):
    assert re.search(numbers, refused(**changes))


@pytest.mark.parametrize(
    "values, match",
    [
        ({"lut": 117120}, "resources names \\['lut'\\], must name"),
        ({**CONFIG.resources, "bram18": 288}, "bram18"),
        ({**CONFIG.resources, "ff": 0}, "ff is 0, must be a positive integer"),
        ({**CONFIG.resources, "ff": 2.5}, "ff is 2.5"),
        ({**CONFIG.resources, "ff": True}, "ff is True"),
        ({**CONFIG.resources, "ff": "many"}, "ff is 'many'"),
    ],
)
def test_bad_resources_are_refused(values, match):
    assert re.search(match, refused(resources=values))


def test_a_config_file_that_cannot_fit_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**dataclasses.asdict(CONFIG), "weight_ring_beats": 28672}))
    with pytest.raises(ConfigError, match="are 80, the device has 64"):
        load_config(path)
    command = [sys.executable, "-m", "pynq_qsnn.resources", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "are 80, the device has 64" in done.stderr
    with pytest.raises(ConfigError, match="are 80"):  # nor can a program be made for it
        compile_network(None, dataclasses.replace(CONFIG, weight_ring_beats=28672))


def test_a_part_counts_once():
    """Blocks and totals are sums of the parts; everything grows with what it is made of."""
    sums = {name: sum(getattr(part, name) for part in resources.parts(CONFIG)) for name in RESOURCE_NAMES}
    assert resources.totals(CONFIG) == pytest.approx(sums)
    assert all(
        part.number > 0 and part.basis in ("counted", "open synthesis", "estimate") for part in resources.parts(CONFIG)
    )
    small = dataclasses.replace(
        CONFIG, slots=2, activation_banks=2, output_lanes=16, activation_bank_words=4096, weight_ring_beats=4096
    )
    less = resources.totals(small)
    assert all(less[name] <= amount for name, amount in resources.totals(CONFIG).items())
    assert less["dsp"] == 2 * 16 * 16 // 2 + 2 * 16 + 88 and less["uram"] == 2 * 2 + 8


@pytest.mark.parametrize("name", ["lut", "ff"])
def test_an_estimate_refuses_only_beyond_its_error(name):
    """Three quarters of the estimated part and all of the rest."""
    each = [(getattr(part, name), part.basis == "estimate") for part in resources.parts(CONFIG)]
    least = sum(amount * (0.75 if estimated else 1) for amount, estimated in each)
    assert resources.least(CONFIG)[name] == pytest.approx(least) and least < resources.totals(CONFIG)[name]
    limit = math.ceil(least)
    assert dataclasses.replace(CONFIG, resources={**CONFIG.resources, name: limit})
    message = refused(resources={**CONFIG.resources, name: limit - 1})
    assert f"{name.upper()}, the device has {limit - 1:,}" in message and "if every estimate is 25% too high" in message


@pytest.mark.parametrize("name", ["uram", "dsp", "bram36"])
def test_what_is_no_estimate_of_logic_refuses_at_once(name):
    amount = math.ceil(resources.totals(CONFIG)[name])
    assert resources.least(CONFIG)[name] == resources.totals(CONFIG)[name]
    assert dataclasses.replace(CONFIG, resources={**CONFIG.resources, name: amount})
    assert f"the device has {amount - 1}" in refused(resources={**CONFIG.resources, name: amount - 1})


def test_notes_name_what_is_full():
    wide = {name: 10 * limit for name, limit in CONFIG.resources.items()}
    assert resources.notes(dataclasses.replace(CONFIG, resources=wide)) == []
    between = int((resources.least(CONFIG)["lut"] + resources.totals(CONFIG)["lut"]) / 2)
    tight = {**wide, "lut": between, "uram": 70}
    found = resources.notes(dataclasses.replace(CONFIG, resources=tight))
    assert [note.split(":")[0] for note in found] == ["LUT", "URAM"]
    assert f"of {between:,}" in found[0] and found[0].endswith("does not fit.")
    assert "64 of 70 (91%), above 80%" in found[1]


def test_the_row_of_the_array_comes_from_its_report(tmp_path, monkeypatch):
    (row,) = [part for part in resources.parts(CONFIG) if part.basis == "open synthesis"]
    report = json.loads(resource("results", "tile_synthesis.json").read_text())["row"]
    assert row.ff == 8 * report["ff"] and 8 * report["lut_paired"] <= row.lut <= 8 * (report["lut"] + report["srl"])
    assert set(resources.LAST_REPORT) <= set(report)
    monkeypatch.setattr(resources, "REPORT", tmp_path / "absent.json")
    (row,) = [part for part in resources.parts(CONFIG) if part.basis == "open synthesis"]
    assert row.ff == 8 * resources.LAST_REPORT["ff"] and "not at hand" in row.formula


def test_the_streams_are_those_of_the_sources():
    """Name, constant of the depth and kind of memory from run_layer.cpp and top.cpp, values from types.hpp."""
    sources = resource("hls", "src")
    text = "".join((sources / name).read_text() for name in ("run_layer.cpp", "top.cpp"))
    defined = {
        name: (constant, 3 if parts else 1)
        for parts, name, constant in re.findall(r"^  STREAM(_OF_PARTS)?\(\w+, (\w+), (\w+)\);", text, re.MULTILINE)
    }
    table = {stream.name: stream for stream in resources.streams(CONFIG)}
    assert {name: (stream.constant, stream.number) for name, stream in table.items()} == defined
    bound = dict(re.findall(r"BIND_STORAGE variable = (\w+) type = fifo impl = (\w+)\)", text))
    assert {name: stream.kind for name, stream in table.items() if stream.kind != "srl"} == bound
    types = (sources / "types.hpp").read_text()
    for stream in table.values():
        value = re.search(rf"constexpr int {stream.constant} = ([^;]*);", types)[1]
        known = {"kBlockGroups": "block_groups", "kWeightRingBeats": "weight_ring_beats"}
        for constant, field in {**known, "kWeightTileBeats": "weight_tile_beats"}.items():
            value = value.replace(f"hw::{constant}", str(getattr(CONFIG, field)))
        assert re.fullmatch(r"[\d */]+", value), value
        assert eval(value) == stream.depth, stream.name
        assert stream.bits <= 4096, f"{stream.name}: Vitis HLS has no token of {stream.bits} bits"


def test_the_widths_are_those_of_the_sources():
    sources = resource("hls", "src")
    types, arithmetic, row = (
        (sources / name).read_text() for name in ("types.hpp", "arithmetic.hpp", "qsnn_mac_row.hpp")
    )
    for name, value in (("kPassTiles", resources.PASS_TILES), ("kParts", resources.PARTS)):
        assert f"constexpr int {name} = {value};" in types
    assert f"constexpr int kNarrowBits = {resources.NARROW};" in types
    assert f"typedef fabric_int<{resources.SPIKES}> spikes_t;" in types
    assert f"constexpr int kMacSumBits = {resources.ROW_SUM};" in row
    assert f"constexpr int kMacNarrowBits = {resources.NARROW_ROW_SUM};" in row
    for name, bits in (("current", resources.CURRENT), ("charge", resources.INPUT), ("wide", resources.PRODUCT)):
        assert f"typedef fabric_int<{bits}> {name}_t;" in arithmetic


def test_the_document_is_current():
    """After a change: python -m pynq_qsnn.resources --write"""
    assert resource("docs", "resources.md").read_text() == resources.document(CONFIG)


def test_the_command_prints_the_table():
    done = subprocess.run([sys.executable, "-m", "pynq_qsnn.resources"], capture_output=True, text=True, check=True)
    assert resources.table(CONFIG) in done.stdout
    assert done.stdout.splitlines()[0] == "| block | LUT | FF | DSP | BRAM36 | URAM | basis |"
