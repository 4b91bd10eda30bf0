"""The overlay driver: one class for the KV260 and for the emulated board.

>>> with QsnnOverlay() as overlay:                     # doctest: +SKIP
...     overlay.load_model("digits.qprog")
...     classes = overlay.predict(frames)
"""

from __future__ import annotations

import atexit
import warnings
import weakref
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
from pynq import Overlay

from ..errors import ConfigError, DeviceError
from ..hwspec import HardwareConfig, load_config
from ..kv260 import DMA_TYPE
from ..packing import check_frames, pack_frames, unpack_results
from ..program import Program
from . import clock, measure
from .buffers import Slot
from .connection import board_errors
from .dma import FrameStream
from .frame_queue import FrameQueue
from .ip import QsnnKernel
from .loading import LoadedModel, read_program
from .locate import find_bitfile, find_device, find_ip, is_emulated, open_emulated_board
from .pipeline import INTERRUPTED, DoubleBuffer
from .remote import board_clock, check_loaded, firmware_name, is_remote, loading
from .runner import Runner
from .streaming import ResultStream

MEASURED, EMULATED = "measured (board)", "emulated (cycle model)"


class QsnnOverlay(Overlay):
    """The accelerator as a ``pynq.Overlay`` that owns its buffers.

    bitfile_name: path or pynq overlay name; None takes the device's own. On a machine without a PYNQ device and without
        a bitfile_name an emulated KV260 is opened, see :attr:`is_emulated`.
    download: load the bitstream; False uses what is loaded, which must be the same file.
    device: a ``pynq.Device``, by default pynq's active one.
    fclk_mhz: PL clock; None keeps the bitstream's. Exact divisions of the 1500 MHz PLL up to the bitstream's rating.
    timeout_s: deadline of one batch.  batch_size: most frames in one call of the kernel.
    config: the overlay's numbers, by default the KV260's.

    After any error the object is usable again: the DMA is reset and, where that is not enough, the bitstream is loaded
    once more. It belongs to one thread.
    """

    def __init__(
        self,
        bitfile_name: str | None = None,
        download: bool = True,
        device=None,
        fclk_mhz: float | None = None,
        timeout_s: float = 10.0,
        batch_size: int = 16,
        config: HardwareConfig | None = None,
        dtbo: str | None = None,
        ignore_version: bool = False,
    ):
        # first of all, because Overlay looks up any attribute that is not there among the IPs
        self._closed, self._emulated_board = False, None
        self._model: LoadedModel | None = None
        self._turn = object()
        self._config = config or load_config()
        self._batch_size, self._fclk_mhz = _positive("batch_size", batch_size), fclk_mhz
        device = device or find_device()
        if device is None:
            self._emulated_board = open_emulated_board(bitfile_name, self._config)
            device = self._emulated_board.device
        self.monotonic = board_clock(device)
        try:
            path = find_bitfile(bitfile_name, device, self._config)
            clock.use(device)
            with warnings.catch_warnings(), board_errors, loading(device):
                # This driver polls: without the uio device-tree overlay, or remotely, there are no interrupts.
                warnings.filterwarnings("ignore", message="Interrupt")
                super().__init__(path, dtbo=dtbo, download=download, ignore_version=ignore_version, device=device)
                kernel = find_ip(self, QsnnKernel.bindto[0].rpartition(":")[0])
                stream = FrameStream(find_ip(self, DMA_TYPE), self.monotonic)
            self._runner = Runner(kernel, stream, self._reload, self.monotonic, timeout_s)
            clock.apply(self, fclk_mhz)
            stream.reset()
        except BaseException:
            self._close_emulated_board()
            raise
        # Before the interpreter stops threads and frees memory: a batch may run that an emulated kernel still has to
        # finish, or that the PL still writes into buffers.
        atexit.register(_close_at_exit, weakref.ref(self))

    def download(self, dtbo: str | None = None) -> None:
        """Load the bitstream, as ``pynq.Overlay`` does. Raises DeviceError when a remote board's does not load."""
        if not is_remote(self.device):
            super().download(dtbo)
            return
        clock.use(self.device)
        self.binfile_name = firmware_name(self.bitfile_name)
        with board_errors, loading(self.device):
            super().download(dtbo)
            check_loaded(self.device)

    def _reload(self) -> None:
        self.download()
        clock.apply(self, self._fclk_mhz)

    # what it is

    @property
    def is_emulated(self) -> bool:
        """True on the emulated board, whose times come from a cycle model."""
        return is_emulated(self.device)

    @property
    def method(self) -> str:
        """How figures of this overlay come about: "measured (board)" or "emulated (cycle model)"."""
        return EMULATED if self.is_emulated else MEASURED

    @property
    def clock_mhz(self) -> float:
        """PL clock, read back from the PS registers."""
        return clock.read_mhz(self.device)

    @property
    def timeout_s(self) -> float:
        """Deadline of one batch in seconds (of the emulated board's time on that one); may be set."""
        return self._runner.timeout_s

    @timeout_s.setter
    def timeout_s(self, seconds: float) -> None:
        self._runner.timeout_s = seconds

    @property
    def program(self) -> Program:
        """The loaded program. Raises ConfigError before :meth:`load_model`."""
        return self._need_model().program

    def _need_model(self) -> LoadedModel:
        if self._model is None:
            raise ConfigError("no model is loaded: call load_model(path of a compiled program) first")
        return self._model

    @property
    def batch_size(self) -> int:
        """Most frames in one call of the kernel; setting it reallocates the buffers."""
        return self._batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        value = _positive("batch_size", value)
        if self._model is not None and value != self._batch_size:
            self._take_turn()
            self._runner.check_batch_size(self._model.program, value)
            self._runner.finished = None
            self._model.resize(value)
        self._batch_size = value

    def load_model(self, model: str | Path | Program) -> QsnnOverlay:
        """Load a compiled program, or the file of one.

        Raises ModelFileError for another kind of file, SpecMismatch when program and kernel were built from different
        contracts, DeviceMemoryError, DeviceError. The model loaded before stays usable after an error.
        """
        self._take_turn()
        program = read_program(model)
        self._runner.check_batch_size(program, self._batch_size)
        loaded = LoadedModel(self.device, program, self._batch_size)
        try:
            self._runner.check_contract(loaded)
        except BaseException:
            loaded.free()
            raise
        previous, self._model = self._model, loaded
        self._runner.finished = None
        if previous is not None:
            previous.free()
        return self

    # running

    def predict(self, frames: np.ndarray) -> np.ndarray:
        """Class of each frame, int64 [N]. Frames and errors as in :meth:`execute`."""
        return self.execute(frames).argmax(axis=1)

    def execute(self, frames: np.ndarray) -> np.ndarray:
        """Logits, int32 [N, classes], of frames uint8 [N, C, H, W] ([N, T, C, H, W] for event frames), any N >= 1.

        Raises FrameError before anything is sent; DmaError, DeviceTimeout, DeviceError after the overlay was reset.
        """
        model, size = self._need_model(), self._batch_size
        check_frames(frames, model.program.network)
        self._take_turn()
        with closing(DoubleBuffer(self._runner, model, self.monotonic)) as buffers:
            batches = [buffers.put(self.pack(frames[first : first + size])) for first in range(0, len(frames), size)]
            batches.append(buffers.finish())
        return np.concatenate([batch.logits for batch in batches if batch is not None])

    def stream(self, source: Iterable[np.ndarray], queue_frames: int | None = None) -> ResultStream:
        """Run the frames of ``source`` without a gap; iterate over the results::

            with overlay.stream(source) as results:
                for result in results:
                    print(result.index, result.label, result.latency_s)
            print(results.report())

        source: iterable of single frames, uint8 [C, H, W] ([T, C, H, W] for event frames): an array [N, ...], a
            generator, or one of :mod:`pynq_qsnn.runtime.sources`. A thread of its own reads it, and calls its
            ``close()``, if it has one, at the end.
        queue_frames: most frames read ahead, by default four batches; a source is not asked for more.

        While the PL works, frames gather to a batch of up to ``batch_size``, are packed and copied; when it has nothing
        to do, what is there goes at once. Raises what the source raises and FrameError, both after the results of the
        frames before; DmaError, DeviceTimeout, DeviceError as :meth:`execute`. wait, read_logits, time_log and
        layer_cycles do not disturb it; another call on the overlay ends it: it then raises DeviceError.
        """
        size = _positive("queue_frames", 4 * self._batch_size if queue_frames is None else queue_frames)
        model, turn = self._need_model(), self._take_turn()
        network = model.program.network

        def check(frame: np.ndarray) -> np.ndarray:
            return check_frames(frame[None] if isinstance(frame, np.ndarray) else frame, network)[0]

        return ResultStream(
            DoubleBuffer(self._runner, model, self.monotonic),
            lambda: FrameQueue(source, size, check, self.monotonic),
            self.pack,
            lambda: self._check_turn(turn),
            self._batch_size,
            min(self._batch_size, size),
            self.method,
            self.clock_mhz,
        )

    def _check_turn(self, turn: object) -> None:
        if self._turn is not turn:
            raise DeviceError(INTERRUPTED)

    def pack(self, frames: np.ndarray) -> np.ndarray:
        """Frames -> stream beats, uint8 [N, frame_beats, 16]. Raises FrameError."""
        return pack_frames(frames, self.program.network, self._config)

    def write_packed(self, packed: np.ndarray) -> None:
        """Copy up to batch_size packed frames into the input buffer, for :meth:`execute_on_buffers`.

        Logits and time log of the batch before can then no longer be read.
        """
        if not 1 <= len(packed) <= self._batch_size:
            raise ConfigError(f"{len(packed)} frames, the input buffer holds 1..{self._batch_size} (batch_size)")
        model, _ = self._need_model(), self._take_turn()
        self._runner.finished = None  # its buffers may be the ones filled here
        model.slots[0].fill(packed)

    def execute_on_buffers(self, asynch: bool = False) -> None:
        """Run the frames in the input buffer; ``asynch``: return at once, :meth:`wait_until_finished` ends it."""
        model, _ = self._need_model(), self._take_turn()
        if not model.slots[0].count:
            raise ConfigError("the input buffer is empty: call write_packed(pack(frames)) first")
        self._runner.start(model.slots[0], model)
        if not asynch:
            self._runner.wait()

    def wait_until_finished(self) -> None:
        """Wait for the batch that is running, if any. Raises DmaError, DeviceError, DeviceTimeout."""
        self._runner.wait()

    wait = wait_until_finished

    def read_logits(self) -> np.ndarray:
        """Logits of the last finished batch, int32 [N, classes]."""
        return self._unpack(self._last_batch())

    def _unpack(self, slot: Slot) -> np.ndarray:
        return unpack_results(slot.take_results(), slot.program.network)

    def _last_batch(self) -> Slot:
        self._runner.wait()
        if self._runner.finished is None:
            raise ConfigError("no batch has finished: call execute(frames) first")
        return self._runner.finished

    def _take_turn(self) -> object:
        """Check that the overlay can run, end what runs, and make this call the current one."""
        if self._closed:
            raise DeviceError("this overlay is closed: open a new QsnnOverlay")
        if not self.is_loaded():
            raise DeviceError(f"{self.bitfile_name} is not loaded any more: another overlay took its place")
        self._runner.wait()
        self._turn = object()
        return self._turn

    # figures

    def time_log(self) -> np.ndarray:
        """Time samples of the last batch in clock cycles, uint64 [executions, 2] (start, end)."""
        return self._last_batch().take_log()

    def executions(self) -> list[tuple[int, int, int]]:
        """(instruction, first frame, frames) of each entry of :meth:`time_log`."""
        return self._last_batch().executions

    def layer_cycles(self) -> list[dict]:
        """Cycles a frame of each instruction in the last batch: dicts of layer, opcode, cycles, predicted_cycles."""
        slot = self._last_batch()
        return measure.layer_cycles(slot.take_log(), slot.program, slot.count)

    def throughput_test(self, frames: np.ndarray | None = None, num_batches: int = 4) -> dict:
        """Rate, latency and host milliseconds of each stage; units are in the keys.

        frames: the first batch_size of them are sent ``num_batches`` times; default random codes.
        fps and latency come from the kernel's time log at ``clock_mhz``; latency is that of single frames. The four
        stages are host time a batch, on whatever computer this runs; ``method`` says what the run and the log mean.
        """
        network = self.program.network
        if frames is None:
            shape = (self._batch_size, *network.frame_shape)
            frames = np.random.default_rng(0).integers(0, network.input.s_max + 1, shape, np.uint8)
        frames = check_frames(frames, network)[: self._batch_size]
        return measure.throughput(self, frames, _positive("num_batches", num_batches))

    # end

    def close(self) -> None:
        """Finish what runs, free every buffer, close an emulated board opened here. Closing twice does nothing."""
        try:
            if not self._closed:
                self._runner.wait()
        finally:
            self._closed, self._turn = True, object()
            model, self._model = self._model, None
            try:
                if model is not None:
                    model.free()
            finally:
                self._close_emulated_board()

    def _close_emulated_board(self) -> None:
        board, self._emulated_board = self._emulated_board, None
        if board is not None:
            board.close()

    def __enter__(self) -> QsnnOverlay:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _close_at_exit(overlay: weakref.ref) -> None:
    if (living := overlay()) is None:
        return
    if is_remote(living.device):
        living._runner.drop()
    living.close()


def _positive(name: str, value: int) -> int:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ConfigError(f"{name} is {value!r}, must be a whole number of at least 1")
    return int(value)
