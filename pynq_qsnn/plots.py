"""Pictures of spikes, classes and times that the notebooks share. Axes come from the caller: nothing here needs a
plotting package to be imported, and NumPy alone computes what is drawn.
"""

from __future__ import annotations

import numpy as np

GOOD, BAD, NEUTRAL = "tab:green", "tab:red", "0.4"
PYTHON_HERE = ", with Python as on this computer"


def confusion_counts(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """int64 [classes, classes]: how often each class (row) was taken for each class (column).

    >>> confusion_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def draw_confusion(axis, counts: np.ndarray, class_names) -> None:
    """Confusion matrix as an image with its numbers; zeros stay empty."""
    axis.imshow(counts, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if 2 * count > counts.max() else "black"
            axis.text(column, row, count, ha="center", va="center", color=colour, fontsize=8)
    places = range(len(class_names))
    axis.set_xticks(places, class_names, rotation=45 if max(map(len, class_names)) > 2 else 0, ha="right")
    axis.set_yticks(places, class_names)


def draw_spike_map(axis, codes: np.ndarray, s_max: int) -> None:
    """Codes of one channel at one step, uint8 [H, W]: dark where no spike is, bright at ``s_max``."""
    axis.imshow(codes, cmap="magma", vmin=0, vmax=s_max)
    axis.set(xticks=[], yticks=[])


def draw_rates(axis, rates: dict[str, np.ndarray], highest: float = 1.0) -> None:
    """Rates of :func:`pynq_qsnn.metrics.firing_rates` as colours, a row a layer, a column a step; ``highest``: full.

    A layer of fewer steps than another leaves the last columns empty.
    """
    table = np.full((len(rates), max(map(len, rates.values()))), np.nan)
    for row, steps in zip(table, rates.values()):
        row[: len(steps)] = 100 * steps
    axis.imshow(table, cmap="viridis", vmin=0, vmax=100 * highest, aspect="auto")
    for (row, column), percent in np.ndenumerate(table):
        if np.isnan(percent):
            continue
        colour = "black" if percent > 60 * highest else "white"
        axis.text(column, row, f"{percent:.0f} %", ha="center", va="center", color=colour, fontsize=8)
    axis.set_yticks(range(len(rates)), rates)
    axis.set_xticks(range(table.shape[1]))
    axis.set_xlabel("step")


def draw_frame(axis, frame: np.ndarray, title: str = "", good: bool | None = None) -> None:
    """One image uint8 [C, H, W], grey or colour; the title is green where ``good``, red where not, grey for None."""
    picture = frame[0] if len(frame) == 1 else frame.transpose(1, 2, 0)
    axis.clear()
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
    axis.set_title(title, fontsize=8, color=NEUTRAL if good is None else GOOD if good else BAD)
    axis.axis("off")


def by_kind(rows: list[dict]) -> dict[str, list[dict]]:
    """Rows of :meth:`~pynq_qsnn.runtime.bench.Measurement.row` by how their figures came about, in their order.

    Figures of different kinds stand in no column and on no axis together. The way through Python to an emulated
    kernel is half modelled, half measured on this computer, and so a kind of its own.

    >>> list(by_kind([{"method": "measured (host)"}, {"method": "emulated (cycle model)", "stages_ms": {"run": 1.0}}]))
    ['measured (host)', 'emulated (cycle model), with Python as on this computer']
    """
    kinds: dict[str, list[dict]] = {}
    for row in rows:
        mixed = row["method"].startswith("emulated") and row.get("stages_ms")
        kinds.setdefault(row["method"] + (PYTHON_HERE if mixed else ""), []).append(row)
    return kinds


def draw_speed(rates, latencies, rows: list[dict], kind: str) -> None:
    """Rows of one :func:`by_kind` as bars: frames a second on one axis, milliseconds of a frame (p50) on the other."""
    names = [row["executor"].replace(", ", "\n") for row in rows]
    for axis, key, label in ((rates, "fps", "frames a second"), (latencies, "latency_ms_p50", "ms of one frame, p50")):
        bars = axis.barh(names, [row[key] for row in rows], height=0.6)
        values = [f"{row[key]:,.0f}" if row[key] >= 100 else f"{row[key]:.3g}" for row in rows]
        axis.bar_label(bars, values, padding=3, fontsize=8)
        axis.margins(x=0.2, y=0.2)  # room for the values
        axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel(label, fontsize=8)
        axis.set_title(kind, fontsize=8)
        axis.invert_yaxis()
        axis.tick_params(labelsize=8)
    latencies.set_yticks([])


def draw_latencies(axis, milliseconds: np.ndarray) -> None:
    """Histogram of latencies [N] with their 50th and 99th percentile."""
    axis.hist(milliseconds, bins=30, color="tab:blue")
    for share, style in ((50, "-"), (99, "--")):
        value = float(np.percentile(milliseconds, share))
        axis.axvline(value, color="black", linestyle=style, label=f"p{share}: {value:.3g} ms")
    axis.set(xlabel="milliseconds", ylabel="frames")
    axis.margins(y=0.3)  # room for the legend
    axis.legend(fontsize=7, ncol=3, loc="upper center")
