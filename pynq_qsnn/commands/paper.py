"""``bench --paper``: Table 4 of the QSNN paper and other records beside the overlay, network by network."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from ..errors import DeviceError
from ..hwspec import load_config
from .common import count, format_table, progress, provenance, write_json

COLUMNS = {
    "network": "network",
    "gmac": "GMAC a step",
    "allocation": "w/s/T",
    "bit_budget": "bit budget",
    "batch": "batch",
    "clock_mhz": "MHz",
    "fps": "fps",
    "latency_ms": "latency ms",
    "efficiency_percent": "DSP use %",
    "bound": "bound",
    "record": "record",
    "ratio": "ours / record",
    "record_network": "the record's network",
}


def add_arguments(parser):
    """Options of ``bench --paper``."""
    from ..benchmark_networks import NAMES

    group = parser.add_argument_group("published networks")
    group.add_argument("--paper", action="store_true", help="Table 4 and other records beside the overlay")
    group.add_argument("--networks", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help="default: all")
    group.add_argument("--clocks", nargs="+", type=count, default=(250, 300), metavar="MHZ", help="default: 250 300")
    group.add_argument("--batches", nargs="+", type=count, default=(1, 4), metavar="N", help="default: 1 4")
    group.add_argument("--seed", type=int, default=0, help="of weights and frames (default: %(default)s)")
    group.add_argument("--jobs", type=count, default=1, help="rows at a time, each a process (default: %(default)s)")


def run(args):
    """Run what ``--json`` does not hold yet, print everything."""
    from ..benchmark_networks import budgets
    from ..runtime.csim import build_library

    config = load_config()
    # Rows are kept for the same kernel and compiler only: the library's name carries the hash of its sources.
    kernel = build_library(config=config).name
    header = {**provenance(), "kernel": kernel, "fingerprint": config.fingerprint, "seed": args.seed}
    rows = _kept_rows(args.json, kernel, args.seed)
    wanted = [(name, budget) for name in args.networks for budget in budgets(name)]
    settings = {(batch, clock) for batch in args.batches for clock in args.clocks}

    def missing(name, budget):
        have = {(r["batch"], r["clock_mhz"]) for r in rows if _key(r) == (name, budget.label)}
        return not settings <= have

    todo = [(name, budget) for name, budget in wanted if missing(name, budget)]
    with ThreadPoolExecutor(args.jobs) as pool:
        futures = {pool.submit(_run_process, name, budget, args, kernel): (name, budget.label) for name, budget in todo}
        for future in progress(as_completed(futures), len(todo), "allocation"):
            key = futures[future]
            rows = [r for r in rows if _key(r) != key] + future.result()
            write_json(args.json, {**header, "rows": rows})
    order = {(name, budget.label): i for i, (name, budget) in enumerate(wanted)}
    rows = sorted((r for r in rows if _key(r) in order), key=lambda r: (order[_key(r)], r["clock_mhz"], r["batch"]))
    write_json(args.json, {**header, "rows": rows})
    print_rows(rows)


def _key(row: dict) -> tuple[str, str]:
    return row["network"], f"{row['weight_bits']}/{row['spike_bits']}/{row['time_steps']}"


def _kept_rows(path: str | None, kernel: str, seed: int) -> list[dict]:
    """Rows of an interrupted run of the same kernel."""
    try:
        kept = json.loads(Path(path).read_text()) if path else {}
        return kept["rows"] if (kept.get("kernel"), kept.get("seed")) == (kernel, seed) else []
    except (FileNotFoundError, ValueError, KeyError, AttributeError):
        return []


def _run_process(name: str, budget, args, kernel: str) -> list[dict]:
    """One allocation in a process of its own: a simulation is one thread, and Ctrl-C ends it at once."""
    request = {
        "network": name,
        "label": budget.label,
        "batches": list(args.batches),
        "clocks": list(args.clocks),
        "seed": args.seed,
    }
    command = [sys.executable, "-m", "pynq_qsnn.paper", json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise DeviceError(f"{name} {budget.label}: {lines[-1]}")
    answer = json.loads(done.stdout)
    if answer["kernel"] != kernel:
        raise DeviceError(f"the kernel's sources changed during the run ({kernel}, now {answer['kernel']}); run again")
    return answer["rows"]


def print_rows(rows: list[dict]) -> None:
    """The table of a JSON file's rows, with what its figures are."""
    shown = []
    for row in rows:
        fps, latency = row["record_fps"], row["record_latency_ms"]
        shown.append(
            {
                **row,
                "gmac": row["macs"] / 1e9,
                "allocation": _key(row)[1] + (" *" if row["note"] else ""),
                "efficiency_percent": 100 * row["efficiency"],
                "record": f"{fps:g} fps" if fps else f"{latency:g} ms" if latency else None,
            }
        )
    print(format_table(shown, COLUMNS))
    for text in dict.fromkeys(f"* {_key(r)[1]}: {r['note']}" for r in rows if r["note"]):
        print(text)
    print(
        "method: emulated (cycle model) - the kernel's event simulation; no board has confirmed it. The records were "
        "measured or published by others, on the networks named."
    )
