"""Rows of a sweep: which of them no other beats in every objective, and their tables."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ..files import atomic_file
from .objective import HIGHER, OBJECTIVES

COLUMNS = (
    "trial", "state", "allocation", "model", "num_steps", "bit_budget", "accuracy", "accuracy_deviation",
    "accuracy_error", "accuracy_float", "held_out", "s_ace", "ns_ace", "fps", "cycles", "bytes",
    "normalised_parameters", "seconds", "reason",
)  # fmt: skip
FRONT_COLUMNS = (*COLUMNS[:-2], "test_accuracy", "test_deviation", "test_images")


def front(rows: list[dict], objectives: tuple[str, ...]) -> list[dict]:
    """Rows that no other row is as good as in all objectives and better in one; in the order of the first objective.

    >>> rows = [{"accuracy": 90, "s_ace": 5}, {"accuracy": 80, "s_ace": 5}, {"accuracy": 70, "s_ace": 1}]
    >>> front(rows, ("accuracy", "s_ace"))
    [{'accuracy': 90, 's_ace': 5}, {'accuracy': 70, 's_ace': 1}]
    """
    values = [tuple(_gain(row, name) for name in objectives) for row in rows]
    best = [row for row, own in zip(rows, values) if not any(_beats(other, own) for other in values)]
    return sorted(best, key=lambda row: _gain(row, objectives[0]), reverse=True)


def _gain(row: dict, objective: str) -> float:
    return row[objective] if OBJECTIVES[objective][0] == HIGHER else -row[objective]


def _beats(a: tuple, b: tuple) -> bool:
    return a != b and all(x >= y for x, y in zip(a, b))


def write_csv(path: Path, rows: list[dict], columns: tuple[str, ...]) -> None:
    """A line a row, empty where a value is None; written atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_file(path) as stream:
        stream.write(text.getvalue().encode())
