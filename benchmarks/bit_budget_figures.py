"""Figures 4, 5 and 6 of "Are Conventional SNNs Really Efficient?" (arXiv 2311.10802), on small data.

    python benchmarks/bit_budget_figures.py measure digits -o results/bit_budget_digits.json
    python benchmarks/bit_budget_figures.py measure nmnist.npz --title N-MNIST -o results/bit_budget_nmnist.json
    python benchmarks/bit_budget_figures.py measure digits --threshold 1 -o results/bit_budget_digits_threshold1.json
    python benchmarks/bit_budget_figures.py draw

measure: every weight width and every way to share SPIKE_BUDGET between spike bits and time steps, trained from scratch
with equal epochs, by cross-validation over both splits: each fold is tested once, by networks that never saw it, after
the last epoch. Event frames are summed into T steps. A run that is stopped continues where it was; a file of other data
or settings is refused. Networks of --threshold serve a figure alone: no checkpoint says that threshold, so that `train`
could not repeat them and `export` would get them wrong. Each is deleted when it has been measured.
draw: docs/figures/bit_budget_*.png, of those results, results/sweep_digits.json and results/zoo/*.json.
"""

import argparse
import io
import json
import platform
import shlex
import shutil
import sys
import tempfile
from contextlib import nullcontext
from datetime import date
from os import cpu_count
from pathlib import Path
from unittest import mock

import numpy as np
from tqdm import tqdm

from pynq_qsnn.commands.common import write_json
from pynq_qsnn.data import load_dataset
from pynq_qsnn.errors import ConfigError, QsnnError
from pynq_qsnn.files import atomic_file
from pynq_qsnn.search.data import in_steps
from pynq_qsnn.search.objective import Job, measure
from pynq_qsnn.training.options import TrainConfig

ROOT = Path(__file__).resolve().parent.parent
RESULTS, FIGURES = ROOT / "results", ROOT / "docs" / "figures"
MODELS = {"digits": "8 8 P 16 16 P FC", "nmnist": "8 P 16 16 P 32 P FC"}
SPIKE_BUDGET, ZOO_BUDGET = 8, 4  # spike bits x T
WEIGHT_BITS = (1, 2, 4, 8)
FOLDS = 5
SETTINGS = ("data_source", "samples", "repeats", "spike_budget", "training", "threshold")  # of rows in one file
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # Okabe and Ito


# ---- measuring ----


