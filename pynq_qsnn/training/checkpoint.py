"""Checkpoints: one safetensors file, tensors in its body and a JSON text in its header. No pickle.

A single file replaced by os.replace means that a kill at any moment leaves a whole checkpoint, old or new.
"""

import json
import os

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..errors import ModelFileError
from ..files import atomic_file

FORMAT = "pynq_qsnn.checkpoint.1"
MODEL_PREFIX = "model."  # before the names of the weights that are evaluated and exported


def save_checkpoint(path, tensors: dict, state: dict) -> None:
    """Write tensors and a JSON-able state, atomically. Memory layout (channels-last) is not kept: shapes are."""
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    content = save(contiguous, metadata={"format": FORMAT, "state": json.dumps(state)})
    with atomic_file(path) as stream:
        stream.write(content)


def load_checkpoint(path):
    """(tensors, state) of a checkpoint; ModelFileError when it is absent, truncated or another kind of file."""
    if not os.path.isfile(path):
        raise ModelFileError(f"no checkpoint at {path}")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ModelFileError(f"{path}: format is {metadata.get('format')!r}, expected {FORMAT!r}")
            state = _with_todays_names(json.loads(metadata["state"]))
            return {name: file.get_tensor(name) for name in file.keys()}, state
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError, OSError) as error:
        raise ModelFileError(f"{path} is not a checkpoint: {error}") from error


def _with_todays_names(state: dict) -> dict:
    """Older checkpoints call the surrogate "triangle" by the name "triangular"."""
    for part in (state["network"], state["config"]):
        if part["surrogate"] == "triangular":
            part["surrogate"] = "triangle"
    return state


def settings(kind, values: dict, path):
    """The dataclass `kind` of a checkpoint's values; ModelFileError where a newer version has written others."""
    try:
        return kind(**values)
    except TypeError as error:
        raise ModelFileError(
            f"{path} has other settings than this version's {kind.__name__}: {error}; "
            "use the version of pynq_qsnn that wrote it, or train again"
        ) from error


def with_prefix(tensors: dict, prefix: str) -> dict:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(tensors: dict, prefix: str) -> dict:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer, names: dict) -> dict:
    """AdamW's per-parameter state as flat tensors "<parameter>/<key>"; names: parameter -> name."""
    return {
        f"{names[parameter]}/{key}": torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(optimizer, names: dict, tensors: dict) -> None:
    """The inverse of optimizer_tensors. The state takes the parameter's memory layout, as AdamW creates it.

    Raises KeyError where a tensor is missing.
    """
    for parameter, name in names.items():
        state = {}
        for key in ("step", "exp_avg", "exp_avg_sq"):
            stored = tensors[f"{name}/{key}"]
            state[key] = stored.clone() if key == "step" else torch.empty_like(parameter).copy_(stored)
        optimizer.state[parameter] = state
