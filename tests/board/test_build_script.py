"""overlays/kv260/build.tcl against the kernel, the Verilog and the emulated design.

A Tcl interpreter runs it with Vivado's commands recorded; nothing of it has run in Vivado.
"""

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest
from block_design import IN, MASTER, OUT, kernel, kernel_arguments, kernel_pragmas, offer, verilog

from pynq_qsnn.emulator.design import (
    DDR_WINDOWS,
    DMA,
    INSTANCES,
    KERNEL,
    MEMORY_PATHS,
    PS,
    RING,
    address_bits,
    block_design,
    memory_masters,
)
from pynq_qsnn.emulator.hwh import hand_off
from pynq_qsnn.hwspec import KERNEL_ARGUMENTS, load_config
from pynq_qsnn.kv260 import IOPLL_MHZ
from pynq_qsnn.paths import resource
from pynq_qsnn.runtime.ip import QsnnKernel
from pynq_qsnn.runtime.locate import DEFAULT_BITFILE

SCRIPT = resource("overlays", "kv260", "build.tcl")
COMMANDS = Path(__file__).with_name("vivado_commands.tcl")
CONFIG = load_config()
SIZES = {"64K": 0x1_0000}
# UG1085, "PL-PS Interface Specifics": with whom an S_AXI_HPn_FPD shares its port of the DDR controller.
DDR_CONTROLLER_PORT = {0: "DisplayPort", 1: "HP1 and HP2", 2: "HP1 and HP2", 3: "FPD DMA"}
ACCEPTED = ("2022.2", "2023.1", "2023.2", "2024.1", "2024.2")
needs_tcl = pytest.mark.skipif(shutil.which("tclsh") is None, reason="no tclsh: apt-get install tcl")
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


def known_names() -> dict[str, int]:
    """Pins with their bits and interfaces (0 bits) of the kernel and of the memories, "cell/name"."""
    names = {}
    design = block_design(CONFIG)
    for cell, vlnv in design.cells.items():
        if cell == KERNEL.name or "module_ref" in vlnv:
            found = offer(vlnv, {k.lower(): str(v) for k, v in design.parameters.get(cell, {}).items()}, CONFIG)
            names |= {f"{cell}/{pin}": bits for pin, (_, bits) in found.pins.items()}
            names |= {f"{cell}/{interface}": 0 for interface in found.interfaces}
    return names


def copy_overlay(folder: Path) -> Path:
    """Overlay and kernel sources in ``folder``, laid out as in the checkout; returns the overlay's folder."""
    overlay = folder / "overlays" / "kv260"
    shutil.copytree(SCRIPT.parent, overlay, ignore=shutil.ignore_patterns("build", "*.log", "__pycache__"))
    for part in ("include", "src"):
        shutil.copytree(resource("hls", part), folder / "hls" / part)
    return overlay


def run_script(folder: Path, version="2024.1", slack=0.05, names=None) -> tuple[list[list[str]], str]:
    """Run a copy of the script; returns the recorded calls and the error text ("" when it went through)."""
    overlay = copy_overlay(folder)
    component, known = folder / "component.xml", folder / "names"
    component.write_text("")
    known.write_text("".join(f"{name} {bits}\n" for name, bits in (names or known_names()).items()))
    command = ["tclsh", str(COMMANDS), str(overlay / "build.tcl"), version, str(slack), str(component), str(known)]
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


@pytest.fixture(scope="module")
def modules():
    """MODULE elements of the emulated hand-off file by instance."""
    return {m.get("INSTANCE"): m for m in ElementTree.fromstring(hand_off(CONFIG)).iter("MODULE")}


def cells(calls) -> dict[str, str]:
    """Instance name -> VLNV, of the overlay's own Verilog as the hand-off file spells it."""
    built = {c[-1]: c[4] for c in calls if c[:4] == ["create_bd_cell", "-type", "ip", "-vlnv"]}
    modules = [c for c in calls if c[:3] == ["create_bd_cell", "-type", "module"]]
    return built | {c[-1]: f"xilinx.com:module_ref:{c[4]}:1.0" for c in modules}


def settings(calls, cell: str) -> dict[str, str]:
    """CONFIG.* values set on a cell."""
    values: dict[str, str] = {}
    for call in calls:
        if call[:2] == ["set_property", "-dict"] and call[3] == cell:
            words = call[2].split()
            values.update(zip(words[::2], words[1::2]))
    return {name.removeprefix("CONFIG.").lower(): value for name, value in values.items()}


