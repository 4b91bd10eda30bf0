"""The emulated block design in tables: cells, addresses, connections, the kernel's registers.

``hwh.py`` writes them into the hand-off file and ``board.py`` maps models at them. ``overlays/kv260/build.tcl`` builds
the real design; a test compares its cells, buses, wires, widths and addresses with these tables, one by one. Why each
thing is where it is stands in ``docs/overlay.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..hwspec import KERNEL_ARGUMENTS, Field, HardwareConfig
from ..kv260 import DMA_TYPE

KERNEL_VLNV = "xilinx.com:hls:qsnn_top:1.0"
DMA_VLNV = f"{DMA_TYPE}7.1"
PS = "zynq_ultra_ps_e_0"
CONCAT = "xlconcat_0"
RESET = "reset_0"
COUNTER = "cycle_counter_0"
RING = "weight_ring_0"
CONTROL_BUS = "control_bus"


@dataclass(frozen=True)
class Instance:
    """One addressable IP of the block design."""

    name: str
    vlnv: str
    interface: str
    base: int
    size: int


DMA = Instance("axi_dma_0", DMA_VLNV, "S_AXI_LITE", 0xA000_0000, 0x1_0000)
KERNEL = Instance("qsnn_0", KERNEL_VLNV, "s_axi_control", 0xA001_0000, 0x1_0000)
INTERRUPTS = Instance("axi_intc_0", "xilinx.com:ip:axi_intc:4.1", "s_axi", 0xA002_0000, 0x1_0000)
INSTANCES = (DMA, KERNEL, INTERRUPTS)


@dataclass(frozen=True)
class MemoryPath:
    """A SmartConnect from masters ("cell/interface") to the processing system's port S_AXI_HP<port>_FPD."""

    bus: str
    port: int
    masters: tuple[str, ...]


def _kernel_master(bundle: str) -> str:
    return f"{KERNEL.name}/m_axi_{bundle}"


# HP1, HP3 and HP0 reach three different ports of the DDR controller.
MEMORY_PATHS = (
    MemoryPath("even_bus", 1, (_kernel_master("gmem_weights_even"),)),
    MemoryPath("odd_bus", 3, (_kernel_master("gmem_weights_odd"),)),
    MemoryPath(
        "data_bus",
        0,
        (
            f"{DMA.name}/M_AXI_MM2S",
            f"{DMA.name}/M_AXI_S2MM",
            *map(_kernel_master, ("gmem_spill", "gmem_program", "gmem_log")),
        ),
    ),
)
INTERRUPT_SOURCES = (f"{DMA.name}/mm2s_introut", f"{DMA.name}/s2mm_introut", f"{KERNEL.name}/interrupt")
DDR_WINDOWS = {"DDR_LOW": (0x0, 0x8000_0000), "DDR_HIGH": (0x8_0000_0000, 0x8000_0000)}  # name: (base, bytes)


@dataclass(frozen=True)
class Bus:
    """Connection of two interfaces, "cell/interface". kind: aximm or axis."""

    master: str
    slave: str
    kind: str = "aximm"


@dataclass(frozen=True)
class Net:
    """Wire from a pin to pins, "cell/pin". kind: what the hand-off file calls SIGIS."""

    driver: str
    sinks: tuple[str, ...]
    bits: int = 1
    kind: str = "undef"


@dataclass(frozen=True)
class BlockDesign:
    """Everything in the programmable logic, and the processing system. cells: name -> VLNV, in hand-off order."""

    cells: dict[str, str]
    parameters: dict[str, dict[str, int]]
    buses: tuple[Bus, ...]
    nets: tuple[Net, ...]


def memory_masters() -> Iterator[tuple[str, str, int]]:
    """(cell, interface, n of S_AXI_HPn_FPD) of every master of the programmable logic."""
    for path in MEMORY_PATHS:
        for master in path.masters:
            yield (*master.split("/"), path.port)


def address_bits(words: int) -> int:
    """Address pins of a memory."""
    return max(1, (words - 1).bit_length())


