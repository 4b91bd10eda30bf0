"""The zoo's section of docs/results.md and its figure, from results/zoo/*.json and the paper's Table 2.

python benchmarks/zoo_table.py            # draws docs/figures/zoo.png; benchmarks/results_table.py writes the section
"""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAMILY = "cifar_tiny"
FIGURE = ROOT / "docs" / "figures" / "zoo.png"
STEPS = {1: ("tab:blue", (6, 3)), 2: ("tab:orange", (-28, -3)), 4: ("tab:red", (6, -8))}  # colour, place of the label

HEAD = """\

## The zoo: rows of the paper's Table 2

`cifar_tiny`, {mmac:.1f} MMAC a step, first and last layer with 8-bit weights: one float pre-training of {start} epochs,
then {epochs} epochs for each allocation; the last epoch counts. `pynq-qsnn zoo list` shows the shipped models,
`pynq-qsnn zoo get NAME` copies one. `results/zoo/` has the command, seed, date and log of each, made by
`pynq-qsnn zoo train cifar_tiny --output-dir results/zoo --checkpoint-dir runs/zoo --models-dir models --resume`
({date}, {machine}).

**The two sides are not measurements of one thing.** Ours is a network of {mmac:.1f} MMAC on CIFAR-10 **as JPEG**, whose
test part here has {frames:,} of the official 10,000 images, after minutes of training on a CPU; the paper's is a
Spikformer of 0.77 to 0.92 GMAC on the lossless images, with its long recipe. Read the columns downwards, for what an
allocation does to accuracy and cost, and not from left to right.

"Integer %" is the exported network on all {frames:,} test images. S-ACE and NS-ACE are true counts of it (Eq. 8 and 9,
rates measured on {rate_frames:,} test images). fps: predicted by the closed form for the overlay at {clock} MHz in
batches; no board has confirmed it. In every network {codes} on {exact} images were equal in the reference and the host
simulator, and those of 100 images in the int64 forward.

"""
NOTE = """
![accuracy against S-ACE, ours and the paper's](figures/zoo.png)
"""


def evidence() -> list[dict]:
    """Rows of the family, in the paper's order."""
    order = [row["allocation"] for row in paper()]
    found = [json.loads(file.read_text()) for file in sorted((ROOT / "results" / "zoo").glob(f"{FAMILY}_w*.json"))]
    return sorted(found, key=lambda item: order.index(allocation(item)))


def allocation(item: dict) -> str:
    """weight bits/spike bits/T."""
    return item["allocation"].partition(" ")[0]


def paper() -> list[dict]:
    """The rows of Table 2 as printed."""
    tables = json.loads((ROOT / "benchmarks" / "paper_tables.json").read_text())["tables"]
    return next(table for table in tables if table["number"] == 2)["rows"]


def section() -> str:
    """The part of docs/results.md."""
    rows, printed = evidence(), {row["allocation"]: row for row in paper()}
    first = rows[0]
    codes = sorted({item["exact_codes"] for item in rows})
    text = HEAD.format(
        mmac=first["macs"] / 1e6,
        start=first["start"]["epochs"],
        epochs=first["epochs"],
        date=first["date"],
        machine=first["machine"],
        frames=first["test_frames"],
        rate_frames=first["rate_frames"],
        clock=first["prediction"].split(" at ")[1].split(" MHz")[0],
        codes=f"{codes[0] / 1e6:.1f} to {codes[-1] / 1e6:.1f} million codes"
        if len(codes) > 1
        else f"{codes[0]:,} codes",
        exact=first["exact_frames"],
    )
    header = [
        *("w/s/T", "bit budget", "float %", "integer %", "paper %"),
        *("S-ACE, G", "paper, G", "NS-ACE, G", "mean rate %", "fps, predicted"),
    ]
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(_cells(item, printed[allocation(item)])) + " |" for item in rows]
    return text + "\n".join(lines) + "\n" + NOTE


def _cells(item: dict, printed: dict) -> list[str]:
    weight_bits, spike_bits, num_steps = map(int, allocation(item).split("/"))
    rates = list(item["rates"].values())
    return [
        allocation(item),
        str(weight_bits * spike_bits * num_steps),
        f"{100 * item['accuracy_float']:.2f}",
        f"{100 * item['accuracy_integer']:.2f}",
        printed["cifar10_percent"],
        f"{item['s_ace'] / 1e9:.4f}",
        printed["s_ace_G"],
        f"{item['ns_ace'] / 1e9:.4f}",
        f"{100 * sum(rates) / len(rates):.1f}",
        f"{item['predicted_fps']:,.0f}",
    ]


def draw() -> None:
    """Two panels, as the two sides share no axis."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    ours = [(allocation(i), i["s_ace"] / 1e9, 100 * i["accuracy_integer"]) for i in evidence()]
    theirs = [
        (row["allocation"], float(row["s_ace_G"]), float(row["cifar10_percent"]))
        for row in paper()
        if not row["allocation"].startswith("16")
    ]
    titles = ("ours: cifar_tiny, CIFAR-10 as JPEG", "the paper's Table 2: Spikformer, lossless CIFAR-10")
    for axis, points, title in zip(axes, (ours, theirs), titles):
        for name, cost, accuracy in points:
            colour, place = STEPS[int(name.rsplit("/", 1)[1])]
            axis.scatter(cost, accuracy, color=colour)
            axis.annotate(name, (cost, accuracy), textcoords="offset points", xytext=place, fontsize=8)
        axis.set(xscale="log", xlabel="S-ACE, billions of bit operations a frame", title=title)
        axis.margins(x=0.15, y=0.12)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy, %")
    for steps, (colour, _) in STEPS.items():
        axes[0].scatter([], [], color=colour, label=f"T = {steps}")
    axes[0].legend(frameon=False, loc="lower right")
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    draw()