def offers(calls) -> dict[str, object]:
    """Cell -> what it offers under the settings made."""
    return {cell: offer(vlnv, settings(calls, cell), CONFIG) for cell, vlnv in cells(calls).items()}


def wires(calls) -> list[tuple[str, str]]:
    """(driver, sink), "cell/pin"."""
    return [tuple(c[1:3]) for c in calls if c[0] == "connect_bd_net"]


def buses(calls) -> list[tuple[str, str]]:
    """(master, slave), "cell/interface"."""
    return [tuple(c[1:3]) for c in calls if c[0] == "connect_bd_intf_net"]


# ---------------------------------------------------------------- the recording by itself


def test_every_pin_is_there_and_every_input_is_driven_once(calls):
    offered = offers(calls)
    for driver, sink in wires(calls):
        for pin, direction in ((driver, OUT), (sink, IN)):
            cell, name = pin.split("/")
            assert offered[cell].pins[name][0] == direction, pin
    driven = Counter(sink for _, sink in wires(calls))
    inputs = {
        f"{cell}/{name}"
        for cell, found in offered.items()
        for name, (direction, _) in found.pins.items()
        if direction == IN and name not in found.open_inputs
    }
    assert driven == dict.fromkeys(inputs, 1)


def test_every_interface_is_connected_once(calls):
    offered = offers(calls)
    ends = Counter(end for bus in buses(calls) for end in bus)
    assert ends == {f"{cell}/{name}": 1 for cell, found in offered.items() for name in found.interfaces}
    for bus in buses(calls):
        (master, its_kind), (slave, kind) = (offered[end.split("/")[0]].interfaces[end.split("/")[1]] for end in bus)
        assert master == MASTER != slave and its_kind == kind, bus


def test_widths(calls):
    offered = offers(calls)
    for wire in wires(calls):
        driver, sink = (offered[pin.split("/")[0]].pins[pin.split("/")[1]][1] for pin in wire)
        assert driver == sink, wire
    system = settings(calls, PS)
    widths = {int(k[11]) - 2: int(v) for k, v in system.items() if re.fullmatch(r"psu__saxigp\d__data_width", k)}
    assert widths == {path.port: CONFIG.bus_bits for path in MEMORY_PATHS}


def test_one_clock_from_the_iopll(calls):
    system = settings(calls, PS)
    assert system["psu__crl_apb__pl0_ref_ctrl__freqmhz"] == str(CONFIG.clock_mhz) == "250"
    assert system["psu__crl_apb__pl0_ref_ctrl__srcsel"] == "IOPLL"
    assert [system[f"psu__fpga_pl{i}_enable"] for i in range(4)] == ["1", "0", "0", "0"]
    driver = {sink: source for source, sink in wires(calls)}
    clocks = [f"{cell}/{pin}" for cell, found in offers(calls).items() for pin in found.clocks]
    assert {driver[pin] for pin in clocks} == {f"{PS}/pl_clk0"} and len(clocks) == len(set(clocks)) > 15
    assert {sink for sink, source in driver.items() if source == f"{PS}/pl_clk0"} == set(clocks)


def test_resets(calls):
    driver = {sink: source for source, sink in wires(calls)}
    resets = [f"{cell}/{pin}" for cell, found in offers(calls).items() for pin in found.resets]
    assert {driver[pin] for pin in resets} == {"reset_0/peripheral_aresetn"}
    assert driver["reset_0/ext_reset_in"] == f"{PS}/pl_resetn0"
    # all active low: no inverted reset is used
    assert not [source for source, _ in wires(calls) if source.endswith(("peripheral_reset", "mb_reset"))]


def test_weight_planes_reach_different_ports_of_the_memory_controller(calls):
    port = {}
    for master, slave in buses(calls):
        if found := re.fullmatch(rf"{PS}/S_AXI_HP(\d)_FPD", slave):
            port[master.split("/")[0]] = int(found[1])
    way = {master: port[slave.split("/")[0]] for master, slave in buses(calls) if slave.split("/")[0] in port}
    even, odd = (way[f"{KERNEL.name}/m_axi_gmem_weights_{plane}"] for plane in ("even", "odd"))
    others = {master: p for master, p in way.items() if "weights" not in master}
    assert len({DDR_CONTROLLER_PORT[p] for p in (even, odd, *others.values())}) == 3
    assert len(set(others.values())) == 1 and len(others) == 5


