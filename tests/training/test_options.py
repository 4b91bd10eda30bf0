"""Training options on the command line, without torch."""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pynq_qsnn.errors import ConfigError
from pynq_qsnn.training.options import TrainConfig, add_arguments, command_line, config_from_args

ROOT = Path(__file__).resolve().parents[2]


def parse(words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return config_from_args(parser.parse_args(words))


def test_defaults_are_those_of_the_config():
    assert parse(["--output-dir", "out"]) == TrainConfig(output_dir="out")


def test_the_recorded_command_repeats_the_run():
    config = TrainConfig(
        output_dir="my out", weight_bits=1, spike_bits=2, num_steps=2, leak_shift=None, flip=True, crop_padding=4,
        learning_rate=2e-3, num_threads=2, init_from="a b.safetensors", ema=0.99, clip_norm=1.0, mixup=0.2, loss="tet",
        auto_augment="trivial", checkpoint_every=50, image_size=64, dataset="my pictures/", residual="iand",
        device="cpu",
    )  # fmt: skip
    words = shlex.split(command_line(config))
    assert words[:2] == ["pynq-qsnn", "train"]
    assert parse(words[2:]) == config


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": "mnist"}, {"model": "vgg"}, {"weight_bits": 3}, {"spike_bits": 3}, {"num_steps": 0},
        {"num_steps": 256}, {"epochs": 0}, {"batch_size": 1},
        {"learning_rate": 0}, {"warmup_epochs": 20}, {"label_smoothing": 1}, {"cutout": -1},
        {"precision": "fp16"}, {"surrogate": "step"}, {"reset_mode": "soft"}, {"weight_decay": -1},
        {"leak_shift": 0}, {"num_threads": 0}, {"ema": 1}, {"clip_norm": -1}, {"mixup": -0.1}, {"loss": "mse"},
        {"auto_augment": "auto"}, {"device": "tpu"}, {"checkpoint_every": -1}, {"image_size": 0}, {"residual": "add"},
    ],
)  # fmt: skip
def test_bad_values_are_refused(changes):
    with pytest.raises(ConfigError):
        TrainConfig(output_dir="out", **changes)


def test_options_and_data_import_no_heavy_package():
    code = (
        "import sys, pynq_qsnn.training.options, pynq_qsnn.data; "
        "print([m for m in ('torch', 'brevitas', 'pyarrow', 'PIL', 'sklearn') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
