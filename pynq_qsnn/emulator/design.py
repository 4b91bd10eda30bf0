"""The emulated block design in tables: instances, addresses, the kernel's registers.

``hwh.py`` writes them into the hand-off file and ``board.py`` maps models at them. ``overlays/kv260/build.tcl`` builds
the real design; a test compares its instances and addresses with this table.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..hwspec import KERNEL_ARGUMENTS, Field

KERNEL_VLNV = "xilinx.com:hls:qsnn_top:1.0"
DMA_VLNV = "xilinx.com:ip:axi_dma:7.1"


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
MEMORY_PORTS = (0, 1, 3)  # S_AXI_HPn_FPD: frames, weights, program and log


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