def test_memory_masters_are_the_bundles_of_the_kernel(calls):
    bundles = {o["bundle"] for mode, o in kernel_pragmas() if mode == "m_axi"}
    assert {i for cell, i, _ in memory_masters() if cell == KERNEL.name} == {f"m_axi_{b}" for b in bundles}


def test_every_master_reaches_all_of_the_ddr_and_nothing_else(calls):
    expected, never = [], []
    for cell, interface, port in memory_masters():
        space = f"{cell}/" + ("Data_" + interface.removeprefix("M_AXI_") if cell == DMA.name else f"Data_{interface}")
        segment = f"{PS}/SAXIGP{port + 2}/HP{port}_"
        expected += [(space, segment + window) for window in DDR_WINDOWS]
        never += [(space, segment + window) for window in ("LPS_OCM", "QSPI")]
    assert sorted(tuple(c[2:]) for c in calls if c[:2] == ["assign_bd_address", "-target_address_space"]) == sorted(
        expected
    )
    assert sorted(tuple(c[2:]) for c in calls if c[0] == "exclude_bd_addr_seg") == sorted(never)


def test_every_register_file_gets_its_address(calls):
    assigned = [c for c in calls if c[:2] == ["assign_bd_address", "-offset"]]
    assert [c[6] for c in assigned] == [f"{PS}/Data"] * 3
    # The interrupt controller's memory map is spelled S_AXI, its interface s_axi.
    maps = {"axi_intc_0": "S_AXI"}
    assert [(int(c[2], 16), SIZES[c[4]], c[-1]) for c in assigned] == [
        (i.base, i.size, f"{i.name}/{maps.get(i.name, i.interface)}/Reg") for i in INSTANCES
    ]


def test_validated_after_everything_is_connected(calls):
    order = [c[0] for c in calls]
    last = max(i for i, name in enumerate(order) if re.match(r"connect_bd|assign_bd|exclude_bd|create_bd_cell", name))
    assert last < order.index("validate_bd_design") < order.index("generate_target") < order.index("launch_runs")


def test_board_preset_comes_before_the_settings(calls):
    preset = next(i for i, c in enumerate(calls) if c[0] == "apply_bd_automation")
    assert 'apply_board_preset "1"' in " ".join(calls[preset]) and calls[preset][-1] == PS
    assert preset < next(i for i, c in enumerate(calls) if c[:2] == ["set_property", "-dict"] and c[3] == PS)
    assert ["set_property", "board_part", CONFIG.board_part] in [c[:3] for c in calls]


# ---------------------------------------------------------------- the recording and the emulated hand-off file


def test_same_cells(calls, modules):
    def kind(vlnv: str) -> str:  # releases of AMD's IPs are Vivado's choice
        return vlnv.rpartition(":")[0] if vlnv.startswith("xilinx.com:ip:") and vlnv.count(":") == 3 else vlnv

    assert cells(calls) == {name: kind(module.get("VLNV")) for name, module in modules.items()}
    assert cells(calls)[KERNEL.name] == KERNEL.vlnv


def test_same_buses(calls, modules):
    ends: dict[str, dict[str, str]] = {}
    for cell, module in modules.items():
        for bus in module.iter("BUSINTERFACE"):
            ends.setdefault(bus.get("BUSNAME"), {})[bus.get("TYPE")] = f"{cell}/{bus.get('NAME')}"
    assert sorted(buses(calls)) == sorted((end["MASTER"], end["SLAVE"]) for end in ends.values())


def test_same_wires_and_widths(calls, modules):
    described, bits = set(), {}
    for cell, module in modules.items():
        for port in module.iter("PORT"):
            here = f"{cell}/{port.get('NAME')}"
            bits[here] = int(port.get("LEFT", 0)) + 1
            for there in port.iter("CONNECTION"):
                pair = (here, f"{there.get('INSTANCE')}/{there.get('PORT')}")
                described.add(pair if port.get("DIR") == "O" else pair[::-1])
    assert set(wires(calls)) == described
    offered = offers(calls)
    assert bits == {pin: offered[pin.split("/")[0]].pins[pin.split("/")[1]][1] for pin in bits}


