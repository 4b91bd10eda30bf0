"""Proof by volume: thousands of random networks give the same bits in reference, host simulator and HLS kernel.

    python benchmarks/random_networks.py                         # 2,000 networks -> results/random_networks.json
    python benchmarks/random_networks.py --count 200 --no-kernel # reference and simulator only
    python benchmarks/random_networks.py --seed 1234             # one pair again, as a failure's line says

What a seed draws and what is compared stands in tests/volume.py: every code of reference and simulator, the kernel's
logits, and of every fourth pair the codes that the kernel leaves in memory; A-B-A on one kernel, batches in pieces.
An interrupted run goes on where it stopped (--progress), as long as the compared programs are the same ones. Exit
status 1 when anything differs.
"""

import argparse
import hashlib
import json
import multiprocessing
import platform
import shlex
import sys
import time
from collections import Counter
from dataclasses import asdict
from datetime import datetime, timezone
from multiprocessing.connection import wait
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "hls")]  # before this folder, whose file has the same name

from volume import FAMILIES, Comparison, serve  # noqa: E402

from pynq_qsnn.files import atomic_file  # noqa: E402
from pynq_qsnn.hwspec import load_config  # noqa: E402

PAIR_SECONDS = 600  # a pair that takes longer hangs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="networks (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="even; the seeds follow without gaps")
    parser.add_argument("--seed", type=int, help="compare this seed's pair only, in this process, and print it")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-kernel", action="store_true", help="without the HLS kernel")
    parser.add_argument("--trace-every", type=int, default=4, help="of so many pairs one compares the kernel's codes")
    parser.add_argument("--json", default=str(ROOT / "results" / "random_networks.json"), help="summary")
    parser.add_argument("--progress", default=str(ROOT / "runs" / "random_networks.jsonl"), help="results so far")
    args = parser.parse_args()
    if args.seed is not None:
        results = Comparison(not args.no_kernel, 1).pair(args.seed)
        print("\n".join(json.dumps(asdict(result), indent=2) for result in results))
        return int(any(result.error for result in results))
    if args.first_seed % 2 or args.count < 1 or args.processes < 1:
        parser.error("--first-seed must be even, --count and --processes at least 1")
    return volume(args)


def volume(args) -> int:
    """Compare the missing pairs, write the summary."""
    progress = Path(args.progress)
    progress.parent.mkdir(parents=True, exist_ok=True)
    library = None if args.no_kernel else kernel_library()
    header = {"identity": identity(args, library), "trace_every": args.trace_every}
    done = read_progress(progress, header)
    wanted = range(args.first_seed, args.first_seed + args.count, 2)
    missing = [seed for seed in wanted if seed not in done]
    start = time.monotonic()
    with open(progress, "a", encoding="utf-8") as log:
        for seed, results in compared(missing, args, library):
            done[seed] = results
            log.write(json.dumps({"seed": seed, "results": results}) + "\n")
            log.flush()
            for result in results:
                if result["error"]:
                    print(f"\nseed {result['seed']}: {result['error']}\n  {repro(result['seed'], args)}", flush=True)
    results = [result for seed in wanted for result in done[seed]]
    summary = summarize(results, args, time.monotonic() - start)
    text = json.dumps(summary, indent=2)
    with atomic_file(Path(args.json)) as file:
        file.write(text.encode() + b"\n")
    print(text)
    return int(bool(summary["failures"]))


def kernel_library() -> str:
    """Compiled once, before the processes start."""
    from pynq_qsnn.runtime.csim import build_library

    return str(build_library())


def identity(args, library: str | None) -> str:
    """Hash of everything that decides on a result: results of other programs must not be mixed in."""
    package = ROOT / "pynq_qsnn"
    sources = sorted([*package.glob("*.py"), *package.glob("compiler/*.py"), *package.glob("runtime/native/*")])
    sources += [package / "runtime" / "simulator.py", package / "runtime" / "csim.py"]
    sources += [ROOT / "tests" / name for name in ("volume.py", "random_networks.py")]
    text = b"".join(path.read_bytes() for path in sources if path.is_file())
    return hashlib.sha256(text + str(library and Path(library).name).encode()).hexdigest()


