"""The HLS kernel, compiled by g++, as a Python object: what a board runs, with the clocks of an event model.

:class:`KernelSimulation` is one kernel at its register file, streams and memory, the view of the emulated board.
:class:`CsimExecutor` runs compiled programs on it: the same two calls, ``load`` and ``run``, as every executor.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ConfigError, DeviceError, SpecMismatch, ToolMissing
from ..files import atomic_file, cache_dir
from ..hwspec import LOG_ENTRY, STATUS, WORD_BITS, HardwareConfig, cpp_header, load_config, record_words
from ..packing import WORD_BYTES, pack_frames, unpack_results
from ..paths import resource
from ..program import Program
from .cycles import instruction_cycles
from .native_build import build
from .status import describe_status

AP_TYPES_VARIABLE = "PYNQ_QSNN_AP_TYPES"
# (package, folder inside it): the two wheels that ship the Apache-2.0 ap_int headers. hls4ml's is pure Python.
AP_TYPES_PACKAGES = (
    ("hls4ml", "templates/vivado/ap_types"),
    ("da4ml", "codegen/hls/source/ap_types/include"),
)
# The ap types view their words through other types; without strict aliasing g++ keeps what Vitis guarantees.
FLAGS = ("-O3", "-march=native", "-fno-strict-aliasing", "-Wno-unknown-pragmas", "-Wno-attributes")
DONE, BLOCKED = 1, 0


class _Arguments(ctypes.Structure):
    """struct qsnn_arguments of hls/test/bridge.cpp."""

    _fields_ = [
        ("memory", ctypes.c_void_p),
        ("memory_bytes", ctypes.c_uint64),
        ("program", ctypes.c_uint64),
        ("weights_even", ctypes.c_uint64),
        ("weights_odd", ctypes.c_uint64),
        ("spill", ctypes.c_uint64),
        ("log", ctypes.c_uint64),
        ("num_instructions", ctypes.c_uint32),
        ("num_frames", ctypes.c_uint32),
        ("weight_pairs", ctypes.c_uint32),
        ("spill_words", ctypes.c_uint32),
        ("log_entries", ctypes.c_uint32),
    ]


INPUT_REGISTERS = tuple(name for name, _ in _Arguments._fields_[2:])


def ap_types() -> Path:
    """Folder of ap_int.h. Raises ToolMissing with what to install."""
    chosen = os.environ.get(AP_TYPES_VARIABLE)
    candidates = [Path(chosen)] if chosen else []
    for package, folder in () if chosen else AP_TYPES_PACKAGES:
        # find_spec reads the package's place without importing it: its own dependencies need not be installed.
        spec = importlib.util.find_spec(package)
        candidates += [Path(p) / folder for p in (spec.submodule_search_locations or ())] if spec else []
    for folder in candidates:
        if (folder / "ap_int.h").is_file():
            return folder
    where = f"${AP_TYPES_VARIABLE} is {chosen}, which has no ap_int.h" if chosen else "no package has ap_int.h"
    raise ToolMissing(
        f"the HLS kernel needs Xilinx's ap_int headers: {where}. "
        f"Remedy: pip install --no-deps hls4ml==1.3.0, or set {AP_TYPES_VARIABLE} to a folder that holds them"
    )


def _header_folder(config: HardwareConfig) -> Path:
    """Folder of the hw_spec.hpp of ``config``: the committed one when it says the same, else one in the cache."""
    committed, text = resource("hls", "include"), cpp_header(config)
    header = committed / "hw_spec.hpp"
    if header.is_file() and header.read_text() == text:
        return committed
    folder = cache_dir() / "hw_spec" / hashlib.sha256(text.encode()).hexdigest()[:24]
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / "hw_spec.hpp") as stream:
        stream.write(text.encode())
    return folder


def build_library(force: bool = False, config: HardwareConfig | None = None) -> Path:
    """Shared library of kernel, simulation and bridge for ``config``; compiled once and kept in the user's cache.

    Raises ToolMissing, with the remedy, without g++ or the ap_int headers.
    """
    hls = resource("hls")
    # hls/sim comes before the ap types: the wheel's own hls_stream.h must never be seen.
    folders = [_header_folder(config or load_config()), hls / "src", hls / "sim", ap_types()]
    sources = [hls / "test" / "bridge.cpp"]
    library = build("qsnn_kernel", sources, FLAGS, folders)
    if force:
        library.unlink()
        library = build("qsnn_kernel", sources, FLAGS, folders)
    return library


def _load(library: Path) -> ctypes.CDLL:
    lib = ctypes.CDLL(str(library))
    handle, u32, u64, text = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_char_p
    flag = ctypes.POINTER(ctypes.c_int)
    for name, result, arguments in (
        ("create", handle, []),
        ("destroy", None, [handle]),
        ("start", ctypes.c_int, [handle, ctypes.POINTER(_Arguments)]),
        ("push", ctypes.c_int, [handle, text, u64, ctypes.c_int]),
        ("advance", ctypes.c_int, [handle]),
        ("pop", ctypes.c_int, [handle, ctypes.c_void_p, flag]),
        ("reset", None, [handle]),
        ("status", u32, [handle]),
        ("fingerprint", u64, [handle]),
        ("log_count", u32, [handle]),
        ("cycles", u64, [handle]),
        ("message", text, [handle]),
        ("set_timing", ctypes.c_int, [handle, text, u64]),
        ("stage_times", text, [handle]),
        ("read_activations", ctypes.c_int, [handle, u32, u32, ctypes.c_void_p]),
    ):
        function = getattr(lib, f"qsnn_{name}")
        function.restype, function.argtypes = result, arguments
    return lib


@dataclass(frozen=True)
class StageTimes:
    """One run of one stage, in clocks of the kernel's counter.

    waits: clocks by what the stage waited for: ("tokens", stream) to read, ("room", stream) to write,
    ("memory", port), ("stages", region) for the stages that it started. Otherwise it was busy.
    """

    stage: str
    begin: int
    end: int
    waits: dict[tuple[str, str], int]

    @property
    def busy(self) -> int:
        """Clocks in which it worked."""
        return self.end - self.begin - sum(self.waits.values())

    @staticmethod
    def parse(line: str) -> StageTimes:
        """From the bridge's text: ``accumulate 120 4500 tokens:operands=17 room:partial_sums=3``."""
        stage, begin, end, *waits = line.split()
        split = [wait.replace("=", ":").split(":") for wait in waits]
        return StageTimes(stage, int(begin), int(end), {(kind, where): int(n) for kind, where, n in split})


