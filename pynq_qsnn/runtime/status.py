"""The kernel's status register in words."""

from __future__ import annotations

from ..hwspec import STATUS
from ..program import Program


def describe_status(status: int, program: Program | None = None) -> str:
    """Name, meaning and refused instruction; with the program also that instruction's layer."""
    code, index = status & 0xFF, status >> 8
    unknown = str(code), "not a status of this contract"
    name, meaning = next(((n, m) for n, (c, m) in STATUS.items() if c == code), unknown)
    text = f"{name} ({meaning}), instruction {index}"
    if program is not None and index < len(program.steps):
        text += f" of layer {program.steps[index].layer!r}"
    return text