def read_progress(path: Path, header: dict) -> dict[int, list[dict]]:
    """Results of an earlier run of the same programs by even seed; a file of others is started again."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if lines and lines[0] == json.dumps(header):
        try:
            entries = [json.loads(line) for line in lines[1:]]
        except ValueError:  # the last line of an interrupted run
            entries = [json.loads(line) for line in lines[1:-1]]
            path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
        return {entry["seed"]: entry["results"] for entry in entries}
    if lines:
        print(f"{path}: of other programs or options, started again")
    path.write_text(json.dumps(header) + "\n", encoding="utf-8")
    return {}


class Worker:
    """A process and the pair that it works on."""

    def __init__(self, args, library: str | None):
        self.make = lambda end: multiprocessing.get_context("spawn").Process(
            target=serve, args=(end, not args.no_kernel, args.trace_every, library), daemon=True
        )
        self.start()

    def start(self) -> None:
        """A fresh process without a pair."""
        self.connection, end = multiprocessing.Pipe()
        self.process = self.make(end)
        self.process.start()
        end.close()
        self.seed, self.since = None, 0.0

    def give(self, seed: int) -> None:
        self.connection.send(seed)
        self.seed, self.since = seed, time.monotonic()

    def replace(self) -> None:
        """End the process, whatever it does, and start another."""
        self.process.kill()
        self.process.join()
        self.connection.close()
        self.start()


def compared(seeds: list[int], args, library: str | None):
    """Yield (even seed, results) in the order of completion. A process that dies or hangs fails its pair only."""
    from tqdm import tqdm

    workers = [Worker(args, library) for _ in range(min(args.processes, len(seeds)))]
    waiting = iter(seeds)
    try:
        with tqdm(total=2 * len(seeds), unit="network", smoothing=0.02) as bar:
            for worker in workers:
                worker.give(next(waiting))
            while busy := [worker for worker in workers if worker.seed is not None]:
                ready = wait([worker.connection for worker in busy], timeout=5)
                for worker in busy:
                    if worker.connection in ready:
                        seed, results = worker.seed, receive(worker)
                    elif time.monotonic() - worker.since > PAIR_SECONDS:
                        seed, results = worker.seed, lost(worker.seed, f"no result after {PAIR_SECONDS} s")
                        worker.replace()
                    else:
                        continue
                    worker.seed = None
                    bar.update(2)
                    yield seed, results
                    if (following := next(waiting, None)) is not None:
                        worker.give(following)
    finally:
        for worker in workers:
            worker.process.kill()


def receive(worker: Worker) -> list[dict]:
    """The pair's results, or what became of the process."""
    try:
        return worker.connection.recv()
    except EOFError:
        worker.process.join()
        results = lost(worker.seed, f"the process died with exit status {worker.process.exitcode}")
        worker.replace()
        return results


def lost(seed: int, why: str) -> list[dict]:
    """Results of a pair that returned none."""
    empty = {"features": [], "frames": 0, "codes": 0, "kernel_codes": 0, "refused": ""}
    return [{"seed": s, "family": "", **empty, "error": why} for s in (seed, seed + 1)]


def repro(seed: int, args) -> str:
    """One line that shows a failure again."""
    return f"python benchmarks/random_networks.py --seed {seed}{' --no-kernel' if args.no_kernel else ''}"


def summarize(results: list[dict], args, seconds: float) -> dict:
    """JSON-ready: what was compared, how often every feature occurred, what failed."""
    good = [r for r in results if not r["error"]]
    on_kernel = [] if args.no_kernel else [r for r in good if not r["refused"]]
    features = Counter(feature for r in good for feature in r["features"])
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "seeds": [args.first_seed, args.first_seed + len(results) - 1],
        "compared": "reference = host simulator" + ("" if args.no_kernel else " = HLS kernel (C simulation)"),
        "networks": len(results),
        "equal": len(good),
        "networks_on_kernel": len(on_kernel),
        "networks_with_kernel_codes": sum(r["kernel_codes"] > 0 for r in good),
        "frames": sum(r["frames"] for r in good),
        "codes": sum(r["codes"] for r in good),
        "kernel_codes": sum(r["kernel_codes"] for r in good),
        "contract": load_config().fingerprint,
        "machine": f"{platform.processor() or platform.machine()}, {args.processes} processes",
        "seconds": round(seconds, 1),
        "families": {name: sum(r["family"] == name for r in good) for name in FAMILIES},
        "features": {name: features[name] for name in sorted(features)},
        "refused": [{"seed": r["seed"], "why": r["refused"]} for r in results if r["refused"]],
        "failures": [
            {"seed": r["seed"], "error": r["error"], "repro": repro(r["seed"], args)} for r in results if r["error"]
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
