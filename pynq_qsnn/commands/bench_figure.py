"""``bench --figure``: throughput and latency as bars on logarithmic axes, grouped by how a figure came about."""

from __future__ import annotations

import io
from pathlib import Path

from ..files import atomic_file

# Okabe and Ito's palette: told apart by colour-blind readers.
COLOURS = {"measured (host)": "#0072B2", "emulated (cycle model)": "#E69F00", "measured (board)": "#009E73"}
INK = {"measured (host)": "white", "emulated (cycle model)": "black", "measured (board)": "white"}  # on these colours
HATCH, HATCH_TEXT = "///", "kernel emulated, Python as measured on this host"
BAR, GAP = 0.72, 0.6  # height of a bar, and room between groups, in rows
LEGEND_INCHES = 0.35
TAILS = (("latency_ms_p90", "p90", "d"), ("latency_ms_p99", "p99", ">"))


def write(path: str, content: dict) -> None:
    """Draw what ``bench --json`` writes (older files too) and put it into ``path``, atomically."""
    stream = io.BytesIO()
    draw(content).savefig(stream, format=Path(path).suffix[1:], dpi=150)
    with atomic_file(path) as file:
        file.write(stream.getvalue())


def draw(content: dict):
    """matplotlib ``Figure`` of a bench's content. Two panels share their rows: frames a second, milliseconds."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    rows, methods = content["rows"], list(dict.fromkeys(row["method"] for row in content["rows"]))
    rows = sorted(rows, key=lambda row: methods.index(row["method"]))  # stable: the rows' own order within a kind
    places = [index + GAP * methods.index(row["method"]) for index, row in enumerate(rows)]
    height = 1.9 + 0.42 * (places[-1] + 1)
    figure = Figure(figsize=(12, height), layout="constrained")
    # The legend has axes of its own: matplotlib 3.5, which Ubuntu 22.04 has, places none outside of axes.
    grid = figure.add_gridspec(2, 2, height_ratios=(height - LEGEND_INCHES, LEGEND_INCHES))
    left = figure.add_subplot(grid[0, 0])
    right, below = figure.add_subplot(grid[0, 1], sharey=left), figure.add_subplot(grid[1, :])
    right.tick_params(labelleft=False)
    below.axis("off")
    _draw_rates(left, rows, places)
    _draw_latencies(right, rows, places)
    left.set_yticks(places, [f"{row['executor']}\nbatch {row['batch_size']}" for row in rows], fontsize=8)
    left.set_ylim(places[-1] + 0.6, -0.6)
    for axis in (left, right):
        axis.grid(axis="x", which="major", color="0.85")
        axis.set_axisbelow(True)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
    handles = [Patch(color=COLOURS[method], label=method) for method in methods]
    if any(map(_is_mixed, rows)):
        handles.append(Patch(facecolor=COLOURS["emulated (cycle model)"], hatch=HATCH, label=HATCH_TEXT))
    handles += [
        Line2D([], [], linestyle="none", marker=marker, color="black", label=f"latency {name}")
        for key, name, marker in TAILS
        if any(key in row for row in rows)
    ]
    below.legend(handles=handles, loc="center", ncol=len(handles), frameon=False, fontsize=8)
    where = f"{content.get('cpu', '')}, {content['machine']}".lstrip(", ")
    figure.suptitle(f"{content['network']}: throughput and latency\nhost: {where}; {content['date']}", fontsize=10)
    return figure


def _is_mixed(row: dict) -> bool:
    """True for a way through Python and an emulated kernel."""
    return row["method"] == "emulated (cycle model)" and bool(row.get("stages_ms"))


def _bars(axis, rows: list[dict], places: list[float], key: str, label: str) -> None:
    colours = [COLOURS[row["method"]] for row in rows]
    bars = axis.barh(places, [row[key] for row in rows], BAR, color=colours)
    for row, bar in zip(rows, bars):
        if _is_mixed(row):
            bar.set_hatch(HATCH)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axis.set_xlabel(label)


def _write_beside(axis, place: float, value: float, text: str) -> None:
    axis.annotate(text, (value, place), (6, 0), textcoords="offset points", va="center", fontsize=8)


def _number(value: float) -> str:
    """Three digits, and whole numbers from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _draw_rates(axis, rows: list[dict], places: list[float]) -> None:
    _bars(axis, rows, places, "fps", "frames a second (median; line: least to most)")
    for place, row in zip(places, rows):
        low, high = row.get("fps_min", row["fps"]), row.get("fps_max", row["fps"])
        axis.hlines(place, low, high, color="black", linewidth=1.2)
        _write_beside(axis, place, high, _number(row["fps"]))
    axis.set_xlim(min(row["fps"] for row in rows) / 5, 4 * max(row.get("fps_max", row["fps"]) for row in rows))


def _draw_latencies(axis, rows: list[dict], places: list[float]) -> None:
    _bars(axis, rows, places, "latency_ms_p50", "latency of one frame, ms (in the bar: p50; beside it: p99)")
    for place, row in zip(places, rows):
        axis.hlines(place, row["latency_ms_p50"], row["latency_ms_p99"], color="black", linewidth=1.2)
        axis.annotate(
            _number(row["latency_ms_p50"]),
            (row["latency_ms_p50"], place),
            (-6, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8,
            color=INK[row["method"]],
            bbox={"facecolor": COLOURS[row["method"]], "edgecolor": "none", "pad": 0.5},
        )
        _write_beside(axis, place, row["latency_ms_p99"], _number(row["latency_ms_p99"]))
    for key, _, marker in TAILS:
        shown = [(row[key], place) for row, place in zip(rows, places) if key in row]
        if shown:
            axis.plot(*zip(*shown), linestyle="none", marker=marker, color="black", markersize=4)
    smallest, largest = (
        limit(row[key] for row in rows) for limit, key in ((min, "latency_ms_p50"), (max, "latency_ms_p99"))
    )
    axis.set_xlim(smallest / 6, 4 * largest)