def test_same_addresses(calls, modules):
    def ranges(cell):
        return [
            (r.get("MASTERBUSINTERFACE"), r.get("INSTANCE"), r.get("SLAVEBUSINTERFACE"), r.get("ADDRESSBLOCK"))
            for r in modules[cell].iter("MEMRANGE")
        ]

    bases = {r.get("INSTANCE"): int(r.get("BASEVALUE"), 16) for r in modules[PS].iter("MEMRANGE")}
    assert bases == {c[-1].split("/")[0]: int(c[2], 16) for c in calls if c[:2] == ["assign_bd_address", "-offset"]}
    segments = {tuple(c[2:]) for c in calls if c[:2] == ["assign_bd_address", "-target_address_space"]}
    count = 0
    for cell in (DMA.name, KERNEL.name):
        for master, target, interface, block in ranges(cell):
            space = f"{cell}/Data_{master.removeprefix('M_AXI_')}"
            port = int(interface[len("S_AXI_HP")])
            assert (space, f"{target}/SAXIGP{port + 2}/{block}") in segments
            count += 1
    assert count == len(segments)


def test_same_settings(calls, modules):
    """Everything that the hand-off file states and the script sets has one value."""
    common = 0
    for cell, module in modules.items():
        described = {p.get("NAME").lower(): p.get("VALUE") for p in module.iter("PARAMETER")}
        for name, value in settings(calls, cell).items():
            name = re.sub(r"^psu__(\w+?)__data_width$", r"c_\1_data_width", name)
            if name in described:
                assert described[name] == value, (cell, name)
                common += 1
            else:
                assert cell == PS, f"{cell}: the hand-off file says nothing of {name}"
    assert common > 40


def test_same_interrupts(calls, modules):
    wired = {sink: source for source, sink in wires(calls)}
    order = [wired[f"xlconcat_0/In{i}"] for i in range(3)]
    assert order == [f"{DMA.name}/mm2s_introut", f"{DMA.name}/s2mm_introut", f"{KERNEL.name}/interrupt"]
    assert wired["axi_intc_0/intr"] == "xlconcat_0/dout" and wired[f"{PS}/pl_ps_irq0"] == "axi_intc_0/irq"
    assert settings(calls, "axi_intc_0")["c_irq_connection"] == "1"  # one level line, not a bus


def test_registers_are_the_arguments_of_the_kernel(modules):
    """The kernel's s_axilite arguments in the order of its C++ function are the table that the hand-off file is of."""
    lite = {o["port"] for mode, o in kernel_pragmas() if mode == "s_axilite"} - {"return"}
    assert [name for _, name in kernel_arguments() if name in lite] == [f.name for f in KERNEL_ARGUMENTS]
    registers = [r.get("NAME") for r in modules[KERNEL.name].iter("REGISTER")]
    for argument in KERNEL_ARGUMENTS:
        halves = [argument.name] if argument.bits == 32 else [f"{argument.name}_1", f"{argument.name}_2"]
        assert set(halves) <= set(registers)


def test_pynq_reads_the_hand_off_file(tmp_path):
    """The unmodified parser of pynq: registers, addresses, interrupts, clock."""
    device = pytest.importorskip("pynq_qsnn.emulator.device")
    path = tmp_path / "emulated.hwh"
    path.write_text(hand_off(CONFIG))
    parser = device._parser()(path)
    for instance in INSTANCES:
        found = parser.ip_dict[instance.name]
        assert (found["phys_addr"], found["addr_range"]) == (instance.base, instance.size)
    registers = parser.ip_dict[KERNEL.name]["registers"]
    assert {"spill_1", "spill_2", "weights_even_1", "weights_odd_2", "weight_pairs", "spill_words"} <= set(registers)
    offsets = [r["address_offset"] for r in registers.values()]
    assert len(set(offsets)) == len(offsets) and max(offsets) < KERNEL.size
    pins = parser.interrupt_pins
    assert [pins[p]["index"] for p in ("axi_dma_0/mm2s_introut", "axi_dma_0/s2mm_introut", "qsnn_0/interrupt")] == [
        0,
        1,
        2,
    ]
    clock = parser.clock_dict[0]
    assert clock["enable"] == 1 and IOPLL_MHZ / (clock["divisor0"] * clock["divisor1"]) == CONFIG.clock_mhz


# ---------------------------------------------------------------- kernel, memories, export


def test_kernel_is_exported_under_the_name_that_the_driver_binds():
    export = re.search(r"export_design.*", resource("hls", "csynth.tcl").read_text())[0]
    options = dict(re.findall(r"-(vendor|library|ipname|version) (\S+)", export))
    vlnv = ":".join(options[key] for key in ("vendor", "library", "ipname", "version"))
    assert [vlnv] == [KERNEL.vlnv] == QsnnKernel.bindto