def block_design(config: HardwareConfig) -> BlockDesign:
    """The design of an overlay."""
    banks = {f"activation_bank_{bank}": f"activations_%s_{bank}" for bank in range(config.activation_banks)}
    memories = {**banks, RING: "ring_%s"}  # cell -> the kernel's pins, %s is read or write
    words = {**dict.fromkeys(banks, config.activation_bank_words), RING: config.weight_ring_beats}
    bits = {**dict.fromkeys(banks, config.bus_bits), RING: config.weight_beat_bits}
    buses_to_memory = [path.bus for path in MEMORY_PATHS]
    cells = {
        DMA.name: DMA.vlnv,
        KERNEL.name: KERNEL.vlnv,
        INTERRUPTS.name: INTERRUPTS.vlnv,
        CONCAT: "xilinx.com:ip:xlconcat:2.1",
        RESET: "xilinx.com:ip:proc_sys_reset:5.0",
        **dict.fromkeys([CONTROL_BUS, *buses_to_memory], "xilinx.com:ip:smartconnect:1.0"),
        COUNTER: "xilinx.com:module_ref:cycle_counter:1.0",
        **dict.fromkeys(banks, "xilinx.com:module_ref:activation_bank:1.0"),
        RING: "xilinx.com:module_ref:weight_ring:1.0",
        PS: "xilinx.com:ip:zynq_ultra_ps_e:3.4",
    }
    parameters = {
        DMA.name: _dma_parameters(config),
        KERNEL.name: {"C_S_AXI_CONTROL_DATA_WIDTH": 32},
        INTERRUPTS.name: {"C_IRQ_CONNECTION": 1},
        CONCAT: {"NUM_PORTS": len(INTERRUPT_SOURCES)},
        CONTROL_BUS: {"NUM_SI": 1, "NUM_MI": len(INSTANCES)},
        **{path.bus: {"NUM_SI": len(path.masters), "NUM_MI": 1} for path in MEMORY_PATHS},
        **{
            cell: {"WORDS": words[cell], "WORD_BITS": bits[cell], "ADDRESS_BITS": address_bits(words[cell])}
            for cell in memories
        },
    }
    buses = [
        Bus(f"{PS}/M_AXI_HPM0_FPD", f"{CONTROL_BUS}/S00_AXI"),
        *(Bus(f"{CONTROL_BUS}/M{i:02}_AXI", f"{x.name}/{x.interface}") for i, x in enumerate(INSTANCES)),
        Bus(f"{DMA.name}/M_AXIS_MM2S", f"{KERNEL.name}/frames", "axis"),
        Bus(f"{KERNEL.name}/results", f"{DMA.name}/S_AXIS_S2MM", "axis"),
    ]
    for path in MEMORY_PATHS:
        buses += [Bus(master, f"{path.bus}/S{i:02}_AXI") for i, master in enumerate(path.masters)]
        buses.append(Bus(f"{path.bus}/M00_AXI", f"{PS}/S_AXI_HP{path.port}_FPD"))

    connects = [CONTROL_BUS, *buses_to_memory]
    clocked = (
        *(f"{PS}/{name}" for name in ("maxihpm0_fpd_aclk", *(f"saxihp{p.port}_fpd_aclk" for p in MEMORY_PATHS))),
        *(f"{RESET}/slowest_sync_clk", f"{KERNEL.name}/ap_clk", f"{COUNTER}/clk", f"{INTERRUPTS.name}/s_axi_aclk"),
        *(f"{DMA.name}/{name}" for name in ("s_axi_lite_aclk", "m_axi_mm2s_aclk", "m_axi_s2mm_aclk")),
        *(f"{bus}/aclk" for bus in connects),
        *(f"{memory}/clk" for memory in memories),
    )
    reset = (
        *(f"{KERNEL.name}/ap_rst_n", f"{COUNTER}/resetn", f"{INTERRUPTS.name}/s_axi_aresetn"),
        f"{DMA.name}/axi_resetn",
        *(f"{bus}/aresetn" for bus in connects),
    )
    nets = [
        Net(f"{PS}/pl_clk0", clocked, kind="clk"),
        Net(f"{PS}/pl_resetn0", (f"{RESET}/ext_reset_in",), kind="rst"),
        Net(f"{RESET}/peripheral_aresetn", reset, kind="rst"),
        Net(f"{COUNTER}/now", (f"{KERNEL.name}/now",), 64),
        *(Net(pin, (f"{CONCAT}/In{i}",), kind="INTERRUPT") for i, pin in enumerate(INTERRUPT_SOURCES)),
        Net(f"{CONCAT}/dout", (f"{INTERRUPTS.name}/intr",), len(INTERRUPT_SOURCES), kind="INTERRUPT"),
        Net(f"{INTERRUPTS.name}/irq", (f"{PS}/pl_ps_irq0",), kind="INTERRUPT"),
    ]
    for memory, pins in memories.items():
        address = parameters[memory]["ADDRESS_BITS"]
        for way, pin, theirs, width in (
            ("write", "address0", "write_address", address),
            ("write", "ce0", "write_ce", 1),
            ("write", "we0", "write_we", 1),
            ("write", "d0", "write_data", bits[memory]),
            ("read", "address0", "read_address", address),
            ("read", "ce0", "read_ce", 1),
        ):
            nets.append(Net(f"{KERNEL.name}/{pins % way}_{pin}", (f"{memory}/{theirs}",), width))
        nets.append(Net(f"{memory}/read_data", (f"{KERNEL.name}/{pins % 'read'}_q0",), bits[memory]))
    return BlockDesign(cells, parameters, tuple(buses), tuple(nets))


