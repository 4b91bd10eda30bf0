"""Processing-system side of the emulated board: clock registers, the board's time, the power sensor, files."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from ..kv260 import IOPLL_CTRL, PL0_REF_CTRL, RPLL_CTRL, divided_mhz, pll_mhz
from .faults import Faults

CRF_APB = 0xFD1A_0000
# FPD_SLCR, LPD_SLCR and the AXI FIFO interfaces, where pynq writes port widths after loading a bitstream.
PORT_WIDTH_BASES = (
    *(0xFD61_5000, 0xFF41_9000),
    *(0xFD36_0000, 0xFD37_0000, 0xFD38_0000, 0xFD39_0000, 0xFD3A_0000, 0xFD3B_0000, 0xFF9B_0000),
)
BUSY_KEPT = 1 << 16
FPGA_MANAGER = "/sys/class/fpga_manager/fpga0"


class RegisterBank:
    """Plain 32-bit registers with reset values; what is not listed reads as 0."""

    def __init__(self, resets: dict[int, int] | None = None):
        self.values = dict(resets or {})

    def read(self, offset: int) -> int:
        """Register value."""
        return self.values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Store a value."""
        self.values[offset] = value


class ClockRegisters(RegisterBank):
    """CRL_APB with the KV260's reset values: IOPLL 1500 MHz, RPLL 1200 MHz, PL0..PL3 100 MHz."""

    def __init__(self, faults: Faults):
        pl_100_mhz = 0x0101_0F00  # active, IOPLL / 15 / 1
        resets = {IOPLL_CTRL: 0x0001_5A00, RPLL_CTRL: 0x0001_4800}
        super().__init__({**resets, **{PL0_REF_CTRL + 4 * i: pl_100_mhz for i in range(4)}})
        self._faults = faults

    def write(self, offset: int, value: int) -> None:
        """Store a value; the fault ``clock_locked`` keeps PL0 as it is."""
        if not (self._faults.clock_locked and offset == PL0_REF_CTRL):
            super().write(offset, value)

    @property
    def pl0_mhz(self) -> float:
        """Frequency of the PL clock from its source PLL and divisors."""
        control = self.read(PL0_REF_CTRL)
        pll = self.read(RPLL_CTRL if control & 7 == 2 else IOPLL_CTRL)
        return divided_mhz(pll_mhz(pll), control)


class BoardTime:
    """Seconds as the board's CPU would count them.

    The host needs seconds to simulate what the PL does in microseconds. Meanwhile the board's time stands still, but
    for what the CPU works beside the PL: the processor time of the thread that started the call, until that thread asks
    whether the call has ended. At the end of the call the longer of the two has passed, its modelled time or that work.
    (Work that still goes on when the host has simulated the whole call counts as done after it.) Other threads' work is
    not counted: a board has four cores.

    busy: (start_s, end_s) of the calls that have ended, oldest first; the last ``BUSY_KEPT``.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._skipped = 0.0
        self._frozen_at: float | None = None
        self._cpu_clock: int | None = None  # of the thread whose work counts
        self._cpu_before, self._work, self._seen = 0.0, 0.0, 0.0
        self.busy: deque[tuple[float, float]] = deque(maxlen=BUSY_KEPT)

    def now(self) -> float:
        """Monotonic seconds."""
        with self._lock:
            return self._now()

    def _now(self) -> float:
        wall = time.monotonic() if self._frozen_at is None else self._frozen_at
        return wall - self._skipped + self._work_so_far()

    def _work_so_far(self) -> float:
        if self._cpu_clock is not None:
            with suppress(OSError):  # that thread may have ended; what it was last seen to have done stays
                self._seen = self._work + time.clock_gettime(self._cpu_clock) - self._cpu_before
        return self._seen

    def busy_seconds(self, start_s: float, end_s: float) -> float:
        """How long calls that have ended ran between two times, as far back as ``busy`` reaches."""
        total = 0.0
        with self._lock:
            for start, end in reversed(self.busy):
                if end <= start_s:
                    break
                total += max(0.0, min(end, end_s) - max(start, start_s))
        return total

    def freeze(self) -> None:
        """The host begins to simulate."""
        with self._lock:
            if self._frozen_at is None:
                self._frozen_at = time.monotonic()

    def start(self) -> None:
        """The calling thread has started a call: freeze, and count what this thread works beside it."""
        self.freeze()
        with self._lock:
            self._cpu_clock = time.pthread_getcpuclockid(threading.get_ident())
            self._cpu_before = time.clock_gettime(self._cpu_clock)

    def look(self) -> None:
        """The CPU asks whether the call has ended: from here on it waits."""
        with self._lock:
            self._stop_counting()

    def _stop_counting(self) -> None:
        self._work, self._cpu_clock = self._work_so_far(), None

    def thaw(self, modelled_s: float | None = None) -> None:
        """The host waits for the CPU; or the call has ended (``modelled_s`` is then its time on the board)."""
        with self._lock:
            self._stop_counting()
            start = self._now() - self._work
            if self._frozen_at is not None:
                self._skipped += time.monotonic() - self._frozen_at
                self._frozen_at = None
            self._skipped -= max(self._work, modelled_s or 0.0)
            self._work = self._seen = 0.0
            if modelled_s is not None:
                self.busy.append((start, start + modelled_s))


class Files:
    """The board's files that matter here. A value is bytes, or a function that returns them."""

    def __init__(self, entries: dict[str, bytes | Callable[[], bytes]]):
        self.entries = dict(entries)

    def exists(self, path: str) -> bool:
        """True for a file, or a folder that holds one."""
        path = str(path).rstrip("/")
        return path in self.entries or any(entry.startswith(f"{path}/") for entry in self.entries)

    def read(self, path: str) -> bytes:
        """Contents. Raises FileNotFoundError."""
        try:
            value = self.entries[str(path)]
        except KeyError:
            raise FileNotFoundError(f"the emulated board has no file {path}") from None
        return value() if callable(value) else value

    def write(self, path: str, data: bytes) -> None:
        """Replace the contents."""
        self.entries[str(path)] = bytes(data)
