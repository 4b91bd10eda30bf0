"""Figures 4, 5 and 6 of "Are Conventional SNNs Really Efficient?" (arXiv 2311.10802), on small data.

    python benchmarks/bit_budget_figures.py measure digits -o results/bit_budget_digits.json
    python benchmarks/bit_budget_figures.py measure nmnist.npz --title N-MNIST -o results/bit_budget_nmnist.json
    python benchmarks/bit_budget_figures.py draw

measure: every weight width and every way to share SPIKE_BUDGET between spike bits and time steps, trained from scratch
with equal epochs, by cross-validation over both splits: each fold is tested once, by networks that never saw it, after
the last epoch. Event frames are summed into T steps. A run that is stopped continues where it was.
draw: docs/figures/bit_budget_*.png, of those results, results/sweep_digits.json and results/zoo/*.json.
"""

import argparse
import io
import json
import platform
import shlex
import sys
import tempfile
from datetime import date
from os import cpu_count
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pynq_qsnn.data import load_dataset
from pynq_qsnn.files import atomic_file
from pynq_qsnn.search.data import in_steps
from pynq_qsnn.search.objective import Job, measure
from pynq_qsnn.training.options import TrainConfig

ROOT = Path(__file__).resolve().parent.parent
RESULTS, FIGURES = ROOT / "results", ROOT / "docs" / "figures"
MODELS = {"digits": "8 8 P 16 16 P FC", "nmnist": "8 P 16 16 P 32 P FC"}
SPIKE_BUDGET = 8  # spike bits x T
SHARES = tuple((s, SPIKE_BUDGET // s) for s in (1, 2, 4, 8))
WEIGHT_BITS = (1, 2, 4, 8)
FOLDS = 5
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # Okabe and Ito


# ---- measuring ----


def measure_all(args) -> None:
    """Rows of results by allocation and fold, into ``args.output``, which grows."""
    splits = [load_dataset(args.dataset, split) for split in ("train", "test")]
    model = args.model or MODELS[Path(args.dataset).stem]
    training = {"model": model, "epochs": args.epochs, "batch_size": args.batch_size, "learning_rate": 4e-3}
    content = {
        "command": shlex.join(["python", *sys.argv]),
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {cpu_count()} cores",
        "method": "measured (host)",
        "data": args.title or splits[0].card.name,
        "data_note": splits[0].card.note,
        "samples": sum(map(len, splits)),
        "folds": FOLDS,
        "training": training,
        "rows": [],
    }
    if args.output.exists():
        content["rows"] = json.loads(args.output.read_text())["rows"]
    done = {(row["allocation"], row["fold"]) for row in content["rows"]}
    labels = np.concatenate([split.labels for split in splits])
    order = np.random.default_rng(0).permutation(len(labels))
    wanted = [(fold, w, s, t) for fold in range(FOLDS) for w in args.weight_bits for s, t in SHARES]
    with tempfile.TemporaryDirectory() as folder:
        for fold, w, s, t in tqdm(wanted):
            if (f"{w}/{s}/{t}", fold) in done:
                continue
            data = Path(folder, f"fold{fold}_t{t}.npz")
            if not data.exists():
                write_fold(data, np.concatenate([in_steps(split, t) for split in splits]), labels, order, fold)
            config = TrainConfig(
                str(Path(folder, f"{fold}-{w}-{s}-{t}")), str(data), weight_bits=w, spike_bits=s, num_steps=t,
                num_threads=1, device="cpu", **training,
            )  # fmt: skip
            found = measure(Job(config, (fold,)))
            content["rows"].append({"allocation": f"{w}/{s}/{t}", "fold": fold, **found})
            with atomic_file(args.output) as stream:
                stream.write(json.dumps(content, indent=1).encode() + b"\n")


def write_fold(path: Path, images: np.ndarray, labels: np.ndarray, order: np.ndarray, fold: int) -> None:
    """One fold as the test split of an .npz file, the others as its training split."""
    test = order[fold::FOLDS]
    train = np.setdiff1d(order, test)
    np.savez(
        path, train_images=images[train], train_labels=labels[train], test_images=images[test], test_labels=labels[test]
    )


# ---- drawing ----


def by_allocation(content: dict) -> dict[str, list[dict]]:
    """Rows of all folds, by allocation."""
    found: dict[str, list[dict]] = {}
    for row in content["rows"]:
        found.setdefault(row["allocation"], []).append(row)
    return found


def accuracy(rows: list[dict]) -> tuple[float, float]:
    """Mean over the folds and its standard error, percent."""
    values = [row["accuracy"] for row in rows]
    return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)


def zoo_rows() -> list[dict]:
    """CIFAR-10 networks of the zoo in the form of the rows here; one training each."""
    files = sorted((RESULTS / "zoo").glob("cifar_tiny_w*.json"))
    rows = []
    for item in (json.loads(file.read_text()) for file in files):
        percent = 100 * item["accuracy_integer"]
        error = (percent * (100 - percent) / item["test_frames"]) ** 0.5
        label = item["allocation"].partition(" ")[0]
        parameters = {"normalised_parameters": item["parameters_16bit"]}
        rows.append({**item, **parameters, "allocation": label, "accuracy": percent, "accuracy_error": error})
    return rows


def draw_accuracy_against_s_ace(figure, sweep: dict, zoo: list[dict]) -> None:
    """Figure 4: an allocation a point, its area the parameters in units of 16 bits."""
    digits = {"title": f"digits, {sweep['settings']['model']}", "rows": sweep["rows"]}
    panels = [digits, {"title": "CIFAR-10 as JPEG, cifar_tiny of the zoo", "rows": zoo}]
    for axis, panel in zip(figure.subplots(1, 2), panels):
        rows = panel["rows"]
        largest = max(row["normalised_parameters"] for row in rows)
        for colour, steps in zip(COLOURS, sorted({steps_of(row) for row in rows})):
            chosen = [row for row in rows if steps_of(row) == steps]
            x, y = ([row[name] for row in chosen] for name in ("s_ace", "accuracy"))
            area = [20 + 280 * row["normalised_parameters"] / largest for row in chosen]
            errors = [row.get("accuracy_deviation") or row["accuracy_error"] for row in chosen]
            axis.errorbar(x, y, errors, fmt="none", color="0.6", linewidth=1, zorder=1)
            axis.scatter(x, y, area, color=colour, alpha=0.6, label=f"T = {steps}")
            for row in chosen:
                axis.annotate(row["allocation"], (row["s_ace"], row["accuracy"]), ha="center", va="center", fontsize=6)
        axis.set(xscale="log", xlabel="S-ACE, bit operations a frame (counted)", title=panel["title"])
        axis.set_ylabel("accuracy of the integer network, % (measured (host))")
        legend = axis.legend(loc="lower right", title="area: parameters x w / 16", fontsize=8, title_fontsize=8)
        for handle in legend.legend_handles:
            handle.set_sizes([40])


def steps_of(row: dict) -> int:
    return int(row["allocation"].split("/")[2])


def draw_shares(figure, contents: list[dict]) -> None:
    """Figure 5: spike bits against time steps at equal budget, a line a weight width."""
    for axis, content in zip(figure.subplots(1, len(contents)), contents):
        rows = by_allocation(content)
        for index, (w, colour) in enumerate(zip(WEIGHT_BITS, COLOURS)):
            found = [rows.get(f"{w}/{s}/{t}") for s, t in SHARES]
            if all(found):
                means, errors = zip(*map(accuracy, found))
                places = np.arange(len(SHARES)) + 0.05 * (index - 1.5)
                axis.errorbar(places, means, errors, fmt="o-", color=colour, capsize=3, label=f"{w}-bit weights")
        axis.set_xticks(range(len(SHARES)), [f"{s}/{t}" for s, t in SHARES])
        axis.set(xlabel="spike bits / T", title=heading(content))
        axis.set_ylabel("accuracy of the integer network, % (measured (host))")
        axis.legend(fontsize=8)


def draw_rates(figure, contents: list[dict]) -> None:
    """Figure 6: firing rates of the layers, with 1-bit weights; both ways to count a spike of several bits."""
    names = {"rates": "codes that are not zero, %", "bit_rates": "ones among the bits of the codes, %"}
    axes = figure.subplots(len(names), len(contents), squeeze=False)
    for line, (name, label) in zip(axes, names.items()):
        for axis, content in zip(line, contents):
            rows = by_allocation(content)
            for (s, t), colour in zip(SHARES, COLOURS):
                table = np.array([[100 * rate for rate in row[name].values()] for row in rows[f"1/{s}/{t}"]])
                layers = list(rows[f"1/{s}/{t}"][0][name])
                axis.errorbar(
                    range(len(layers)), table.mean(0), table.std(0, ddof=1), fmt="o-", color=colour, capsize=3,
                    label=f"{s}/{t}",
                )  # fmt: skip
            axis.set_xticks(range(len(layers)), layers)
            axis.set(ylabel=f"{label} (measured (host))", title=heading(content), ylim=(0, None))
            axis.legend(title="spike bits / T", fontsize=8, title_fontsize=8)


def heading(content: dict) -> str:
    size = f"{content['samples']:,} samples, {content['folds']} folds"
    return f"{content['data']}: {content['training']['model']}\n{size}"


def table(content: dict) -> str:
    """Markdown of what Figures 5 and 6 show of one data set; rates are means over the layers, with 1-bit weights."""
    rows = by_allocation(content)
    widths = [w for w in WEIGHT_BITS if f"{w}/1/{SPIKE_BUDGET}" in rows]
    heads = ["spike bits / T", *(f"{w}-bit weights" for w in widths), "codes not zero", "ones among the bits"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for s, t in SHARES:
        cells = [f"{s}/{t}", *("{:.1f} +- {:.1f}".format(*accuracy(rows[f"{w}/{s}/{t}"])) for w in widths)]
        for name in ("rates", "bit_rates"):
            means = [100 * np.mean(list(row[name].values())) for row in rows[f"1/{s}/{t}"]]
            cells.append(f"{np.mean(means):.1f} +- {np.std(means, ddof=1):.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw_all(args) -> None:
    from matplotlib.figure import Figure

    contents = [json.loads((RESULTS / f"bit_budget_{name}.json").read_text()) for name in ("digits", "nmnist")]
    sweep = json.loads((RESULTS / "sweep_digits.json").read_text())
    for name, size, draw, arguments in (
        ("s_ace", (13, 5.5), draw_accuracy_against_s_ace, (sweep, zoo_rows())),
        ("shares", (12, 5), draw_shares, (contents,)),
        ("rates", (12, 9), draw_rates, (contents,)),
    ):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure, *arguments)
        for axis in figure.axes:
            axis.grid(color="0.9")
            axis.set_axisbelow(True)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=110)
        with atomic_file(FIGURES / f"bit_budget_{name}.png") as file:
            file.write(stream.getvalue())
    for content in contents:
        print(f"\n{content['data']}, percent:\n\n{table(content)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("measure")
    command.add_argument("dataset", help="digits, or an .npz file of event frames")
    command.add_argument("-o", "--output", type=Path, required=True)
    command.add_argument("--title", help="what the figure calls the data")
    command.add_argument("--model", help="layer list; digits and nmnist have one here")
    command.add_argument("--epochs", type=int, default=10)
    command.add_argument("--batch-size", type=int, default=32)
    command.add_argument("--weight-bits", type=int, nargs="+", default=list(WEIGHT_BITS), metavar="N")
    command.set_defaults(run=measure_all)
    commands.add_parser("draw").set_defaults(run=draw_all)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
