"""The kernel IP on the emulated board: its register file (ap_ctrl_hs) around the g++-built HLS kernel.

A thread of its own runs the calls, as the PL runs beside the CPU. The simulation alone holds no lock; registers, DMA
and faults are touched under the board's lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..hwspec import KERNEL_ARGUMENTS
from .axi_dma import AxiDma
from .design import kernel_registers
from .faults import Faults
from .memory import Ddr
from .ps import BoardTime, ClockRegisters

CONTROL, GLOBAL_INTERRUPT, INTERRUPT_ENABLE, INTERRUPT_STATUS = 0x00, 0x04, 0x08, 0x0C
START, DONE, IDLE, READY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
STREAM_CHUNK_BYTES = 1 << 16
logger = logging.getLogger(__name__)
INPUTS = tuple(f.name for f in KERNEL_ARGUMENTS if f.meaning.startswith("in:"))


class HlsKernel:
    """Register model plus worker. ``make_simulation`` returns a :class:`pynq_qsnn.runtime.csim.KernelSimulation`."""

    def __init__(
        self,
        make_simulation: Callable[[], object],
        ddr: Ddr,
        dma: AxiDma,
        clocks: ClockRegisters,
        time: BoardTime,
        faults: Faults,
        lock: threading.RLock,
    ):
        self._simulation = make_simulation()
        self._ddr, self._dma, self._clocks, self._time, self._faults = ddr, dma, clocks, time, faults
        self._registers = {r.offset: r for r in kernel_registers()}
        self._values = dict.fromkeys(self._registers, 0)
        self._interrupts = {GLOBAL_INTERRUPT: 0, INTERRUPT_ENABLE: 0, INTERRUPT_STATUS: 0}
        self.running, self._done, self._ready = False, False, False
        self._changed = threading.Condition(lock)
        self._closed = False
        self._call: dict[str, int] | None = None
        self._worker = threading.Thread(target=self._serve, name="emulated-kernel", daemon=True)
        self._worker.start()

    def read(self, offset: int) -> int:
        """Register value; reading CTRL clears done and ready, reading a _ctrl register its ap_vld bit."""
        if offset == CONTROL:
            if self.running:
                self._time.look()
            value = START * self.running | DONE * self._done | IDLE * (not self.running) | READY * self._ready
            self._done = self._ready = False
            return value
        if offset in self._interrupts:
            return self._interrupts[offset]
        value = self._values.get(offset, 0)
        if offset in self._registers and self._registers[offset].valid:
            self._values[offset] = 0
        return value

    def write(self, offset: int, value: int) -> None:
        """Write a register; bit 0 of CTRL starts a call when the kernel is idle. Outputs ignore writes."""
        if offset == CONTROL:
            if value & START and not self.running:
                self._start()
        elif offset == INTERRUPT_STATUS:
            self._interrupts[offset] ^= value  # toggle on write
        elif offset in self._interrupts:
            self._interrupts[offset] = value
        elif offset in self._registers and not self._registers[offset].output:
            self._values[offset] = value

    def notify(self) -> None:
        """Tell the worker that the DMA may have bytes or room. The caller holds the lock."""
        self._changed.notify_all()

    def close(self) -> None:
        """Stop the worker and free the simulation; returns when a computation in progress has ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._worker.join()
        self._time.thaw()  # a call may have been started that the worker never saw
        self._simulation.close()

    def _argument(self, name: str) -> int:
        words = (r for r in self._registers.values() if r.argument == name and not r.valid)
        return sum(self._values[r.offset] << 32 * r.word for r in words)

    def _start(self) -> None:
        self.running, self._done = True, False
        if self._faults.kernel_hangs:
            self._faults.kernel_hangs -= 1
            return
        self._time.start()
        self._call = {name: self._argument(name) for name in INPUTS}
        self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._call is not None)
                if self._closed:
                    return
                call, self._call = self._call, None
            try:
                self._run(call)
            except Exception as error:  # the CPU must see a stuck kernel, not a dead thread
                logger.error("the simulated kernel failed and now hangs: %s", error)
                self._time.thaw()

    def _run(self, call: dict[str, int]) -> None:
        simulation = self._simulation
        before = simulation.cycles
        simulation.start(self._ddr.pointer, self._ddr.size, call)
        done = False
        result = None
        with self._changed:
            self._send_frames()  # what the DMA holds already is at the door when the clock starts
        while not self._closed:
            done = done or simulation.advance()
            with self._changed:
                result, moved = self._store_results(result)
                if done and result is None:
                    return self._finish(simulation.cycles - before)
                if not done and simulation.blocked:
                    moved |= self._send_frames()
                if not moved and not self._closed:
                    self._time.thaw()
                    self._changed.wait()
                    self._time.freeze()

    def _store_results(self, result: tuple[bytes, bool] | None) -> tuple[tuple[bytes, bool] | None, bool]:
        """Move results to the DMA; returns the packet part that it would not take yet, and whether anything moved."""
        moved = False
        while True:
            result = result or self._pop_packet()
            if result is None or not self._dma.put(*result):
                return result, moved
            result, moved = None, True

    def _pop_packet(self) -> tuple[bytes, bool] | None:
        """Beats of the result stream up to a TLAST or what there is."""
        data, last = bytearray(), False
        while not last:
            beat = self._simulation.pop()
            if beat is None:
                break
            data += beat[0]
            last = beat[1]
        return (bytes(data), last) if data else None

    def _send_frames(self) -> bool:
        moved = False
        while (part := self._dma.take(STREAM_CHUNK_BYTES)) is not None:
            self._simulation.push(*part)
            moved = True
        return moved

    def _finish(self, cycles: int) -> None:
        self._time.thaw(cycles / (self._clocks.pl0_mhz * 1e6))
        outputs = {
            "fingerprint": self._simulation.fingerprint,
            "status": self._simulation.status,
            "log_count": self._simulation.log_count,
        }
        for register in self._registers.values():
            if register.output:
                value = outputs[register.argument] >> 32 * register.word
                self._values[register.offset] = 1 if register.valid else value & 0xFFFFFFFF
        self.running, self._done, self._ready = False, True, True
        self._interrupts[INTERRUPT_STATUS] |= self._interrupts[INTERRUPT_ENABLE] & 3
