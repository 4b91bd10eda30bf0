"""Trains recipes of the zoo and writes their evidence. PyTorch is loaded when a training starts, not before."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..compiler import compile_network
from ..data import load_dataset
from ..errors import CapacityError, ConfigError
from ..files import atomic_file
from ..hwspec import load_config
from ..metrics import count, measure_frames
from ..network import SPIKING, Network
from ..reference import Reference
from ..runtime.simulator import Simulator
from . import RECIPES, Recipe

EXACT_FRAMES = 100  # on which reference and simulator are compared, code by code
RATE_FRAMES = 1000  # test images that the firing rates are measured on


def train_recipe(recipe: Recipe, output: Path, checkpoints: Path, models: Path, resume: bool, origin: dict) -> dict:
    """Train one recipe to its end, export it, measure it. Returns the evidence, which also stands in NAME.json.

    output: gets NAME/ (config, metrics, result of the run) and NAME.json.  checkpoints: NAME/ with the weights.
    models: gets NAME.qsnn, whose card carries the counts.  origin: what started it, date and machine; kept as it is.
    A pre-training ends without an export. Raises ConfigError when the run that it starts from is not there.
    """
    from ..training.loop import LAST_NAME, train
    from ..training.options import TrainConfig

    start = None
    if recipe.start is not None:
        start = checkpoints / recipe.start / LAST_NAME
        if not start.exists():
            raise ConfigError(f"{recipe.name} starts from {start}, which is not there; train {recipe.start} first")
    result = train(
        TrainConfig(
            output_dir=str(output / recipe.name),
            checkpoint_dir=str(checkpoints / recipe.name),
            init_from=None if start is None else str(start),
            resume=resume,
            **recipe.settings,
        )
    )
    evidence = {"name": recipe.name, "family": recipe.family, **origin, "accuracy_float": result.accuracy}
    if recipe.start is not None:
        evidence |= _export(result.checkpoint, models / f"{recipe.name}.qsnn")
        evidence["start"] = {"name": recipe.start, "epochs": RECIPES[recipe.start].settings["epochs"]}
    with atomic_file(output / f"{recipe.name}.json") as stream:
        stream.write((json.dumps(evidence, indent=1) + "\n").encode())
    return evidence


def _export(checkpoint: Path, target: Path) -> dict:
    """Export a checkpoint, check and measure the integer network, and save it with what was found in its card."""
    from ..training.export import export_checkpoint

    network = export_checkpoint(checkpoint, target)
    images = load_dataset(network.card["dataset"], "test").images
    found = {**_check_exact(network, images[:EXACT_FRAMES]), **measure(network, images[:RATE_FRAMES])}
    network = replace(network, card={**network.card, **found})
    network.save(target)
    return network.card


def _check_exact(network: Network, frames: np.ndarray) -> dict:
    """Raise ConfigError when a code of the reference differs from the simulator's; else how many were compared."""
    expected, traced = Reference().load(network).trace(frames), Simulator().load(network).trace(frames)
    for layer in network.layers:
        if not np.array_equal(expected[layer.name], traced[layer.name]):
            raise ConfigError(f"{network.name}: reference and simulator differ in {layer.name}; report this defect")
    return {"exact_frames": len(frames), "exact_codes": sum(expected[layer.name].size for layer in network.layers)}


def measure(network: Network, frames: np.ndarray) -> dict:
    """Counts of a network as plain values: S-ACE, NS-ACE, rates by layer, predicted cycles on the shipped overlay.

    s_ace, ns_ace: bit operations of a frame.  parameters_16bit: weights in units of 16 bits.  rates: share of non-zero
    codes of each layer of neurons.  predicted_fps, predicted_latency_ms: closed form at the overlay's clock; None, and
    ``refused`` the reason, for a network that it cannot run.
    """
    activity = measure_frames(Simulator().load(network), frames)
    cost = count(network, activity)
    found = {
        "macs": cost.macs,
        "s_ace": cost.s_ace,
        "ns_ace": round(cost.ns_ace),
        "sops": round(cost.sops),
        "parameters_16bit": cost.normalised_parameters,
        "rate_frames": len(frames),
        "rates": {x.name: round(activity[x.name].rate, 5) for x in network.layers if isinstance(x, SPIKING)},
    }
    config = load_config()
    try:
        program = compile_network(network, config)
    except CapacityError as error:
        return {**found, "predicted_fps": None, "predicted_latency_ms": None, "refused": str(error)}
    return {
        **found,
        "predicted_fps": round(config.clock_mhz * 1e6 / program.batch_cycles, 1),
        "predicted_latency_ms": round(program.predicted_cycles / config.clock_mhz / 1e3, 4),
        "prediction": f"closed form, {config.name} at {config.clock_mhz} MHz; no board has confirmed it",
    }


def train_all(
    recipes: list[Recipe], output: Path, checkpoints: Path, models: Path, resume: bool, origin: dict,
    on_start: Callable[[Recipe], None],
) -> list[dict]:  # fmt: skip
    """Train recipes in order; with ``resume`` those that are complete are kept as they are. Returns the evidence.

    A pre-training is complete with its weights, unless nothing is left that starts from them.
    """
    from ..training.loop import LAST_NAME

    found = []
    open_starts = {r.start for r in recipes if not (output / f"{r.name}.json").exists()}
    for recipe in recipes:
        kept = output / f"{recipe.name}.json"
        needed = recipe.name in open_starts and not (checkpoints / recipe.name / LAST_NAME).exists()
        if resume and kept.exists() and not needed:
            found.append(json.loads(kept.read_text()))
            continue
        on_start(recipe)
        found.append(train_recipe(recipe, output, checkpoints, models, resume, origin))
    return found
