"""What an evaluation on several boards gives back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

STARTING, READY, LOST = "starting", "ready", "lost"


@dataclass
class BoardReport:
    """What one board did.

    state: "ready"; "lost", then ``reason`` says why; "starting" when all was done before it was ready.
    frames, chunks: finished there.  busy_s: host seconds in which it worked on them.
    errors: errors after which the same board went on.
    method: "measured (board)" or "emulated (cycle model)", of ``kernel_fps`` and ``clock_mhz`` alone.
    kernel_fps: the kernel's rate by its own time log, over the last batch of each chunk if that is a full one.
    fps: by the host's clock.
    """

    name: str
    state: str = STARTING
    reason: str | None = None
    frames: int = 0
    chunks: int = 0
    busy_s: float = 0.0
    errors: list[str] = field(default_factory=list)
    method: str | None = None
    clock_mhz: float | None = None
    sampled_frames: int = 0
    sampled_cycles: int = 0

    @property
    def fps(self) -> float | None:
        """Frames a second of host time, measured (host)."""
        return self.frames / self.busy_s if self.frames else None

    @property
    def kernel_fps(self) -> float | None:
        """Frames a second of the kernel, as ``method`` says."""
        return self.sampled_frames * self.clock_mhz * 1e6 / self.sampled_cycles if self.sampled_cycles else None

    def row(self) -> dict:
        """As JSON values."""
        values = {key: value for key, value in asdict(self).items() if not key.startswith("sampled_")}
        return {**values, "fps": self.fps, "kernel_fps": self.kernel_fps}


@dataclass(frozen=True)
class ChunkRecord:
    """Frames first .. last-1: the board that finished them, its host seconds, and the boards lost at work on them."""

    first: int
    last: int
    board: str
    seconds: float
    lost_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluationResult:
    """logits: int32 [N, classes], row i of frame i.  done: bool [N], all True unless the evaluation ended early.

    start_s: until the first board was ready.  seconds: from then to the last result, measured (host).
    chunks: of the frames that are done, in their order.
    """

    logits: np.ndarray
    done: np.ndarray
    boards: tuple[BoardReport, ...]
    chunks: tuple[ChunkRecord, ...]
    start_s: float
    seconds: float

    @property
    def done_ranges(self) -> list[tuple[int, int]]:
        """(first, last + 1) of each run of frames that are done."""
        edges = np.flatnonzero(np.diff(self.done, prepend=False, append=False))
        return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]

    @property
    def retries(self) -> int:
        """How often a chunk had to be run again because its board was lost."""
        return sum(len(chunk.lost_on) for chunk in self.chunks)

    @property
    def fps(self) -> float:
        """Frames a second of all boards together by the host's clock, measured (host)."""
        return int(self.done.sum()) / self.seconds if self.seconds else 0.0

    def row(self) -> dict:
        """All but the arrays, as JSON values."""
        return {
            "frames": int(self.done.sum()),
            "start_s": self.start_s,
            "seconds": self.seconds,
            "fps": self.fps,
            "retries": self.retries,
            "boards": [board.row() for board in self.boards],
            "chunks": [asdict(chunk) for chunk in self.chunks],
        }
