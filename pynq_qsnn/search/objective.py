"""One allocation: trained from the shared start, exported to integers, measured. Runs in a worker process."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..compiler import compile_network
from ..data import load_dataset
from ..errors import CapacityError
from ..hwspec import load_config
from ..metrics import count, measure_frames
from ..network import SPIKING, Network
from ..runtime.simulator import Simulator

MODEL_NAME = "model.qsnn"
HIGHER, LOWER = "maximize", "minimize"
# name -> (direction, what an axis says, whether the axis is logarithmic)
OBJECTIVES = {
    "accuracy": (HIGHER, "accuracy on held-out images, %\n(integer network, measured (host))", False),
    "s_ace": (LOWER, "S-ACE, bit operations a frame (counted)", True),
    "ns_ace": (LOWER, "NS-ACE, bit operations a frame\n(counted, rates measured (host))", True),
    "fps": (HIGHER, "frames a second, long batch\n(predicted cycles, no board has confirmed them)", True),
    "bytes": (LOWER, "bytes of packed weights (counted)", True),
}


@dataclass(frozen=True)
class Job:
    """What a worker process needs for one allocation.

    config: of the first training; its output_dir gets a folder for each seed.  seeds: of the trainings.
    overlay: path of its config.json, None = the KV260's.  must_run: what the overlay cannot run is not trained.
    frames: held-out frames that firing rates are taken from.
    """

    config: object
    seeds: tuple[int, ...]
    overlay: str | None = None
    must_run: bool = False
    frames: int = 200

    def seed_folder(self, seed: int) -> Path:
        return Path(self.config.output_dir) / f"seed{seed}"


def train_start(config) -> dict:
    """Train the network that all allocations start from. Returns its accuracy on the held-out images."""
    from ..training.loop import train

    return {"accuracy": 100 * train(config, _say_nothing).accuracy, "epochs": config.epochs}


def measure(job: Job) -> dict:
    """Train, export and measure. Accuracies are percent of the held-out images, means over the seeds.

    accuracy is the integer network's, ``accuracy_float`` the float model's that it was exported from; NS-ACE and rates
    are means over the seeds too. ``rates``: share of non-zero codes that a layer emits; ``bit_rates``: share of ones
    among the bits of its codes, which compares spikes of other widths. ``fps`` and ``cycles`` (of a frame alone) are
    the compiler's closed form, None where the overlay cannot run the network: ``not_compiled`` says why.
    Raises ConfigError, NetworkError (this allocation cannot be built, or does not learn), CapacityError (it cannot run
    where it must), DataError, ToolMissing.
    """
    start = time.perf_counter()
    if job.must_run:
        compile_network(_untrained(job.config), load_config(job.overlay))
    runs = [_one(job, seed) for seed in job.seeds]
    accuracies = [run["accuracy"] for run in runs]
    return {
        **runs[0],
        **{name: float(np.mean([run[name] for run in runs])) for name in ("accuracy", "accuracy_float", "ns_ace")},
        "accuracy_of_seeds": accuracies,
        **{name: _means([run[name] for run in runs]) for name in ("rates", "bit_rates")},
        "seconds": round(time.perf_counter() - start, 2),
    }


def _means(tables: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([table[name] for table in tables])) for name in tables[0]}


def _one(job: Job, seed: int) -> dict:
    from ..training.export import export_checkpoint
    from ..training.loop import train

    folder = job.seed_folder(seed)
    config = dataclasses.replace(job.config, output_dir=str(folder), seed=seed, resume=True)
    train(config, _say_nothing)
    network = export_checkpoint(folder, folder / MODEL_NAME)
    held_out = load_dataset(config.dataset, "test")
    activity = measure_frames(Simulator(config.num_threads).load(network), held_out.images[: job.frames])
    cost, spiking = count(network, activity), [layer for layer in network.layers if isinstance(layer, SPIKING)]
    return {
        "accuracy": 100 * network.card["accuracy_integer"],
        "accuracy_float": 100 * network.card["accuracy_float"],
        "held_out": network.card["test_frames"],
        "s_ace": cost.s_ace,
        "ns_ace": cost.ns_ace,
        "macs": cost.macs,
        "bytes": cost.totals()["weight_bytes"],
        "normalised_parameters": cost.normalised_parameters,
        "rates": {layer.name: activity[layer.name].rate for layer in spiking},
        "bit_rates": {layer.name: activity[layer.name].set_bits / layer.spike_bits for layer in spiking},
        **_speed(network, job.overlay),
    }


def _untrained(config) -> Network:
    """The integer network before training: cycles and capacity do not depend on what it learns."""
    from ..training.export import export_network
    from ..training.loop import network_spec
    from ..training.models import build_model

    data = load_dataset(config.dataset, "test")
    return export_network(build_model(network_spec(config, data)), static=data.num_steps is None)


def _speed(network: Network, overlay: str | None) -> dict:
    config = load_config(overlay)
    try:
        program = compile_network(network, config)
    except CapacityError as error:
        return {"fps": None, "cycles": None, "not_compiled": str(error)}
    fps = config.clock_mhz * 1e6 / program.batch_cycles
    return {"fps": fps, "cycles": program.predicted_cycles, "not_compiled": None}


def test_accuracy(job: Job, images: np.ndarray, labels: np.ndarray) -> list[float]:
    """Percent of the test split that the integer network of each seed gets right."""
    found = []
    for seed in job.seeds:
        network = Network.load(job.seed_folder(seed) / MODEL_NAME)
        logits = Simulator(job.config.num_threads).load(network).run(images)
        found.append(float(100 * np.mean(logits.argmax(axis=1) == labels)))
    return found


def _say_nothing(row: dict) -> None:
    """Curves are in each run's metrics.csv; the lines of several processes would mix."""
