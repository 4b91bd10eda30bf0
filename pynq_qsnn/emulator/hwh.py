"""Hand-off file (.hwh) of the emulated design, in the structure that Vivado writes and pynq parses."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from ..hwspec import HardwareConfig
from .design import DMA, INSTANCES, INTERRUPTS, KERNEL, MEMORY_PORTS, Instance, kernel_registers
from .ps import IOPLL_MHZ

READ_WRITE, READ_ONLY = "read-write", "read-only"
PS = "zynq_ultra_ps_e_0"
CONCAT = "xlconcat_0"


def hand_off(config: HardwareConfig) -> str:
    """Text of the .hwh: the same instances, addresses, registers and clock as the overlay of ``config``."""
    modules = [_dma(config), _kernel(), _interrupt_controller(), _concat(), _processing_system(config)]
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


def _port(name: str, output: bool, kind: str, to: tuple[str, str] | None = None) -> str:
    connection = f"<CONNECTION INSTANCE={_q(to[0])} PORT={_q(to[1])}/>" if to else ""
    direction = "O" if output else "I"
    return f'<PORT DIR="{direction}" NAME={_q(name)} SIGIS={_q(kind)}><CONNECTIONS>{connection}</CONNECTIONS></PORT>'


def _module(name: str, vlnv: str, parameters: dict, buses: list[tuple[str, str, str]], **parts: str) -> str:
    """buses: (name, "MASTER" or "SLAVE", interface). parts: registers with their interface, ports, memory map."""
    kind, version = vlnv.split(":")[2:]
    attributes = f"FULLNAME={_q('/' + name)} HWVERSION={_q(version)} INSTANCE={_q(name)} MODTYPE={_q(kind)}"
    block = ""
    if parts.get("registers"):
        block = (
            f'<ADDRESSBLOCK ACCESS="" INTERFACE={_q(parts["interface"])} NAME="Reg" RANGE="65536" USAGE="register">'
            f"<REGISTERS>{parts['registers']}</REGISTERS></ADDRESSBLOCK>"
        )
    # pynq's DMA driver reads the lower-case names, Vivado writes both.
    both = {**parameters, **{k.lower(): v for k, v in parameters.items()}}
    rows = "".join(f"<PARAMETER NAME={_q(k)} VALUE={_q(v)}/>" for k, v in both.items())
    interfaces = "".join(
        f"<BUSINTERFACE BUSNAME={_q(f'{name}_{bus}')} NAME={_q(bus)} TYPE={_q(role)} "
        f"VLNV={_q(f'xilinx.com:interface:{interface}:1.0')}/>"
        for bus, role, interface in buses
    )
    return (
        f'<MODULE COREREVISION="1" {attributes} IPTYPE="PERIPHERAL" IS_ENABLE="1" MODCLASS="PERIPHERAL" '
        f"VLNV={_q(vlnv)}>\n<DOCUMENTS/><ADDRESSBLOCKS>{block}</ADDRESSBLOCKS>\n<PARAMETERS>{rows}</PARAMETERS>\n"
        f"<PORTS>{parts.get('ports', '')}</PORTS>\n<BUSINTERFACES>{interfaces}</BUSINTERFACES>\n"
        f"{parts.get('memory_map', '')}</MODULE>"
    )


def _dma(config: HardwareConfig) -> str:
    registers = ""
    for channel, base in (("MM2S", 0x00), ("S2MM", 0x30)):
        address = "SA" if channel == "MM2S" else "DA"
        status = [("Halted", 0, 1), ("Idle", 1, 1), ("DMAIntErr", 4, 1), ("DMASlvErr", 5, 1), ("DMADecErr", 6, 1)]
        registers += _register(f"{channel}_DMACR", base, READ_WRITE, [("RS", 0, 1), ("Reset", 2, 1)])
        registers += _register(f"{channel}_DMASR", base + 0x04, READ_WRITE, [*status, ("IOC_Irq", 12, 1)])
        registers += _register(f"{channel}_{address}", base + 0x18, READ_WRITE, [(address, 0, 32)])
        registers += _register(f"{channel}_{address}_MSB", base + 0x1C, READ_WRITE, [(f"{address}_MSB", 0, 32)])
        registers += _register(f"{channel}_LENGTH", base + 0x28, READ_WRITE, [("Length", 0, config.dma_length_bits)])
    parameters = {
        "C_INCLUDE_SG": 0,
        "C_MICRO_DMA": 0,
        "C_SG_LENGTH_WIDTH": config.dma_length_bits,
        "C_ADDR_WIDTH": config.address_bits,
        "C_INCLUDE_MM2S": 1,
        "C_INCLUDE_MM2S_DRE": 0,
        "C_M_AXI_MM2S_DATA_WIDTH": config.bus_bits,
        "C_M_AXIS_MM2S_TDATA_WIDTH": config.bus_bits,
        "C_INCLUDE_S2MM": 1,
        "C_INCLUDE_S2MM_DRE": 0,
        "C_M_AXI_S2MM_DATA_WIDTH": config.bus_bits,
        "C_S_AXIS_S2MM_TDATA_WIDTH": config.bus_bits,
    }
    buses = [
        (DMA.interface, "SLAVE", "aximm"),
        ("M_AXI_MM2S", "MASTER", "aximm"),
        ("M_AXI_S2MM", "MASTER", "aximm"),
        ("M_AXIS_MM2S", "MASTER", "axis"),
        ("S_AXIS_S2MM", "SLAVE", "axis"),
    ]
    ports = _port("mm2s_introut", True, "INTERRUPT", (CONCAT, "In0"))
    ports += _port("s2mm_introut", True, "INTERRUPT", (CONCAT, "In1"))
    return _module(DMA.name, DMA.vlnv, parameters, buses, registers=registers, interface=DMA.interface, ports=ports)


def _kernel() -> str:
    control = [("AP_START", 0, 1), ("AP_DONE", 1, 1), ("AP_IDLE", 2, 1), ("AP_READY", 3, 1), ("AUTO_RESTART", 7, 1)]
    registers = _register("CTRL", 0x00, READ_WRITE, control)
    registers += _register("GIER", 0x04, READ_WRITE, [("Enable", 0, 1)])
    registers += _register("IP_IER", 0x08, READ_WRITE, [("CHAN0_INT_EN", 0, 1), ("CHAN1_INT_EN", 1, 1)])
    registers += _register("IP_ISR", 0x0C, READ_WRITE, [("CHAN0_INT_ST", 0, 1), ("CHAN1_INT_ST", 1, 1)])
    for register in kernel_registers():
        access = READ_ONLY if register.output else READ_WRITE
        field = (f"{register.argument}_ap_vld", 0, 1) if register.valid else (register.argument, 0, 32)
        registers += _register(register.name, register.offset, access, [field])
    buses = [(KERNEL.interface, "SLAVE", "aximm"), ("frames", "SLAVE", "axis"), ("results", "MASTER", "axis")]
    ports = _port("interrupt", True, "INTERRUPT", (CONCAT, "In2"))
    parameters = {"C_S_AXI_CONTROL_DATA_WIDTH": 32}
    return _module(
        KERNEL.name, KERNEL.vlnv, parameters, buses, registers=registers, interface=KERNEL.interface, ports=ports
    )


def _interrupt_controller() -> str:
    ports = _port("intr", False, "INTERRUPT", (CONCAT, "dout")) + _port("irq", True, "INTERRUPT", (PS, "pl_ps_irq0"))
    buses = [(INTERRUPTS.interface, "SLAVE", "aximm")]
    return _module(INTERRUPTS.name, INTERRUPTS.vlnv, {"C_IRQ_CONNECTION": 1}, buses, ports=ports)


def _concat() -> str:
    sources = ((DMA.name, "mm2s_introut"), (DMA.name, "s2mm_introut"), (KERNEL.name, "interrupt"))
    ports = "".join(_port(f"In{i}", False, "undef", source) for i, source in enumerate(sources))
    ports += _port("dout", True, "undef", (INTERRUPTS.name, "intr"))
    return _module(CONCAT, "xilinx.com:ip:xlconcat:2.1", {"NUM_PORTS": len(sources)}, [], ports=ports)


def _memory_range(instance: Instance) -> str:
    return (
        f'<MEMRANGE ADDRESSBLOCK="Reg" BASENAME="C_BASEADDR" BASEVALUE="0x{instance.base:08X}" HIGHNAME="C_HIGHADDR" '
        f'HIGHVALUE="0x{instance.base + instance.size - 1:08X}" INSTANCE={_q(instance.name)} IS_DATA="TRUE" '
        f'IS_INSTRUCTION="TRUE" MASTERBUSINTERFACE="M_AXI_HPM0_FPD" MEMTYPE="REGISTER" '
        f"SLAVEBUSINTERFACE={_q(instance.interface)}/>"
    )


def _processing_system(config: HardwareConfig) -> str:
    parameters: dict[str, object] = {"C_MAXIGP0_DATA_WIDTH": 128, "PSU__USE__M_AXI_GP0": 1}
    for port in MEMORY_PORTS:
        parameters[f"C_SAXIGP{port + 2}_DATA_WIDTH"] = config.bus_bits  # HP0 is GP2
    for clock in range(4):
        prefix = f"PSU__CRL_APB__PL{clock}_REF_CTRL"
        frequency = config.clock_mhz if clock == 0 else 100
        parameters[f"PSU__FPGA_PL{clock}_ENABLE"] = int(clock == 0)
        parameters[f"{prefix}__SRCSEL"] = "IOPLL"
        parameters[f"{prefix}__FREQMHZ"] = frequency
        parameters[f"{prefix}__ACT_FREQMHZ"] = frequency
        parameters[f"{prefix}__DIVISOR0"] = round(IOPLL_MHZ / frequency)
        parameters[f"{prefix}__DIVISOR1"] = 1
    memory_map = f"<MEMORYMAP>{''.join(map(_memory_range, INSTANCES))}</MEMORYMAP><PERIPHERALS/>"
    buses = [("M_AXI_HPM0_FPD", "MASTER", "aximm"), *((f"S_AXI_HP{i}_FPD", "SLAVE", "aximm") for i in MEMORY_PORTS)]
    ports = _port("pl_ps_irq0", False, "INTERRUPT", (INTERRUPTS.name, "irq"))
    vlnv = "xilinx.com:ip:zynq_ultra_ps_e:3.4"
    return _module(PS, vlnv, parameters, buses, memory_map=memory_map, ports=ports)
