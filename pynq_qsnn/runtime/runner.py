"""One batch on the overlay: start, wait with a deadline, and leave the overlay usable whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ..errors import CapacityError, ConfigError, DeviceError, DeviceTimeout, DmaError, SpecMismatch
from ..hwspec import STATUS
from ..packing import WORD_BYTES
from ..program import Program
from .buffers import Slot
from .deadline import wait_until
from .dma import FrameStream
from .ip import QsnnKernel
from .loading import LoadedModel
from .status import describe_status

RESULTS_TIMEOUT_S = 0.1  # the last results are on their way to memory when the kernel is done
INTERRUPT_GRACE_S = 1.0


class Runner:
    """Kernel and DMA together.

    reload: loads the bitstream again and restores its clock.  clock: monotonic seconds.
    timeout_s: deadline of one batch, from its start.  calls: batches started so far.
    running, finished: buffers of the batch in the PL, and of the last good one.
    """

    def __init__(
        self,
        kernel: QsnnKernel,
        stream: FrameStream,
        reload: Callable[[], None],
        clock: Callable[[], float],
        timeout_s: float,
    ):
        self.kernel, self.stream, self._reload, self._clock = kernel, stream, reload, clock
        self.timeout_s = timeout_s
        self.running: Slot | None = None
        self.finished: Slot | None = None
        self.calls = 0
        self._deadline = 0.0

    def check_batch_size(self, program: Program, batch_size: int) -> None:
        """Raise ConfigError when a batch does not fit one DMA transfer, CapacityError when not even a frame does."""
        frame_bytes = WORD_BYTES * max(program.frame_beats, program.result_beats)
        most = self.stream.max_bytes // frame_bytes
        if not most:
            raise CapacityError(
                f"a frame takes {frame_bytes} bytes of the stream, the DMA moves {self.stream.max_bytes} at once. "
                "Use smaller frames, or fewer steps or channels"
            )
        if batch_size > most:
            raise ConfigError(
                f"batch_size {batch_size} of {frame_bytes} bytes a frame exceeds the DMA's {self.stream.max_bytes} "
                f"bytes; use at most {most}"
            )

    def check_contract(self, model: LoadedModel) -> None:
        """A call without frames: the kernel reads the program's header and tells its fingerprint; no output changes.

        Raises SpecMismatch with both fingerprints, DeviceError for a status, DeviceTimeout.
        """
        try:
            self.kernel.call(**model.arguments(), log=0, num_frames=0, log_entries=0)
            if not wait_until(lambda: self.kernel.done, self.timeout_s, self._clock):
                raise DeviceTimeout(
                    f"the kernel did not read the program within {self.timeout_s} s. The bitstream was loaded again; "
                    "if it stays, the bitstream does not belong to its .hwh."
                )
            found = self.kernel.output("fingerprint").to_bytes(8, "little").hex()
            expected = model.program.fingerprint[: len(found)]
            if found != expected:
                remedy = "Compile the network for this overlay's config.json, or load the bitstream built from it."
                raise SpecMismatch("the program does not fit the loaded overlay", expected, found, remedy)
            self._check_status(model.program)
        except BaseException:
            self.recover()
            raise

    def start(self, slot: Slot, model: LoadedModel) -> int:
        """Start a filled batch; returns its number in ``calls``.

        The result channel is armed first: results may come before the last frame is sent. The frames wait at the
        kernel's door when it starts: its clocks begin with them.
        """
        self.finished = None
        try:
            entries = len(slot.executions)
            self.stream.receive(slot.results, slot.result_bytes)
            self.stream.send(slot.frames, slot.frame_bytes)
            self.kernel.call(**model.arguments(), log=slot.log_address, num_frames=slot.count, log_entries=entries)
        except BaseException:
            self.recover()
            raise
        self.running, self._deadline = slot, self._clock() + self.timeout_s
        self.calls += 1
        return self.calls

    @property
    def busy(self) -> bool:
        """A batch is running that has neither ended, failed nor passed its deadline: :meth:`wait` would wait."""
        if self.running is None or self._clock() >= self._deadline:
            return False
        try:
            return not self._call_ended()
        except DmaError:  # wait() raises it, and recovers
            return False

    def _call_ended(self) -> bool:
        self.stream.check()
        return self.kernel.done

    def wait(self) -> None:
        """Wait for the batch that is running, if any; it is then ``finished``.

        Raises DmaError, DeviceError or DeviceTimeout within the deadline; the overlay is then usable again.
        """
        slot = self.running
        if slot is None:
            return
        try:
            self._finish(slot)
        except Exception:
            self.recover()
            raise
        except BaseException:  # Ctrl-C: a batch that soon ends by itself spares the board a new bitstream
            self._deadline = min(self._deadline, self._clock() + INTERRUPT_GRACE_S)
            try:
                self._finish(slot)
                self.running = None
            except Exception:
                self.recover()
            raise
        self.running, self.finished = None, slot

    def drop(self) -> None:
        """Wait for the batch that is running, if any, and forget it: for the end of a program on a remote board.

        It reads registers only. Files and buffers come in gRPC's streams, which need a new thread, and Python 3.12
        starts none when a program ends.
        """
        if self.running is not None:
            with suppress(DeviceError):
                wait_until(self._call_ended, self.timeout_s)
            self.running = None

    def _finish(self, slot: Slot) -> None:
        in_time = wait_until(self._call_ended, self._deadline - self._clock(), self._clock)
        if in_time:
            self._check_status(slot.program)
            in_time = wait_until(self.stream.received_all, RESULTS_TIMEOUT_S, self._clock)
        if not in_time:
            state = "idle" if self.kernel.idle else "busy"
            raise DeviceTimeout(
                f"{slot.count} frames were not done after {self.timeout_s} s (kernel {state}; "
                f"{self.stream.describe()}). The overlay was reset and can be used again; raise timeout_s if a batch "
                "needs longer, or lower batch_size."
            )
        received = self.stream.received_bytes
        if received != slot.result_bytes:
            raise DeviceError(
                f"the kernel returned {received} bytes for {slot.count} frames, not {slot.result_bytes}. "
                "The overlay was reset; run the batch again."
            )
        slot.read_back()

    def _check_status(self, program: Program) -> None:
        status = self.kernel.output("status")
        if status & 0xFF != STATUS["OK"][0]:
            raise DeviceError(
                f"the kernel stopped with status {describe_status(status, program)}. The program in device memory is "
                "damaged or was compiled wrongly: load the model again, else compile it again."
            )

    def recover(self) -> None:
        """Make the overlay usable after an error.

        A reset of the DMA does not empty the kernel's stream registers, and nothing but a new bitstream stops a hung
        ap_ctrl_hs kernel: so the bitstream is loaded again unless both sides were at rest. The DMA is stopped before
        that, because a transfer that is open when the PL disappears can block a memory port of the PS until a reboot.
        """
        self.running = self.finished = None
        if not (self.kernel.idle and self.stream.at_rest):
            with suppress(DeviceTimeout):  # a DMA that does not even reset is what the bitstream is loaded for
                self.stream.stop()
            self._reload()
        self.stream.reset()
