"""Register model of the AXI DMA 7.1 in direct mode (PG021), one memory-to-stream and one stream-to-memory channel."""

from __future__ import annotations

from .faults import Faults
from .memory import BusError, Ddr

CONTROL, STATUS, ADDRESS, ADDRESS_MSB, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
S2MM_BASE = 0x30
RUN, RESET = 1 << 0, 1 << 2
CONTROL_DEFAULT = 0x0001_0002
HALTED, IDLE = 1 << 0, 1 << 1
INTERNAL_ERROR, SLAVE_ERROR, DECODE_ERROR = 1 << 4, 1 << 5, 1 << 6
PREFETCH_BYTES = 512
ERRORS = INTERNAL_ERROR | SLAVE_ERROR | DECODE_ERROR
COMPLETE_IRQ, ERROR_IRQ = 1 << 12, 1 << 14
IRQS = COMPLETE_IRQ | ERROR_IRQ | 1 << 13


class Channel:
    """One direction of the DMA: its registers and the transfer in progress."""

    def __init__(self, name: str, ddr: Ddr, faults: Faults, length_bits: int, address_bits: int):
        self.name, self._ddr, self._faults = name, ddr, faults
        self._length_mask, self._address_mask = (1 << length_bits) - 1, (1 << address_bits) - 1
        self.reset()

    def reset(self) -> None:
        """State after a reset: halted, no transfer."""
        self.control, self.status = CONTROL_DEFAULT, HALTED
        self.address, self.length = 0, 0
        self.active, self.done_bytes = False, 0

    def read(self, offset: int) -> int:
        """Register value."""
        values = {
            CONTROL: self.control,
            STATUS: self.status,
            ADDRESS: self.address & 0xFFFFFFFF,
            ADDRESS_MSB: self.address >> 32,
            LENGTH: self.length,
        }
        return values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register; a nonzero LENGTH starts a transfer when the channel runs."""
        if offset == CONTROL:
            was_running = self.control & RUN
            self.control = value | CONTROL_DEFAULT & 2
            if value & RUN and not self.status & ERRORS:
                self.status &= ~HALTED
                if not was_running:
                    self.status &= ~IDLE  # PG021: not idle before the first transfer has ended
            elif not value & RUN and not self.active:
                self.status |= HALTED
        elif offset == STATUS:
            self.status &= ~(value & IRQS)
        elif offset == ADDRESS:
            self.address = self.address & ~0xFFFFFFFF | value
        elif offset == ADDRESS_MSB:
            self.address = (value << 32 | self.address & 0xFFFFFFFF) & self._address_mask
        elif offset == LENGTH:
            self._start(value & self._length_mask)

    def _start(self, length: int) -> None:
        if self.status & HALTED or self.active:
            return  # PG021: ignored
        self.status &= ~(IDLE | COMPLETE_IRQ)
        self.length, self.done_bytes = length, 0
        if length == 0:
            return self._fail(INTERNAL_ERROR)
        self.active = True
        if self.name == "mm2s":
            self.access(min(length, PREFETCH_BYTES))  # it reads ahead, whether or not the stream takes anything

    @property
    def ready(self) -> bool:
        """A transfer is in progress and may move bytes."""
        return self.active and self._faults.dma_stall != self.name

    def access(self, length: int) -> memoryview | None:
        """The next ``length`` bytes of the transfer in DDR; None after an AXI error, which halts the channel."""
        start = self.address + self.done_bytes
        bad = self._faults.dma_slave_error
        if bad is not None and start <= bad < start + length:
            return self._fail(SLAVE_ERROR)
        try:
            return self._ddr.view(start, length).data
        except BusError:
            return self._fail(DECODE_ERROR)

    def finish(self) -> None:
        """End the transfer without an error."""
        self.active = False
        self.status |= IDLE | COMPLETE_IRQ
        if not self.control & RUN:
            self.status |= HALTED

    def _fail(self, error: int) -> None:
        self.active = False
        self.status |= error | HALTED | ERROR_IRQ
        self.control &= ~RUN

    def overflow(self) -> None:
        """The stream brought more than LENGTH bytes."""
        self._fail(INTERNAL_ERROR)


class AxiDma:
    """The IP: both channels behind one register file; a reset of either resets both (PG021)."""

    def __init__(self, ddr: Ddr, faults: Faults, length_bits: int, address_bits: int):
        self._faults = faults
        self.mm2s = Channel("mm2s", ddr, faults, length_bits, address_bits)
        self.s2mm = Channel("s2mm", ddr, faults, length_bits, address_bits)

    def _channel(self, offset: int) -> tuple[Channel, int]:
        return (self.s2mm, offset - S2MM_BASE) if offset >= S2MM_BASE else (self.mm2s, offset)

    def read(self, offset: int) -> int:
        """Register value."""
        channel, local = self._channel(offset)
        return channel.read(local)

    def write(self, offset: int, value: int) -> None:
        """Write a register."""
        channel, local = self._channel(offset)
        if local == CONTROL and value & RESET:
            self.mm2s.reset()
            self.s2mm.reset()
        else:
            channel.write(local, value)

    def take(self, most: int) -> tuple[bytes, bool] | None:
        """Next bytes for the frame stream and whether they end the packet; None when there are none."""
        channel = self.mm2s
        if not channel.ready:
            return None
        length = min(most, channel.length - channel.done_bytes)
        window = channel.access(length)
        if window is None:
            return None
        data = bytes(window)
        channel.done_bytes += length
        last = channel.done_bytes == channel.length
        if last:
            channel.finish()
        return data, last

    def put(self, data: bytes, last: bool) -> bool:
        """Bytes from the result stream into DDR; False while no transfer waits for them."""
        channel = self.s2mm
        if not channel.ready:
            return False
        if last and self._faults.drop_result_bytes:
            data = data[: -self._faults.drop_result_bytes]
            self._faults.drop_result_bytes = 0
        room = channel.length - channel.done_bytes
        window = channel.access(min(len(data), room))
        if window is None:
            return True
        window[:] = data[:room]
        channel.done_bytes += len(window)
        if len(data) > room or (channel.done_bytes == channel.length and not last):
            channel.overflow()
        elif last:
            channel.length = channel.done_bytes  # PG021: LENGTH reads the bytes received
            channel.finish()
        return True
