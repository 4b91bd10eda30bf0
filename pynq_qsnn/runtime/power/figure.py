"""Power against time, with the arms shaded."""

from __future__ import annotations

from pathlib import Path

from ...files import atomic_file
from .arms import IDLE, RUN, Arm
from .report import EnergyReport
from .trace import Trace

COLOURS = {IDLE: "0.9", RUN: "#cfe3f7"}


def write_figure(path: str | Path, report: EnergyReport, trace: Trace, arms: tuple[Arm, ...], title: str) -> None:
    """Write a .png (or what else the name's ending asks for). Raises ModuleNotFoundError without matplotlib."""
    from matplotlib.figure import Figure

    origin = arms[0].start_s
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for arm in arms:
        label = arm.kind if arm in (arms[0], next(a for a in arms if a.kind == RUN)) else None
        axes.axvspan(arm.start_s - origin, arm.end_s - origin, color=COLOURS[arm.kind], label=label, linewidth=0)
    axes.step(
        trace.times - origin, trace.watts, where="post", linewidth=0.8, color="black", label="the sensor's reading"
    )
    axes.set(xlabel="seconds of the board's time", ylabel="board power in W", title=f"{title}, {report.method}")
    axes.set_xlim(0, arms[-1].end_s + report.tail_s - origin)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=3, frameon=False)
    kind = Path(path).suffix.lstrip(".") or "png"
    with atomic_file(path) as file:
        figure.savefig(file, format=kind, dpi=150)
