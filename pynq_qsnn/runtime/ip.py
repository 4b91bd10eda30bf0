"""The kernel's registers, bound by pynq to every IP of the kernel's type. No buffers, no waiting: see driver.py."""

from __future__ import annotations

from pynq import DefaultIP

from ..hwspec import KERNEL_ARGUMENTS
from .registers import Registers

CONTROL = "CTRL"
AP_START, AP_DONE, AP_IDLE = 1 << 0, 1 << 1, 1 << 2  # block-level control, the same in every Vitis HLS kernel
BITS = {f.name: f.bits for f in KERNEL_ARGUMENTS}


class QsnnKernel(DefaultIP):
    """ap_ctrl_hs kernel with the arguments of ``hwspec.KERNEL_ARGUMENTS``."""

    bindto = ["xilinx.com:hls:qsnn_top:1.0"]

    def __init__(self, description: dict):
        super().__init__(description)
        self.registers = Registers(self.mmio, description)
        self._done = False

    def call(self, **inputs: int) -> None:
        """Write the input arguments by name and start. The kernel must be idle."""
        for name, value in inputs.items():
            write = self.registers.write64 if BITS[name] == 64 else self.registers.write
            write(name, value)
        self._done = False
        self.registers.write(CONTROL, AP_START)

    def output(self, name: str) -> int:
        """An output argument of the last finished call."""
        return self.registers.read64(name) if BITS[name] == 64 else self.registers.read(name)

    def _control(self) -> int:
        control = self.registers.read(CONTROL)
        self._done |= bool(control & AP_DONE)  # the bit clears when it is read, so it is kept here
        return control

    @property
    def done(self) -> bool:
        """The last call has finished."""
        self._control()
        return self._done

    @property
    def idle(self) -> bool:
        """No call is running."""
        return bool(self._control() & AP_IDLE)
