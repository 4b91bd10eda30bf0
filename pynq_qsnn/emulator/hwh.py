"""Hand-off file (.hwh) of the emulated design, in the structure that Vivado writes and pynq parses."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from ..hwspec import HardwareConfig
from ..kv260 import IOPLL_MHZ
from .design import (
    DDR_WINDOWS,
    DMA,
    INSTANCES,
    KERNEL,
    MEMORY_PATHS,
    PS,
    BlockDesign,
    block_design,
    kernel_registers,
    memory_masters,
)

READ_WRITE, READ_ONLY = "read-write", "read-only"


def hand_off(config: HardwareConfig) -> str:
    """Text of the .hwh: the same cells, connections, addresses, registers and clock as the overlay of ``config``."""
    design = block_design(config)
    registers = {DMA.name: _dma_registers(config), KERNEL.name: _kernel_registers()}
    parameters = {**design.parameters, PS: _system_parameters(config)}
    memory_maps = _memory_maps()
    modules = [
        _module(cell, design, parameters.get(cell, {}), registers.get(cell, ""), memory_maps.get(cell, ""))
        for cell in design.cells
    ]
    board, part = config.board_part, config.part
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8" standalone="no" ?>',
            "<!-- Emulated KV260: written by pynq_qsnn.emulator, not by Vivado. -->",
            f'<EDKSYSTEM EDWVERSION="1.2" TIMESTAMP="" VIVADOVERSION="emulated {config.fingerprint}">',
            f'<SYSTEMINFO ARCH="zynquplus" BOARD={_q(board)} DEVICE={_q(part)} NAME="qsnn_{config.name}_emulated"/>',
            "<EXTERNALPORTS/>",
            "<EXTERNALINTERFACES/>",
            "<MODULES>",
            *modules,
            "</MODULES>",
            "</EDKSYSTEM>",
            "",
        ]
    )


def _q(value: object) -> str:
    return quoteattr(str(value))


def _property(name: str, value: object) -> str:
    return f"<PROPERTY NAME={_q(name)} VALUE={_q(value)}/>"


def _register(name: str, offset: int, access: str, fields: list[tuple[str, int, int]]) -> str:
    """fields: (name, lowest bit, width)."""
    rows = "".join(
        f"<FIELD NAME={_q(field)}>{_property('DESCRIPTION', field)}{_property('ADDRESS_OFFSET', low)}"
        f"{_property('ACCESS', access)}{_property('BIT_OFFSET', low)}{_property('BIT_WIDTH', width)}</FIELD>"
        for field, low, width in fields
    )
    head = "".join(
        _property(*item)
        for item in (
            ("DESCRIPTION", name),
            ("ADDRESS_OFFSET", hex(offset)),
            ("SIZE", 32),
            ("ACCESS", access),
            ("IS_ENABLED", "true"),
            ("RESET_VALUE", 0),
        )
    )
    return f"<REGISTER NAME={_q(name)}>{head}<FIELDS>{rows}</FIELDS></REGISTER>"


def _ports(cell: str, design: BlockDesign) -> str:
    """PORT elements of a cell: its end of every net."""
    rows = []
    for net in design.nets:
        signal = net.driver.replace("/", "_")
        for pin in (net.driver, *net.sinks):
            owner, name = pin.split("/")
            if owner != cell:
                continue
            driver = pin == net.driver
            others = net.sinks if driver else (net.driver,)
            ends = "".join("<CONNECTION INSTANCE={} PORT={}/>".format(*map(_q, other.split("/"))) for other in others)
            width = f'LEFT="{net.bits - 1}" RIGHT="0" ' if net.bits > 1 else ""
            rows.append(
                f'<PORT DIR="{"O" if driver else "I"}" {width}NAME={_q(name)} SIGIS={_q(net.kind)} '
                f"SIGNAME={_q(signal)}><CONNECTIONS>{ends}</CONNECTIONS></PORT>"
            )
    return "".join(rows)


def _bus_interfaces(cell: str, design: BlockDesign) -> str:
    """BUSINTERFACE elements of a cell; both ends of a connection carry the master's name."""
    rows = []
    for bus in design.buses:
        for end, role in ((bus.master, "MASTER"), (bus.slave, "SLAVE")):
            owner, name = end.split("/")
            if owner == cell:
                rows.append(
                    f"<BUSINTERFACE BUSNAME={_q(bus.master.replace('/', '_'))} NAME={_q(name)} TYPE={_q(role)} "
                    f"VLNV={_q(f'xilinx.com:interface:{bus.kind}:1.0')}/>"
                )
    return "".join(rows)


def _module(cell: str, design: BlockDesign, parameters: dict, registers: str, memory_map: str) -> str:
    vlnv = design.cells[cell]
    kind, version = vlnv.split(":")[2:]
    attributes = f"FULLNAME={_q('/' + cell)} HWVERSION={_q(version)} INSTANCE={_q(cell)} MODTYPE={_q(kind)}"
    in_fabric = "FALSE" if cell == PS else "TRUE"  # how Kria-PYNQ's pynqmetadata 0.1.2 knows a processing system
    block = ""
    if registers:
        interface = {x.name: x.interface for x in INSTANCES}[cell]
        block = (
            f'<ADDRESSBLOCK ACCESS="" INTERFACE={_q(interface)} NAME="Reg" RANGE="65536" USAGE="register">'
            f"<REGISTERS>{registers}</REGISTERS></ADDRESSBLOCK>"
        )
    # pynq's DMA driver reads the lower-case names, Vivado writes both.
    both = {**parameters, **{k.lower(): v for k, v in parameters.items()}}
    rows = "".join(f"<PARAMETER NAME={_q(k)} VALUE={_q(v)}/>" for k, v in both.items())
    return (
        f'<MODULE COREREVISION="1" {attributes} IPTYPE="PERIPHERAL" IS_ENABLE="1" IS_PL="{in_fabric}" '
        f'MODCLASS="PERIPHERAL" VLNV={_q(vlnv)}>\n<DOCUMENTS/><ADDRESSBLOCKS>{block}</ADDRESSBLOCKS>\n'
        f"<PARAMETERS>{rows}</PARAMETERS>\n"
        f"<PORTS>{_ports(cell, design)}</PORTS>\n<BUSINTERFACES>{_bus_interfaces(cell, design)}</BUSINTERFACES>\n"
        f"{memory_map}</MODULE>"
    )


