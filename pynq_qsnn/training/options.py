"""Training settings and their command-line form. Needs no torch, so that `--help` is quick and works on a board."""

import argparse
import dataclasses
import shlex
from dataclasses import dataclass

from ..data import DATASET_METAVAR, dataset_name
from ..errors import ConfigError

MODEL_NAMES = ("digits_small", "cifar_small", "cifar_resnet_small")
PRECISIONS = ("fp32", "bf16")
RESET_MODES = ("subtract", "zero")
SURROGATE_NAMES = ("triangle", "rectangle", "sigmoid", "arctan")


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Results depend on nothing else (but the number of threads and the CPU's rounding).

    output_dir gets config.json, metrics.csv and result.json; checkpoint_dir (default: output_dir) the checkpoints.
    init_from: a checkpoint of the same topology, of any bit allocation, whose weights start this run.
    precision bf16 runs convolutions in bfloat16 during training; evaluation is always fp32.
    crop_padding 0 and flip False switch the augmentation off; cutout is the side of the erased square (0 = none).
    """

    output_dir: str
    dataset: str = "digits"
    model: str = "digits_small"
    weight_bits: int = 8
    spike_bits: int = 4
    num_steps: int = 1
    leak_shift: int | None = 1
    reset_mode: str = "subtract"
    surrogate: str = "triangle"
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.1
    crop_padding: int = 0
    flip: bool = False
    cutout: int = 0
    precision: str = "fp32"
    seed: int = 0
    num_threads: int | None = None
    checkpoint_dir: str | None = None
    init_from: str | None = None
    resume: bool = False

    def __post_init__(self):
        def need(good, message):
            if not good:
                raise ConfigError(message)

        dataset_name(self.dataset)
        need(self.model in MODEL_NAMES, f"model must be one of {MODEL_NAMES}, not {self.model!r}")
        need(self.weight_bits in (1, 2, 4, 8), f"weight_bits must be 1, 2, 4 or 8, not {self.weight_bits}")
        need(self.spike_bits in (1, 2, 4, 8), f"spike_bits must be 1, 2, 4 or 8, not {self.spike_bits}")
        need(self.num_steps >= 1, f"num_steps must be at least 1, not {self.num_steps}")
        need(self.reset_mode in RESET_MODES, f"reset_mode must be one of {RESET_MODES}, not {self.reset_mode!r}")
        need(self.surrogate in SURROGATE_NAMES, f"surrogate must be one of {SURROGATE_NAMES}, not {self.surrogate!r}")
        need(self.precision in PRECISIONS, f"precision must be one of {PRECISIONS}, not {self.precision!r}")
        need(self.epochs >= 1, f"epochs must be at least 1, not {self.epochs}")
        need(self.batch_size >= 2, f"batch_size must be at least 2 (batch norm), not {self.batch_size}")
        need(self.learning_rate > 0, f"learning_rate must be positive, not {self.learning_rate}")
        need(self.weight_decay >= 0, f"weight_decay must not be negative, not {self.weight_decay}")
        need(0 <= self.warmup_epochs < self.epochs, f"warmup_epochs must lie in 0..{self.epochs} (epochs), below it")
        need(0 <= self.label_smoothing < 1, f"label_smoothing must lie in [0, 1), not {self.label_smoothing}")
        need(self.leak_shift is None or 1 <= self.leak_shift <= 15, f"leak_shift must be 1..15, not {self.leak_shift}")
        need(self.num_threads is None or self.num_threads >= 1, f"num_threads must be positive, not {self.num_threads}")
        need(self.crop_padding >= 0 and self.cutout >= 0, "crop_padding and cutout must not be negative")

    def to_dict(self):
        return dataclasses.asdict(self)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the training options; their defaults are TrainConfig's."""
    default = {field.name: field.default for field in dataclasses.fields(TrainConfig)}

    def add(flag, text, **kwargs):
        name = flag.lstrip("-").replace("-", "_")
        parser.add_argument(flag, default=default[name], help=f"{text} (default: %(default)s)", **kwargs)

    parser.add_argument("--output-dir", required=True, help="folder for config.json, metrics.csv and result.json")
    add("--checkpoint-dir", "folder for checkpoints; None is the output folder")
    add("--dataset", "data set, or a file of your own images", metavar=DATASET_METAVAR)
    add("--model", "architecture", choices=MODEL_NAMES)
    add("--weight-bits", "bits of a weight (first and last layer keep 8)", type=int, choices=(1, 2, 4, 8))
    add("--spike-bits", "bits of a spike", type=int, choices=(1, 2, 4, 8))
    add("--num-steps", "time steps", type=int)
    add("--leak-shift", "membrane leak v - v/2^N a step, or 'none'", type=_shift_or_none)
    add("--reset-mode", "reset after firing", choices=RESET_MODES)
    add("--surrogate", "surrogate gradient", choices=SURROGATE_NAMES)
    add("--epochs", "passes over the training images", type=int)
    add("--batch-size", "images a step", type=int)
    add("--learning-rate", "peak rate of AdamW", type=float)
    add("--weight-decay", "decoupled decay of the weights", type=float)
    add("--warmup-epochs", "linear warm-up before the cosine", type=float)
    add("--label-smoothing", "share of the target spread over all classes", type=float)
    add("--crop-padding", "random crop from images padded by N pixels", type=int)
    parser.add_argument("--flip", action="store_true", help="random horizontal flip")
    add("--cutout", "side of a randomly erased square, pixels", type=int)
    add("--precision", "arithmetic of training", choices=PRECISIONS)
    add("--seed", "seed of weights, order and augmentation", type=int)
    add("--num-threads", "CPU threads; None is torch's choice", type=int)
    add("--init-from", "checkpoint of the same topology whose weights start this run")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint, if there is one")


def config_from_args(args: argparse.Namespace) -> TrainConfig:
    """The config of parsed arguments; ConfigError on a bad combination."""
    return TrainConfig(**{field.name: getattr(args, field.name) for field in dataclasses.fields(TrainConfig)})


def command_line(config: TrainConfig) -> str:
    """The `pynq-qsnn train` command that repeats this run; options at their defaults are left out."""
    words = ["pynq-qsnn train"]
    for field in dataclasses.fields(TrainConfig):
        value = getattr(config, field.name)
        if field.name == "resume" or value == field.default:
            continue
        flag = "--" + field.name.replace("_", "-")
        words.append(flag if value is True else f"{flag} {'none' if value is None else shlex.quote(str(value))}")
    return " ".join(words)


def _shift_or_none(text):
    return None if text.lower() == "none" else int(text)
