"""The training loop: AdamW, warm-up and cosine, a checkpoint an epoch.

Everything random in epoch e comes from a generator seeded by (seed, e), and the learning rate is a function of the
step, so a run that resumes from the checkpoint of epoch e repeats what the uninterrupted run does.
"""

import csv
import hashlib
import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from tqdm import tqdm

from ..data import load_dataset
from ..errors import ConfigError, ModelFileError
from ..files import atomic_file
from ..progress import bar_file
from . import checkpoint
from .augment import augment_batch, to_unit_range
from .models import NetworkSpec, build_model
from .options import TrainConfig, command_line

LAST_NAME = "last.safetensors"
COLUMNS = ("epoch", "learning_rate", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "train_s", "test_s")
EVALUATION_BATCH = 250


@dataclass(frozen=True)
class TrainResult:
    """accuracy: share of the test images, 0..1, of the last epoch (no epoch is selected by its test accuracy)."""

    model: torch.nn.Module
    accuracy: float
    checkpoint: Path
    history: list


def print_epoch(row: dict) -> None:
    """One line an epoch, past a progress bar."""
    tqdm.write(" ".join(f"{name}={row[name]:.5g}" for name in COLUMNS))


def train(config: TrainConfig, on_epoch: Callable[[dict], None] = print_epoch) -> TrainResult:
    """Run `config` to its last epoch. Raises ConfigError, DataError or ModelFileError on bad input.

    on_epoch: called after each epoch with its row (``COLUMNS`` -> number), when its checkpoint is safe. What it raises
    ends the run, which ``resume`` then continues.
    """
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    train_set, test_set = load_dataset(config.dataset, "train"), load_dataset(config.dataset, "test")
    torch.manual_seed(config.seed)
    model = build_model(network_spec(config, train_set)).to(memory_format=torch.channels_last)
    optimizer = _build_optimizer(model, config)
    output = Path(config.output_dir)
    last = Path(config.checkpoint_dir or config.output_dir) / LAST_NAME
    history = []
    if last.exists() and not config.resume:
        raise ConfigError(f"{last} holds a run already: continue it with --resume, or choose another --output-dir")
    if last.exists():
        history = _resume(last, config, model, optimizer)
    elif config.init_from:
        load_weights(model, config.init_from)
    _write_json(output / "config.json", _run_card(config, model, train_set))

    images, labels = torch.from_numpy(train_set.images), torch.from_numpy(train_set.labels)
    board = _tensorboard(output)
    for epoch in range(len(history), config.epochs):
        row = _train_epoch(model, optimizer, images, labels, config, epoch)
        start = time.perf_counter()
        row["test_loss"], row["test_accuracy"] = evaluate(model, test_set)
        row["test_s"] = round(time.perf_counter() - start, 2)
        history.append(row)
        _save(last, config, model, optimizer, history)
        _write_csv(output / "metrics.csv", history)
        for name in COLUMNS[1:] if board else ():
            board.add_scalar(name, row[name], row["epoch"])
        on_epoch(row)
    accuracy = history[-1]["test_accuracy"]
    _write_json(output / "result.json", {"test_accuracy": accuracy, "test_images": len(test_set), **history[-1]})
    return TrainResult(model.eval(), accuracy, last, history)


def network_spec(config: TrainConfig, dataset) -> NetworkSpec:
    """The network that a config trains on a data set."""
    return NetworkSpec(
        model=config.model,
        input_shape=tuple(dataset.images.shape[1:]),
        num_classes=len(dataset.class_names),
        weight_bits=config.weight_bits,
        spike_bits=config.spike_bits,
        num_steps=config.num_steps,
        leak_shift=config.leak_shift,
        reset_mode=config.reset_mode,
        surrogate=config.surrogate,
    )


def evaluate(model, dataset):
    """(mean cross-entropy, accuracy 0..1) over a data set, in fp32."""
    logits = predict_logits(model, dataset.images)
    labels = torch.from_numpy(dataset.labels)
    return functional.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()


@torch.no_grad()
def predict_logits(model, images):
    """uint8 NumPy images [N, C, H, W] -> float32 logits [N, classes]."""
    model.eval()
    return torch.cat(
        [
            model(to_unit_range(batch).contiguous(memory_format=torch.channels_last))
            for batch in torch.from_numpy(images).split(EVALUATION_BATCH)
        ]
    )


def load_model(path):
    """The trained network of a checkpoint, in evaluation mode, and the checkpoint's state (config, history, ...)."""
    tensors, state = checkpoint.load_checkpoint(path)
    spec = dict(state["network"])
    spec["input_shape"] = tuple(spec["input_shape"])
    model = build_model(NetworkSpec(**spec))
    _load_state(model, tensors, path)
    return model.eval(), state


def load_weights(model, path) -> None:
    """Start from a checkpoint of the same topology, whatever its bit allocation."""
    tensors, _ = checkpoint.load_checkpoint(find_checkpoint(path))
    _load_state(model, tensors, path)


