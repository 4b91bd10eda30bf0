"""Load the overlay, ask the kernel for its contract and run one frame: in a process of its own, with a deadline.

A bus error or a hang of the PL then ends that process and not the report. It is also where an emulated board lives: its
files and registers come back with the result, so that the other lines are about that board.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from ..errors import DeviceError, SpecMismatch
from ..kv260 import DMA_TYPE
from .python import REMOTE
from .report import BOARD, OK, SKIPPED, WRONG, Case, Line, Outcome
from .system import System

DEADLINE_S = 120.0
EMULATED_DEADLINE_S = 600.0  # at first use g++ compiles the kernel
LOAD = "pynq-qsnn doctor --load   (replaces what is loaded in the PL)"
AGAIN = "mend the lines above, reboot, then pynq-qsnn doctor --load"
HOST_LINES = "pynq-qsnn doctor --group host   (what the emulated board runs on)"


def load(system: System, emulate: bool, bitfile: str | None, folder: Path) -> dict:
    """What :func:`load_and_run` found. folder: gets copies of an emulated board's .bit and .hwh."""
    request = {"emulate": emulate, "bitfile": bitfile, "folder": str(folder)}
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [system.environ.get("PYTHONPATH")])]
    environ = {**system.environ, "PYTHONPATH": ":".join(paths)}
    if emulate:
        environ.pop(REMOTE, None)
    command = [system.executable, "-W", "ignore", "-m", __name__, json.dumps(request)]
    done = system.run(command, EMULATED_DEADLINE_S if emulate else DEADLINE_S, environ)
    result = folder / "result.json"
    if result.is_file():
        return json.loads(result.read_text(encoding="utf-8"))
    last = (done.output.strip().splitlines() or ["no output"])[-1]
    if done.status is not None:
        end = f"status {done.status}" if done.status >= 0 else signal.Signals(-done.status).name
        last = f"the process that loads it ended with {end}: {last}"
    return {"error": last, "files": {}, "registers": {}}


def files(result: dict) -> dict[str, bytes]:
    """Files of an emulated board, as :class:`.System` takes them."""
    return {name: text.encode("latin-1") for name, text in result["files"].items()}


def registers(result: dict) -> dict[int, int]:
    """Registers of an emulated board, by address."""
    return {int(address): value for address, value in result["registers"].items()}


def load_and_run(emulate: bool, bitfile: str | None, folder: str) -> dict:
    """Load and run. Keys are those of the steps that were reached; ``error`` is the text of the one that failed.

    bitfile: the file that was loaded.  method: "measured (board)" or "emulated (cycle model)".  max_bytes: of one DMA
    transfer.  expected, fingerprint: of the program and of the kernel.  agree: one frame gave the reference's logits.
    files, registers: of an emulated board, which loads its own bitstream.
    """
    from ..compiler import compile_network
    from ..reference import Reference
    from ..runtime.driver import QsnnOverlay
    from ..runtime.locate import find_device, find_ip
    from .sample import sample_frames, sample_network

    found: dict = {"error": None, "files": {}, "registers": {}}
    with ExitStack() as stack:
        try:
            board = None
            if emulate:
                from ..emulator import open_board

                board = stack.enter_context(open_board())
                bitfile = board.bitfile
            elif find_device() is None:  # the driver would open an emulated board
                raise DeviceError("pynq finds no device to load it on")
            try:
                overlay = stack.enter_context(QsnnOverlay(bitfile, batch_size=1))
                found["bitfile"], found["method"] = overlay.bitfile_name, overlay.method
                found["max_bytes"] = find_ip(overlay, DMA_TYPE).buffer_max_size
                network, frames = sample_network(), sample_frames()
                program = compile_network(network)
                found["expected"] = program.fingerprint[:16]
                try:
                    overlay.load_model(program)
                except SpecMismatch as error:
                    found["fingerprint"] = error.found
                    raise
                found["fingerprint"] = found["expected"]  # load_model compares them
                found["agree"] = bool((overlay.execute(frames) == Reference().load(network).run(frames)).all())
            finally:
                if board is not None:
                    found.update(_snapshot(board, Path(folder)))
        except Exception as error:
            found["error"] = f"{type(error).__name__}: {error}"
    return found


def _snapshot(board, folder: Path) -> dict:
    """Files and clock registers of an emulated board, and copies of its overlay in ``folder``."""
    from .clocks import REGISTERS

    source = Path(board.bitfile)
    for path in (source, source.with_suffix(".hwh")):
        (folder / path.name).write_bytes(path.read_bytes())
    entries = board.board.files
    return {
        "bitfile": str(folder / source.name),
        "files": {name: entries.read(name).decode("latin-1") for name in sorted(entries.entries)},
        "registers": {str(address): board.board.read32(address) for address in REGISTERS},
    }


def check_load(case: Case) -> Outcome:
    if case.loaded is None:
        return Outcome(SKIPPED, "not loaded", LOAD)
    if "method" not in case.loaded:
        return Outcome(WRONG, case.loaded["error"], HOST_LINES if case.system.emulated else AGAIN)
    name = Path(case.loaded["bitfile"]).name
    return Outcome(OK, f"{name}, {case.loaded['max_bytes']:,} bytes a transfer; {case.loaded['method']}")


def check_fingerprint(case: Case) -> Outcome:
    if case.loaded is None or "method" not in case.loaded:
        return Outcome(SKIPPED, "the overlay is not loaded")
    found, expected = case.loaded.get("fingerprint"), case.loaded.get("expected")
    if found is None:
        return Outcome(WRONG, case.loaded["error"], AGAIN)
    if found != expected:
        told = f"the kernel answers {found}, this release has {expected}"
        return Outcome(WRONG, told, "load the bitstream of this release: pynq-qsnn doctor --load --bitfile FILE.bit")
    return Outcome(OK, f"the kernel answers {found}")


def check_frame(case: Case) -> Outcome:
    if case.loaded is None or case.loaded.get("fingerprint") != case.loaded.get("expected", ""):
        return Outcome(SKIPPED, "no program is loaded")
    agree = case.loaded.get("agree")
    if agree:
        return Outcome(OK, "through DMA and kernel; its logits equal the reference's")
    told = "the logits differ from the reference's" if agree is False else case.loaded["error"]
    return Outcome(WRONG, told or "it was not run", AGAIN)


LINES = (
    Line("overlay loads", BOARD, check_load),
    Line("kernel fingerprint", BOARD, check_fingerprint),
    Line("one frame", BOARD, check_frame),
)


def main() -> None:
    """Child process: the request is its only argument, the answer a file, since anything may print."""
    request = json.loads(sys.argv[1])
    answer = json.dumps(load_and_run(**request))
    handle, name = tempfile.mkstemp(dir=request["folder"])
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(answer)
    os.replace(name, Path(request["folder"]) / "result.json")


if __name__ == "__main__":
    main()
