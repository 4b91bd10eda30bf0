"""What pages say of the code is what the code says: figures, config keys, numbers of the overlay."""

import importlib.util
import json
import re
from dataclasses import fields

from pages import ROOT

from pynq_qsnn.hwspec import DEFAULT_CONFIG, HardwareConfig, load_config
from pynq_qsnn.neuron import THRESHOLD

FIGURES = ROOT / "docs" / "figures"


def drawing():
    spec = importlib.util.spec_from_file_location("draw", FIGURES / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_are_drawn_from_the_config():
    draw = drawing()
    remedy = "run: python docs/figures/draw.py"
    assert (FIGURES / "overlay.svg").read_text() == draw.overlay(load_config()), remedy
    assert (FIGURES / "flow.svg").read_text() == draw.flow(), remedy


def test_the_block_diagram_has_the_overlays_numbers():
    """Read from config.json here, not through the drawing."""
    config = json.loads(DEFAULT_CONFIG.read_text())
    text = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", (FIGURES / "overlay.svg").read_text()))
    macs = config["slots"] * config["input_lanes"] * config["output_lanes"]
    for words in (
        f"{config['clock_mhz']} MHz",
        f"{config['activation_banks']} banks of {config['activation_bank_words']:,} x {config['bus_bits']} bit",
        f"{config['weight_ring_beats']:,} x {4 * config['bus_bits']} bit",
        f"{macs:,} MAC a clock, {macs // 2:,} DSP",
        f"{config['output_lanes']} lanes",
    ):
        assert words in text, words
    stages = {file.stem for file in (ROOT / "hls" / "src").glob("*.cpp")}
    named = ("fetch", "read_weights", "unpack_weights", "hold_weights", "feed", "accumulate", "integrate", "store")
    assert all(name in text for name in named) and set(named) <= stages


def test_the_page_of_the_config_has_every_key_and_value():
    config = json.loads(DEFAULT_CONFIG.read_text())
    page = (ROOT / "docs" / "reference" / "config.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", page, re.MULTILINE))
    assert list(rows) == [field.name for field in fields(HardwareConfig)]
    for key, value in config.items():
        if key == "resources":
            assert all(f"`{name}` {number}" in page for name, number in value.items())
        else:
            assert rows[key] == str(value), key


def test_numbers_in_the_explanations():
    config, bits = load_config(), (ROOT / "docs" / "explanation" / "bit-budget.md").read_text()
    for number in (config.macs_per_cycle, 2 * config.macs_per_cycle, 4 * config.macs_per_cycle, config.array_dsps):
        assert f"{number:,}" in bits
    assert THRESHOLD == 1 << 16 and "`1 << 16`" in (ROOT / "docs" / "explanation" / "exactness.md").read_text()
    assert f"up to {config.block_groups} groups" in (ROOT / "docs" / "explanation" / "hardware.md").read_text()


def test_the_files_page_names_every_key(tmp_path):
    """Keys of the containers, read from files that are written here."""
    from pynq_qsnn import container
    from pynq_qsnn.program import Program

    page = (ROOT / "docs" / "reference" / "files.md").read_text()
    model = ROOT / "models" / "cifar10_w8s4t1.qsnn"
    meta, _ = container.load(model, "network")
    assert all(f"`{key}`" in page for key in meta)

    from pynq_qsnn.compiler import compile_network
    from pynq_qsnn.network import Network

    compile_network(Network.load(model), load_config()).save(tmp_path / "x.qprog")
    meta, arrays = container.load(tmp_path / "x.qprog", "program")
    assert all(f"`{key}`" in page for key in meta) and {"code", "weights"} <= set(arrays)
    assert Program.load(tmp_path / "x.qprog").num_instructions == len(meta["steps"])


def test_no_page_claims_a_measurement_on_a_board():
    """Figures of a board stand on the pages only when results/ keeps a file of them."""
    kept = "".join(file.read_text() for file in (ROOT / "results").rglob("*.json"))
    if '"measured (board)"' not in kept:
        assert "measured (board)" not in (ROOT / "docs" / "results.md").read_text()
        table = (ROOT / "README.md").read_text().partition("<!-- results")[2].partition("<!-- end")[0]
        rows = [line for line in table.splitlines() if re.match(r"\| \d", line)]
        assert len(rows) == 3 and all(row.endswith("| none yet |") for row in rows)


def test_the_wheel_is_named_by_its_version():
    from pynq_qsnn import __version__

    for name in ("README.md", "docs/tutorial/first-afternoon.md"):
        assert f"pynq_qsnn-{__version__}-py3-none-any.whl" in (ROOT / name).read_text()
