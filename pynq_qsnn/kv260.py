"""What driver, doctor and emulated board must know alike of the KV260 and of the overlay's files. It needs no pynq.

Clock registers are those of the Zynq UltraScale+ register reference (UG1087), module CRL_APB.
"""

from .paths import resource

DEFAULT_BITFILE = resource("overlays", "kv260", "qsnn_kv260.bit")
EMULATED_MARK = b"_emulated;"  # ends the design's name in the header of the emulated board's .bit
DMA_TYPE = "xilinx.com:ip:axi_dma:"  # of any version

CRL_APB = 0xFF5E_0000
IOPLL_CTRL, RPLL_CTRL, PL0_REF_CTRL = 0x20, 0x30, 0xC0  # offsets; PL1 to PL3 follow PL0, 4 bytes each
CLKACT = 1 << 24  # in PLn_REF_CTRL: the clock runs
CRYSTAL_MHZ, IOPLL_MHZ = 100 / 3, 1500

INA260_WINDOW_S = 0.1408  # 64 averages of 1.1 ms for the current and 1.1 ms for the voltage, the Linux driver's choice
EMULATED_WINDOW_S = INA260_WINDOW_S / 100  # of the emulated sensor: simulating a second of board time takes minutes


def pll_mhz(control: int) -> float:
    """Frequency of a PLL of the board's crystal. control: its register, such as IOPLL_CTRL.

    >>> pll_mhz(0x0001_5A00)
    1500.0
    """
    return CRYSTAL_MHZ * (control >> 8 & 0x7F) / (2 if control >> 16 & 1 else 1)


def divided_mhz(source_mhz: float, control: int) -> float:
    """Frequency of a PL clock whose PLL has ``source_mhz``, running or not. control: its PLn_REF_CTRL.

    >>> divided_mhz(1500, 0x0101_0F00)
    100.0
    """
    return source_mhz / ((control >> 8 & 0x3F or 1) * (control >> 16 & 0x3F or 1))
