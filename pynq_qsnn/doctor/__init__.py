"""What a machine has for each flow, host and board, and what to type where it lacks.

Every check reads through a :class:`.system.System`, so that a folder can stand for a board; nothing heavy is imported,
and nothing is loaded into the PL unless asked.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ConfigError
from ..hwspec import load_config
from ..kv260 import DEFAULT_BITFILE
from ..program import Program
from . import board, clocks, host, memory, overlay, python, sensors
from . import load as loading
from .report import BOARD, BOTH, HOST, WRONG, Case, Check
from .system import System

LINES = (
    *(*python.LINES, *host.LINES, *board.LINES, *memory.LINES, *sensors.LINES, *overlay.LINES),
    *(*loading.LINES[:1], *clocks.LINES, *loading.LINES[1:]),
)
GROUPS = {"host": (BOTH, HOST), "board": (BOTH, BOARD), "all": (BOTH, HOST, BOARD)}


@dataclass(frozen=True)
class Report:
    """machine: what it is, in words.  emulated: the board's lines are an emulated one's.  checks: in order."""

    machine: str
    emulated: bool
    groups: tuple[str, ...]
    checks: list[Check]

    @property
    def failing(self) -> list[Check]:
        """The lines that stop a flow."""
        return [check for check in self.checks if check.failing]


def examine(
    system: System | None = None,
    group: str | None = None,
    emulate: bool = False,
    load: bool = False,
    bitfile: str | None = None,
    program: Program | None = None,
    batch_size: int = 16,
) -> Report:
    """Make every check of a group.

    system: default this machine.  group: a key of GROUPS; default "all" when emulating, "board" on a KV260 and for a
        load, else "host".
    load: load the overlay; it replaces what is in the PL. An emulated board's is always loaded.
    bitfile: default the installed overlay's; an emulated board has its own.  program: what contiguous memory must hold,
        with ``batch_size`` frames.
    Raises ConfigError for an emulated or loaded overlay without the board's lines, and for an emulated one with a
    bitfile.
    """
    system = system or System()
    if group is None:
        group = "all" if emulate else "board" if load or board.is_kv260(system) else "host"
    if (emulate or load) and BOARD not in GROUPS[group]:
        raise ConfigError(f"--group {group} has no lines of a board: leave out --emulate and --load, or --group")
    if emulate and bitfile is not None:
        raise ConfigError(
            f"--bitfile {bitfile} is not what the emulated board loads, it has one of its own: leave out --bitfile, or "
            "--emulate"
        )
    try:
        config = load_config()
    except ConfigError as error:  # every other line rests on it
        remedy = "pip install --force-reinstall --no-deps pynq-qsnn"
        check = Check("overlay config", BOTH, WRONG, str(error), remedy)
        return Report(board_name(system), emulate, GROUPS[group], [check])
    needed, needed_for = memory.DEFAULT_BYTES, "a model (name yours: --model)"
    if program is not None:
        needed = memory.device_bytes(program, batch_size)
        needed_for = f"{program.network.name} at batch {batch_size}"
    case = Case(system, config, bitfile or str(DEFAULT_BITFILE), needed, needed_for, BOARD in GROUPS[group])
    lines = [line for line in LINES if line.group in GROUPS[group]]
    machine = board_name(system)
    with ExitStack() as stack:
        if emulate or load:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pynq-qsnn-doctor-"))
            loaded = loading.load(system, emulate, bitfile, Path(folder))
            case = replace(case, loaded=loaded, bitfile=loaded.get("bitfile", case.bitfile))
            if emulate:
                machine, files, registers = "KV260 (emulated)", loading.files(loaded), loading.registers(loaded)
                case = replace(case, system=replace(system, files=files, registers=registers))
            # An emulated board that could not be opened has no files, and those of a remote one are not here.
            remote = "" if emulate else system.environ.get(python.REMOTE)
            if remote:
                machine = f"the board at {remote}, through PYNQ.remote"
            if remote or (emulate and not files):
                lines = [line for line in lines if line.group != BOARD or line in loading.LINES]
        checks = [line.check(case) for line in lines]
    return Report(machine, emulate, GROUPS[group], checks)


def board_name(system: System) -> str:
    """The machine in words."""
    return board.board_names(system) or f"{system.architecture}, no device tree"
