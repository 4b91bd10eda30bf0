"""One line of the report, and how a check comes to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..hwspec import HardwareConfig
from .system import System

# good, works but could be better, absent and not needed, not looked at
OK, WARNING, OPTIONAL, SKIPPED = "ok", "warning", "optional", "skipped"
# these two make the command fail: not there, there but not as it must be
MISSING, WRONG = "missing", "wrong"
FAILING = (MISSING, WRONG)
BOTH, HOST, BOARD = "both", "host", "board"


@dataclass(frozen=True)
class Outcome:
    """What a check found. remedy: what to type; "" where nothing is to be done."""

    status: str
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """One line. name: the same in every release.  group: "both", "host" or "board", the flow that needs it."""

    name: str
    group: str
    status: str
    found: str
    remedy: str

    @property
    def failing(self) -> bool:
        """It stops the flow of its group."""
        return self.status in FAILING


@dataclass(frozen=True)
class Case:
    """What is examined.

    bitfile: path of the .bit.  needed_bytes: contiguous memory that ``needed_for`` takes.
    board: the board's lines are asked for, so pynq is needed.  loaded: what :mod:`.load` found, None without a load.
    """

    system: System
    config: HardwareConfig
    bitfile: str
    needed_bytes: int
    needed_for: str
    board: bool
    loaded: dict | None = None


@dataclass(frozen=True)
class Line:
    """A check before it is made. real_only: says nothing about an emulated board."""

    name: str
    group: str
    function: Callable[[Case], Outcome]
    real_only: bool = False

    def check(self, case: Case) -> Check:
        """Make it. Whatever goes wrong inside becomes the line itself."""
        if self.real_only and case.system.emulated:
            outcome = Outcome(SKIPPED, "not for the emulated board")
        else:
            try:
                outcome = self.function(case)
            except Exception as error:
                outcome = Outcome(
                    WRONG,
                    f"the check itself failed: {type(error).__name__}: {error}",
                    "pynq-qsnn doctor --json doctor.json, and report the problem with that file",
                )
        return Check(self.name, self.group, outcome.status, outcome.found, outcome.remedy)
