"""The data of ``tables.json``: which networks, bit budgets, records to compare with. Nothing of it is typed in code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..architectures import Architecture, architecture
from ..errors import ConfigError


@dataclass(frozen=True)
class Budget:
    """One row of the QSNN paper's Table 4: bit_budget = weight_bits * spike_bits * num_steps, except where noted."""

    dataset: str
    bit_budget: int
    weight_bits: int
    spike_bits: int
    num_steps: int
    note: str = ""

    @property
    def label(self) -> str:
        """ "8/1/4": weight bits, spike bits, steps."""
        return f"{self.weight_bits}/{self.spike_bits}/{self.num_steps}"


@dataclass(frozen=True)
class Record:
    """A published figure for one network and allocation; fps in frames a second, latency of one frame in ms.

    network_named: False where the source does not say which network it ran, and ``network`` is our reading.
    """

    network: str
    network_named: bool
    weight_bits: int
    spike_bits: int
    num_steps: int
    fps: float | None
    latency_ms: float | None
    accuracy_percent: float | None
    source: str
    note: str

    @property
    def network_label(self) -> str:
        """Which network the record belongs to, for a table: the name, or that the source gives none."""
        return self.network if self.network_named else f"not named by the source, read as {self.network}"


def _load() -> tuple[dict[str, Architecture], tuple[Budget, ...], tuple[Record, ...]]:
    data = json.loads((Path(__file__).parent / "tables.json").read_text(encoding="utf-8"))
    networks = {name: architecture(name) for name in data["networks"]}
    budgets = tuple(Budget(**item) for item in data["budgets"])
    records = []
    for item in data["records"]:
        source = data["sources"][item["source"]]
        for name in source["networks"]:
            if networks[name].dataset == item["dataset"]:
                values = {key: item.get(key) for key in ("fps", "latency_ms", "accuracy_percent")}
                bits = {key: item[key] for key in ("weight_bits", "spike_bits", "num_steps")}
                note = item.get("note", "")
                records.append(Record(name, source["named"], **bits, **values, source=source["text"], note=note))
    return networks, budgets, tuple(records)


BENCHMARKS, BUDGETS, RECORDS = _load()
NAMES = tuple(BENCHMARKS)


def benchmark(name: str) -> Architecture:
    """The network's entry. Raises ConfigError for an unknown name."""
    if name not in BENCHMARKS:
        raise ConfigError(f"unknown benchmark network {name!r}; known: {', '.join(NAMES)}")
    return BENCHMARKS[name]


def budgets(name: str) -> tuple[Budget, ...]:
    """Table 4's rows for the network's kind of data, in the paper's order; CIFAR10's for ImageNet, which it has not.

    Raises ConfigError for an unknown name.
    """
    dataset = "DVS-CIFAR10" if benchmark(name).events else "CIFAR10"
    return tuple(row for row in BUDGETS if row.dataset == dataset)


def records(name: str, weight_bits: int, spike_bits: int, num_steps: int) -> tuple[Record, ...]:
    """Published figures of this network in this allocation; those that name the network first. May be empty.

    Raises ConfigError for an unknown name.
    """
    key = (benchmark(name).name, weight_bits, spike_bits, num_steps)
    found = [r for r in RECORDS if (r.network, r.weight_bits, r.spike_bits, r.num_steps) == key]
    return tuple(sorted(found, key=lambda record: not record.network_named))