class KernelSimulation:
    """One kernel instance. Its activation memory, weight ring and clock live until :meth:`close`; one thread at a time.

    config: overlay (default: the KV260's).  library: from :func:`build_library` for that config (default: built here).
    """

    def __init__(self, config: HardwareConfig | None = None, library: str | Path | None = None):
        self.config = config or load_config()
        self._lib = _load(Path(library) if library else build_library(config=self.config))
        self._handle = self._lib.qsnn_create()
        if not self._handle:
            raise DeviceError("the simulated kernel could not be created: out of memory")
        self._done = True

    def start(self, memory: int, memory_bytes: int, registers: dict[str, int]) -> None:
        """ap_start.

        memory: pointer to the host memory that stands for the DDR; it must stay valid until the kernel is done.
        registers: the inputs of KERNEL_ARGUMENTS; the 64-bit ones are byte offsets into ``memory``.
        Raises DeviceError when the kernel is running or an address range leaves the memory.
        """
        missing = set(INPUT_REGISTERS) ^ set(registers)
        if missing:
            raise ConfigError(f"registers missing or unknown: {sorted(missing)}; needed are {INPUT_REGISTERS}")
        arguments = _Arguments(memory, memory_bytes, *(int(registers[name]) for name in INPUT_REGISTERS))
        self._check(self._lib.qsnn_start(self._need(), ctypes.byref(arguments)))
        self._done = False

    def push(self, beats: bytes, last: bool) -> None:
        """Append whole 16-byte beats to the frame stream; ``last`` puts TLAST on the final one."""
        self._check(self._lib.qsnn_push(self._need(), beats, len(beats), int(last)))

    def advance(self) -> bool:
        """Run until the call is complete (True) or waits for more input beats (False, see :attr:`blocked`).

        Raises DeviceError, with the report of blocked stages and streams, when the stages wait for one another.
        """
        result = self._lib.qsnn_advance(self._need())
        self._check(result)
        self._done = result == DONE
        return self._done

    def pop(self) -> tuple[bytes, bool] | None:
        """The oldest beat of the result stream and its TLAST, or None when the stream is empty."""
        beat, last = ctypes.create_string_buffer(WORD_BYTES), ctypes.c_int()
        if not self._lib.qsnn_pop(self._need(), beat, ctypes.byref(last)):
            return None
        return beat.raw, bool(last.value)

    def reset(self) -> None:
        """Stop whatever runs and empty both streams. Activation memory and clock keep their values, as in a fabric."""
        self._lib.qsnn_reset(self._need())
        self._done = True

    def close(self) -> None:
        """Free the instance. Safe to call twice."""
        if self._handle:
            self._lib.qsnn_destroy(self._handle)
            self._handle = None

    def activations(self, base: int, words: int) -> np.ndarray:
        """Activation memory from word ``base`` of every bank: uint8 [words, banks, 16], for packing.unpack_trains."""
        out = np.zeros((words, self.config.activation_banks, WORD_BYTES), np.uint8)
        self._check(self._lib.qsnn_read_activations(self._need(), base, words, out.ctypes.data))
        return out

    def set_timing(self, name: str, value: int) -> None:
        """Set one constant of the event model for the calls to come.

        name: a member of struct Timing of hls/sim/timing.hpp, such as "port_efficiency", or "interval:<stage>" (factor
        on the stage's intervals), "depth:<stream>", "latency:<stream>". Raises DeviceError, with the names there are,
        when there is no such constant, and with its bounds when the value is outside.
        """
        if not 0 <= value < 2**64:
            raise ConfigError(f"{name} is {value}, must be 0 to 2^64 - 1")
        self._check(self._lib.qsnn_set_timing(self._need(), name.encode(), value))

    def stage_times(self) -> list[StageTimes]:
        """What every stage of the last call did, in the order in which they ended."""
        return [StageTimes.parse(line) for line in self._lib.qsnn_stage_times(self._need()).decode().splitlines()]

    @property
    def status(self) -> int:
        """Register ``status``."""
        return self._lib.qsnn_status(self._need())

    @property
    def fingerprint(self) -> int:
        """Register ``fingerprint``: of the contract the kernel was built from."""
        return self._lib.qsnn_fingerprint(self._need())

    @property
    def log_count(self) -> int:
        """Register ``log_count``."""
        return self._lib.qsnn_log_count(self._need())

    @property
    def cycles(self) -> int:
        """The free-running counter behind ``now``."""
        return self._lib.qsnn_cycles(self._need())

    @property
    def done(self) -> bool:
        """True when no call is under way."""
        return self._done

    @property
    def blocked(self) -> str:
        """Which stages wait on which streams, after :meth:`advance` returned False; otherwise empty."""
        return self._lib.qsnn_message(self._need()).decode()

    def _need(self) -> int:
        if not self._handle:
            raise DeviceError("the simulated kernel is closed")
        return self._handle

    def _check(self, code: int) -> None:
        if code < 0:
            raise DeviceError(f"simulated kernel: {self.blocked}")

    def __del__(self):
        if getattr(self, "_handle", None):
            self.close()


