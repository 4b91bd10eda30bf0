"""overlays/kv260/build.tcl against the emulated design: a Tcl interpreter runs it with Vivado's commands recorded."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pynq_qsnn.emulator.design import DMA, INSTANCES, KERNEL, MEMORY_PORTS
from pynq_qsnn.emulator.hwh import hand_off
from pynq_qsnn.hwspec import load_config
from pynq_qsnn.paths import resource
from pynq_qsnn.runtime.ip import QsnnKernel
from pynq_qsnn.runtime.locate import DEFAULT_BITFILE

SCRIPT = resource("overlays", "kv260", "build.tcl")
COMMANDS = Path(__file__).with_name("vivado_commands.tcl")
SIZES = {"64K": 0x1_0000}
needs_tcl = pytest.mark.skipif(shutil.which("tclsh") is None, reason="no tclsh: apt-get install tcl")


def run_script(folder: Path, version: str = "2024.1", slack: float = 0.05) -> tuple[list[list[str]], str]:
    """Run a copy of the script; returns the recorded calls and the error text ("" when it went through)."""
    overlay = folder / "overlays" / "kv260"
    shutil.copytree(SCRIPT.parent, overlay, ignore=shutil.ignore_patterns("build", "*.log"))
    for part in ("include", "src"):
        shutil.copytree(resource("hls", part), folder / "hls" / part)
    component = folder / "component.xml"
    component.write_text("")
    command = ["tclsh", str(COMMANDS), str(overlay / "build.tcl"), version, str(slack), str(component)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    calls = [line.split("\x1f")[1:] for line in done.stdout.splitlines() if line.startswith("CALL")]
    return calls, done.stderr if done.returncode else ""


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Commands of a build that succeeds."""
    if shutil.which("tclsh") is None:
        pytest.skip("no tclsh: apt-get install tcl")
    recorded, error = run_script(tmp_path_factory.mktemp("build"))
    assert error == ""
    return recorded


def cells(calls) -> dict[str, str]:
    """Instance name -> VLNV."""
    return {c[-1]: c[4] for c in calls if c[:4] == ["create_bd_cell", "-type", "ip", "-vlnv"]}


def settings(calls, cell: str) -> dict[str, str]:
    """CONFIG.* values set on a cell."""
    values: dict[str, str] = {}
    for call in calls:
        if call[:2] == ["set_property", "-dict"] and call[3] == cell:
            words = call[2].split()
            values.update(zip(words[::2], words[1::2]))
    return {name.removeprefix("CONFIG.").lower(): value for name, value in values.items()}


def test_address_map_is_the_emulated_one():
    table = re.search(r"set address_map \{(.*?)\}", SCRIPT.read_text(), re.S)[1]
    rows = [line.split() for line in table.strip().splitlines()]
    assert [(n, i, int(b, 16), SIZES[s]) for n, i, b, s in rows] == [
        (x.name, x.interface, x.base, x.size) for x in INSTANCES
    ]


def test_instances_and_kinds(calls):
    built = cells(calls)
    for instance in INSTANCES:
        kind = instance.vlnv if instance is KERNEL else instance.vlnv.rpartition(":")[0]
        assert built[instance.name] == kind
    assert f'INSTANCE="{KERNEL.name}"' in hand_off(load_config())


def test_kernel_is_exported_under_the_name_that_the_driver_binds():
    export = re.search(r"export_design.*", resource("hls", "csynth.tcl").read_text())[0]
    options = dict(re.findall(r"-(vendor|library|ipname|version) (\S+)", export))
    vlnv = ":".join(options[key] for key in ("vendor", "library", "ipname", "version"))
    assert [vlnv] == [KERNEL.vlnv] == QsnnKernel.bindto


def test_every_instance_gets_its_address(calls):
    assigned = [c for c in calls if c[:2] == ["assign_bd_address", "-offset"]]
    assert [(int(c[2], 16), SIZES[c[4]], c[-1]) for c in assigned] == [
        (i.base, i.size, f"{i.name}/{i.interface}/Reg") for i in INSTANCES
    ]


