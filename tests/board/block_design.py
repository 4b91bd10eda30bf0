"""What the block design's cells offer: pins and interfaces of the kernel (from top.cpp), of the overlay's own Verilog
(from the sources) and of AMD's IPs (from their product guides, for the settings that build.tcl makes)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pynq_qsnn.emulator.design import address_bits
from pynq_qsnn.hwspec import HardwareConfig
from pynq_qsnn.paths import resource

IN, OUT = "I", "O"
MASTER, SLAVE = "MASTER", "SLAVE"


@dataclass
class Offer:
    """pins: name -> (direction, bits). interfaces: name -> (role, kind). clocks, resets: names of input pins.

    open_inputs: inputs that may stay unconnected.
    """

    pins: dict[str, tuple[str, int]] = field(default_factory=dict)
    interfaces: dict[str, tuple[str, str]] = field(default_factory=dict)
    clocks: tuple[str, ...] = ()
    resets: tuple[str, ...] = ()
    open_inputs: tuple[str, ...] = ()


def kernel_pragmas() -> list[tuple[str, dict[str, str]]]:
    """INTERFACE and ARRAY_PARTITION pragmas of top.cpp: (mode, options)."""
    text = resource("hls", "src", "top.cpp").read_text()
    found = []
    for kind, body in re.findall(r"\bHLS\((INTERFACE|ARRAY_PARTITION)\s+(.*?)\)\s*\n", text, re.S):
        words = " ".join(body.split())
        options = dict(re.findall(r"(\w+) = (\w+)", words))
        found.append((words.split()[0] if kind == "INTERFACE" else "partition", options))
    return found


def kernel_arguments() -> list[tuple[str, str]]:
    """(type, name) of the arguments of qsnn_top."""
    text = resource("hls", "src", "top.hpp").read_text()
    arguments = re.search(r"void qsnn_top\((.*?)\);", text, re.S)[1]
    return [tuple(" ".join(a.split()).rsplit(" ", 1)) for a in arguments.split(",")]


def kernel(config: HardwareConfig) -> Offer:
    """Pins and interfaces that Vitis HLS gives the kernel."""
    types = {name: kind for kind, name in kernel_arguments()}
    pragmas = kernel_pragmas()
    partitioned = {o["variable"] for mode, o in pragmas if mode == "partition"}
    offer = Offer(
        pins={"ap_clk": (IN, 1), "ap_rst_n": (IN, 1), "interrupt": (OUT, 1)}, clocks=("ap_clk",), resets=("ap_rst_n",)
    )
    for mode, options in pragmas:
        port = options.get("port")
        if mode == "axis":
            offer.interfaces[port] = (SLAVE if port == "frames" else MASTER, "axis")
        elif mode == "m_axi":
            offer.interfaces[f"m_axi_{options['bundle']}"] = (MASTER, "aximm")
        elif mode == "s_axilite":
            offer.interfaces[f"s_axi_{options['bundle']}"] = (SLAVE, "aximm")
        elif mode == "ap_none":
            assert types[port] == "const volatile uint64_t*"
            offer.pins[port] = (IN, 64)
        elif mode == "ap_memory":
            ring = "WeightRing" in types[port]
            words = config.weight_ring_beats if ring else config.activation_bank_words
            data = config.weight_beat_bits if ring else config.bus_bits
            names = [f"{port}_{bank}" for bank in range(config.activation_banks)] if port in partitioned else [port]
            for name in names:
                offer.pins |= {f"{name}_address0": (OUT, address_bits(words)), f"{name}_ce0": (OUT, 1)}
                if types[port].startswith("const"):
                    offer.pins[f"{name}_q0"] = (IN, data)
                else:
                    offer.pins |= {f"{name}_we0": (OUT, 1), f"{name}_d0": (OUT, data)}
    return offer


def verilog(module: str, parameters: dict[str, str]) -> Offer:
    """Pins of a module in overlays/kv260/rtl under ``parameters`` (lower-case names), else its defaults."""
    text = resource("overlays", "kv260", "rtl", f"{module}.v").read_text()
    values = {name: int(value) for name, value in re.findall(r"parameter integer (\w+) = (\d+)", text)}
    values |= {name: int(parameters[name.lower()]) for name in values if name.lower() in parameters}
    offer = Offer()
    ports = r"^\s*(input|output)\s+(?:wire|reg)\s+(?:\[([^\]]+):0\])?\s*(\w+),?$"
    for direction, left, name in re.findall(ports, text, re.M):
        if not left:
            bits = 1
        else:
            base, _, minus = left.partition("-")
            bits = (values[base] if base in values else int(base)) - int(minus or 0) + 1
        offer.pins[name] = (IN if direction == "input" else OUT, bits)
    offer.clocks = tuple(n for n in offer.pins if n == "clk")
    offer.resets = tuple(n for n in offer.pins if n == "resetn")
    return offer


def amd(ip: str, settings: dict[str, str]) -> Offer:
    """Pins and interfaces of one of AMD's IPs under ``settings`` (lower-case names)."""
    if ip == "smartconnect":
        slaves, masters = int(settings["num_si"]), int(settings["num_mi"])
        return Offer(
            pins={"aclk": (IN, 1), "aresetn": (IN, 1)},
            interfaces={
                **{f"S{i:02}_AXI": (SLAVE, "aximm") for i in range(slaves)},
                **{f"M{i:02}_AXI": (MASTER, "aximm") for i in range(masters)},
            },
            clocks=("aclk",),
            resets=("aresetn",),
        )
    if ip == "xlconcat":
        ports = int(settings["num_ports"])
        return Offer(pins={**{f"In{i}": (IN, 1) for i in range(ports)}, "dout": (OUT, ports)})
    if ip == "axi_intc":  # intr takes the width of what drives it
        return Offer(
            pins={"intr": (IN, 3), "irq": (OUT, 1), "s_axi_aclk": (IN, 1), "s_axi_aresetn": (IN, 1)},
            interfaces={"s_axi": (SLAVE, "aximm")},
            clocks=("s_axi_aclk",),
            resets=("s_axi_aresetn",),
        )
    if ip == "proc_sys_reset":
        inputs = ("slowest_sync_clk", "ext_reset_in", "aux_reset_in", "mb_debug_sys_rst", "dcm_locked")
        outputs = ("mb_reset", "bus_struct_reset", "peripheral_reset", "interconnect_aresetn", "peripheral_aresetn")
        return Offer(
            pins={**dict.fromkeys(inputs, (IN, 1)), **dict.fromkeys(outputs, (OUT, 1))},
            clocks=("slowest_sync_clk",),
            open_inputs=("aux_reset_in", "mb_debug_sys_rst", "dcm_locked"),  # the IP ties them off
        )
    if ip == "axi_dma":
        assert settings["c_include_sg"] == "0"  # else there are more clocks and ports
        clocks = ("s_axi_lite_aclk", "m_axi_mm2s_aclk", "m_axi_s2mm_aclk")
        outputs = ("mm2s_introut", "s2mm_introut", "mm2s_prmry_reset_out_n", "s2mm_prmry_reset_out_n")
        return Offer(
            pins={
                **dict.fromkeys((*clocks, "axi_resetn"), (IN, 1)),
                **dict.fromkeys(outputs, (OUT, 1)),
            },
            interfaces={
                "S_AXI_LITE": (SLAVE, "aximm"),
                "M_AXI_MM2S": (MASTER, "aximm"),
                "M_AXI_S2MM": (MASTER, "aximm"),
                "M_AXIS_MM2S": (MASTER, "axis"),
                "S_AXIS_S2MM": (SLAVE, "axis"),
            },
            clocks=clocks,
            resets=("axi_resetn",),
        )
    assert ip == "zynq_ultra_ps_e"
    used = {int(name[-1]) for name, value in settings.items() if name.startswith("psu__use__s_axi_gp") and value == "1"}
    ports = sorted(group - 2 for group in used)  # HP0 is GP2
    assert settings["psu__use__m_axi_gp0"] == "1" and settings["psu__use__irq0"] == "1"
    assert settings["psu__fpga_pl0_enable"] == "1" and settings["psu__num_fabric_resets"] == "1"
    clocks = ("maxihpm0_fpd_aclk", *(f"saxihp{port}_fpd_aclk" for port in ports))
    return Offer(
        pins={
            **dict.fromkeys((*clocks, "pl_ps_irq0"), (IN, 1)),
            "pl_clk0": (OUT, 1),
            "pl_resetn0": (OUT, 1),
        },
        interfaces={
            "M_AXI_HPM0_FPD": (MASTER, "aximm"),
            **{f"S_AXI_HP{port}_FPD": (SLAVE, "aximm") for port in ports},
        },
        clocks=clocks,
    )


def offer(vlnv: str, settings: dict[str, str], config: HardwareConfig) -> Offer:
    """Of a cell by its VLNV, with or without the version."""
    _, library, name = vlnv.split(":")[:3]
    if library == "hls":
        return kernel(config)
    return verilog(name, settings) if library == "module_ref" else amd(name, settings)
