"""Frames in, logits out, over boards that may die on the way."""

from __future__ import annotations

import os
import queue
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .. import errors
from ..errors import BoardsLost, ConfigError
from ..packing import check_frames
from ..program import Program
from ..runtime.loading import read_program
from .address import Address, parse_boards
from .engine import Engine
from .process import BoardProcess
from .result import LOST, READY, STARTING, BoardReport, ChunkRecord, EvaluationResult

MAXIMUM_CHUNK_BYTES = 8 << 20  # Dask advises against tasks above 10 MB
MAXIMUM_CHUNK_FRAMES = 512  # of the default one: an emulated board takes a minute for as many CIFAR-10 frames
CHUNKS_A_BOARD = 8  # small enough that a slow or dying board holds up little
AHEAD = 2  # chunks on their way for each board: one runs, one is there
TICK_S = 0.5
END_S = 10.0


def evaluate(
    model: str | Path | Program,
    frames: np.ndarray,
    boards: Sequence[str],
    *,
    chunk: int | None = None,
    batch_size: int = 16,
    bitfile: str | Path | None = None,
    timeout_s: float = 300.0,
    start_timeout_s: float = 120.0,
    progress: Callable[[int], object] | None = None,
) -> EvaluationResult:
    """Run ``frames`` through ``model`` on several boards, each driven by a process of its own.

    model: compiled program, or the file of one.
    frames: uint8 [N, C, H, W] ([N, T, C, H, W] for event frames); an array mapped from a file is read chunk by chunk.
    boards: addresses of PYNQ.remote ("192.168.2.99", "unix:/path"), "local" (this machine's own), "emulated".
    chunk: frames that travel together; default a multiple of batch_size.
    batch_size: of each overlay; no larger than a chunk. Of a chunk that is no multiple of it, no kernel_fps comes.
    bitfile: bitstream for the boards that are not "emulated", a path here or a name of pynq; default the installed one.
    timeout_s: a board that finishes no chunk for so long, though it has one, is given up; start_timeout_s: one that is
        not ready by then.  Both in seconds of this computer.
    progress: called with the number of frames of each chunk that is done.

    A board that dies, hangs or fails twice in a row is given up and reported; what it had not finished runs on the
    others. Raises FrameError, ModelFileError, NetworkError, CapacityError and ConfigError at once, BoardsLost when no
    board is left, ModuleNotFoundError without the extra ``boards``. Whatever ends it after its start, KeyboardInterrupt
    too, carries what is done so far as ``result``, as BoardsLost does.
    """
    addresses = parse_boards(boards)
    program = read_program(model)
    check_frames(frames, program.network)
    counts = {"batch_size": batch_size, "chunk": chunk, "timeout_s": timeout_s, "start_timeout_s": start_timeout_s}
    for name, value in counts.items():
        if value is not None and value <= 0:
            raise ConfigError(f"{name} is {value}, must be above 0")
    size = _chunk_size(frames, chunk, batch_size, len(addresses))
    settings = {
        "batch_size": min(batch_size, size, len(frames)),
        # a board's process runs in a folder of its own
        "bitfile": os.path.abspath(bitfile) if bitfile and os.path.exists(bitfile) else bitfile and str(bitfile),
    }
    run = _Evaluation(program, frames, size, timeout_s, start_timeout_s, progress)
    return run.on(addresses, settings)