def test_dma_parameters_are_those_of_the_hand_off_file(calls, overlay):
    emulated = overlay.ip_dict[DMA.name]["parameters"]
    built = settings(calls, DMA.name)
    common = set(built) & set(emulated)
    assert {"c_sg_length_width", "c_addr_width", "c_include_sg", "c_m_axi_mm2s_data_width"} <= common
    assert {name: built[name] for name in common} == {name: str(emulated[name]) for name in common}


def test_clock_and_memory_ports(calls):
    config = load_config()
    system = settings(calls, "zynq_ultra_ps_e_0")
    assert system["psu__crl_apb__pl0_ref_ctrl__freqmhz"] == str(config.clock_mhz)
    assert system["psu__crl_apb__pl0_ref_ctrl__srcsel"] == "IOPLL"
    widths = {int(k[11]) - 2: int(v) for k, v in system.items() if re.fullmatch(r"psu__saxigp\d__data_width", k)}
    assert widths == dict.fromkeys(MEMORY_PORTS, config.bus_bits)
    masters = {c[1]: c[2] for c in calls if c[0] == "connect_bd_intf_net"}
    ports = [masters[f"{b}/M00_AXI"] for b in ("frame_bus", "weight_bus", "program_bus")]
    assert ports == [f"zynq_ultra_ps_e_0/S_AXI_HP{i}_FPD" for i in MEMORY_PORTS]


def test_interrupts_are_in_the_order_of_the_hand_off_file(calls, overlay):
    wires = dict(c[1:3] for c in calls if c[0] == "connect_bd_net" and c[2].startswith("xlconcat_0/In"))
    order = sorted(wires, key=lambda source: wires[source])
    emulated = overlay.interrupt_pins
    assert order == sorted((p for p in emulated if p in wires), key=lambda p: emulated[p]["index"]) and len(order) == 3


def test_activation_banks(calls):
    config = load_config()
    banks = [c[-1] for c in calls if c[0] == "create_bd_cell" and "activation_bank" in c]
    assert len(banks) == config.activation_banks
    for bank in banks:
        built = settings(calls, bank)
        assert int(built["words"]) == config.activation_bank_words <= 1 << int(built["address_bits"])
        assert int(built["word_bits"]) == config.bus_bits


@needs_tcl
def test_stamp(tmp_path):
    calls, error = run_script(tmp_path)
    assert error == ""
    folder = tmp_path / "overlays" / "kv260"
    stamp = json.loads((folder / "qsnn_kv260.json").read_text())
    assert int(stamp["fingerprint64"], 16) == load_config().fingerprint64
    assert stamp["vivado"] == "2024.1" and len(stamp["bit_sha256"]) == 64
    low = f"{load_config().fingerprint64 & 0xFFFFFFFF:08X}"
    assert f"USR_ACCESS 0x{low}" in (folder / "build" / "stamp.xdc").read_text()
    assert (folder / "qsnn_kv260.bit").exists() and (folder / "qsnn_kv260.hwh").exists()


@needs_tcl
@pytest.mark.parametrize("version", ["2022.2", "2023.1", "2024.3", "2025.1"])
def test_other_vivado_releases_are_refused(tmp_path, version):
    calls, error = run_script(tmp_path, version=version)
    assert f"this is Vivado {version}; use 2023.2, 2024.1 or 2024.2" in error
    assert "create_project" not in [c[0] for c in calls]


@needs_tcl
def test_missed_timing_writes_nothing(tmp_path):
    _, error = run_script(tmp_path, slack=-0.2)
    assert "timing is not met at 250 MHz: worst slack -0.2 ns" in error
    assert not list((tmp_path / "overlays" / "kv260").glob("*.bit"))


def test_default_bitfile_is_what_the_script_writes():
    assert DEFAULT_BITFILE == SCRIPT.with_name(f"qsnn_{load_config().name}.bit")
