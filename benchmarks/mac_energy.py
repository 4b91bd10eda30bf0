"""Bit budget against energy per synaptic operation: an estimate from synthesized multiply-accumulates.

    python benchmarks/mac_energy.py --quick                      # 1 and 8 bits, half a minute
    python benchmarks/mac_energy.py --json results/mac_energy.json --figure docs/figures/mac_energy.png \\
        --page docs/explanation/energy-per-operation.md          # everything, minutes

mac_circuit.py counts the transitions of one multiply-accumulate for weights and spikes of 1, 2, 4 and 8 bits. A
transition costs what its connection costs (COST), and a synaptic operation of T steps is T clocks. A line through all
allocations shows how far energy follows the bit budget. Needs yosys and iverilog.
"""

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import datetime, timezone
from itertools import groupby, product
from pathlib import Path

import mac_circuit
import numpy as np
from mac_circuit import FAN_IN, FIRING_RATE, SOURCE, Setting, measure, need, script, synth

from pynq_qsnn.errors import QsnnError
from pynq_qsnn.files import atomic_file
from pynq_qsnn.progress import bar_file

WIDTHS, STEPS, MOST_BITS = (1, 2, 4, 8), (1, 2, 4, 8), 256
CLOCKS, QUICK_CLOCKS = 8192, 1024
SETTINGS = {
    "base": Setting(),
    "another seed": Setting(seed=1),
    "dense spikes": Setting(dense=True),
    "sum as wide as needed": Setting(fitted_sum=True),
    "no delays, no glitches": Setting(delays=False),
}
# Of a transition, relative to one that goes through the routing. Routing takes most of an FPGA's dynamic power (60 %,
# logic 16 %, clocking 14 %: Shang, Kaviani, Bathala, "Dynamic Power Consumption in Virtex-II FPGA Family", 2002). How
# much less a fixed wire and a flip-flop's clock pin take is assumed, and OTHER_COSTS varies it.
COST = {"routed": 1.0, "local": 0.1, "clock": 0.1}
OTHER_COSTS = {
    "base, every connection costs the same": {"routed": 1.0, "local": 1.0, "clock": 1.0},
    "base, routing alone": {"routed": 1.0, "local": 0.0, "clock": 0.0},
}
BEGIN, END = "<!-- estimate: written by benchmarks/mac_energy.py -->", "<!-- end of estimate -->"


# ---- energies and lines ----------------------------------------------------------------------------------------------
def energy(mac: dict, cost: dict[str, float] = COST) -> float:
    """Of a clock of one multiply-accumulate, in transitions of a routed connection."""
    return sum(cost[name] * number for name, number in mac["transitions"].items())


def points(macs: list[dict], cost: dict[str, float] = COST) -> list[dict]:
    """Every allocation of at most MOST_BITS, by bit budget and energy: T clocks of the circuit of its widths."""
    found = []
    for mac, steps in product(macs, STEPS):
        widths = {"weight_bits": mac["weight_bits"], "spike_bits": mac["spike_bits"], "time_steps": steps}
        bits = mac["weight_bits"] * mac["spike_bits"] * steps
        found.append({**widths, "bit_budget": bits, "energy": round(steps * energy(mac, cost), 3)})
    return sorted((p for p in found if p["bit_budget"] <= MOST_BITS), key=lambda p: (p["bit_budget"], p["energy"]))


def line(x: list[float], y: list[float]) -> dict:
    """Least squares: slope, intercept, R^2 (share of the variance), rms and the list of residuals."""
    x, y = np.asarray(x), np.asarray(y)
    slope, intercept = np.polyfit(x, y, 1)
    residuals = y - (slope * x + intercept)
    r2, rms = 1 - np.sum(residuals**2) / np.sum((y - y.mean()) ** 2), np.sqrt(np.mean(residuals**2))
    values = {"slope": slope, "intercept": intercept, "r2": r2, "rms": rms}
    return {**{name: float(value) for name, value in values.items()}, "residuals": residuals.round(3).tolist()}


def fits(macs: list[dict], cost: dict[str, float] = COST) -> dict[str, dict]:
    """Lines through allocations (energy on bit budget) and circuits (energy of a clock on weight x spike bits)."""
    allocations = points(macs, cost)
    widths = [mac["weight_bits"] * mac["spike_bits"] for mac in macs]
    return {
        "operation": line([p["bit_budget"] for p in allocations], [p["energy"] for p in allocations]),
        "clock": line(widths, [energy(mac, cost) for mac in macs]),
    }


def equal_budgets(macs: list[dict], cost: dict[str, float] = COST) -> dict[int, tuple[dict, dict]]:
    """Bit budget -> its cheapest and its dearest allocation, where it has several."""
    groups = {bits: list(group) for bits, group in groupby(points(macs, cost), lambda point: point["bit_budget"])}
    return {bits: (group[0], group[-1]) for bits, group in groups.items() if len(group) > 1}


