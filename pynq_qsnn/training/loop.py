"""The training loop: AdamW, warm-up and cosine, a checkpoint an epoch or every few steps.

Order, augmentation and learning rate of a step are functions of where it stands (:mod:`schedule`), and everything else
that it depends on is in the checkpoint. So a run that resumes repeats what the uninterrupted run does, bit for bit on a
CPU with as many threads.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from torch.nn import functional
from tqdm import tqdm

from ..data import load_dataset, read_ahead
from ..errors import ConfigError, DataError, ModelFileError
from ..progress import bar_file
from . import checkpoint, distributed
from .augment import Augmentation, as_model_input, to_unit_range
from .learner import Learner
from .losses import classification_loss
from .models import NetworkSpec, build_model
from .options import TrainConfig
from .record import COLUMNS, Record
from .schedule import epoch_rates, seed_of

LAST_NAME = "last.safetensors"
EVALUATION_BATCH = 250
CHECK_STEPS = 20  # steps between two looks at the sums: on a GPU a look waits for the work that is queued


@dataclass(frozen=True)
class TrainResult:
    """accuracy: share of the test images, 0..1, of the last epoch (no epoch is selected by its test accuracy)."""

    model: torch.nn.Module
    accuracy: float
    checkpoint: Path
    history: list


@dataclass
class Progress:
    """Where a run stands: a row for each whole epoch; of the epoch that has begun, its steps, sums and seconds.

    sums: of the losses, of the right answers and of the images.
    """

    history: list
    steps: int = 0
    sums: tuple = (0.0, 0.0, 0.0)
    seconds: float = 0.0


def print_epoch(row: dict) -> None:
    """One line an epoch, past a progress bar."""
    tqdm.write(" ".join(f"{name}={row[name]:.5g}" for name in COLUMNS))


def train(config: TrainConfig, on_epoch: Callable[[dict], None] = print_epoch) -> TrainResult:
    """Run `config` to its last epoch. Raises ConfigError, DataError or ModelFileError on bad input.

    on_epoch: called after each epoch with its row (``record.COLUMNS`` -> number), when its checkpoint is safe. What it
    raises ends the run, which ``resume`` then continues. Under torchrun only the first process writes, and calls it.
    """
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    with distributed.join(config.device) as processes:
        if config.batch_size % processes.count or config.batch_size < 2 * processes.count:
            raise ConfigError(
                f"batch_size {config.batch_size} cannot be shared by {processes.count} processes: choose a multiple of "
                f"{processes.count}, at least {2 * processes.count} (batch norm needs two images)"
            )
        train_set, test_set = processes.first_does(
            lambda: [load_dataset(config.dataset, split, config.image_size) for split in ("train", "test")]
        )
        if train_set.class_names != test_set.class_names:
            raise DataError(f"{config.dataset}: its training and test images name other classes")
        return _train(config, train_set, test_set, processes, on_epoch)


def _train(config, train_set, test_set, processes, on_epoch):
    torch.manual_seed(config.seed)
    learner = Learner(build_model(network_spec(config, train_set)), config, processes)
    last = Path(config.checkpoint_dir or config.output_dir) / LAST_NAME
    progress = Progress([])
    if last.exists() and not config.resume:
        raise ConfigError(f"{last} holds a run already: continue it with --resume, or choose another --output-dir")
    log = Path(config.output_dir) / "metrics.csv"
    if log.exists() and not last.exists():
        raise ConfigError(
            f"{log} is the log of a run whose checkpoint is not at {last}, and would be overwritten: name its "
            "--checkpoint-dir, choose another --output-dir, or delete the log"
        )
    if last.exists():
        progress = _resume(last, config, learner, processes.count)
    elif config.init_from:
        load_weights(learner.model, config.init_from)
    record = Record(config, learner.model, train_set, processes) if processes.is_first else None

    def save():
        if processes.is_first:
            _save(last, config, learner, progress, processes.count)

    while len(progress.history) < config.epochs:
        row = _train_epoch(learner, train_set, config, progress, processes, save)
        start = time.perf_counter()
        row["test_loss"], row["test_accuracy"] = evaluate(learner.result, test_set, processes)
        row["test_s"] = round(time.perf_counter() - start, 2)
        progress = Progress([*progress.history, row])
        save()
        if processes.is_first:
            record.epoch(progress.history)
            on_epoch(row)
    if processes.is_first:
        record.end(progress.history, len(test_set))
    return TrainResult(learner.result.cpu().eval(), progress.history[-1]["test_accuracy"], last, progress.history)


def network_spec(config: TrainConfig, dataset) -> NetworkSpec:
    """The network that a config trains on a data set."""
    if config.image_size not in (None, dataset.images.shape[-1]):
        raise ConfigError(
            f"image_size is {config.image_size}, but {dataset.card.name} has images of a size of its own: "
            f"{dataset.images.shape[-2:]}; leave image_size out"
        )
    if dataset.num_steps not in (None, config.num_steps):
        raise ConfigError(
            f"num_steps is {config.num_steps}, the event frames of {dataset.card.name} have {dataset.num_steps} steps"
        )
    return NetworkSpec(
        model=config.model,
        input_shape=tuple(dataset.images.shape[-3:]),
        num_classes=len(dataset.class_names),
        weight_bits=config.weight_bits,
        spike_bits=config.spike_bits,
        num_steps=config.num_steps,
        leak_shift=config.leak_shift,
        reset_mode=config.reset_mode,
        surrogate=config.surrogate,
        residual=config.residual,
    )


def evaluate(model, dataset, processes=None):
    """(mean cross-entropy, accuracy 0..1) over a data set, in fp32; each of `processes` takes a part of the images."""
    processes = processes or distributed.Processes(0, 1, next(model.parameters()).device)
    processes.share_buffers(model)
    labels = torch.from_numpy(dataset.labels).split(EVALUATION_BATCH)
    mine = slice(processes.rank, None, processes.count)
    sums = torch.zeros(2, dtype=torch.float64, device=processes.device)
    for logits, expected in zip(_logits(model, dataset.images, mine), labels[mine]):
        expected = expected.to(logits.device)
        sums[0] += functional.cross_entropy(logits, expected, reduction="sum")
        sums[1] += (logits.argmax(1) == expected).sum()
    loss, hits = processes.sum(sums).tolist()
    return loss / len(dataset), hits / len(dataset)


def predict_logits(model, images):
    """uint8 images [N, C, H, W], or event frames [N, T, C, H, W] -> float32 logits [N, classes], on the CPU."""
    return torch.cat([logits.cpu() for logits in _logits(model, images)])


def _logits(model, images, part=slice(None)):
    """Logits of batch after batch, in fp32; `part` of the batches."""
    model.eval()
    device = next(model.parameters()).device
    batches = [slice(start, start + EVALUATION_BATCH) for start in range(0, len(images), EVALUATION_BATCH)]
    for batch in read_ahead(images, batches[part]):
        with torch.no_grad():
            yield model(as_model_input(to_unit_range(torch.from_numpy(batch).to(device))))


def load_model(path):
    """The trained network of a checkpoint, in evaluation mode, and the checkpoint's state (config, history, ...)."""
    tensors, state = checkpoint.load_checkpoint(path)
    spec = checkpoint.settings(NetworkSpec, state["network"], path)
    model = build_model(replace(spec, input_shape=tuple(spec.input_shape)))
    _load(model.load_state_dict, checkpoint.without_prefix(tensors, checkpoint.MODEL_PREFIX), path, model)
    if wrong := [name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()]:
        raise ModelFileError(f"{path}: {wrong[0]} is not finite; the training diverged, start again with a lower rate")
    return model.eval(), state


