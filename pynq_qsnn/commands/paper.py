"""``bench --paper``: Table 4 of the QSNN paper and other records beside the overlay, network by network."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
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
    group.add_argument("--seed", type=_seed, default=0, help="of weights and frames (default: %(default)s)")
    group.add_argument("--jobs", type=count, default=1, help="rows at a time, each a process (default: %(default)s)")


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, not {text}")
    return int(text)


def run(args):
    """Run what ``--json`` does not hold yet; print the rows that were asked for."""
    from ..benchmark_networks import NAMES, budgets
    from ..paper import software
    from ..runtime.csim import build_library

    config = load_config()
    # Rows are kept for the same kernel and software only: the library's name carries the hash of its sources.
    kernel = build_library(config=config).name
    header = {**provenance(), "kernel": kernel, "software": software()}
    header |= {"fingerprint": config.fingerprint, "seed": args.seed}
    rows = {_key(row): row for row in _kept_rows(args.json, header)}
    order = [(name, budget.label) for name in NAMES for budget in budgets(name)]
    settings = list(dict.fromkeys((clock, batch) for clock in args.clocks for batch in args.batches))
    wanted = [(name, label, *setting) for name, label in order if name in args.networks for setting in settings]
    todo = list(dict.fromkeys(key[:2] for key in wanted if key not in rows))

    def ordered() -> list[dict]:
        return sorted(rows.values(), key=lambda r: (order.index(_key(r)[:2]), r["clock_mhz"], r["batch"]))

    pool, processes = ThreadPoolExecutor(args.jobs), _Processes()
    try:
        futures = [pool.submit(_run_process, processes, name, label, args, kernel) for name, label in todo]
        for future in progress(as_completed(futures), len(todo), "allocation"):
            rows |= {_key(row): row for row in future.result()}
            write_json(args.json, {**header, "rows": ordered()})
    finally:  # after an error or Ctrl-C nothing more starts, and what runs is ended
        pool.shutdown(wait=False, cancel_futures=True)
        processes.end()
        pool.shutdown()
    write_json(args.json, {**header, "rows": ordered()})
    print_rows([row for row in ordered() if _key(row) in wanted])


def _key(row: dict) -> tuple[str, str, int, int]:
    """What makes a row: network, allocation, clock, batch."""
    return row["network"], _allocation(row), row["clock_mhz"], row["batch"]


def _allocation(row: dict) -> str:
    return f"{row['weight_bits']}/{row['spike_bits']}/{row['time_steps']}"


def _kept_rows(path: str | None, header: dict) -> list[dict]:
    """Rows of an earlier or interrupted run of the same kernel, compiler and seed."""
    try:
        kept = json.loads(Path(path).read_text()) if path else {}
        same = all(kept.get(key) == header[key] for key in ("kernel", "software", "seed"))
        return kept["rows"] if same else []
    except (FileNotFoundError, ValueError, KeyError, AttributeError):
        return []


class _Processes:
    """Child processes that end with the command."""

    def __init__(self):
        self._lock, self._running, self._ended = threading.Lock(), set(), False

    def run(self, command: list[str]) -> tuple[int, str, str]:
        """Exit status, output and errors of a process."""
        with self._lock:
            if self._ended:
                raise DeviceError("interrupted")
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self._running.add(child)
        try:
            output, errors = child.communicate()
        finally:
            with self._lock:
                self._running.discard(child)
        return child.returncode, output, errors

    def end(self) -> None:
        """Kill what runs and refuse what would follow."""
        with self._lock:
            self._ended = True
            for child in self._running:
                child.kill()


def _run_process(processes: _Processes, name: str, label: str, args, kernel: str) -> list[dict]:
    """One allocation in a process of its own: a simulation is one thread, and Ctrl-C ends it at once."""
    request = {
        "network": name,
        "label": label,
        "batches": sorted(set(args.batches)),
        "clocks": sorted(set(args.clocks)),
        "seed": args.seed,
    }
    status, output, errors = processes.run([sys.executable, "-m", "pynq_qsnn.paper", json.dumps(request)])
    if status:
        lines = errors.strip().splitlines() or [f"exit status {status}"]
        raise DeviceError(f"{name} {label}: {lines[-1]}")
    answer = json.loads(output)
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
                "allocation": _allocation(row) + (" *" if row["note"] else ""),
                "efficiency_percent": 100 * row["efficiency"],
                "record": f"{fps:g} fps" if fps else f"{latency:g} ms" if latency else None,
            }
        )
    print(format_table(shown, COLUMNS))
    for text in dict.fromkeys(f"* {_allocation(r)}: {r['note']}" for r in rows if r["note"]):
        print(text)
    print(
        "method: emulated (cycle model) - the kernel's event simulation; no board has confirmed it. The records were "
        "measured or published by others, on the networks named."
    )