def shares(budget: int) -> list[tuple[int, int]]:
    """(spike bits, T) of all that spend ``budget``."""
    return [(s, budget // s) for s in (1, 2, 4, 8) if budget % s == 0]


def measure_all(args) -> None:
    """Rows of results by allocation and fold, into ``args.output``, which grows.

    Raises ConfigError for an output of other data or settings.
    """
    splits = [load_dataset(args.dataset, split) for split in ("train", "test")]
    model = args.model or MODELS[Path(args.dataset).stem]
    training = {"model": model, "epochs": args.epochs, "batch_size": args.batch_size, "learning_rate": 4e-3}
    content = {
        "command": shlex.join(["python", *sys.argv]),
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {cpu_count()} cores",
        "method": "measured (host)",
        "data": args.title or splits[0].card.name,
        "data_source": splits[0].card.source,
        "data_note": splits[0].card.note,
        "samples": sum(map(len, splits)),
        "repeats": f"{FOLDS} folds",
        "spike_budget": SPIKE_BUDGET,
        "training": training,
        "threshold": args.threshold,
        "rows": [],
    }
    if args.output.exists():
        content["rows"] = kept_rows(args.output, content)
    done = {(row["allocation"], row["fold"]) for row in content["rows"]}
    labels = np.concatenate([split.labels for split in splits])
    order = np.random.default_rng(0).permutation(len(labels))
    wanted = [(fold, w, s, t) for fold in range(FOLDS) for w in args.weight_bits for s, t in shares(SPIKE_BUDGET)]
    with tempfile.TemporaryDirectory() as folder, threshold_of_all(args.threshold):
        for fold, w, s, t in tqdm(wanted):
            if (f"{w}/{s}/{t}", fold) in done:
                continue
            data = Path(folder, f"fold{fold}_t{t}.npz")
            if not data.exists():
                write_fold(data, np.concatenate([in_steps(split, t) for split in splits]), labels, order, fold)
            run = Path(folder, f"{fold}-{w}-{s}-{t}")
            config = TrainConfig(
                str(run), str(data), weight_bits=w, spike_bits=s, num_steps=t, num_threads=1, device="cpu", **training
            )
            content["rows"].append({"allocation": f"{w}/{s}/{t}", "fold": fold, **measure(Job(config, (fold,)))})
            shutil.rmtree(run)
            write_json(str(args.output), content)


def kept_rows(path: Path, content: dict) -> list[dict]:
    """Rows of ``path``, to which those of ``content`` may be added. Raises ConfigError where its settings differ."""
    kept = json.loads(path.read_text())
    differ = [f"{name} {kept.get(name)}, not {content[name]}" for name in SETTINGS if kept.get(name) != content[name]]
    if differ:
        raise ConfigError(f"{path} holds rows of {'; '.join(differ)}; give those, or another --output")
    return kept["rows"]


def threshold_of_all(threshold: float | None):
    """A context in which every neuron has that threshold. No option of a training: the widths choose it well."""
    from pynq_qsnn.training import lif

    return nullcontext() if threshold is None else mock.patch.object(lif, "default_threshold", lambda s_max: threshold)


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
    """Mean and its standard error, percent: over the folds, or of one training's test images."""
    values = [row["accuracy"] for row in rows]
    if len(values) == 1:
        return values[0], (values[0] * (100 - values[0]) / rows[0]["test_frames"]) ** 0.5
    return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)


def zoo() -> dict:
    """CIFAR-10 networks of the zoo, in the form of the results here. Each is one training from a shared start."""
    rows = []
    for file in sorted((RESULTS / "zoo").glob("cifar_tiny_w*.json")):
        item = json.loads(file.read_text())
        row = {name: item[name] for name in ("s_ace", "test_frames", "rates")}
        row.update(allocation=item["allocation"].partition(" ")[0], accuracy=100 * item["accuracy_integer"])
        rows.append({**row, "normalised_parameters": item["parameters_16bit"]})
    return {
        "data": "CIFAR-10 as JPEG",
        "training": {"model": "cifar_tiny of the zoo"},
        "samples": 58_000,
        "repeats": "1 training each",
        "spike_budget": ZOO_BUDGET,
        "rows": rows,
    }


def draw_s_ace(figure, contents: list[dict]) -> None:
    """Figure 4: an allocation a point, its area the parameters in units of 16 bits."""
    for axis, content in zip(figure.subplots(1, len(contents)), contents):
        rows = [(row, accuracy(chosen)) for chosen in by_allocation(content).values() for row in chosen[:1]]
        largest = max(row["normalised_parameters"] for row, _ in rows)
        for colour, steps in zip(COLOURS, sorted({steps_of(row) for row, _ in rows})):
            chosen = [(row, *mean) for row, mean in rows if steps_of(row) == steps]
            x, y, errors = [row["s_ace"] for row, _, _ in chosen], *zip(*(mean for _, *mean in chosen))
            area = [20 + 280 * row["normalised_parameters"] / largest for row, _, _ in chosen]
            axis.errorbar(x, y, errors, fmt="none", color="0.6", linewidth=1, zorder=1)
            axis.scatter(x, y, area, color=colour, alpha=0.6, label=f"T = {steps}")
        axis.set(xscale="log", xlabel="S-ACE, bit operations a frame (counted)", title=heading(content))
        axis.margins(0.15, 0.06)
        label_columns(axis, [(row["s_ace"], mean, row["allocation"]) for row, (mean, _) in rows])
        axis.set_ylabel("accuracy of the integer network, % (measured (host))")
        legend = axis.legend(loc="lower right", title="area: weights x w / 16", fontsize=8, title_fontsize=8)
        for handle in legend.legend_handles:
            handle.set_sizes([40])


def label_columns(axis, points: list[tuple[float, float, str]]) -> None:
    """Texts to the right of points (x, y, text) that form columns: a line to each, none over another."""
    low, high = axis.get_ylim()
    columns: list[list] = []
    for point in sorted(points):
        if not columns or point[0] > 1.12 * columns[-1][0][0]:
            columns.append([])
        columns[-1].append(point)
    for column in columns:
        place, beside = high, 1.06 * max(x for x, _, _ in column)
        for x, y, text in sorted(column, key=lambda point: -point[1]):
            place = min(y, place - 0.025 * (high - low))
            line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.5}
            axis.annotate(text, (x, y), (beside, place), va="center", fontsize=7, arrowprops=line)


def steps_of(row: dict) -> int:
    return int(row["allocation"].split("/")[2])


def draw_shares(figure, contents: list[dict]) -> None:
    """Figure 5: spike bits against time steps at equal budget, a line a weight width."""
    for axis, content in zip(figure.subplots(1, len(contents)), contents):
        rows, kinds = by_allocation(content), shares(content["spike_budget"])
        for index, (w, colour) in enumerate(zip(WEIGHT_BITS, COLOURS)):
            found = [(place, *accuracy(rows[name])) for place, name in enumerate(names(w, kinds)) if name in rows]
            if len(found) > 1:
                places, means, errors = map(np.array, zip(*found))
                axis.errorbar(
                    places + 0.05 * (index - 1.5), means, errors, fmt="o-", color=colour, capsize=3,
                    label=f"{w}-bit weights",
                )  # fmt: skip
        mark_shares(axis, content)
        axis.set_ylabel("accuracy of the integer network, % (measured (host))")
        axis.legend(fontsize=8)