# ---- report ----------------------------------------------------------------------------------------------------------
def report(quick: bool) -> dict:
    """Measure; JSON-ready. Raises ToolMissing, WrongNetlist."""
    from tqdm import tqdm

    widths, clocks = ((1, 8), QUICK_CLOCKS) if quick else (WIDTHS, CLOCKS)
    settings = {"base": SETTINGS["base"]} if quick else SETTINGS
    start, measured = time.monotonic(), {name: {**asdict(setting), "macs": []} for name, setting in settings.items()}
    tools = [synth.version(need("yosys")), icarus_version()]
    jobs = list(product(settings, widths, widths))
    with tqdm(jobs, unit="circuit", file=bar_file()) as bar:
        for name, weight_bits, spike_bits in bar:
            bar.set_postfix_str(f"{weight_bits}/{spike_bits} {name}")
            measured[name]["macs"].append(measure(weight_bits, spike_bits, settings[name], clocks))
    base = measured["base"]["macs"]
    return {
        "kind": "estimate",
        "unit": "transitions of a routed connection",
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "seconds": round(time.monotonic() - start),
        "tools": tools,
        "script": script("W", "S", "N"),
        "sources": synth.source_hashes(mac_circuit.HERE, (SOURCE,)),
        "clocks": clocks,
        "fan_in": FAN_IN,
        "firing_rate": FIRING_RATE,
        "cost": COST,
        "points": points(base),
        "fits": fits(base),
        "settings": measured,
    }


