"""Table 4 of the QSNN paper beside ours: the benchmark networks on the event-simulated overlay.

Every row is a full run of the kernel on real words: the digest of its logits is kept with it. A call is one batch;
its time goes from the first input beat to the last logit, so that batch 1 is the latency of a frame on its own.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from .benchmark_networks import benchmark, budgets, build, random_frames, records
from .compiler import compile_network
from .hwspec import HardwareConfig, load_config
from .program import Program
from .runtime.csim import CsimExecutor, build_library
from .runtime.cycles import call_cycles, ideal_cycles

METHOD = "emulated (cycle model)"
NOT_IN_FIGURES = ("commands", "data", "emulator", "training")  # parts of the package


@dataclass(frozen=True)
class Row:
    """One line of the table; the field names are the keys of ``--json``. fps, latency_ms, efficiency (0..1) are ours.

    record_*: the published figure for this network and allocation, None where there is none.  logits_sha256: of the
    int32 logits of the run.
    """

    network: str
    bit_budget: int
    note: str
    macs: int
    weight_bits: int
    spike_bits: int
    time_steps: int
    batch: int
    clock_mhz: int
    fps: float
    latency_ms: float
    efficiency: float
    bound: str
    method: str
    record_fps: float | None
    record_latency_ms: float | None
    record_network: str | None
    record_source: str | None
    logits_sha256: str

    @property
    def ratio(self) -> float | None:
        """Ours to the record: of fps; of latency where the record is one, for a frame alone. Above 1 is better."""
        if self.record_fps:
            return self.fps / self.record_fps
        alone = self.record_latency_ms and self.batch == 1
        return self.record_latency_ms / self.latency_ms if alone else None

    def values(self) -> dict:
        """JSON-ready."""
        return {**asdict(self), "ratio": self.ratio}


def run_rows(
    network: str, budget, batches: tuple[int, ...], clocks: tuple[int, ...], config: HardwareConfig, seed: int = 0
) -> list[Row]:
    """Rows of one network in one allocation, batch by batch and clock by clock. Raises the executors' errors."""
    built = build(network, budget.weight_bits, budget.spike_bits, budget.num_steps, seed)
    program = compile_network(built, config)
    frames = random_frames(built, max(batches), seed)
    rows = []
    for clock in clocks:
        executor = CsimExecutor(config).load(program)
        executor.simulation.set_timing("clock_mhz", clock)
        try:
            for batch in batches:
                logits = executor.run(frames[:batch])
                digest = hashlib.sha256(logits.tobytes()).hexdigest()
                rows.append(_row(network, budget, program, batch, clock, call_cycles(executor.log), config, digest))
        finally:
            executor.close()
    return rows


def _row(network, budget, program: Program, batch, clock, cycles: int, config, digest: str) -> Row:
    published = records(network, budget.weight_bits, budget.spike_bits, budget.num_steps)
    record = max(published, key=lambda r: r.fps or 1 / r.latency_ms, default=None)  # the hardest to beat
    bounds: dict[str, int] = {}
    for step in program.steps:
        bound, clocks = (step.batch_bound, step.batch_cycles) if batch > 1 else (step.bound, step.predicted_cycles)
        bounds[bound] = bounds.get(bound, 0) + clocks
    return Row(
        network=network,
        bit_budget=budget.bit_budget,
        note=budget.note,
        macs=benchmark(network).size().macs,
        weight_bits=budget.weight_bits,
        spike_bits=budget.spike_bits,
        time_steps=budget.num_steps,
        batch=batch,
        clock_mhz=clock,
        fps=batch * clock * 1e6 / cycles,
        latency_ms=cycles / clock / 1e3,
        efficiency=float(ideal_cycles(program, config).sum()) * batch / cycles,
        bound=max(bounds, key=bounds.get),
        method=METHOD,
        record_fps=record.fps if record else None,
        record_latency_ms=record.latency_ms if record else None,
        record_network=record.network_label if record else None,
        record_source=record.source if record else None,
        logits_sha256=digest,
    )


def software() -> str:
    """SHA-256 of what networks, compiler and figures are made from: rows of other software are not this one's."""
    package, digest = Path(__file__).parent, hashlib.sha256()
    for file in sorted(package.rglob("*")):
        if file.suffix in (".py", ".json") and file.relative_to(package).parts[0] not in NOT_IN_FIGURES:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def main(request: str) -> None:
    """Run one allocation and print its rows as JSON: the process behind a line of ``pynq-qsnn bench --paper``."""
    values = json.loads(request)
    budget = next(b for b in budgets(values["network"]) if b.label == values["label"])
    batches, clocks = tuple(values["batches"]), tuple(values["clocks"])
    rows = run_rows(values["network"], budget, batches, clocks, load_config(), values["seed"])
    print(json.dumps({"kernel": build_library().name, "rows": [row.values() for row in rows]}))


if __name__ == "__main__":
    main(sys.argv[1])