def names(weight_bits: int, kinds: list[tuple[int, int]]) -> list[str]:
    return [f"{weight_bits}/{s}/{t}" for s, t in kinds]


def mark_shares(axis, content: dict) -> None:
    kinds = shares(content["spike_budget"])
    axis.set_xticks(range(len(kinds)), [f"{s}/{t}" for s, t in kinds])
    axis.set(xlabel="spike bits / T", title=heading(content))


def draw_rates(figure, contents: list[dict]) -> None:
    """Figure 6: firing rates of the layers with 1-bit weights. Above as Eq. 9 counts them, below by the bit."""
    labels = {"rates": "codes that are not zero, %", "bit_rates": "ones among the bits of the codes, %"}
    for line, (name, label) in zip(figure.subplots(len(labels), len(contents), squeeze=False), labels.items()):
        for axis, content in zip(line, contents):
            rows, kinds = by_allocation(content), shares(content["spike_budget"])
            for (s, t), allocation, colour in zip(kinds, names(1, kinds), COLOURS):
                chosen = [row for row in rows.get(allocation, []) if name in row]
                if not chosen:
                    continue
                table = np.array([[100 * rate for rate in row[name].values()] for row in chosen])
                spread = table.std(0, ddof=1) if len(table) > 1 else None
                axis.errorbar(
                    list(chosen[0][name]), table.mean(0), spread, fmt="o-", color=colour, capsize=3, label=f"{s}/{t}"
                )
            if not axis.containers:
                axis.remove()
                continue
            axis.set(ylabel=f"{label} (measured (host))", title=heading(content), ylim=(0, None))
            axis.legend(title="spike bits / T", fontsize=8, title_fontsize=8)


def heading(content: dict) -> str:
    size = f"{content['samples']:,} samples, {content['repeats']}"
    fixed = f", threshold {content['threshold']:g}" if content.get("threshold") else ""
    return f"{content['data']}: {content['training']['model']}{fixed}\n{size}"


def table(content: dict) -> str:
    """Markdown of what Figures 5 and 6 show of one data set; rates are means over the layers, with 1-bit weights."""
    rows, kinds = by_allocation(content), shares(content["spike_budget"])
    widths = [w for w in WEIGHT_BITS if f"{w}/1/{content['spike_budget']}" in rows]
    heads = ["spike bits / T", *(f"{w}-bit weights" for w in widths), "codes not zero", "ones among the bits"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for s, t in kinds:
        cells = [f"{s}/{t}", *("{:.1f} +- {:.1f}".format(*accuracy(rows[f"{w}/{s}/{t}"])) for w in widths)]
        for name in ("rates", "bit_rates"):
            means = [100 * np.mean(list(row[name].values())) for row in rows[f"1/{s}/{t}"]]
            cells.append(f"{np.mean(means):.1f} +- {np.std(means, ddof=1):.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def load(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())


def sweep_content() -> dict:
    """The rows of ``pynq-qsnn sweep``, one a seed."""
    sweep = load("sweep_digits")
    rows = [{**row, "accuracy": a} for row in sweep["rows"] for a in row["accuracy_of_seeds"]]
    settings = sweep["settings"]
    return {
        "data": settings["dataset"],
        "training": {"model": settings["model"]},
        "samples": settings["trained_images"] + settings["held_out_images"],
        "repeats": f"{settings['repeats']} seeds, held-out images",
        "rows": rows,
    }


def draw_all(args) -> None:
    from matplotlib.figure import Figure

    digits, same, nmnist = (load(f"bit_budget_{name}") for name in ("digits", "digits_threshold1", "nmnist"))
    for name, size, draw, shown in (
        ("s_ace", (13, 5.5), draw_s_ace, [sweep_content(), zoo()]),
        ("shares", (15, 5), draw_shares, [digits, zoo(), nmnist]),
        ("rates", (19, 9), draw_rates, [digits, same, nmnist, zoo()]),
    ):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure, shown)
        for axis in figure.axes:
            axis.grid(color="0.9")
            axis.set_axisbelow(True)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=100)
        with atomic_file(FIGURES / f"bit_budget_{name}.png") as file:
            file.write(stream.getvalue())
    for content in (digits, same, nmnist):
        print(f"\n{heading(content)}, percent:\n\n{table(content)}")


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
    command.add_argument(
        "--threshold", type=float, metavar="V",
        help="of all neurons, by default finer for wider spikes. Checkpoints do not say it: no network of it is kept",
    )  # fmt: skip
    command.set_defaults(run=measure_all)
    commands.add_parser("draw").set_defaults(run=draw_all)
    args = parser.parse_args()
    try:
        args.run(args)
    except QsnnError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