def call_memory(program: Program, num_frames: int) -> tuple[np.ndarray, dict[str, int]]:
    """What a call needs in memory, uint8 [words, 16] with the log at its end, and the registers for it."""
    entries = len(program.executions(num_frames))
    parts = {
        "program": program.code,
        "weights_even": program.weights[0],
        "weights_odd": program.weights[1],
        "spill": np.zeros((program.spill_words, WORD_BYTES), np.uint8),
        "log": np.zeros((entries * record_words(LOG_ENTRY), WORD_BYTES), np.uint8),
    }
    registers, words = {}, 0
    for name, part in parts.items():
        registers[name] = words * WORD_BYTES
        words += len(part)
    registers.update(
        num_instructions=program.num_instructions,
        num_frames=num_frames,
        weight_pairs=program.weights.shape[1],
        spill_words=program.spill_words,
        log_entries=entries,
    )
    return np.concatenate(list(parts.values())), registers


class CsimExecutor:
    """Runs a program on the simulated kernel, without a board around it.

    After :meth:`run`, ``log`` holds the kernel's time samples, uint64 [executions, 2] (start, end), and ``executions``
    says of what: (instruction, first frame, frames) each, see :meth:`Program.executions`.
    """

    def __init__(self, config: HardwareConfig | None = None, library: str | Path | None = None):
        self.simulation = KernelSimulation(config, library)
        self.program: Program | None = None
        self.log = np.zeros((0, 2), np.uint64)
        self.executions: list[tuple[int, int, int]] = []

    def load(self, program: Program) -> CsimExecutor:
        """Take ``program``. Raises SpecMismatch when it was compiled for another contract than the kernel's."""
        expected = self.simulation.config.fingerprint
        if program.fingerprint != expected:
            raise SpecMismatch("program", expected, program.fingerprint, "Compile it again for this overlay.")
        self.program, self.executions = program, []
        return self

    def run(self, frames: np.ndarray) -> np.ndarray:
        """Logits int32 [N, classes] of frames uint8 [N, C, H, W] or [N, T, C, H, W]. Raises FrameError, DeviceError."""
        if self.program is None:
            raise ConfigError("no program: call load(program) first")
        program, simulation = self.program, self.simulation
        beats = pack_frames(frames, program.network, simulation.config)
        memory, registers = call_memory(program, len(frames))
        try:
            self._call(memory, registers, beats)
        except DeviceError:
            simulation.reset()  # beats that this call left behind must not reach the next one
            raise
        self.executions = program.executions(len(frames))
        entries = memory[registers["log"] // WORD_BYTES :].reshape(len(self.executions), -1)
        self.log = entries.view("<u8")[:, :2].copy()
        return unpack_results(self._results(len(frames), program.result_beats), program.network)

    def _call(self, memory: np.ndarray, registers: dict[str, int], beats: np.ndarray) -> None:
        simulation = self.simulation
        simulation.start(memory.ctypes.data, memory.nbytes, registers)
        simulation.push(beats.tobytes(), last=True)
        if not simulation.advance():
            raise DeviceError(f"the kernel waits for more beats than the frames have:\n{simulation.blocked}")
        if simulation.status != STATUS["OK"][0]:
            raise DeviceError(f"the kernel stopped with status {describe_status(simulation.status)}")

    def cycles_by_instruction(self) -> np.ndarray:
        """Cycles of each instruction for a frame of the last run, float64 [instructions]."""
        if not self.executions:
            raise ConfigError("no cycles: call run(frames) first")
        num_frames = sum(frames for index, _, frames in self.executions if index == 0)
        return instruction_cycles(self.program, self.log, num_frames)

    def close(self) -> None:
        """Free the simulated kernel."""
        self.simulation.close()

    def _results(self, frames: int, beats: int) -> np.ndarray:
        data = bytearray()
        for index in range(frames * beats):
            beat = self.simulation.pop()
            if beat is None:
                raise DeviceError(f"{index} result beats, expected {frames * beats}")
            data += beat[0]
            if beat[1] != (index == frames * beats - 1):
                raise DeviceError(f"TLAST is {beat[1]} on result beat {index} of {frames * beats}")
        return np.frombuffer(bytes(data), np.uint8).reshape(frames, beats, WORD_BYTES)


assert WORD_BITS == 8 * WORD_BYTES