def _dma_registers(config: HardwareConfig) -> str:
    registers = ""
    for channel, base in (("MM2S", 0x00), ("S2MM", 0x30)):
        address = "SA" if channel == "MM2S" else "DA"
        status = [("Halted", 0, 1), ("Idle", 1, 1), ("DMAIntErr", 4, 1), ("DMASlvErr", 5, 1), ("DMADecErr", 6, 1)]
        registers += _register(f"{channel}_DMACR", base, READ_WRITE, [("RS", 0, 1), ("Reset", 2, 1)])
        registers += _register(f"{channel}_DMASR", base + 0x04, READ_WRITE, [*status, ("IOC_Irq", 12, 1)])
        registers += _register(f"{channel}_{address}", base + 0x18, READ_WRITE, [(address, 0, 32)])
        registers += _register(f"{channel}_{address}_MSB", base + 0x1C, READ_WRITE, [(f"{address}_MSB", 0, 32)])
        registers += _register(f"{channel}_LENGTH", base + 0x28, READ_WRITE, [("Length", 0, config.dma_length_bits)])
    return registers


def _kernel_registers() -> str:
    control = [("AP_START", 0, 1), ("AP_DONE", 1, 1), ("AP_IDLE", 2, 1), ("AP_READY", 3, 1), ("AUTO_RESTART", 7, 1)]
    registers = _register("CTRL", 0x00, READ_WRITE, control)
    registers += _register("GIER", 0x04, READ_WRITE, [("Enable", 0, 1)])
    registers += _register("IP_IER", 0x08, READ_WRITE, [("CHAN0_INT_EN", 0, 1), ("CHAN1_INT_EN", 1, 1)])
    registers += _register("IP_ISR", 0x0C, READ_WRITE, [("CHAN0_INT_ST", 0, 1), ("CHAN1_INT_ST", 1, 1)])
    for register in kernel_registers():
        access = READ_ONLY if register.output else READ_WRITE
        field = (f"{register.argument}_ap_vld", 0, 1) if register.valid else (register.argument, 0, 32)
        registers += _register(register.name, register.offset, access, [field])
    return registers


def _memory_range(block: str, base: int, size: int, master: str, kind: str, cell: str, interface: str) -> str:
    return (
        f'<MEMRANGE ADDRESSBLOCK={_q(block)} BASENAME="C_BASEADDR" BASEVALUE="0x{base:08X}" HIGHNAME="C_HIGHADDR" '
        f'HIGHVALUE="0x{base + size - 1:08X}" INSTANCE={_q(cell)} IS_DATA="TRUE" IS_INSTRUCTION="TRUE" '
        f'MASTERBUSINTERFACE={_q(master)} MEMTYPE="{kind}" SLAVEBUSINTERFACE={_q(interface)}/>'
    )


def _memory_maps() -> dict[str, str]:
    """Cell -> its MEMORYMAP: what the processing system reaches, and what the masters of the PL reach."""
    rows = {
        PS: [_memory_range("Reg", x.base, x.size, "M_AXI_HPM0_FPD", "REGISTER", x.name, x.interface) for x in INSTANCES]
    }
    for cell, interface, port in memory_masters():
        for window, (base, size) in DDR_WINDOWS.items():
            rows.setdefault(cell, []).append(
                _memory_range(f"HP{port}_{window}", base, size, interface, "MEMORY", PS, f"S_AXI_HP{port}_FPD")
            )
    return {cell: f"<MEMORYMAP>{''.join(ranges)}</MEMORYMAP><PERIPHERALS/>" for cell, ranges in rows.items()}


def _system_parameters(config: HardwareConfig) -> dict[str, object]:
    parameters: dict[str, object] = {"C_MAXIGP0_DATA_WIDTH": 128, "PSU__USE__M_AXI_GP0": 1, "PSU__USE__IRQ0": 1}
    for path in MEMORY_PATHS:
        group = path.port + 2  # HP0 is GP2
        parameters[f"PSU__USE__S_AXI_GP{group}"] = 1
        parameters[f"C_SAXIGP{group}_DATA_WIDTH"] = config.bus_bits
    for clock in range(4):
        prefix = f"PSU__CRL_APB__PL{clock}_REF_CTRL"
        frequency = config.clock_mhz if clock == 0 else 100
        parameters[f"PSU__FPGA_PL{clock}_ENABLE"] = int(clock == 0)
        parameters[f"{prefix}__SRCSEL"] = "IOPLL"
        parameters[f"{prefix}__FREQMHZ"] = frequency
        parameters[f"{prefix}__ACT_FREQMHZ"] = frequency
        parameters[f"{prefix}__DIVISOR0"] = round(IOPLL_MHZ / frequency)
        parameters[f"{prefix}__DIVISOR1"] = 1
    return parameters