def find_checkpoint(path) -> Path:
    """The checkpoint file itself, or that of a run's output folder. Raises ModelFileError."""
    path = Path(path)
    if not path.is_dir():
        return path
    if (path / LAST_NAME).exists():
        return path / LAST_NAME
    try:
        return Path(json.loads((path / "config.json").read_text())["config"]["checkpoint_dir"]) / LAST_NAME
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path} holds neither {LAST_NAME} nor a config.json that says where it is") from error


def learning_rate_at(step: int, num_steps: int, warmup_steps: int, peak: float) -> float:
    """Linear warm-up to `peak`, then half a cosine to 0 (arXiv 1608.03983 without restarts)."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def _build_optimizer(model, config):
    """Weights decay; batch-norm parameters and biases do not."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _epoch_generator(seed, epoch):
    digest = hashlib.sha256(f"{seed}/{epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _train_epoch(model, optimizer, images, labels, config, epoch):
    model.train()
    generator = _epoch_generator(config.seed, epoch)
    order = torch.randperm(len(labels), generator=generator)
    batches = [batch for batch in order.split(config.batch_size) if len(batch) > 1]
    warmup, total = round(config.warmup_epochs * len(batches)), config.epochs * len(batches)
    loss_sum, hits, seen, start = 0.0, 0, 0, time.perf_counter()
    bar = tqdm(batches, desc=f"epoch {epoch + 1}/{config.epochs}", leave=False, mininterval=5, file=bar_file())
    for index, batch in enumerate(bar):
        rate = learning_rate_at(epoch * len(batches) + index, total, warmup, config.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        inputs = augment_batch(images[batch], generator, config.crop_padding, config.flip, config.cutout)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
            logits = model(inputs)
        loss = functional.cross_entropy(logits.float(), labels[batch], label_smoothing=config.label_smoothing)
        if not torch.isfinite(loss):
            raise ConfigError(f"the loss is {loss.item()} in epoch {epoch + 1}; lower learning_rate ({rate:g})")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(batch)
        hits += (logits.argmax(1) == labels[batch]).sum().item()
        seen += len(batch)
        bar.set_postfix(loss=f"{loss_sum / seen:.3f}", accuracy=f"{hits / seen:.3f}", refresh=False)
    return {
        "epoch": epoch + 1,
        "learning_rate": rate,
        "train_loss": loss_sum / seen,
        "train_accuracy": hits / seen,
        "train_s": round(time.perf_counter() - start, 2),
    }


def _names(model):
    return {parameter: name for name, parameter in model.named_parameters()}


def _save(path, config, model, optimizer, history):
    tensors = checkpoint.with_prefix(model.state_dict(), checkpoint.MODEL_PREFIX)
    tensors.update(
        checkpoint.with_prefix(checkpoint.optimizer_tensors(optimizer, _names(model)), checkpoint.OPTIMIZER_PREFIX)
    )
    state = {"network": model.spec.to_dict(), "config": config.to_dict(), "history": history}
    checkpoint.save_checkpoint(path, tensors, state)


# Fields that may differ between a run and its continuation: they do not change what an epoch computes.
_FREE_FIELDS = {"output_dir", "checkpoint_dir", "resume", "num_threads", "init_from"}


def _resume(path, config, model, optimizer):
    tensors, state = checkpoint.load_checkpoint(path)
    saved, wanted = state["config"], config.to_dict()
    differing = [name for name in wanted if name not in _FREE_FIELDS and saved.get(name) != wanted[name]]
    if differing:
        changes = ", ".join(f"{name}: {saved.get(name)!r} -> {wanted[name]!r}" for name in differing)
        raise ConfigError(f"cannot resume {path} with other settings ({changes}); use init_from for a new run")
    _load_state(model, tensors, path)
    checkpoint.restore_optimizer(
        optimizer, _names(model), checkpoint.without_prefix(tensors, checkpoint.OPTIMIZER_PREFIX)
    )
    return state["history"]


def _load_state(model, tensors, path):
    try:
        model.load_state_dict(checkpoint.without_prefix(tensors, checkpoint.MODEL_PREFIX))
    except RuntimeError as error:
        raise ModelFileError(f"{path} holds another topology than {model.spec.model}: {error}") from error


def _run_card(config, model, dataset):
    card = dataset.card
    return {
        "command": command_line(config),
        "config": config.to_dict(),
        "network": model.spec.to_dict(),
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "data": {"name": card.name, "source": card.source, "licence": card.licence, "note": card.note},
        "torch": torch.__version__,
    }


def _write_json(path, content):
    with atomic_file(path) as stream:
        stream.write((json.dumps(content, indent=2) + "\n").encode())


def _write_csv(path, history):
    lines = [COLUMNS] + [[f"{row[name]:.6g}" for name in COLUMNS] for row in history]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    with atomic_file(path) as stream:
        stream.write(text.getvalue().encode())


def _tensorboard(folder):
    """A TensorBoard writer when the package is installed, else None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