def test_memories_have_the_size_and_latency_that_the_kernel_assumes(calls):
    memories = {cell: vlnv.split(":")[2] for cell, vlnv in cells(calls).items() if "memory" in vlnv or "_ring" in vlnv}
    memories |= {cell: "activation_bank" for cell in cells(calls) if cell.startswith("activation_bank_")}
    assert len(memories) == CONFIG.activation_banks + 1 and memories[RING] == "weight_ring"
    latency = {o["port"]: int(o["latency"]) for mode, o in kernel_pragmas() if mode == "ap_memory"}
    assert latency["activations_write"] == latency["ring_write"] == 1
    for cell, module in memories.items():
        built = settings(calls, cell)
        ring = cell == RING
        words = CONFIG.weight_ring_beats if ring else CONFIG.activation_bank_words
        assert int(built["words"]) == words <= 1 << int(built["address_bits"])
        assert int(built["address_bits"]) == address_bits(words)
        assert int(built["word_bits"]) == (CONFIG.weight_beat_bits if ring else CONFIG.bus_bits)
        text = resource("overlays", "kv260", "rtl", f"{module}.v").read_text()
        stages = int(re.search(r"READ_LATENCY = (\d+)", text)[1])
        assert stages == latency["ring_read" if ring else "activations_read"] and "read_latency" not in built
        assert 'ram_style = "ultra"' in text