def _dma_parameters(config: HardwareConfig) -> dict[str, int]:
    return {
        "C_INCLUDE_SG": 0,
        "C_MICRO_DMA": 0,
        "C_SG_LENGTH_WIDTH": config.dma_length_bits,
        "C_ADDR_WIDTH": config.address_bits,
        "C_INCLUDE_MM2S": 1,
        "C_INCLUDE_MM2S_DRE": 0,
        "C_M_AXI_MM2S_DATA_WIDTH": config.bus_bits,
        "C_M_AXIS_MM2S_TDATA_WIDTH": config.bus_bits,
        "C_MM2S_BURST_SIZE": 64,
        "C_INCLUDE_S2MM": 1,
        "C_INCLUDE_S2MM_DRE": 0,
        "C_M_AXI_S2MM_DATA_WIDTH": config.bus_bits,
        "C_S_AXIS_S2MM_TDATA_WIDTH": config.bus_bits,
        "C_S2MM_BURST_SIZE": 16,
    }


@dataclass(frozen=True)
class KernelRegister:
    """One 32-bit register of the kernel. ``argument`` and ``word`` say which half of which argument it holds.

    valid: the register that holds the ap_vld bit of an output, cleared when it is read.
    """

    name: str
    offset: int
    output: bool
    argument: str
    word: int = 0
    valid: bool = False


def kernel_registers(arguments: tuple[Field, ...] = KERNEL_ARGUMENTS) -> tuple[KernelRegister, ...]:
    """Registers by the rules of Vitis HLS's s_axilite adapter.

    Arguments follow each other from 0x10. An input takes its data words and one reserved word; an output its data
    words, one control word with its ap_vld bit and two reserved words. A 64-bit argument appears as NAME_1 (low) and
    NAME_2. The board's driver reads the offsets from the hand-off file, so nothing else depends on these rules.
    """
    registers: list[KernelRegister] = []
    offset = 0x10
    for argument in arguments:
        output = argument.meaning.startswith("out:")
        words = argument.bits // 32
        for word in range(words):
            name = argument.name if words == 1 else f"{argument.name}_{word + 1}"
            registers.append(KernelRegister(name, offset, output, argument.name, word))
            offset += 4
        if output:
            registers.append(KernelRegister(f"{argument.name}_ctrl", offset, True, argument.name, valid=True))
            offset += 8
        offset += 4
    return tuple(registers)