def _chunk_size(frames: np.ndarray, chunk: int | None, batch_size: int, boards: int) -> int:
    most = max(1, MAXIMUM_CHUNK_BYTES // frames[0].nbytes)
    if chunk is not None:
        if chunk > most:
            raise ConfigError(f"chunk is {chunk} frames of {frames[0].nbytes} bytes, at most {most} travel together")
        return chunk
    batches = max(1, len(frames) // (batch_size * boards * CHUNKS_A_BOARD))
    size = min(batches * batch_size, max(MAXIMUM_CHUNK_FRAMES, batch_size), most)
    return size if size < batch_size else size - size % batch_size


class _Board:
    """One board: its process, what is known of it, and when it last gave a sign of life."""

    def __init__(self, address: Address):
        self.address, self.report = address, BoardReport(address.name)
        self.process: BoardProcess | None = None
        self.worker: str | None = None
        self.started: set[int] = set()  # chunks that it took up
        self.heard = time.monotonic()
        self.forgotten = False  # the scheduler did not know it at the last look

    def lose(self, reason: str) -> None:
        if self.report.state != LOST:
            self.report.state, self.report.reason = LOST, reason
        if self.process is not None:
            self.process.kill()


class _Evaluation:
    def __init__(self, program, frames, size, timeout_s, start_timeout_s, progress):
        self._program, self._frames, self._size = program, frames, size
        self._timeout_s, self._start_timeout_s, self._progress = timeout_s, start_timeout_s, progress
        self._logits = np.zeros((len(frames), len(program.network.head.weight)), np.int32)
        self._done = np.zeros(len(frames), bool)
        self._waiting = deque(range(-(-len(frames) // size)))
        self._flying: set[int] = set()
        self._finished: dict[int, tuple[str, float]] = {}
        self._events: queue.Queue = queue.Queue()
        self._began = time.monotonic()
        self._ended: float | None = None
        self._ready: float | None = None

    def on(self, addresses: list[Address], settings: dict) -> EvaluationResult:
        self._boards = [_Board(address) for address in addresses]
        try:
            self._run(addresses, settings)
        except BaseException as error:
            error.result = self._result()
            raise
        return self._result()

    def _run(self, addresses: list[Address], settings: dict) -> None:
        with ThreadPoolExecutor(len(addresses)) as pool:
            for board, reason in zip(self._boards, pool.map(Address.why_unreachable, addresses)):
                if reason:
                    board.lose(reason)
        self._check_boards()
        with tempfile.TemporaryDirectory(prefix="pynq-qsnn-boards-") as folder, Engine(len(addresses)) as self._engine:
            try:
                self._start(Path(folder), settings)
                self._loop()
            finally:
                self._ended = time.monotonic()
                self._stop()

    def _start(self, folder: Path, settings: dict) -> None:
        self._program.save(folder / "model.qprog")
        common = {"program": str(folder / "model.qprog"), **settings, **self._engine.worker_settings}
        for number, board in enumerate(self._boards):
            if board.report.state != LOST:
                own = folder / str(number)
                own.mkdir()
                of_board = {**common, "name": board.address.name, "kind": board.address.kind}
                board.process = BoardProcess(board.address, of_board, own, self._events)

    def _stop(self) -> None:
        running = [board.process for board in self._boards if board.process is not None]
        for process in running:
            process.ask_to_end()
        deadline = time.monotonic() + END_S
        for process in running:
            process.join(deadline)

    def _loop(self) -> None:
        next_look = time.monotonic() + TICK_S
        while not self._done.all():
            self._check_boards()
            self._feed()
            if time.monotonic() >= next_look:
                self._look_for_silence()
                next_look = time.monotonic() + TICK_S
            try:
                source, *content = self._events.get(timeout=TICK_S)
            except queue.Empty:
                continue
            if isinstance(source, BoardProcess):
                self._hear(next(board for board in self._boards if board.process is source), *content)
            else:
                self._collect(source, *content)

    def _feed(self) -> None:
        """Chunks for the boards that are ready, and no more than they can soon take."""
        ready = sum(board.report.state == READY for board in self._boards)
        while self._waiting and len(self._flying) < AHEAD * ready:
            index = self._waiting.popleft()
            first = index * self._size
            self._flying.add(index)
            frames = np.ascontiguousarray(self._frames[first : first + self._size])
            self._engine.submit(index, frames, lambda *event: self._events.put(event))

    def _hear(self, board: _Board, report: dict) -> None:
        board.heard = time.monotonic()
        event = report["event"]
        if event == "ready" and board.report.state == STARTING:
            board.report.state, board.worker = READY, report["worker"]
            board.report.method, board.report.clock_mhz = report["method"], report["clock_mhz"]
            self._ready = self._ready or board.heard
        elif event == "started":
            if report["chunk"] not in self._finished:
                board.started.add(report["chunk"])
        elif event in ("lost", "exited"):
            board.lose(report["reason"])
        elif event == "refused":
            raise _typed_error(report)

    def _collect(self, index: int, result: dict | None, error: Exception | None) -> None:
        if error is not None:
            raise error
        board = next(board for board in self._boards if board.address.name == result["board"])
        first, count = index * self._size, len(result["logits"])
        self._logits[first : first + count], self._done[first : first + count] = result["logits"], True
        self._flying.discard(index)
        self._finished[index] = (board.address.name, result["seconds"])
        board.heard = time.monotonic()
        report = board.report
        report.frames += count
        report.chunks += 1
        report.busy_s += result["seconds"]
        report.sampled_frames += result["sampled_frames"]
        report.sampled_cycles += result["sampled_cycles"]
        report.errors += result["errors"]
        if self._progress is not None:
            self._progress(count)

    def _look_for_silence(self) -> None:
        """Give up boards that have had work, or have been starting, for too long without a sign, or are forgotten."""
        now, workers = time.monotonic(), self._engine.workers()
        for board in self._boards:
            if board.report.state == STARTING and now - self._began > self._start_timeout_s:
                board.lose(f"it was not ready after {self._start_timeout_s:g} s")
            elif board.report.state == READY:
                forgotten_before, board.forgotten = board.forgotten, board.worker not in workers
                if forgotten_before and board.forgotten:  # twice: of a process that ends, its "exited" says more
                    board.lose("Dask's scheduler has lost the connection to its process")
                elif not workers.get(board.worker, True):
                    board.heard = now
                elif now - board.heard > self._timeout_s:
                    board.lose(f"it finished no chunk within {self._timeout_s:g} s; a smaller chunk takes less")

    def _check_boards(self) -> None:
        if any(board.report.state != LOST for board in self._boards):
            return
        raise BoardsLost(self._result())

    def _result(self) -> EvaluationResult:
        chunks = []
        for index, (name, seconds) in sorted(self._finished.items()):
            first = index * self._size
            last = min(first + self._size, len(self._frames))
            others = [board for board in self._boards if index in board.started and board.address.name != name]
            lost_on = tuple(board.address.name for board in others if board.report.state == LOST)
            chunks.append(ChunkRecord(first, last, name, seconds, lost_on))
        ended = self._ended or time.monotonic()
        ready = self._ready or ended
        reports = tuple(board.report for board in self._boards)
        return EvaluationResult(self._logits, self._done, reports, tuple(chunks), ready - self._began, ended - ready)


def _typed_error(report: dict) -> errors.QsnnError:
    """The error that a board's process has named, one of NOT_THE_BOARDS."""
    return getattr(errors, report["type"])(report["message"])
