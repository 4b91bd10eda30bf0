"""The Pareto front as a figure: the first objective against each of the others."""

from __future__ import annotations

import io
from pathlib import Path

from ..files import atomic_file
from .objective import LOWER, OBJECTIVES

FRONT, OTHERS = "#0072B2", "0.6"  # Okabe and Ito's blue: told apart by colour-blind readers


def write_pareto(path: Path, rows: list[dict], front: list[dict], objectives: tuple[str, ...], title: str) -> None:
    """Draw into ``path`` (its suffix is the format), atomically. Needs matplotlib."""
    figure = draw_pareto(rows, front, objectives, title)
    stream = io.BytesIO()
    figure.savefig(stream, format=path.suffix[1:], dpi=150)
    with atomic_file(path) as file:
        file.write(stream.getvalue())


def draw_pareto(rows: list[dict], front: list[dict], objectives: tuple[str, ...], title: str):
    """matplotlib ``Figure``: a panel for each objective behind the first, labels at the points of the front."""
    from matplotlib.figure import Figure

    first, others = objectives[0], objectives[1:]
    figure = Figure(figsize=(1 + 6 * len(others), 5), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axis, other in zip(figure.subplots(1, len(others), squeeze=False)[0], others):
        for chosen, colour, label in ((rows, OTHERS, "others"), (front, FRONT, "Pareto front")):
            axis.plot(*_points(chosen, other, first), "o", color=colour, label=label, zorder=3)
        if first == "accuracy":
            errors = [row["accuracy_error"] for row in rows]
            axis.errorbar(*_points(rows, other, first), errors, fmt="none", color=OTHERS, linewidth=1)
        if len(others) == 1:
            where = "post" if OBJECTIVES[other][0] == LOWER else "pre"
            axis.step(*_points(sorted(front, key=lambda row: row[other]), other, first), where=where, color=FRONT, lw=1)
        # No point lies on that side of the front where both objectives are better.
        aside, anchor = (-5, "right") if OBJECTIVES[other][0] == LOWER else (5, "left")
        for row in front:
            place = row[other], row[first]
            axis.annotate(row["allocation"], place, (aside, 5), textcoords="offset points", ha=anchor, fontsize=8)
        for name, side in ((other, "x"), (first, "y")):
            _, text, logarithmic = OBJECTIVES[name]
            axis.set(**{f"{side}label": text, f"{side}scale": "log" if logarithmic else "linear"})
        axis.grid(color="0.9")
        axis.set_axisbelow(True)
        axis.legend(fontsize=8, loc="lower right")
        axis.margins(0.12, 0.08)
    return figure


def _points(rows: list[dict], x: str, y: str) -> tuple[list, list]:
    return [row[x] for row in rows], [row[y] for row in rows]
