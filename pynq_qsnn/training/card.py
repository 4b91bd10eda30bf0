"""The model card: where a network comes from and how well it does, as plain JSON values inside its file."""

import platform
from datetime import datetime, timezone
from importlib.metadata import version

from .. import __version__
from ..architectures import Steps, architecture, parse, words_with_neurons
from .checkpoint import settings
from .options import TrainConfig, command_line

LIBRARIES = ("torch", "brevitas", "numpy")
MEASURED = ("accuracy_float", "accuracy_integer", "argmax_agreement")


def model_card(state: dict, data_card, measured: dict) -> dict:
    """Card of an export.

    state: of the checkpoint.  data_card: DataCard of the test data.  measured: result of evaluate().
    Accuracies and agreement are shares 0..1 of the test frames; the date is UTC.
    """
    config = settings(TrainConfig, state["config"], "the checkpoint")
    return {
        "dataset": config.dataset,
        "data_source": data_card.source,
        "data_licence": data_card.licence,
        "data_note": data_card.note,
        "command": command_line(config),
        "seed": config.seed,
        "epochs": len(state["history"]),
        "epochs_planned": config.epochs,
        "allocation": f"{config.weight_bits}/{config.spike_bits}/{config.num_steps} (weight bits/spike bits/T)"
        + (f", but for the words of {config.model!r} with bits or T of their own" if _has_own(config.model) else ""),
        "test_frames": measured["frames"],
        **{key: round(measured[key], 6) for key in MEASURED},
        "exported": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "versions": library_versions(),
    }


def _has_own(model: str) -> bool:
    """Whether words of a layer list state their own bits or steps."""
    layers = architecture(model).layers
    own_bits = any(weights or spikes for _, weights, spikes in words_with_neurons(layers))
    return own_bits or any(isinstance(entry, Steps) for entry in parse(layers))


def library_versions() -> dict[str, str]:
    """Versions that the numbers of a card depend on."""
    libraries = {name: version(name) for name in LIBRARIES}
    return {"pynq_qsnn": __version__, "python": platform.python_version(), **libraries}