def load_weights(model, path) -> None:
    """Start from a checkpoint of the same topology, whatever its bit allocation."""
    tensors, _ = checkpoint.load_checkpoint(find_checkpoint(path))
    _load(model.load_state_dict, checkpoint.without_prefix(tensors, checkpoint.MODEL_PREFIX), path, model)


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


def _train_epoch(learner, dataset, config, progress, processes, save):
    """The rest of the epoch that `progress` is in. save: called when `progress` is up to date, every few steps."""
    epoch, device, start = len(progress.history), processes.device, time.perf_counter() - progress.seconds
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed_of(config.seed, epoch)))
    batches = processes.batches(order, config.batch_size)
    if not batches:
        raise ConfigError(f"{len(dataset)} training images are too few for {processes.count} processes")
    rates = epoch_rates(config, epoch, len(batches))
    augmentation = Augmentation(config, dataset.images.shape[1:], len(dataset.class_names))
    labels = torch.from_numpy(dataset.labels)
    sums = torch.tensor(progress.sums if processes.is_first else (0.0,) * 3, dtype=torch.float64, device=device)
    rest = batches[progress.steps :]
    images = read_ahead(dataset.epoch_images(config.seed, epoch), [batch.numpy() for batch in rest])
    bar = tqdm(
        images, f"epoch {epoch + 1}/{config.epochs}", len(batches), initial=progress.steps, leave=False, mininterval=5,
        file=bar_file(), disable=not processes.is_first,
    )  # fmt: skip
    learner.model.train()
    for step, inputs in enumerate(bar, progress.steps):
        torch.manual_seed(seed_of(config.seed, epoch, step, processes.rank))
        expected = labels[batches[step]].to(device)
        loss, hits = _step(learner, augmentation, config, torch.from_numpy(inputs).to(device), expected, rates[step])
        sums[0] += loss * len(expected)
        sums[1] += hits
        sums[2] += len(expected)
        ended = step + 1 == len(batches)
        # At the end too: the test pass that follows may find images that cannot be read.
        saving = ended or (config.checkpoint_every and (step + 1) % config.checkpoint_every == 0)
        if step % CHECK_STEPS == 0 or saving:
            loss_sum, hits, seen = sums.tolist()
            if not math.isfinite(loss_sum) or (saving and not learner.is_finite()):
                raise ConfigError(f"epoch {epoch + 1}: a loss or weight is not finite; lower --learning-rate")
            bar.set_postfix(loss=f"{loss_sum / seen:.3f}", accuracy=f"{hits / seen:.3f}", refresh=False)
        if saving:
            progress.steps, progress.sums = step + 1, tuple(processes.sum(sums).tolist())
            progress.seconds = time.perf_counter() - start
            save()
    loss_sum, hits, seen = processes.sum(sums).tolist()
    return {
        "epoch": epoch + 1,
        "learning_rate": rates[-1],
        "train_loss": loss_sum / seen,
        "train_accuracy": hits / seen,
        "train_s": round(time.perf_counter() - start, 2),
    }


