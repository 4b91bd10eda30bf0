"""Frames in and results out through the AXI DMA, with errors decoded and a reset that leaves it usable."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import BoardUnreachable, DeviceTimeout, DmaError
from .connection import board_errors
from .deadline import wait_until
from .registers import Registers

RESET, RUN = 1 << 2, 1 << 0
HALTED, IDLE = 1 << 0, 1 << 1
RESET_TIMEOUT_S = 0.1
ERRORS = {
    1 << 4: "DMAIntErr: a packet longer than its buffer (a missing TLAST?) or a length of 0",
    1 << 5: "DMASlvErr: the memory answered with an error",
    1 << 6: "DMADecErr: an address that the DMA cannot reach",
}


class FrameStream:
    """One AXI DMA with both channels in direct mode.

    dma: the ``pynq.lib.DMA`` of the overlay.  clock: monotonic seconds for the deadlines.
    """

    def __init__(self, dma, clock: Callable[[], float]):
        self._dma, self._clock = dma, clock
        self._registers = Registers(dma.mmio, dma.description)
        self._send, self._receive = dma.sendchannel, dma.recvchannel
        self._started: set[str] = set()
        self.max_bytes = dma.buffer_max_size

    def receive(self, buffer, length: int) -> None:
        """Arm the result channel for at most ``length`` bytes. Do this before frames can produce results."""
        self._start("S2MM", self._receive, buffer, length)

    def send(self, buffer, length: int) -> None:
        """Flush ``buffer`` and send its first ``length`` bytes."""
        self._start("MM2S", self._send, buffer, length)

    def _start(self, name: str, channel, buffer, length: int) -> None:
        if not 0 < length <= self.max_bytes:
            raise DmaError(
                f"a {name} transfer of {length} bytes: the DMA takes 1..{self.max_bytes}; use a smaller batch_size"
            )
        try:
            with board_errors:
                channel.transfer(buffer, nbytes=length)
        except BoardUnreachable:
            raise
        except RuntimeError as error:
            raise DmaError(f"{name}: {error} ({self.describe()})") from error
        # pynq 3.0.1 keeps the last buffer of a channel alive for ever; buffers here are owned by the driver
        channel._active_buffer = None
        self._started.add(name)

    @property
    def at_rest(self) -> bool:
        """No transfer is in progress."""
        return all(self._status(name) & IDLE for name in self._started)

    def received_all(self) -> bool:
        """The result packet has ended; raises DmaError when either channel has stopped with an error."""
        self.check()
        return bool(self._status("S2MM") & IDLE)

    @property
    def received_bytes(self) -> int:
        """Bytes of the last result packet."""
        return self._registers.read("S2MM_LENGTH")

    def check(self) -> None:
        """Raise DmaError when a channel has stopped with an error."""
        for name in self._started:
            status = self._status(name)
            messages = [text for bit, text in ERRORS.items() if status & bit]
            if messages:
                raise DmaError(f"{name} halted, {'; '.join(messages)} ({self.describe()})")

    def describe(self) -> str:
        """Both status registers, for messages."""
        parts = []
        for name in ("MM2S", "S2MM"):
            status = self._status(name)
            state = "halted" if status & HALTED else "idle" if status & IDLE else "busy"
            parts.append(f"{name} {state}, DMASR {status:#x}")
        return "; ".join(parts)

    def stop(self) -> None:
        """Reset both channels: they end what is open on the memory bus, and halt. Raises DeviceTimeout."""
        self._registers.write("MM2S_DMACR", RESET)
        self._wait("MM2S_DMACR", RESET, "reset")

    def reset(self) -> None:
        """Reset and restart both channels: the only thing that clears an error or ends a stuck transfer.

        Raises DeviceTimeout when the DMA does not come back, as without a clock.
        """
        self.stop()
        for name, channel in (("MM2S", self._send), ("S2MM", self._receive)):
            # pynq's start() polls without end, so it is called only where the channel is known to run
            self._registers.write(f"{name}_DMACR", RUN)
            self._wait(f"{name}_DMASR", HALTED, "start")
            with board_errors:
                channel.start()
            channel._active_buffer = None
        self._started.clear()

    def _wait(self, register: str, bit: int, action: str) -> None:
        if not wait_until(lambda: not self._registers.read(register) & bit, RESET_TIMEOUT_S, self._clock):
            raise DeviceTimeout(
                f"the DMA did not {action} within {RESET_TIMEOUT_S} s ({self.describe()}). "
                "Is the PL clock running? Load the bitstream again."
            )

    def _status(self, name: str) -> int:
        return self._registers.read(f"{name}_DMASR")
