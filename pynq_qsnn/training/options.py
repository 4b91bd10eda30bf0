"""Training settings and their command-line form. Needs no torch, so that `--help` is quick and works on a board."""

import argparse
import dataclasses
import shlex
from dataclasses import dataclass

from ..architectures import architecture
from ..architectures.entries import MAX_STEPS, RESIDUAL_DOMAINS
from ..data import DATASET_METAVAR, dataset_name
from ..errors import ConfigError

WEIGHT_BITS = (1, 2, 4, 8, 16)
SPIKE_BITS = (1, 2, 4, 8)
PRECISIONS = ("fp32", "bf16")
RESET_MODES = ("subtract", "zero")
SURROGATE_NAMES = ("triangle", "rectangle", "sigmoid", "arctan")
LOSSES = ("ce", "tet")
AUTO_AUGMENTS = ("none", "trivial", "rand")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Results depend on nothing else (but the processes, their threads and the device's rounding).

    model: a name of pynq_qsnn.architectures.NAMES, or a layer list of :mod:`pynq_qsnn.architectures.language`.
    image_size: side of pictures that are decoded while training goes on, None = 224; no option of the other data sets.
    output_dir gets config.json, metrics.csv and result.json; checkpoint_dir (default: output_dir) the checkpoints.
    num_steps: 1..255.   weight_bits 16: float weights, the start that low-bit runs share by init_from.
    init_from: a checkpoint of the same topology, of any bit allocation, whose weights start this run.
    residual: where residual blocks join, None = as the architecture says.
    batch_size: images a step, all processes together.
    loss: "ce", cross-entropy of the mean logits, or "tet", the mean of each step's (arXiv 2202.11946).
    ema: decay of the moving average of the weights, which is then what is evaluated and saved; 0 = none.
    clip_norm: largest norm of the gradient, 0 = any.   mixup: alpha of its beta distribution, 0 = none.
    precision bf16 runs convolutions in bfloat16 during training; evaluation is always fp32.
    crop_padding 0 and flip False switch the augmentation off; cutout is the side of the erased square (0 = none).
    checkpoint_every: steps between two checkpoints of an epoch, 0 = only at its end.
    """

    output_dir: str
    dataset: str = "digits"
    image_size: int | None = None
    model: str = "digits_small"
    weight_bits: int = 8
    spike_bits: int = 4
    num_steps: int = 1
    leak_shift: int | None = 1
    reset_mode: str = "subtract"
    surrogate: str = "triangle"
    residual: str | None = None
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    clip_norm: float = 0.0
    ema: float = 0.0
    loss: str = "ce"
    label_smoothing: float = 0.1
    mixup: float = 0.0
    crop_padding: int = 0
    flip: bool = False
    cutout: int = 0
    auto_augment: str = "none"
    precision: str = "fp32"
    seed: int = 0
    device: str = "auto"
    num_threads: int | None = None
    checkpoint_dir: str | None = None
    checkpoint_every: int = 0
    init_from: str | None = None
    resume: bool = False

    def __post_init__(self):
        def need(good, message):
            if not good:
                raise ConfigError(message)

        def one_of(name, known):
            value = getattr(self, name)
            need(value in known, f"{name} must be one of {', '.join(map(str, known))}, not {value!r}")

        dataset_name(self.dataset)
        architecture(self.model)
        one_of("weight_bits", WEIGHT_BITS)
        one_of("spike_bits", SPIKE_BITS)
        one_of("reset_mode", RESET_MODES)
        one_of("surrogate", SURROGATE_NAMES)
        one_of("residual", (None, *RESIDUAL_DOMAINS))
        one_of("loss", LOSSES)
        one_of("auto_augment", AUTO_AUGMENTS)
        one_of("precision", PRECISIONS)
        one_of("device", DEVICES)
        need(self.image_size is None or self.image_size >= 1, f"image_size must be positive, not {self.image_size}")
        need(
            1 <= self.num_steps <= MAX_STEPS,
            f"num_steps must be 1..{MAX_STEPS}, as in integer networks, not {self.num_steps}",
        )
        need(0 <= self.seed < 2**63, f"seed must be 0..2**63-1, not {self.seed}")
        need(self.epochs >= 1, f"epochs must be at least 1, not {self.epochs}")
        need(self.batch_size >= 2, f"batch_size must be at least 2 (batch norm), not {self.batch_size}")
        need(self.learning_rate > 0, f"learning_rate must be positive, not {self.learning_rate}")
        need(self.weight_decay >= 0, f"weight_decay must not be negative, not {self.weight_decay}")
        need(
            0 <= self.warmup_epochs < self.epochs,
            f"warmup_epochs is {self.warmup_epochs}, must be 0 or more and below epochs ({self.epochs}); 0 is none",
        )
        need(self.clip_norm >= 0, f"clip_norm must not be negative, not {self.clip_norm}")
        need(0 <= self.ema < 1, f"ema must lie in [0, 1), not {self.ema}")
        need(0 <= self.label_smoothing < 1, f"label_smoothing must lie in [0, 1), not {self.label_smoothing}")
        need(self.mixup >= 0, f"mixup must not be negative, not {self.mixup}")
        need(self.leak_shift is None or 1 <= self.leak_shift <= 15, f"leak_shift must be 1..15, not {self.leak_shift}")
        need(self.num_threads is None or self.num_threads >= 1, f"num_threads must be positive, not {self.num_threads}")
        need(self.crop_padding >= 0 and self.cutout >= 0, "crop_padding and cutout must not be negative")
        need(self.checkpoint_every >= 0, f"checkpoint_every must not be negative, not {self.checkpoint_every}")

    def to_dict(self):
        return dataclasses.asdict(self)


def add_arguments(parser: argparse.ArgumentParser, leave_out: tuple[str, ...] = ()) -> None:
    """Add the training options; their defaults are TrainConfig's. leave_out: fields that the caller sets itself."""
    default = {field.name: field.default for field in dataclasses.fields(TrainConfig)}

    def group(title):
        section = parser.add_argument_group(title)

        def add(flag, text, **kwargs):
            name = flag.lstrip("-").replace("-", "_")
            if name in leave_out:
                return
            if default[name] is False:
                section.add_argument(flag, action="store_true", help=text)
            else:
                section.add_argument(flag, default=default[name], help=f"{text} (default: %(default)s)", **kwargs)

        return section, add

    files, add = group("files")
    files.add_argument("--output-dir", required=True, help="folder for config.json, metrics.csv and result.json")
    add("--checkpoint-dir", "folder for checkpoints; None is the output folder")
    add("--checkpoint-every", "also a checkpoint every N steps; 0 is one an epoch", type=int, metavar="N")
    add("--init-from", "checkpoint of the same topology whose weights start this run", metavar="FILE")
    add("--resume", "continue from the last checkpoint, if there is one")
    _, add = group("data")
    add("--dataset", "data set, or a file or folder of your own images", metavar=DATASET_METAVAR)
    add("--image-size", "side of the pictures of a folder or of ImageNet; None is 224", type=int, metavar="PIXELS")
    add("--crop-padding", "random crop from images padded by N pixels", type=int, metavar="N")
    add("--flip", "random horizontal flip")
    add("--cutout", "side of a randomly erased square, pixels", type=int, metavar="N")
    add("--auto-augment", "TrivialAugment or RandAugment, by kornia", choices=AUTO_AUGMENTS)
    add("--mixup", "mix pairs of images, shares of a Beta(ALPHA, ALPHA); 0 is off", type=float, metavar="ALPHA")
    _, add = group("network")
    add("--model", "architecture, or a layer list such as '32 P 64 FC'", metavar="NAME")
    add("--weight-bits", "bits of a weight (first and last layer keep 8); 16 is float", type=int, choices=WEIGHT_BITS)
    add("--spike-bits", "bits of a spike", type=int, choices=SPIKE_BITS)
    add("--num-steps", "time steps", type=int, metavar="T")
    add("--leak-shift", "membrane leak v - v/2^N a step, or 'none'", type=_shift_or_none, metavar="N")
    add("--reset-mode", "reset after firing", choices=RESET_MODES)
    add("--surrogate", "surrogate gradient", choices=SURROGATE_NAMES)
    add("--residual", "where residual blocks join; None is as the architecture says", choices=RESIDUAL_DOMAINS)
    _, add = group("learning")
    add("--epochs", "passes over the training images", type=int, metavar="N")
    add("--batch-size", "images a step, all processes together", type=int, metavar="N")
    add("--learning-rate", "peak rate of AdamW", type=float, metavar="RATE")
    add("--weight-decay", "decoupled decay of the weights", type=float, metavar="SHARE")
    add("--warmup-epochs", "linear warm-up before the cosine", type=float, metavar="N")
    add("--clip-norm", "largest norm of the gradient; 0 is any", type=float, metavar="NORM")
    add("--ema", "evaluate and save a moving average of the weights; 0 is none", type=float, metavar="DECAY")
    add("--loss", "cross-entropy of the mean logits, or of each step's (TET)", choices=LOSSES)
    add("--label-smoothing", "share of the target spread over all classes", type=float, metavar="SHARE")
    _, add = group("machine")
    add("--precision", "arithmetic of training", choices=PRECISIONS)
    add("--seed", "seed of weights, order and augmentation", type=int, metavar="N")
    add("--device", "where to train; auto is a GPU where torch sees one", choices=DEVICES)
    add("--num-threads", "CPU threads; None is torch's choice", type=int, metavar="N")


def config_from_args(args: argparse.Namespace, leave_out: tuple[str, ...] = ()) -> TrainConfig:
    """The config of parsed arguments, without the fields of ``leave_out``; ConfigError on a bad combination."""
    names = [field.name for field in dataclasses.fields(TrainConfig) if field.name not in leave_out]
    return TrainConfig(**{name: getattr(args, name) for name in names})


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