def _step(learner, augmentation, config, images, labels, rate):
    """One step on uint8 images: (the mean loss, the number of right answers), tensors."""
    inputs, targets = augmentation(images, labels)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        logits = learner.parallel(inputs, per_step=config.loss == "tet")
    loss = classification_loss(logits, targets, config.label_smoothing)
    learner.step(loss, rate)
    mean = logits.mean(0) if logits.ndim == 3 else logits
    return loss.detach(), (mean.argmax(1) == labels).sum()


def _save(path, config, learner, progress, processes: int):
    state = {"network": learner.model.spec.to_dict(), "config": config.to_dict(), "processes": processes}
    state |= asdict(progress)
    checkpoint.save_checkpoint(path, learner.tensors(), state)


# Fields that may differ between a run and its continuation: they do not change what an epoch computes.
_FREE_FIELDS = {"output_dir", "checkpoint_dir", "resume", "num_threads", "init_from", "device", "checkpoint_every"}


def _resume(path, config, learner, processes: int) -> Progress:
    """processes: their number, which changes what a step computes; checkpoints without it are older."""
    tensors, state = checkpoint.load_checkpoint(path)
    saved = checkpoint.settings(TrainConfig, state["config"], path).to_dict()
    saved["processes"] = state.get("processes", processes)
    wanted = {**config.to_dict(), "processes": processes}
    differing = [name for name in wanted if name not in _FREE_FIELDS and saved[name] != wanted[name]]
    if differing:
        changes = ", ".join(f"{name}: {saved[name]!r} -> {wanted[name]!r}" for name in differing)
        raise ConfigError(f"cannot resume {path} with other settings ({changes}); use init_from for a new run")
    _load(learner.restore, tensors, path, learner.model)
    known = {field.name: state[field.name] for field in fields(Progress) if field.name in state}
    return checkpoint.settings(Progress, known, path)


def _load(load, tensors, path, model):
    """load(tensors), the error of another topology or of a checkpoint that only has weights named."""
    try:
        load(tensors)
    except KeyError as error:
        raise ModelFileError(
            f"{path} has no state of the optimizer for {error}, a run cannot continue from it; "
            "start a new one from its weights with --init-from and another --output-dir"
        ) from error
    except RuntimeError as error:
        raise ModelFileError(f"{path} holds another topology than {model.spec.model}: {error}") from error