def icarus_version() -> str:
    done = subprocess.run([need("iverilog"), "-V"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].removesuffix(" ()")


# ---- page ------------------------------------------------------------------------------------------------------------
def name_of(point: dict) -> str:
    return f"{point['weight_bits']}/{point['spike_bits']}/{point['time_steps']}"


def table(head: list[str], rows: list[list]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def render(kept: dict) -> str:
    """The lines and tables of the page, Markdown."""
    base = kept["settings"]["base"]["macs"]
    operation, clock = kept["fits"]["operation"], kept["fits"]["clock"]
    return f"""\
`estimate`, energies in {kept["unit"]}, {kept["clocks"]:,} clocks a circuit.
`{kept["command"]}` ({kept["date"]}, {kept["seconds"]} s; {"; ".join(kept["tools"])})

| | line | R^2 | rms residual |
|---|---|---:|---:|
| {len(kept["points"])} allocations | energy = {operation["slope"]:.2f} x bit budget + {operation["intercept"]:.1f} | \
{operation["r2"]:.3f} | {operation["rms"]:.1f} |
| {len(base)} circuits | energy of a clock = {clock["slope"]:.2f} x w x s + {clock["intercept"]:.1f} | \
{clock["r2"]:.3f} | {clock["rms"]:.1f} |

Mean residual of the allocations: {by_steps(kept)}.

### Circuits, a clock of each

{circuits(base, clock)}

### Allocations of one bit budget

{budgets(base)}

### Other data, circuits and costs

A step costs: the intercept of the second line by its slope, in bits of budget.

{sensitivity(kept)}

### Every allocation and its distance from the line

{distances(kept)}"""


def by_steps(kept: dict) -> str:
    pairs = list(zip(kept["points"], kept["fits"]["operation"]["residuals"]))
    means = {steps: np.mean([r for point, r in pairs if point["time_steps"] == steps]) for steps in STEPS}
    return ", ".join(f"T = {steps}: {mean:+.0f}" for steps, mean in means.items())


def circuits(macs: list[dict], fit: dict) -> str:
    head = ["w/s", "LUT", "flip-flops", "CARRY8", *(f"{name} transitions" for name in COST), "energy", "residual"]
    rows = []
    for mac, residual in zip(macs, fit["residuals"]):
        rates = [f"{rate:.1f}" for rate in mac["transitions"].values()]
        name = f"{mac['weight_bits']}/{mac['spike_bits']}"
        rows.append([name, *mac["cells"].values(), *rates, f"{energy(mac):.1f}", f"{residual:+.1f}"])
    return table(head, rows)


def budgets(macs: list[dict]) -> str:
    rows = []
    for bits, (low, high) in equal_budgets(macs).items():
        ends = [cell for point in (low, high) for cell in (name_of(point), f"{point['energy']:.0f}")]
        rows.append([bits, *ends, f"{high['energy'] / low['energy']:.1f}"])
    return table(["bit budget", "cheapest (w/s/T)", "energy", "dearest (w/s/T)", "energy", "ratio"], rows)


def sensitivity(kept: dict) -> str:
    cases = [(name, setting["macs"], COST) for name, setting in kept["settings"].items()]
    cases += [(name, kept["settings"]["base"]["macs"], cost) for name, cost in OTHER_COSTS.items()]
    rows = []
    for name, macs, cost in cases:
        lines = fits(macs, cost)
        operation, clock = lines["operation"], lines["clock"]
        widest = max(high["energy"] / low["energy"] for low, high in equal_budgets(macs, cost).values())
        step = clock["intercept"] / clock["slope"]
        figures = [f"{operation['slope']:.2f}", f"{operation['intercept']:.1f}", f"{operation['r2']:.3f}"]
        rows.append([name, *figures, f"{clock['r2']:.3f}", f"{step:.1f}", f"{widest:.1f}"])
    head = ["", "slope", "intercept", "R^2", "R^2 of the clock", "a step costs", "widest ratio at one budget"]
    return table(head, rows)


def distances(kept: dict) -> str:
    rows = []
    pairs = zip(kept["points"], kept["fits"]["operation"]["residuals"])
    for bits, group in groupby(pairs, lambda pair: pair[0]["bit_budget"]):
        texts = [f"{name_of(point)}: {point['energy']:.0f} ({residual:+.0f})" for point, residual in group]
        rows.append(f"| {bits} | {', '.join(texts)} |")
    return "\n".join(["| bit budget | w/s/T: energy (residual) |", "|---:|---|", *rows])


def with_tables(page: str, kept: dict) -> str:
    """The page's text with what stands between its marks written anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{render(kept)}\n\n{END}{rest.split(END)[1]}"


# ---- figure ----------------------------------------------------------------------------------------------------------
def digest(kept: dict) -> str:
    """Of a report; the figure carries it as its description."""
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def draw(kept: dict, target: Path) -> None:
    """PNG: energy on bit budget, its distance from the line, energy of a clock on the product of widths."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(16, 5), layout="constrained")
    operation, rest, clock = axes
    allocations, residuals = kept["points"], kept["fits"]["operation"]["residuals"]
    for steps, colour in zip(STEPS, ("#3182bd", "#31a354", "#e6550d", "#756bb1")):
        chosen = [i for i, point in enumerate(allocations) if point["time_steps"] == steps]
        bits = [allocations[i]["bit_budget"] for i in chosen]
        style = {"color": colour, "label": f"T = {steps}", "s": 26, "alpha": 0.85}
        operation.scatter(bits, [allocations[i]["energy"] for i in chosen], **style)
        rest.scatter(bits, [residuals[i] for i in chosen], **style)
    add_line(operation, kept["fits"]["operation"], [point["bit_budget"] for point in allocations])
    operation.set(title="All allocations", xlabel="bit budget T x w x s", ylabel="energy per synaptic operation")
    ends = [name_of(point) for pair in equal_budgets(kept["settings"]["base"]["macs"]).values() for point in pair]
    for point, residual in zip(allocations, residuals):
        if name_of(point) in ends:
            place = (point["bit_budget"], residual)
            rest.annotate(name_of(point), place, xytext=(5, -3), textcoords="offset points", fontsize=7)
    rest.axhline(0, color="#d62728")
    rest.set_xscale("log", base=2)
    rest.set(
        title="Their distance from the line (w/s/T of the ends of each budget)",
        xlabel="bit budget T x w x s",
        ylabel="residual",
    )

    macs = kept["settings"]["base"]["macs"]
    for width, colour in zip(WIDTHS, ("#9ecae1", "#6baed6", "#3182bd", "#08519c")):
        chosen = [mac for mac in macs if mac["weight_bits"] == width]
        bits = [width * mac["spike_bits"] for mac in chosen]
        clock.plot(bits, [energy(mac) for mac in chosen], "o-", color=colour, linewidth=1, label=f"w = {width}")
    add_line(clock, kept["fits"]["clock"], [mac["weight_bits"] * mac["spike_bits"] for mac in macs])
    clock.set(title="One clock of each circuit", xlabel="weight bits x spike bits w x s", ylabel="energy of a clock")

    for axis in axes:
        axis.set_ylim(bottom=None if axis is rest else 0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=9)
    figure.suptitle(
        "estimate: multiply-accumulates synthesized for xcup without DSP, transitions of a random-data simulation. "
        f"Energies in {kept['unit']}"
    )
    with atomic_file(target) as file:
        figure.savefig(file, dpi=110, format="png", metadata={"Description": digest(kept)})
    plt.close(figure)


def add_line(axis, fit: dict, x: list[int]) -> None:
    ends = np.array([0, max(x)])
    label = f"{fit['slope']:.2f} x + {fit['intercept']:.1f}, R$^2$ = {fit['r2']:.3f}"
    axis.plot(ends, fit["slope"] * ends + fit["intercept"], color="#d62728", label=label)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the report there")
    parser.add_argument("--figure", type=Path, help="draw it there, PNG")
    parser.add_argument("--page", type=Path, help="write the tables there, between the marks of that Markdown page")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--quick", action="store_true", help="weights and spikes of 1 and 8 bits, one setting")
    source.add_argument("--kept", type=Path, help="measure nothing, take this report of an earlier run")
    args = parser.parse_args()
    try:
        kept = json.loads(args.kept.read_text()) if args.kept else report(args.quick)
    except QsnnError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    if args.json:
        with atomic_file(args.json) as file:
            file.write(json.dumps(kept, indent=1).encode() + b"\n")
    if args.figure:
        draw(kept, args.figure)
    if args.page:
        text = with_tables(args.page.read_text(), kept)
        with atomic_file(args.page) as file:
            file.write(text.encode())
    print(render(kept))
    return 0


if __name__ == "__main__":
    sys.exit(main())
