"""docs/table4.png from results/paper.json: fps of every benchmark network and allocation beside the records.

python benchmarks/paper_figure.py
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = ("H1", "H2", "SEW-ResNet-18", "SNN7", "DVS-Net")


def main() -> None:
    """One panel a network: ours at batch 1 and 4, 250 MHz, and the record's level."""
    rows = json.loads((ROOT / "results" / "paper.json").read_text())["rows"]
    rows = [row for row in rows if row["clock_mhz"] == 250]
    figure, axes = plt.subplots(1, len(NETWORKS), figsize=(16, 4.2), layout="constrained")
    for axis, network in zip(axes, NETWORKS):
        panel(axis, network, [row for row in rows if row["network"] == network])
    axes[0].set_ylabel("frames a second")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle("Ours: emulated (cycle model), 250 MHz, no board has confirmed it. Records: as published")
    figure.savefig(ROOT / "docs" / "table4.png", dpi=110)


def panel(axis, network: str, rows: list[dict]) -> None:
    """Bars of one network; a line for each allocation's record (a published latency as 1000 / ms)."""
    labels = list(dict.fromkeys(f"{r['weight_bits']}/{r['spike_bits']}/{r['time_steps']}" for r in rows))
    for shift, batch, colour in ((-0.2, 1, "#9ecae1"), (0.2, 4, "#3182bd")):
        fps = [row["fps"] for row in rows if row["batch"] == batch]
        axis.bar([i + shift for i in range(len(labels))], fps, 0.4, color=colour, label=f"ours, batch {batch}")
    records = [row["record_fps"] or 1e3 / (row["record_latency_ms"] or 1e99) for row in rows if row["batch"] == 1]
    shown = [(i, record) for i, record in enumerate(records) if record > 1e-6]
    axis.hlines(
        [r for _, r in shown], [i - 0.45 for i, _ in shown], [i + 0.45 for i, _ in shown], "#d62728", label="record"
    )
    axis.set_title(f"{network}, {rows[0]['macs'] / 1e9:.2f} GMAC a step", fontsize=10)
    axis.set_xticks(range(len(labels)), labels, rotation=60, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