def test_memories_fit_the_ultraram():
    """4096 x 72 bits a block: the memories outside the kernel may take all of them, no more."""

    def blocks(words: int, bits: int) -> int:
        return -(-words // 4096) * -(-bits // 72)

    banks = CONFIG.activation_banks * blocks(CONFIG.activation_bank_words, CONFIG.bus_bits)
    ring = blocks(CONFIG.weight_ring_beats, CONFIG.weight_beat_bits)
    assert (banks, ring) == (24, 40) and banks + ring <= CONFIG.resources["uram"]


def test_parsers_of_this_file_see_what_they_should():
    pins = kernel(CONFIG).pins
    assert pins["ring_read_q0"] == (IN, 512) and pins["activations_write_3_d0"] == (OUT, 128)
    assert "ring_read_we0" not in pins and "activations_read_4_q0" not in pins
    assert verilog("weight_ring", {"address_bits": "5"}).pins["read_address"] == (IN, 5)


# ---------------------------------------------------------------- failures and results


@needs_tcl
def test_stamp(tmp_path):
    calls, error = run_script(tmp_path)
    assert error == ""
    folder = tmp_path / "overlays" / "kv260"
    stamp = json.loads((folder / "qsnn_kv260.json").read_text())
    assert int(stamp["fingerprint64"], 16) == CONFIG.fingerprint64
    assert stamp["vivado"] == "2024.1" and len(stamp["bit_sha256"]) == 64
    low = f"{CONFIG.fingerprint64 & 0xFFFFFFFF:08X}"
    assert f"USR_ACCESS 0x{low}" in (folder / "build" / "stamp.xdc").read_text()
    assert (folder / "qsnn_kv260.bit").exists() and (folder / "qsnn_kv260.hwh").exists()


@needs_tcl
@pytest.mark.parametrize("version", ["2022.1", "2022.20", "2024.3", "2025.1"])
def test_other_vivado_releases_are_refused(tmp_path, version):
    calls, error = run_script(tmp_path, version=version)
    assert f"this is Vivado {version}; use 2022.2, 2023.1, 2023.2, 2024.1 or 2024.2" in error
    assert "create_project" not in [c[0] for c in calls]


@needs_tcl
@pytest.mark.parametrize("version", [*ACCEPTED, "2023.2.1"])
def test_accepted_releases(tmp_path, version):
    assert run_script(tmp_path, version=version)[1] == ""


@needs_tcl
def test_missed_timing_writes_nothing(tmp_path):
    _, error = run_script(tmp_path, slack=-0.2)
    assert "timing is not met at 250 MHz: worst slack -0.2 ns" in error
    assert not [f for f in (tmp_path / "overlays" / "kv260").iterdir() if f.name.startswith("qsnn_")]


@needs_tcl
@pytest.mark.parametrize(
    "change, message",
    [
        ({"qsnn_0/ring_write_we0": 64}, "pin qsnn_0/ring_write_we0 has 64 bits, 1 were expected"),
        ({"qsnn_0/ring_read_address0": 32}, "pin qsnn_0/ring_read_address0 has 32 bits, 15 were expected"),
        ({"qsnn_0/activations_read_2_q0": None}, "0 objects match get_bd_pins qsnn_0/activations_read_2_q0"),
        ({"qsnn_0/m_axi_gmem_spill": None}, "0 objects match get_bd_intf_pins qsnn_0/m_axi_gmem_spill"),
        ({"qsnn_0/now": None, "qsnn_0/now_r": 64}, ""),  # Vitis HLS may rename
    ],
)
def test_kernel_with_other_pins(tmp_path, change, message):
    names = {name: bits for name, bits in (known_names() | change).items() if bits is not None}
    calls, error = run_script(tmp_path, names=names)
    assert message in error and bool(message) == bool(error)
    assert ("validate_bd_design" in [c[0] for c in calls]) == (not message)


@needs_tcl
def test_kernel_older_than_its_sources_is_refused(tmp_path, monkeypatch):
    component = tmp_path / "component.xml"
    write = Path.write_text

    def write_old(path, text, *rest):
        done = write(path, text, *rest)
        if path == component:
            os.utime(path, (1, 1))
        return done

    monkeypatch.setattr(Path, "write_text", write_old)
    _, error = run_script(tmp_path)
    assert "is newer than the exported kernel" in error


def test_default_bitfile_is_what_the_script_writes():
    assert DEFAULT_BITFILE == SCRIPT.with_name(f"qsnn_{CONFIG.name}.bit")


# ---------------------------------------------------------------- make


def make(overlay: Path, tools: dict[str, str]) -> subprocess.CompletedProcess:
    """make in ``overlay`` with nothing on the PATH but the shell's tools and ``tools`` (name -> script)."""
    folder = overlay.parents[2] / f"{overlay.parents[1].name}_bin"
    if not folder.exists():
        folder.mkdir()
        for name in ("sh", "make", "sed", "find", "head", "cut", "timeout", "touch", "mkdir"):
            (folder / name).symlink_to(shutil.which(name))
        for name, script in tools.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
    command = [str(folder / "make"), "-C", str(overlay)]
    return subprocess.run(command, env={"PATH": str(folder)}, capture_output=True, text=True, timeout=60)


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


VIVADO = 'if [ "$1" = -version ]; then echo "{}"; else echo "RUN $@"; fi'
RELEASES = " ".join(ACCEPTED)


@needs_make
def test_make_says_everything_that_is_missing(tmp_path):
    overlay = copy_overlay(tmp_path / "tree")
    before = files(tmp_path / "tree")
    done = make(overlay, {})
    assert done.returncode != 0
    assert (
        f"no Vivado: the command vivado is not on the PATH; source settings64.sh of a Vivado {RELEASES}" in done.stderr
    )
    assert "no kernel below ../../hls/qsnn_project, and no Vitis HLS" in done.stderr
    assert f"settings64.sh of a Vitis {RELEASES}" in done.stderr and "nothing was written" in done.stderr
    assert files(tmp_path / "tree") == before


@needs_make
@pytest.mark.parametrize("banner", ["Vivado v2021.1 (64-bit)", "vivado v2025.1 (64-bit)", "what?"])
def test_make_refuses_other_releases(tmp_path, banner):
    overlay = copy_overlay(tmp_path / "tree")
    done = make(overlay, {"vivado": VIVADO.format(banner), "vitis_hls": "touch ran"})
    assert done.returncode != 0 and "RUN" not in done.stdout and not list(overlay.rglob("ran"))
    assert "vivado is release '" in done.stderr and f"accepted are {RELEASES}" in done.stderr
    assert "no kernel" not in done.stderr


@needs_make
def test_make_builds_the_kernel_where_there_is_none(tmp_path):
    overlay = copy_overlay(tmp_path / "tree")
    hls = tmp_path / "tree" / "hls"
    (hls / "Makefile").write_text("csynth:\n\tmkdir -p qsnn_project && touch qsnn_project/component.xml\n")
    tools = {"vivado": VIVADO.format("vivado v2024.1.2 (64-bit)"), "vitis-run": ""}
    first = make(overlay, tools)
    assert first.returncode == 0 and "csynth" in first.stdout, first.stderr
    assert (
        "RUN -mode batch -nojournal -log build.log -source build.tcl -tclargs ../../hls/qsnn_project ." in first.stdout
    )
    again = make(overlay, tools)
    assert again.returncode == 0 and "csynth" not in again.stdout
